// SPDX-License-Identifier: MIT OR Apache-2.0
//! What dnsmasq, iptables and Waydroid's script say where its network does not come up.

use crate::advice::NextStep::{self, Do};
use crate::log_source::LogSource;
use crate::message::Message;

const M: Message = Message::PLAIN;

const NO_TOOL: &str = "a program that Waydroid's network needs is not installed: dnsmasq, and \
                       nftables or iptables, and ip (iproute2). Shared memory has no part in it";

const BRING_TOOL: &[NextStep] = &[
    NextStep::Package("dnsmasq"),
    NextStep::Package("nftables"),
    Do("sudo systemctl restart waydroid-container"),
];

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "waydroid-dnsmasq-refused",
        says: r"/waydroid-lxc/dnsmasq\.\w+",
        errno: &[libc::EACCES, libc::EPERM],
        cause: "dnsmasq, which gives Waydroid's network its addresses, may not write its file: \
                where AppArmor is on, its profile of dnsmasq does not name that folder. Shared \
                memory has no part in it",
        next: &[
            Do("sudo dmesg | grep -i denied | grep dnsmasq   # AppArmor's or SELinux's word"),
            Do("echo '/{,var/}run/waydroid-lxc/** rw,' | sudo tee -a \
                /etc/apparmor.d/local/usr.sbin.dnsmasq   # AppArmor"),
            Do("sudo systemctl reload apparmor; sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "waydroid-dnsmasq-address",
        says: r"failed to create listening socket for 192\.168\.240\.1\b",
        cause: "dnsmasq, which gives Waydroid's network its names, cannot take the bridge's \
                address: another name server has port 53 of all addresses (libvirt's or LXD's \
                dnsmasq, a resolver), one of an earlier start still runs, or the bridge waydroid0 \
                has no address. Shared memory has no part in it",
        next: &[
            Do("sudo ss -lntup | grep ':53 '; ip address show waydroid0"),
            Do("sudo /usr/lib/waydroid/data/scripts/waydroid-net.sh stop; sudo systemctl restart \
                waydroid-container"),
            Do("# a dnsmasq or resolver of the host: `bind-interfaces`, or listen on 127.0.0.1 \
                alone"),
        ],
        ..M
    },
    Message {
        id: "waydroid-bridge-driver",
        says: r"^error: unknown device type|RTNETLINK answers: operation not supported",
        from: &[LogSource::Waydroid],
        cause: "the kernel cannot make Waydroid's bridge: it has no module `bridge` for the kernel \
                that runs (an update took it away), or is built without. Shared memory has no part \
                in it",
        next: &[
            Do("sudo modprobe bridge; sudo modprobe veth   # says whether they are there"),
            Do("sudo systemctl reboot   # after an update of the kernel"),
            Do("grep -wE 'CONFIG_(BRIDGE|VETH)' /boot/config-$(uname -r)"),
        ],
        ..M
    },
    Message {
        id: "waydroid-net-by-hand",
        says: r"RTNETLINK answers: operation not permitted",
        from: &[LogSource::Waydroid],
        cause: "the script of Waydroid's network ran without root; the container's service runs it \
                as root, and why it failed there stands in Waydroid's log",
        next: &[
            Do("sudo /usr/lib/waydroid/data/scripts/waydroid-net.sh start   # says what fails"),
            Do("ashmem doctor explain < /var/lib/waydroid/waydroid.log"),
        ],
        ..M
    },
    Message {
        id: "waydroid-netfilter",
        says: concat!(
            r"(can't|cannot) initialize ip6?tables table .\w+'?:? .*(does not exist|insmod)|",
            r"could not process rule: (no such file|operation not supported)|",
            r"failed to initialize nft: protocol not supported"
        ),
        from: &[LogSource::Waydroid],
        cause: "the kernel has no module for the table of iptables that Waydroid's network needs: \
                an update took the running kernel's modules away, or it is built without. Shared \
                memory has no part in it",
        next: &[
            Do("sudo systemctl reboot   # after an update of the kernel"),
            Do("sudo modprobe iptable_mangle; sudo modprobe iptable_nat"),
        ],
        ..M
    },
    Message {
        id: "waydroid-net-tool-missing",
        says: concat!(
            r"(waydroid-net\.sh: )?(line \d+: )?\b(dnsmasq|ip6?tables(-legacy)?|nft|ip|brctl): ",
            r"(command )?not found"
        ),
        from: &[LogSource::Waydroid],
        cause: NO_TOOL,
        next: BRING_TOOL,
        ..M
    },
    Message {
        id: "waydroid-net-tool-missing",
        says: r"/waydroid-net\.sh: .*: (command )?not found",
        cause: NO_TOOL,
        next: BRING_TOOL,
        ..M
    },
    Message {
        id: "waydroid-dnsmasq-user",
        says: r"^dnsmasq: unknown user or group: ",
        from: &[LogSource::Waydroid],
        cause: "dnsmasq, which gives Waydroid's network its addresses, is to run as a user that \
                this system has not. Shared memory has no part in it",
        next: &[
            Do("getent passwd dnsmasq   # nobody: its package makes the user"),
            Do("sudo useradd -r -s /usr/sbin/nologin dnsmasq; sudo systemctl restart \
                waydroid-container"),
        ],
        ..M
    },
    Message {
        id: "waydroid-network",
        says: r"failed to setup waydroid-net|command failed: .*waydroid-net\.sh",
        follows: &["waydroid-dnsmasq", "waydroid-netfilter", "waydroid-bridge", "waydroid-net-"],
        cause: "Waydroid's script could not set the container's network up: another dnsmasq or \
                name server has its address, the kernel or the host lacks nftables or iptables, or \
                SELinux refuses. Shared memory has no part in it",
        next: &[
            Do("sudo /usr/lib/waydroid/data/scripts/waydroid-net.sh start   # says what fails"),
            Do("sudo ss -lnup | grep -E ':(53|67) '   # who has the ports of names and addresses"),
            Do("sudo systemctl restart waydroid-container"),
        ],
        ..M
    },
];
