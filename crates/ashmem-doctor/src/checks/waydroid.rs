// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waydroid's files, which it writes at `waydroid init` and `waydroid upgrade` only.

use super::module;
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;

const FOLDER: &str = "/var/lib/waydroid";

/// AppArmor's profile of its container, and the agent's own, as packaging/apparmor has it.
const PROFILE: &str = "lxc-waydroid";
const AGENTS_PROFILE: &str = "ashmem-agent";

/// Whether its container gets what this machine has.
pub(super) struct WaydroidCheck;

impl Check for WaydroidCheck {
    fn name(&self) -> &'static str {
        "Waydroid"
    }

    fn looks_at(&self) -> &'static str {
        "Waydroid's node list (config_nodes), its properties (sys.use_memfd) and both names of the \
         device, against what is here; AppArmor's profile lxc-waydroid, for root"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let is_installed = host.program("waydroid").is_some();
        if !host.has(&format!("{FOLDER}/waydroid.cfg")) {
            return match is_installed {
                true => Finding::absent("installed, not initialised (waydroid init)"),
                false => Finding::absent("not installed"),
            };
        }
        let mode = profile_mode(host, PROFILE);
        if mode == Some("enforce") && profile_mode(host, AGENTS_PROFILE) == Some("enforce") {
            return Finding::warning(
                "AppArmor keeps the agent from its container: both have an enforcing profile",
            )
            .why("the profile lxc-waydroid lets only itself look at the container's processes")
            .next(concat!(
                "echo '  ptrace (readby, tracedby) peer=ashmem-agent,' | ",
                "sudo tee -a /etc/apparmor.d/local/lxc-waydroid && ",
                "sudo apparmor_parser -r /etc/apparmor.d/lxc/lxc-waydroid"
            ))
            .next("sudo systemctl restart waydroid-container");
        }
        if host.has(ashmem_waydroid::drop_in::PATH) {
            // Its files stay as Waydroid writes them; what they lack is added to each start.
            let profile =
                mode.map_or_else(String::new, |mode| format!("; AppArmor's {PROFILE} ({mode})"));
            return Finding::ok(format!(
                "each start of its container gets the device (ashmem waydroid status){profile}"
            ));
        }
        let Some(nodes) = host.text(&format!("{FOLDER}/lxc/waydroid/config_nodes")) else {
            return Finding::warning("its config_nodes cannot be read")
                .why("it is written by `waydroid init`, and readable by root")
                .next("sudo ashmem doctor");
        };
        let files = ["waydroid_base.prop", "waydroid.prop", "waydroid.cfg"];
        let uses_memfd = files
            .iter()
            .filter_map(|file| host.text(&format!("{FOLDER}/{file}")))
            .any(|text| uses_memfd(&text));
        let has_device = module::is_registered(host);
        let binds_device = binds(&nodes, "dev/ashmem");
        let id = host.boot_id().unwrap_or_default();
        let binds_second = binds(&nodes, &format!("dev/ashmem{id}"));
        let wrong = if has_device && !binds_device {
            (
                "does not give /dev/ashmem to its container",
                "the module was loaded after `waydroid init`, which alone looks for it",
            )
        } else if has_device && !binds_second {
            (
                "gives its container /dev/ashmem, but not the boot id name",
                "Android 16 opens that name alone; Waydroid never binds it by itself",
            )
        } else if !has_device && binds_device && !agent_in(host) {
            (
                "expects /dev/ashmem, which this kernel does not have now",
                "it was there at the last `waydroid init` or `upgrade`; Android does not start \
                 with neither memfd nor device",
            )
        } else if !has_device && !binds_device && !uses_memfd {
            (
                "has neither the device nor sys.use_memfd",
                "Android's programs find no shared memory and restart for ever",
            )
        } else {
            let by = match (has_device, uses_memfd) {
                (true, _) => "both names of the device",
                (false, true) if !binds_device => "memfd (up to Android 15; Android 16 refuses it)",
                (false, _) => "the agent",
            };
            return Finding::ok(format!("its container gets {by}"));
        };
        Finding::warning(wrong.0).why(wrong.1).next("sudo ashmem waydroid enable")
    }
}

/// How AppArmor has a loaded profile: `enforce`, `complain` and the like. Root alone may read it.
fn profile_mode(host: &Host, name: &str) -> Option<&'static str> {
    let loaded = host.text("/sys/kernel/security/apparmor/profiles")?;
    let line = loaded.lines().find(|line| line.split_once(" (").is_some_and(|(of, _)| of == name));
    let modes = ["enforce", "complain", "kill", "unconfined", "prompt"];
    modes.into_iter().find(|mode| line.is_some_and(|line| line.ends_with(&format!("({mode})"))))
}

fn uses_memfd(text: &str) -> bool {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .any(|(key, value)| key.trim() == "sys.use_memfd" && matches!(value.trim(), "true" | "1"))
}

/// Whether the container's configuration has the agent's rules.
fn agent_in(host: &Host) -> bool {
    let folder = format!("{FOLDER}/lxc/waydroid");
    host.names(&folder).iter().filter_map(|name| host.text(&format!("{folder}/{name}"))).any(
        |text| text.lines().any(|line| line.trim_start().starts_with("lxc.seccomp.notify.proxy")),
    )
}

/// Whether a list of mounts puts something at a place in the container.
fn binds(nodes: &str, target: &str) -> bool {
    nodes.lines().filter_map(|line| line.split_once('=')).any(|(key, value)| {
        key.trim() == "lxc.mount.entry" && value.split_whitespace().nth(1) == Some(target)
    })
}
