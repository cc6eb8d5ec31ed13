// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent's sockets.

use crate::Host;
use crate::check::Check;
use crate::distribution::Distribution;
use crate::finding::Finding;
use crate::trial::{self, AnsweredBy};
use crate::way::Way;

const SOCKETS: [(&str, &str); 2] =
    [("/run/ashmem/agent.sock", "OCI runtimes"), ("/run/ashmem/lxc.sock", "LXC")];
/// `__SO_ACCEPTCON` in `/proc/net/unix`: somebody listens.
const LISTENS: u32 = 0x10000;

/// Whether an agent listens where runtimes look for it.
pub(super) struct AgentCheck;

impl Check for AgentCheck {
    fn name(&self) -> &'static str {
        "agent"
    }

    fn looks_at(&self) -> &'static str {
        "whether `ashmem agent`, or systemd for it, listens at /run/ashmem; whether a runtime is \
         there that can reach it"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Agent]
    }

    fn examine(&self, host: &Host) -> Finding {
        let table = host.text("/proc/net/unix").unwrap_or_default();
        let served: Vec<_> = SOCKETS
            .iter()
            .filter(|(path, _)| listens(&table, path))
            .map(|(_, whom)| *whom)
            .collect();
        if !served.is_empty() {
            if !["runc", "crun", "youki", "lxc-start"]
                .iter()
                .any(|runtime| host.program(runtime).is_some())
            {
                return Finding::fault(format!(
                    "listens for {}, but no such runtime is installed",
                    served.join(" and ")
                ))
                .why("the agent answers containers that runc, crun, youki or LXC start")
                .next(Distribution::of(host).install("runc"));
            }
            return Finding::ok(format!("listens for {}", served.join(" and ")));
        }
        if trial::answered_by(host) == Some(AnsweredBy::Supervisor) {
            return Finding::ok("a supervisor outside answers here");
        }
        let found: Vec<_> =
            SOCKETS.iter().map(|(path, _)| *path).filter(|path| host.has(path)).collect();
        let finding = if found.is_empty() {
            Finding::fault("nobody listens at /run/ashmem")
                .why("containers with the agent's profile do not start without it")
        } else {
            Finding::fault(format!("{} is left of an agent that is gone", found.join(" and "))).why(
                "containers with its profile do not start; the calls of those that run fail with \
                 ENOSYS",
            )
        };
        let unit = ["/etc", "/usr/lib", "/lib"]
            .map(|top| format!("{top}/systemd/system/ashmem-agent.socket"));
        let has_unit = unit.iter().any(|unit| host.has(unit));
        match (has_unit, host.has("/run/systemd/system")) {
            (true, true) => finding.next("sudo systemctl enable --now ashmem-agent.socket"),
            (false, true) => finding
                .next(Distribution::of(host).install_program())
                .next("sudo systemctl enable --now ashmem-agent.socket"),
            (_, false) => finding.next(without_systemd(host)),
        }
    }
}

/// What starts an agent whose containers live through its restarts, on a host without systemd.
fn without_systemd(host: &Host) -> &'static str {
    if host.has("/etc/init.d/ashmem-agent") {
        return "sudo rc-update add ashmem-agent && sudo rc-service ashmem-agent start";
    }
    let services = [
        ("/etc/service", "sudo ln -s /etc/sv/ashmem-agent /etc/service"),
        ("/var/service", "sudo ln -s /etc/sv/ashmem-agent /var/service"),
    ];
    let is_here = |(folder, _): &&(&str, _)| host.has("/etc/sv/ashmem-agent") && host.has(folder);
    services.iter().find(is_here).map_or(
        "sudo ashmem agent --keep --oci unix:/run/ashmem/agent.sock --lxc \
         unix:/run/ashmem/lxc.sock  # as a service: docs/install.md, \"Services without systemd\"",
        |(_, command)| command,
    )
}

/// Whether somebody listens at a path: `Num RefCount Protocol Flags Type St Inode Path`.
fn listens(table: &str, path: &str) -> bool {
    table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).any(|fields| {
        matches!(fields.as_slice(), [_, _, _, flags, _, _, _, found] if *found == path
            && u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & LISTENS != 0))
    })
}
