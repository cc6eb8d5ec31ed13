# SPDX-License-Identifier: MIT OR Apache-2.0
# Goes on in a file system that a container's root can be made in: pivot_root(2) does not leave the
# kernel's first one.
set -e
busybox=/bin/busybox
$busybox mkdir -p /t
$busybox mount -t tmpfs -o size=700m tmpfs /t
$busybox tar xf /root.tar -C /t
$busybox rm /root.tar
for folder in proc sys dev run tmp rootfs/bin rootfs/dev rootfs/proc rootfs/sys rootfs/tmp; do
    $busybox mkdir -p /t/$folder
done
$busybox mount -t proc proc /t/proc
$busybox mount -t sysfs sysfs /t/sys
$busybox mount -t devtmpfs devtmpfs /t/dev
$busybox mkdir -p /t/dev/pts /t/dev/shm
$busybox mount -t devpts devpts /t/dev/pts
$busybox mount -t tmpfs tmpfs /t/dev/shm
$busybox mount -t tmpfs tmpfs /t/run
$busybox mount -t cgroup2 cgroup2 /t/sys/fs/cgroup
$busybox cp -R /bundles /trial.sh /ashmem /client /conformance /t/
cd /t
$busybox mount --move . /
exec $busybox chroot . /bin/busybox sh /trial.sh
