# SPDX-License-Identifier: MIT OR Apache-2.0
# The agent as a service of OpenRC and of runit, as docs/install.md has it set up: its agents are
# killed and replaced under a program that opens the device all the time.
useradd --system --user-group --no-create-home --shell /bin/false ashmem
examples=/usr/share/doc/ashmem/examples
install -m 755 $examples/openrc/* /etc/init.d
mkdir -p /etc/sv
cp -r $examples/runit/* /etc/sv
# Where OpenRC is the first process, it made this.
mkdir -p /run/openrc
touch /run/openrc/softlevel

# The processes, empty while there are none.
keeper() { grep -lszE -e '^[-]-keep$' /proc/[0-9]*/cmdline | tr -cd '0-9\n'; }
agent() {
	for process in $(keeper); do
		tr ' ' '\n' </proc/$process/task/$process/children
	done
}
# Until the words that follow hold; a minute is a failure.
until_it_holds() {
	for turn in $(seq 600); do
		if "$@"; then return; fi
		sleep 0.1
	done
	echo "this never came to hold: $*"
	tail -n 20 /var/log/ashmem-agent.log /tmp/runsv || true
	exit 1
}
has_agent() { [ -n "$(agent)" ] && [ -S /run/ashmem/join.sock ]; }
has_another_than() { [ -n "$(agent)" ] && [ "$(agent)" != "$1" ]; }
has_none() { [ -z "$(keeper)" ]; }

# Nothing here but the agent knows the device.
client() {
	/usr/lib/ashmem/ashmem-join --agent /run/ashmem/join.sock -- sh -c '
		for turn in $(seq 80); do
			( : 3<>/dev/ashmem ) || exit 1
			sleep 0.1
		done
		echo "every open was answered"'
}

# $1 asks the service manager to replace the agent.
tried() {
	until_it_holds has_agent
	process=$(keeper)
	grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs):' /proc/$process/status
	grep -q "^Uid:.$(id -u ashmem)" /proc/$process/status
	grep -q '^CapEff:.0000000000080004' /proc/$process/status
	grep -q '^CapBnd:.0000000000080004' /proc/$process/status
	grep -q '^NoNewPrivs:.1' /proc/$process/status
	# What root opens in this folder, no agent can put there.
	[ "$(stat -c '%U %a' /run/ashmem)" = 'root 755' ]
	[ "$(stat -c '%U %a' /run/ashmem/agent.sock)" = 'root 600' ]
	[ "$(stat -c '%U %a' /run/ashmem/lxc.sock)" = 'root 600' ]
	[ "$(stat -c '%U %a' /run/ashmem/join.sock)" = 'root 666' ]
	[ "$(ls -A /run/ashmem)" = "$(printf 'agent.sock\njoin.sock\nlxc.sock')" ]
	client >/tmp/client 2>&1 & client=$!
	for turn in 1 2 3; do
		sleep 1
		before=$(agent)
		kill -KILL $before
		until_it_holds has_another_than $before
	done
	sleep 1
	before=$(agent)
	"$@"
	until_it_holds has_another_than $before
	[ "$(keeper)" = $process ]
	wait $client || { cat /tmp/client; exit 1; }
	grep 'every open was answered' /tmp/client
}

# What others have prepared is not used.
mkdir -m 755 /run/ashmem
chown ashmem: /run/ashmem
if /usr/lib/ashmem/services/agent 2>/tmp/refused; then exit 1; fi
grep "is not root's" /tmp/refused
rmdir /run/ashmem
rc-service ashmem-agent start
# At once: what is started after it may connect.
/usr/lib/ashmem/services/agent listens
tried rc-service ashmem-agent reload
rc-service ashmem-agent status
rc-service ashmem-agent stop
until_it_holds has_none
[ ! -e /run/ashmem/join.sock ]

runsv /etc/sv/ashmem-agent >/tmp/runsv 2>&1 & runsv=$!
tried sv hup /etc/sv/ashmem-agent
sv status /etc/sv/ashmem-agent
sv exit /etc/sv/ashmem-agent
wait $runsv
until_it_holds has_none
[ ! -e /run/ashmem/join.sock ]
echo "agents: OpenRC $(openrc --version | sed 's/.* //'), runit"
