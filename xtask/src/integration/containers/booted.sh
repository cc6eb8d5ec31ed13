# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine of its own runs: an agent, and a container of runc's under it.
set -e
# runc asks for a hierarchy of control groups, and for a root that is not the kernel's first one.
/bin/busybox mount -t cgroup2 none /sys/fs/cgroup
/bin/ashmem agent --oci unix:/run/oci.sock &
while [ ! -S /run/oci.sock ]; do
    /bin/busybox sleep 0.1
done
cd /bundle
runc run --no-pivot trial
runc --version
