# SPDX-License-Identifier: MIT OR Apache-2.0
# What no folder can show: a real module, its real node, a kernel that is locked down. Where the
# doctor names a command, that very command is run, and must help. Runs in busybox's shell, as root
# of the test machine.
count=0
release=$(uname -r)

fail() {
	echo "FAILED: $*"
	ashmem doctor --mode module
	exit 1
}

# status MODE STATUS: the exit status.
status() {
	ashmem doctor --mode "$1" --quiet
	got=$?
	[ "$got" = "$2" ] || fail "--mode $1 ends with $got, not $2"
	count=$((count + 1))
}

# says WORDS: the report has them.
says() {
	ashmem doctor --mode module | grep -qF -- "$1" || fail "the report lacks: $1"
	count=$((count + 1))
}

# obey CHECK: runs the commands named under a check's heading.
obey() {
	commands=$(ashmem doctor --mode module | sed -n "/^$1: /,/^\$/s/^    sudo //p")
	[ -n "$commands" ] || fail "$1 names no command"
	echo "obeying: $commands"
	eval "$commands" || fail "its command failed: $commands"
	count=$((count + 1))
}

mkdir -p /run /mnt "/lib/modules/$release/updates"
status module 1
says "not installed"
status run 0

cp /ashmem_linux.ko "/lib/modules/$release/updates/"
says "built for this kernel, but not loaded"
mkdir -p /etc/modprobe.d && echo "blacklist ashmem_linux" >/etc/modprobe.d/no.conf
says "/etc/modprobe.d/no.conf forbids"
rm -f /etc/modprobe.d/no.conf

insmod /ashmem_linux.ko || fail "the module was not loaded"
status module 0
status auto 0
says "is loaded"
says "/dev/ashmem works, mode 0666"

# The second name.
id=$(cat /proc/sys/kernel/random/boot_id)
says "no /dev/ashmem$id"
ln -s ashmem "/dev/ashmem11111111-2222-3333-4444-555555555555"
eval "$(ashmem doctor --mode module | sed -n 's/^    sudo \(ln -sf ashmem .*\)  *#.*/\1/p')"
says "beside 1 name(s) of earlier boots"
obey "boot id name"
says "/dev/ashmem$id works"

# The node.
chmod 0600 /dev/ashmem
says "mode 0600"
chmod 0666 /dev/ashmem
rm /dev/ashmem
status module 1
says "though the driver is there"
obey device
status module 0
rm /dev/ashmem && mknod /dev/ashmem c 10 250
says "changes from boot to boot"
obey device
status module 0
rm /dev/ashmem && echo data >/dev/ashmem
says "an ordinary file"
rm /dev/ashmem
obey device
minor=$(sed -n 's/ ashmem//p' /proc/misc | tr -d ' ')
mount -t tmpfs -o nodev tmpfs /mnt && mkdir /mnt/dev && mknod -m 0666 /mnt/dev/ashmem c 10 "$minor"
ashmem doctor --root /mnt --json | grep -qF 'EACCES' || fail "a nodev mount is not seen"
count=$((count + 1))

# Container engines.
ashmem cdi --output /run/cdi/ashmem.json || fail "no CDI specification"
says "/run/cdi/ashmem.json is of this boot"
sed -i "s/$id/$(echo "$id" | tr 0-9a-f 1-9a-f0)/" /run/cdi/ashmem.json
says "is of an earlier boot"
obey CDI
says "/run/cdi/ashmem.json is of this boot"

# A kernel that is locked down; there is no way back from here.
rmmod ashmem_linux || fail "the module was not unloaded"
status module 1
ashmem cdi 2>/dev/null && fail "a specification without a device"
mount -t securityfs none /sys/kernel/security
if echo integrity >/sys/kernel/security/lockdown 2>/dev/null; then
	insmod /ashmem_linux.ko 2>/run/insmod && fail "a locked kernel took an unsigned module"
	says "the module is not signed, and the kernel will refuse it"
	says "mokutil --import"
	dmesg | ashmem doctor explain | grep -q '^lockdown: ' ||
		fail "the kernel's words are not explained: $(dmesg | tail -3)"
	ashmem doctor explain </run/insmod |
		grep -qE '^(module-not-permitted|device-|lockdown|key-)' ||
		fail "insmod's words: $(cat /run/insmod)"
	count=$((count + 2))
else
	echo "this kernel has no lockdown"
fi
echo "$count things said and done on $release"
