// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running containers, and what lies at /dev/ashmem in them.

use std::collections::BTreeMap;

use ashmem_proc::mountinfo;
use ashmem_proc::status::ProcessStatus;
use rustix::fs::FileType;

use super::module;
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;

/// More containers than this are not told one by one.
const TOLD: usize = 3;

/// Each one's view of the device.
pub(super) struct ContainersCheck;

/// A process that is the first of its container.
struct First {
    pid: u32,
    name: String,
}

impl Check for ContainersCheck {
    fn name(&self) -> &'static str {
        "containers"
    }

    fn looks_at(&self) -> &'static str {
        "/dev/ashmem in each running container (/proc/PID/root): there, a character device, the \
         driver's, not on a nodev mount"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let Some(firsts) = firsts(host) else {
            return Finding::absent("not looked at: this user sees no other's processes");
        };
        if firsts.is_empty() {
            return Finding::absent("none is running");
        }
        let mut with = Vec::new();
        let mut troubles = Vec::new();
        for first in &firsts {
            match view(host, first) {
                ContainerView::Works => with.push(first.name.as_str()),
                ContainerView::None => {}
                ContainerView::Trouble(trouble) => {
                    troubles.push(format!("{} (pid {}): {trouble}", first.name, first.pid))
                }
            }
        }
        if troubles.is_empty() {
            let names = with.iter().take(TOLD).copied().collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() {
                names
            } else {
                format!(" ({names}{})", if with.len() > TOLD { ", …" } else { "" })
            };
            return Finding::ok(format!(
                "{} running, {} with the device{names}",
                firsts.len(),
                with.len()
            ));
        }
        Finding::warning(format!(
            "{} of {} running: a device that cannot be used",
            troubles.len(),
            firsts.len()
        ))
        .why(troubles.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; "))
        .next(format!("sudo ashmem doctor --root /proc/{}/root", firsts[0].pid))
        .next("# and in the container itself, where its control group counts too: ashmem doctor")
    }
}

enum ContainerView {
    Works,
    None,
    Trouble(String),
}

fn view(host: &Host, first: &First) -> ContainerView {
    let Ok(inside) = Host::at(&host.root().join(format!("proc/{}/root", first.pid))) else {
        return ContainerView::None;
    };
    let Ok(stat) = inside.stat("/dev/ashmem") else { return ContainerView::None };
    if !FileType::from_raw_mode(stat.st_mode).is_char_device() {
        return ContainerView::Trouble("/dev/ashmem is no character device".to_owned());
    }
    let number = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    if let Some(actual) =
        module::misc_minor(host).filter(|minor| number != (10, *minor) && number != (1, 3))
    {
        return ContainerView::Trouble(format!(
            "/dev/ashmem is {}:{}, the driver's is 10:{actual}",
            number.0, number.1
        ));
    }
    let mountinfo = host.text(&format!("/proc/{}/mountinfo", first.pid)).unwrap_or_default();
    match mountinfo::covering(&mountinfo, "/dev/ashmem") {
        Some(mount) if mount.is_nodev() => {
            ContainerView::Trouble(format!("/dev/ashmem lies on a nodev mount, {}", mount.point))
        }
        _ => ContainerView::Works,
    }
}

/// One process for each pid namespace below this one; `None` if other processes cannot be seen.
fn firsts(host: &Host) -> Option<Vec<First>> {
    let own = host.link("/proc/self/ns/pid")?;
    let mut firsts = BTreeMap::new();
    let mut pids: Vec<u32> =
        host.names("/proc").iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    let mut is_blind = true;
    for pid in pids {
        let Some(namespace) = host.link(&format!("/proc/{pid}/ns/pid")) else { continue };
        is_blind &= pid == std::process::id();
        if namespace == own || firsts.contains_key(&namespace) {
            continue;
        }
        let status = host.text(&format!("/proc/{pid}/status")).unwrap_or_default();
        // Browsers put each page into a namespace: those are no containers, for they see the host's
        // files.
        let is_first = ProcessStatus::new(status.as_bytes()).inner_tids().last() == Some(&1);
        let same_root = host.link(&format!("/proc/{pid}/ns/mnt")) == host.link("/proc/self/ns/mnt");
        if is_first && !same_root {
            firsts.insert(namespace, First { pid, name: name(host, pid) });
        }
    }
    (!is_blind).then(|| firsts.into_values().collect())
}

/// What a container is called, by its control group, else by its host name's process.
fn name(host: &Host, pid: u32) -> String {
    let groups = host.text(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let last = groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .max_by_key(|path| path.len())
        .unwrap_or_default();
    let last = last
        .rsplit('/')
        .find(|part| !part.is_empty() && *part != "init" && *part != "container")
        .unwrap_or_default();
    let last = last.strip_suffix(".scope").unwrap_or(last);
    let last = ["docker-", "libpod-", "cri-containerd-", "crio-", "lxc.payload."]
        .iter()
        .fold(last, |name, prefix| name.strip_prefix(prefix).unwrap_or(name));
    let short: String = last.chars().filter(|sign| !sign.is_control()).take(24).collect();
    if short.is_empty() {
        host.text(&format!("/proc/{pid}/comm")).unwrap_or_default()
    } else {
        short
    }
}
