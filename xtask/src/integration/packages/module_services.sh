# SPDX-License-Identifier: MIT OR Apache-2.0
# The module as a service of OpenRC and of runit, on a machine without udev and systemd.
id=$(cat /proc/sys/kernel/random/boot_id)
works() {
	[ "$(stat -c '%F %a' /dev/ashmem)" = 'character special file 666' ]
	[ "$(readlink /dev/ashmem$id)" = ashmem ]
	grep "/dev/ashmem$id" /run/cdi/ashmem.json
	/trial/ashmem-conformance --provider module --filter 'open.*' | tail -n 1
}
# Until a file is there, or with `!` is not; a minute is a failure.
until_it_is() {
	for turn in $(seq 600); do
		if [ "$@" ]; then return; fi
		sleep 0.1
	done
	echo "this never came to hold: $*"
	cat /tmp/runsv || true
	exit 1
}
gone() {
	[ ! -e /dev/ashmem ]
	[ ! -L /dev/ashmem$id ]
	[ ! -e /run/cdi/ashmem.json ]
}
[ ! -e /dev/ashmem ]
rc-service ashmem-module start
works
# In use, it stays.
exec 3<>/dev/ashmem
rc-service ashmem-module stop 2>&1 | tee /tmp/stop
grep 'the module stays: modprobe: FATAL' /tmp/stop
[ -c /dev/ashmem ]
exec 3<&-
# Without what tells container engines, the device is there all the same.
mkdir -p /run/cdi
rm -rf /run/cdi/ashmem.json
mkdir /run/cdi/ashmem.json
rc-service ashmem-module start 2>&1 | tee /tmp/start
grep 'no container engine was told' /tmp/start
[ -c /dev/ashmem ]
rmdir /run/cdi/ashmem.json
rc-service ashmem-module stop
rc-service ashmem-module start
works
rc-service ashmem-module stop
gone

runsv /etc/sv/ashmem-module >/tmp/runsv 2>&1 & runsv=$!
until_it_is -e /run/cdi/ashmem.json
works
sv exit /etc/sv/ashmem-module
until_it_is ! -e /dev/ashmem
wait $runsv
gone
