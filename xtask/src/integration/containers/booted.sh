# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine of its own runs: an agent, and a container of runc's under it.
set -e
export PATH=/bin:/usr/bin
/bin/ashmem agent --oci unix:/run/oci.sock &
while [ ! -S /run/oci.sock ]; do
    /bin/busybox sleep 0.1
done
cd /bundle
# The kernel's first root, which this is, cannot be left by pivot_root.
runc run --no-pivot trial
runc --version
