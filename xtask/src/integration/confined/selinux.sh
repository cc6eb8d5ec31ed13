# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine of its own runs with SELinux enforcing: Debian's policy with ashmem.cil in it is
# loaded, then a program in a container's domain uses the module's device, and another joins the
# agent in its own domain. What the policy does not give is refused.
set -e
export PATH=/bin:/usr/bin
bb=/bin/busybox
label() { chcon "system_u:object_r:$1:s0" "$2"; }
# Runs the rest in a domain; what it prints goes through a pipe of ours, the only thing that it
# shares with this shell.
as() {
    (
        domain=$1
        shift
        printf %s "system_u:system_r:$domain" >/proc/self/attr/exec || exit 99
        exec "$@"
    ) 2>&1
}
refused() {
    said=$(as "$@") && echo "not refused: $*" && exit 1
    [ $? != 99 ] || { echo "no such domain: $1: $said" && exit 1; }
    case $said in
    *EACCES* | *ermission*denied*) ;;
    *)
        echo "refused for another reason: $*: $said"
        exit 1
        ;;
    esac
}
held() { said=$(as "$@") || { echo "$*: $said" && exit 1; }; }
ended() {
    status=$?
    [ $status = 0 ] || $bb dmesg | $bb grep 'avc:  denied'
    exit $status
}
trap ended EXIT
# The ranges of categories that an engine gives two containers.
container=container_t:s0:c1,c2

$bb mkdir -p /run /selinux
$bb mount -t tmpfs tmpfs /run
$bb mkdir -p /run/ashmem /tmp
$bb mount -t tmpfs tmpfs /tmp
$bb mount -t selinuxfs selinuxfs /selinux
# In one piece: the kernel takes a policy from one write.
$bb dd if=/policy of=/selinux/load bs=64M 2>/dev/null
for file in /bin/client /bin/ashmem-join /bin/busybox; do label container_file_t $file; done
label ashmem_agent_exec_t /bin/ashmem-agent
$bb mkdir /entry
$bb cp $bb /entry/busybox
label ashmem_agent_exec_t /entry/busybox
label bin_t /usr/bin/ashmem
label shell_exec_t /bin/sh
label var_run_t /run
label ashmem_agent_runtime_t /run/ashmem
label tmp_t /tmp
label null_device_t /dev/null
label zero_device_t /dev/zero
echo secret >/shadow
label shadow_t /shadow
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
$bb mkdir /sys/fs/cgroup/trial
echo 1 >/selinux/enforce

# The module's device: not under the name that every unknown node has, but under its own.
label device_t /dev/ashmem
refused $container /bin/client share
label ashmem_device_t /dev/ashmem
held $container /bin/client share

# The agent: by the file that begins its domain, and a container that joins it. The device at its
# path is another one.
$bb mount --bind /dev/full /dev/ashmem
label null_device_t /dev/ashmem
client="/bin/ashmem-join --agent /run/ashmem/join.sock -- /bin/client share"
as ashmem_agent_t:s0 /bin/ashmem-agent --join unix:/run/ashmem/join.sock | $bb sed 's/^/agent: /' &
tries=0
while [ ! -S /run/ashmem/join.sock ]; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { echo "the agent made no socket" && exit 1; }
    $bb sleep 0.1
done
held $container $client
held spc_t:s0 $client
# A process that no policy confines joins where the administrator says so.
refused unconfined_t:s0 $client
switch=/selinux/booleans/ashmem_agent_serves_unconfined
echo 1 >$switch
echo 1 >/selinux/commit_pending_bools
held unconfined_t:s0 $client
echo 0 >$switch
echo 1 >/selinux/commit_pending_bools
[ "$($bb cat /proc/$($bb pidof ashmem)/attr/current)" = system_u:system_r:ashmem_agent_t:s0 ]
# What its work needs now and then.
held ashmem_agent_t:s0 /entry/busybox true
held ashmem_agent_t:s0 /entry/busybox cat /proc/sys/vm/overcommit_memory
held ashmem_agent_t:s0 /entry/busybox dd if=/proc/pressure/memory of=/dev/null
for file in current high max stat; do
    held ashmem_agent_t:s0 /entry/busybox cat /sys/fs/cgroup/trial/memory.$file
done
# What a hostile container would make of an agent that it has got hold of.
refused ashmem_agent_t:s0 /entry/busybox cat /shadow
refused ashmem_agent_t:s0 /entry/busybox touch /file
refused ashmem_agent_t:s0 /entry/busybox dd if=/dev/mem of=/dev/null count=1
echo "a container's domain has the device under its own type alone, and joins the agent in its \
own; so do spc_t and, by the boolean, unconfined_t; refused to the agent: reading a file of \
shadow_t, making a file, reading /dev/mem; enforcing, $($bb uname -r)"
