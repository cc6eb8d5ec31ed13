# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine of its own runs with Debian 13's engines, one of them at a time ($1): the module's
# device for a container by its CDI name or as nodes, and a container that joins the agent.
set -e
export PATH=/usr/bin:/usr/sbin:/bin:/sbin HOME=/root
engine=$1
bb=/bin/busybox
ended() {
    status=$?
    [ $status = 0 ] || ! [ -e /run/said ] || $bb grep -v level=info /run/said | $bb tail -n 30
    exit $status
}
trap ended EXIT
# Waits for a command that must hold at last.
until_held() {
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "never held: $*" && exit 1; }
        $bb sleep 0.2
    done
}

$bb mkdir -p /run /tmp /var /root /etc/cdi /sys/fs/cgroup
for place in /run /tmp /var; do $bb mount -t tmpfs tmpfs $place; done
$bb mkdir -p /var/lib /var/run /var/tmp /run/ashmem
[ -e /sys/fs/cgroup/cgroup.controllers ] || $bb mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo root:x:0:0:root:/root:/bin/sh >/etc/passwd
echo root:x:0: >/etc/group
# As the udev rule makes it.
name=ashmem$($bb cat /proc/sys/kernel/random/boot_id)
[ -e /dev/$name ] || $bb ln -s ashmem /dev/$name
ashmem cdi --output /etc/cdi/ashmem.json
ashmem agent --join unix:/run/ashmem/join.sock >/run/agent 2>&1 &
until_held test -S /run/ashmem/join.sock
device=android.dev/ashmem=all
# Both names are in the container, and two of its processes share a region of the module's.
inside="ls /dev/ashmem /dev/$name && grep -q ashmem /proc/misc && exec /bin/client share"
join="/bin/ashmem-join --agent /ashmem.sock -- /bin/client share"

case $engine in
containerd)
    containerd >/run/said 2>&1 &
    until_held ctr version
    # This one's client knows no CDI: it takes the nodes.
    $bb rm /dev/$name
    $bb mknod /dev/$name c 10 "$($bb sed -n 's/ ashmem$//p' /proc/misc | $bb tr -d ' ')"
    ctr run --rm --rootfs --no-pivot --device /dev/ashmem --device /dev/$name /rootfs one \
        /bin/sh -c "$inside"
    ctr run --rm --rootfs --no-pivot \
        --mount type=bind,src=/dev/full,dst=/dev/ashmem,options=bind:rw \
        --mount type=bind,src=/run/ashmem/join.sock,dst=/ashmem.sock,options=bind:rw \
        /rootfs two $join
    containerd --version
    ;;
docker)
    $bb mkdir -p /etc/docker
    echo '{"features": {"cdi": true}}' >/etc/docker/daemon.json
    # pivot_root refuses a root that is the initramfs.
    DOCKER_RAMDISK=true dockerd --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs \
        --bridge none --iptables=false --ip6tables=false --userland-proxy=false >/run/said 2>&1 &
    until_held docker version
    $bb tar -c -C /rootfs . | docker import - image >/dev/null
    docker run --rm --network none --device $device image /bin/sh -c "$inside"
    docker run --rm --network none --device /dev/full:/dev/ashmem \
        --volume /run/ashmem/join.sock:/ashmem.sock image $join
    docker --version
    ;;
podman)
    $bb mkdir -p /etc/containers
    printf '[engine]\nno_pivot_root = true\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n' \
        >/etc/containers/containers.conf
    podman() { /usr/bin/podman --storage-driver vfs "$@" 2>>/run/said; }
    podman run --rm --network none --device $device --rootfs /rootfs /bin/sh -c "$inside"
    podman run --rm --network none --device /dev/full:/dev/ashmem \
        --volume /run/ashmem/join.sock:/ashmem.sock --rootfs /rootfs $join
    podman --version
    ;;
esac
