// SPDX-License-Identifier: MIT OR Apache-2.0
//! binder, the other half of what Android wants of a kernel.

use std::io::Read;

use flate2::read::GzDecoder;
use rustix::fs::FileType;

use crate::Host;
use crate::advice;
use crate::check::Check;
use crate::distribution::Distribution;
use crate::finding::Finding;
use crate::module_file;
use crate::way::Way;

/// What Android's three service managers open.
const NODES: [&str; 3] = ["binder", "hwbinder", "vndbinder"];
/// Where they may be; Waydroid's older name is the last.
const PLACES: [&str; 3] = ["/dev/", "/dev/binderfs/", "/dev/anbox-"];
/// A kernel's configuration is no longer than this, in bytes.
const CONFIG_LIMIT: u64 = 4 << 20;

/// Its file system, its nodes, its module.
pub(super) struct BinderCheck;

impl Check for BinderCheck {
    fn name(&self) -> &'static str {
        "binder"
    }

    fn looks_at(&self) -> &'static str {
        "binderfs, binder's three nodes, the kernel's configuration, and whether a module could \
         bring it: Android containers need it beside ashmem"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let systems = host.text("/proc/filesystems").unwrap_or_default();
        let has_binderfs =
            systems.lines().any(|line| line.split_whitespace().last() == Some("binder"));
        let found: Vec<_> = NODES.iter().filter_map(|name| node(host, name)).collect();
        if let Some(wrong) = found.iter().find(|path| !is_device(host, path)) {
            return Finding::warning(format!("{wrong} is no device"))
                .why("an engine that was told to bind a path that is not there makes a directory")
                .next(format!(
                    "ls -ld {wrong}; sudo rmdir {wrong}   # then start the container anew"
                ));
        }
        match (has_binderfs, found.as_slice()) {
            (true, []) => Finding::ok("binderfs; no node yet (Waydroid and redroid make theirs)"),
            (true, found) => Finding::ok(format!("binderfs, and {}", found.join(", "))),
            (false, found) if found.len() == NODES.len() => {
                Finding::ok(format!("{}, without binderfs", found.join(", ")))
            }
            (false, []) => without(host),
            (false, found) => Finding::warning(format!(
                "{}, without binderfs and its neighbours",
                found.join(", ")
            ))
            .why(
                "Android asks for binder, hwbinder and vndbinder; where there is no binderfs, the \
                 module makes the nodes that its parameter names",
            )
            .next("sudo modprobe -r binder_linux")
            .next("sudo modprobe binder_linux devices=binder,hwbinder,vndbinder"),
        }
    }
}

/// There is none now: what could bring it.
fn without(host: &Host) -> Finding {
    let release = host.kernel();
    let why = "Android containers do not start without it; other programs do not care";
    if module_file::find(host, &release, "binder_linux").is_some() {
        return Finding::warning("its module is not loaded")
            .why(why)
            .next("sudo modprobe binder_linux devices=binder,hwbinder,vndbinder");
    }
    let built = match configured(host, &release) {
        Some(false) => "this kernel is built without it (CONFIG_ANDROID_BINDER_IPC)",
        _ => "this kernel has none",
    };
    // Only who wants to run Android has to do something about it.
    let is_wanted = host.program("waydroid").is_some() || host.has("/system/build.prop");
    let finding = if is_wanted {
        Finding::warning(built).why(why)
    } else {
        Finding::absent(format!("{built}: native programs run, Android containers do not"))
    };
    advice::binder_kernel(&Distribution::of(host), &release)
        .into_iter()
        .fold(finding, Finding::next)
}

/// Where a node lies, if anywhere.
fn node(host: &Host, name: &str) -> Option<String> {
    PLACES.iter().map(|place| format!("{place}{name}")).find(|path| host.has(path))
}

fn is_device(host: &Host, path: &str) -> bool {
    // What cannot be looked at is not judged.
    host.stat(path).map_or(true, |stat| FileType::from_raw_mode(stat.st_mode).is_char_device())
}

/// Whether the kernel is configured with binder; `None` where its configuration is not to be had.
fn configured(host: &Host, release: &str) -> Option<bool> {
    let text = host.text(&format!("/boot/config-{release}")).or_else(|| {
        let bytes = host.bytes("/proc/config.gz")?;
        let mut text = String::new();
        GzDecoder::new(&*bytes).take(CONFIG_LIMIT).read_to_string(&mut text).ok()?;
        Some(text)
    })?;
    Some(text.lines().any(|line| {
        ["CONFIG_ANDROID_BINDER_IPC=", "CONFIG_ANDROID_BINDER_IPC_RUST="]
            .iter()
            .any(|option| line.starts_with(option))
    }))
}
