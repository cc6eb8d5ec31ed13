// SPDX-License-Identifier: MIT OR Apache-2.0
//! LXC.

use super::{module, oci};
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;

/// The API extension by which the agent can put descriptors into a container.
const EXTENSION: &[u8] = b"seccomp_proxy_send_notify_fd";

/// Its version, whether it can serve the agent, and its containers' device rules.
pub(super) struct LxcCheck;

impl Check for LxcCheck {
    fn name(&self) -> &'static str {
        "LXC"
    }

    fn looks_at(&self) -> &'static str {
        "LXC's version and its API for the agent; containers' configurations that allow a device \
         number of another boot"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let Some(path) = host.program("lxc-start") else { return Finding::absent("not installed") };
        let version = host.ask(&path, &["--version"]).and_then(|text| oci::number(&text));
        let summary =
            version.map_or_else(|| "installed".to_owned(), |version| format!("LXC {version}"));
        let wrong = fixed_numbers(host);
        if let Some((file, found, actual)) = wrong.first() {
            return Finding::warning(format!(
                "{summary}; {file} allows device 10:{found}, the device is 10:{actual}"
            ))
            .why(
                "the number changes from boot to boot, so a rule with a number fits by chance only",
            )
            .next(format!(
                "sudo sed -i 's/^\\(lxc.cgroup2*.devices.allow *= *c 10:\\){found}\\b/\\1*/' {file}"
            ));
        }
        match library(host) {
            Some(library) if !contains(&library, EXTENSION) => Finding::warning(format!(
                "{summary}, without {}",
                String::from_utf8_lossy(EXTENSION)
            ))
            .why(
                "through this LXC the agent can open no region; the module's device works in its \
                 containers",
            )
            .next("ashmem doctor --mode module"),
            _ => Finding::ok(summary),
        }
    }
}

/// liblxc, in which the names of its API extensions stand.
fn library(host: &Host) -> Option<Vec<u8>> {
    let folders = host.names("/usr/lib").into_iter().map(|name| format!("/usr/lib/{name}"));
    let folders =
        folders.chain(["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib"].map(str::to_owned));
    folders
        .filter(|folder| {
            folder.ends_with("-linux-gnu")
                || !folder["/usr/lib".len().min(folder.len())..].contains('/')
        })
        .find_map(|folder| host.bytes(&format!("{folder}/liblxc.so.1")))
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Rules that allow one misc device by a number which is not the device's, in files that speak of
/// ashmem.
fn fixed_numbers(host: &Host) -> Vec<(String, u32, u32)> {
    let Some(actual) = module::misc_minor(host) else { return Vec::new() };
    let containers =
        host.names("/var/lib/lxc").into_iter().map(|name| format!("/var/lib/lxc/{name}/config"));
    let proxmox = host.names("/etc/pve/lxc").into_iter().map(|name| format!("/etc/pve/lxc/{name}"));
    let mut wrong = Vec::new();
    for file in containers.chain(proxmox) {
        let Some(text) = host.text(&file).filter(|text| text.contains("ashmem")) else { continue };
        let minors: Vec<u32> = text.lines().filter_map(allowed_minor).collect();
        if !minors.contains(&actual) {
            wrong.extend(minors.first().map(|minor| (file, *minor, actual)));
        }
    }
    wrong
}

/// The minor number that a line allows of the misc devices, if it allows one.
fn allowed_minor(line: &str) -> Option<u32> {
    let line = line.trim();
    let (key, value) = line.split_once(['=', ':'])?;
    if !matches!(key.trim(), "lxc.cgroup.devices.allow" | "lxc.cgroup2.devices.allow") {
        return None;
    }
    let mut words = value.split_whitespace();
    let number = (words.next()? == "c").then(|| words.next())??.strip_prefix("10:")?;
    number.parse().ok()
}
