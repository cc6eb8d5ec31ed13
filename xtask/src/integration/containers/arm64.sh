# SPDX-License-Identifier: MIT OR Apache-2.0
# An agent, and under it containers of runc and of LXC that share regions in themselves alone.
set -e
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mkdir -p /applets
/bin/busybox --install -s /applets
export PATH=$PATH:/applets
ip link set lo up
cp /bin/busybox /client /conformance /rootfs/bin/
ln -s busybox /rootfs/bin/sh
runc --version | head -n 1
echo "LXC $(lxc-execute --version)"

/ashmem agent --oci unix:/run/oci.sock --lxc unix:/run/lxc.sock &
until [ -S /run/oci.sock ] && [ -S /run/lxc.sock ]; do
    sleep 0.1
done
until_there() {
    until [ -e "$1" ]; do
        sleep 0.1
    done
}

for bundle in /bundles/*; do
    /ashmem agent profile --socket unix:/run/oci.sock --oci "$bundle/config.json" \
        --output "$bundle/config.json"
done
start() {
    runc run --bundle "/bundles/$1" "$1" < /dev/null
}
start share
start owner &
owner=$!
until_there /rootfs/tmp/offer
runc exec owner /bin/client join /tmp/offer < /dev/null
start other
wait $owner
start suite
echo "runc: shared in one container, joined by an exec, kept from another"

rm -f /rootfs/tmp/offer
/ashmem agent profile --socket unix:/run/lxc.sock --lxc /usr/share/lxc/config/common.seccomp \
    --output /run/policy
start() {
    name=$1
    shift
    cat > "/run/$name.conf" << CONFIGURATION
lxc.uts.name = $name
lxc.rootfs.path = dir:/rootfs
lxc.apparmor.profile = unconfined
lxc.mount.auto = proc:mixed
lxc.seccomp.profile = /run/policy
lxc.seccomp.notify.proxy = unix:/run/lxc.sock
lxc.seccomp.notify.cookie = $name
lxc.mount.entry = /dev/full dev/ashmem none bind,create=file 0 0
CONFIGURATION
    lxc-execute --name "$name" --rcfile "/run/$name.conf" --lxcpath /run/lxc -- "$@" < /dev/null
}
mkdir -p /run/lxc
start share /bin/client share
start owner /bin/client offer /tmp/offer &
owner=$!
until_there /rootfs/tmp/offer
lxc-attach --name owner --lxcpath /run/lxc -- /bin/client join /tmp/offer < /dev/null
start other /bin/client stranger /tmp/offer
wait $owner
echo "LXC: shared in one container, joined by an attach, kept from another"
