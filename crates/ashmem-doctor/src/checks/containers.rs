// SPDX-License-Identifier: MIT OR Apache-2.0
//! Running containers, and what lies at /dev/ashmem in them.

use std::collections::BTreeMap;

use ashmem_proc::mountinfo;
use ashmem_proc::status::ProcessStatus;
use rustix::fs::FileType;

use super::container_node::{self, ContainerNode};
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
    /// Its name, those of the containers around it before it.
    name: String,
    /// The first processes of the containers around it, the outermost first.
    around: Vec<u32>,
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
        let mut first_in_trouble = None;
        for first in &firsts {
            match view(host, first.pid) {
                ContainerView::Works => with.push(first.name.as_str()),
                ContainerView::None => {}
                ContainerView::Trouble(trouble) => {
                    let around = around(host, first);
                    troubles.push(format!("{} (pid {}): {trouble}{around}", first.name, first.pid));
                    first_in_trouble.get_or_insert_with(|| [&*first.around, &[first.pid]].concat());
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
        .next_layers(first_in_trouble.as_deref().unwrap_or_default())
        .next("# and in the container itself, where its control group counts too: ashmem doctor")
    }
}

impl Finding {
    /// Looking into each layer, the outermost first: a device must be passed on by each.
    fn next_layers(self, pids: &[u32]) -> Self {
        pids.iter().fold(self, |finding, pid| {
            finding.next(format!("sudo ashmem doctor --root /proc/{pid}/root"))
        })
    }
}

/// What the containers around one have: a device that they lack cannot be passed on.
fn around(host: &Host, first: &First) -> String {
    let has = |pid: &u32| match view(host, *pid) {
        ContainerView::Works => format!("; around it, pid {pid} has the device"),
        ContainerView::None => format!("; around it, pid {pid} has none"),
        ContainerView::Trouble(trouble) => format!("; around it, pid {pid}: {trouble}"),
    };
    first.around.iter().map(has).collect()
}

enum ContainerView {
    Works,
    None,
    Trouble(String),
}

fn view(host: &Host, pid: u32) -> ContainerView {
    let (mode, number) = match container_node::look(&host.root().join(format!("proc/{pid}/root"))) {
        ContainerNode::There { mode, major, minor } => (mode, (major, minor)),
        ContainerNode::Nothing => return ContainerView::None,
        ContainerNode::Silent => {
            return ContainerView::Trouble("its file system does not answer".to_owned());
        }
    };
    if !FileType::from_raw_mode(mode).is_char_device() {
        return ContainerView::Trouble("/dev/ashmem is no character device".to_owned());
    }
    if let Some(actual) =
        module::misc_minor(host).filter(|minor| number != (10, *minor) && number != (1, 3))
    {
        return ContainerView::Trouble(format!(
            "/dev/ashmem is {}:{}, the driver's is 10:{actual}",
            number.0, number.1
        ));
    }
    let mountinfo = host.text(&format!("/proc/{pid}/mountinfo")).unwrap_or_default();
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
            firsts.insert(namespace, First { pid, name: name(host, pid), around: Vec::new() });
        }
    }
    (!is_blind).then(|| layered(host, &own, firsts))
}

/// More layers than this are not followed.
const LAYERS: usize = 8;

/// Containers with those around them: a container's first process was started in the one around it.
fn layered(host: &Host, own: &str, firsts: BTreeMap<String, First>) -> Vec<First> {
    let parent = |pid: u32| -> Option<u32> {
        let status = host.text(&format!("/proc/{pid}/status"))?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    let around = |first: &First| {
        let (mut around, mut pid) = (Vec::new(), first.pid);
        while around.len() < LAYERS {
            let Some(outer) = parent(pid).filter(|pid| *pid != 0) else { break };
            let Some(namespace) = host.link(&format!("/proc/{outer}/ns/pid")) else { break };
            if namespace == own {
                break;
            }
            // From the starter to its container's first process, and on from there.
            let Some(of) = firsts.get(&namespace) else { break };
            pid = of.pid;
            if pid != first.pid && !around.contains(&pid) {
                around.insert(0, pid);
            } else {
                break;
            }
        }
        around
    };
    let layers: Vec<_> = firsts.values().map(around).collect();
    let names: BTreeMap<_, _> =
        firsts.values().map(|first| (first.pid, first.name.clone())).collect();
    let named = |(mut first, around): (First, Vec<u32>)| {
        let outer = around.iter().filter_map(|pid| names.get(pid));
        let name = outer.chain([&first.name]).cloned().collect::<Vec<_>>().join(" > ");
        first.name = name;
        first.around = around;
        first
    };
    firsts.into_values().zip(layers).map(named).collect()
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
