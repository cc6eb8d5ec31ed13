# SPDX-License-Identifier: MIT OR Apache-2.0
# What holds on a booted machine: run by its systemd when everything has started. $version is the
# module's, or `kernel`.
udevadm settle
id=$(cat /proc/sys/kernel/random/boot_id)
echo "kernel $(uname -r), system $(systemctl is-system-running || true)"
systemctl --failed --no-legend | cat
systemctl is-active systemd-modules-load.service
ls -l /dev/ashmem*
[ "$(stat -c '%F %a' /dev/ashmem)" = "character special file 666" ]
[ "$(readlink "/dev/ashmem$id")" = ashmem ]
grep ashmem /proc/misc
if [ "$version" = kernel ]; then
	/trial/ashmem-conformance --provider reference --filter 'open.*'
else
	[ "$(cat /sys/module/ashmem_linux/version)" = "$version" ]
	/trial/ashmem-conformance --provider module --filter 'open.*'
	/trial/ashmem-conformance --provider module --filter 'pins.*' | tail -n 1
	/trial/ashmem-conformance --provider module --device "/dev/ashmem$id" --filter 'size.*' |
		tail -n 1
fi
if [ -x /usr/bin/ashmem ]; then
	ashmem --version
	for second in 1 2 3 4 5 6 7 8 9 10; do [ -e /run/cdi/ashmem.json ] || sleep 1; done
	systemctl --no-pager status ashmem-cdi.service
	grep "/dev/ashmem$id" /run/cdi/ashmem.json
	ashmem doctor --mode module --quiet
	ashmem module status
fi
