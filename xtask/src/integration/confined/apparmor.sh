# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine of its own runs with AppArmor on, as Debian boots: the agent under its profile
# serves a container of runc's and one that joins; what the profile does not name is refused.
set -e
export PATH=/bin:/usr/bin
bb=/bin/busybox
security=/sys/kernel/security
# Runs the rest under a profile.
as() {
    (
        printf %s "exec $1" >/proc/self/attr/exec || exit 99
        shift
        exec "$@"
    ) 2>&1
}
refused() {
    said=$(as "$@") && echo "not refused: $*" && exit 1
    [ $? != 99 ] || { echo "no such profile: $1: $said" && exit 1; }
    case $said in
    *EACCES* | *ermission*denied* | *"not permitted"*) ;;
    *)
        echo "refused for another reason: $*: $said"
        exit 1
        ;;
    esac
}
held() { said=$("$@" 2>&1) || { echo "$*: $said" && exit 1; }; }
denials() { $bb dmesg | $bb grep 'apparmor="DENIED"' || true; }
ended() {
    status=$?
    [ $status = 0 ] || denials
    exit $status
}
trap ended EXIT
load() { $bb dd if="$1" of=$security/apparmor/.load bs=1M 2>/dev/null; }
# The agent under a profile, until its sockets are there.
agent() {
    $bb rm -rf /run/ashmem
    as "$1" /usr/bin/ashmem agent --oci unix:/run/ashmem/agent.sock \
        --join unix:/run/ashmem/join.sock >/agent.log &
    tries=0
    while [ ! -S /run/ashmem/agent.sock ] || [ ! -S /run/ashmem/join.sock ]; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || { echo "the agent made no sockets" && exit 1; }
        $bb sleep 0.1
    done
    [ "$($bb cat /proc/$($bb pidof ashmem)/attr/current)" = "$2" ]
}

$bb mount -t securityfs securityfs $security 2>/dev/null || true
$bb mkdir -p /run /etc /tmp
echo secret >/etc/shadow
[ "$($bb cat /sys/module/apparmor/parameters/enabled)" = Y ]
for profile in /profiles/*; do load $profile; done

agent ashmem-agent "ashmem-agent (enforce)"
cd /bundle
# The kernel's first root, which this is, cannot be left by pivot_root.
held runc run --no-pivot trial
join="/bin/ashmem-join --agent /run/ashmem/join.sock --"
held $join /bundle/rootfs/bin/client share
# A container's profile must let itself be looked at, as AppArmor asks both sides: an engine's own
# lets its own containers alone.
refused engine-default $join /bundle/rootfs/bin/client share
held as engine-for-ashmem $join /bundle/rootfs/bin/client share
$bb grep -q "a process joined" /agent.log || {
    echo "the agent's log: $($bb cat /agent.log)"
    exit 1
}

# What a hostile container would make of an agent that it has got hold of: the program is another
# one at the agent's path.
$bb mount --bind $bb /usr/bin/ashmem
$bb ln -s /usr/bin/ashmem /tmp/busybox
held as ashmem-agent /tmp/busybox true
# What the agent's work needs now and then.
held as ashmem-agent /tmp/busybox cat /proc/sys/vm/overcommit_memory
held as ashmem-agent /tmp/busybox sh -c 'echo some 150000 2000000 >/proc/pressure/memory'
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
$bb mkdir /sys/fs/cgroup/trial
for file in current high max stat; do
    held as ashmem-agent /tmp/busybox cat /sys/fs/cgroup/trial/memory.$file
done
for node in /dev/ashmem /dev/full; do
    [ -e $node ] || $bb mknod $node c 1 7
    held as ashmem-agent /tmp/busybox sh -c ": <>$node"
done
# A descriptor that the profile does not allow is replaced as the program begins.
[ "$(as ashmem-agent /tmp/busybox readlink /proc/self/fd/0 </dev/console)" = /dev/console ]
refused ashmem-agent /tmp/busybox dd if=/sys/fs/cgroup/trial/cgroup.procs
refused ashmem-agent /tmp/busybox cat /etc/shadow
refused ashmem-agent /tmp/busybox touch /file
refused ashmem-agent /tmp/busybox nc -l -p 80
refused ashmem-agent /tmp/busybox sh -c /bundle/rootfs/bin/client
refused ashmem-agent /tmp/busybox mount -t tmpfs tmpfs /tmp
$bb umount /usr/bin/ashmem
$bb kill $($bb pidof ashmem)
# What the profile is to be tried with first.
agent ashmem-agent-complain "ashmem-agent-complain (complain)"
held runc run --no-pivot trial
echo "runc's container and one that joins, under the enforcing profile, and runc's under the \
complaining one; refused: reading /etc/shadow, making a file, TCP, executing, mounting; \
$($bb uname -r)"
