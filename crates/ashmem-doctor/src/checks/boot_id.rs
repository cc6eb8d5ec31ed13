// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device's second name.

use super::module;
use crate::Host;
use crate::check::Check;
use crate::distribution::Distribution;
use crate::finding::Finding;
use crate::trial::{self, AnsweredBy};
use crate::way::Way;

/// `/dev/ashmem<boot_id>`, the only one that Android 16 opens.
pub(super) struct BootIdCheck;

impl Check for BootIdCheck {
    fn name(&self) -> &'static str {
        "boot id name"
    }

    fn looks_at(&self) -> &'static str {
        "/dev/ashmem<boot_id>, which Android 16 opens instead of /dev/ashmem; names that an \
         earlier boot left"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let Some(id) = host.boot_id() else {
            return Finding::warning("the kernel's boot id cannot be read")
                .why("Android 16 makes the device's name of it")
                .next("cat /proc/sys/kernel/random/boot_id");
        };
        let path = format!("/dev/ashmem{id}");
        if let Ok(provider) = trial::device(host, &path) {
            let by = if provider == AnsweredBy::Kernel { "" } else { ", by a supervisor" };
            let stale = stale(host, &id);
            if stale.is_empty() {
                return Finding::ok(format!("{path} works{by}"));
            }
            return Finding::warning(format!(
                "{path} works{by}, beside {} name(s) of earlier boots",
                stale.len()
            ))
            .why("nobody opens those")
            .next(format!("sudo rm {}", stale.join(" ")));
        }
        if !module::is_registered(host) && trial::answered_by(host).is_none() {
            return Finding::absent("no device, so no second name");
        }
        let finding = Finding::warning(if host.has(&path) {
            format!("{path} is there and does not work")
        } else {
            format!("no {path}")
        });
        let finding = finding.why("Android 16 opens this name alone, older ones this one first");
        if host.container().is_some() || !host.is_here() {
            return finding.next(
                "# make the container with --device android.dev/ashmem=all, which brings both \
                 names",
            );
        }
        let rules =
            ["/etc", "/usr/lib", "/lib"].map(|top| format!("{top}/udev/rules.d/60-ashmem.rules"));
        // The module's package brings the rule by which udev makes the name at each boot.
        let finding = if rules.iter().any(|rule| host.has(rule)) {
            finding.next("sudo udevadm trigger --settle --name-match=ashmem")
        } else {
            finding.next(
                Distribution::of(host).install_module()
                    + "   # its udev rule makes the name at each boot",
            )
        };
        finding.next(format!("sudo ln -sf ashmem {path}   # without udev; until the next boot"))
    }
}

/// Names with another boot's id.
fn stale(host: &Host, id: &str) -> Vec<String> {
    let is_id = |name: &str| {
        name.len() == 36 && name.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
    };
    let names = host.names("/dev").into_iter();
    names
        .filter(|name| name.strip_prefix("ashmem").is_some_and(|rest| is_id(rest) && rest != id))
        .map(|name| format!("/dev/{name}"))
        .collect()
}
