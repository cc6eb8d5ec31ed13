# SPDX-License-Identifier: MIT OR Apache-2.0
# One program, compiled as README says, three ways: by the module; then, when that was removed,
# under `ashmem run` and on memfd.
cd /trial/checkout
says_hello() { [ "$("$@")" = 'the reader got 65536 bytes: hello' ]; }
says_hello ./program
says_hello env ASHMEM_BACKEND=device ./program
apt-get -q -o Dpkg::Use-Pty=0 -y remove ashmem-dkms
[ ! -e /dev/ashmem ]
if grep ashmem /proc/misc || env ASHMEM_BACKEND=device ./program; then exit 1; fi
says_hello env ASHMEM_BACKEND=device ashmem run -- ./program
says_hello ./program
