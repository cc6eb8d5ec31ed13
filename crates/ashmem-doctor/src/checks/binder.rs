// SPDX-License-Identifier: MIT OR Apache-2.0
//! binder, the other half of what Android wants of a kernel.

use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::module_file;
use crate::way::Way;

/// Its file system, its nodes, its module.
pub(super) struct BinderCheck;

impl Check for BinderCheck {
    fn name(&self) -> &'static str {
        "binder"
    }

    fn looks_at(&self) -> &'static str {
        "binderfs, binder's nodes, and whether a module could bring them: Android containers need \
         it beside ashmem"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let systems = host.text("/proc/filesystems").unwrap_or_default();
        let has_binderfs =
            systems.lines().any(|line| line.split_whitespace().last() == Some("binder"));
        let node = ["/dev/binder", "/dev/binderfs/binder", "/dev/anbox-binder"]
            .into_iter()
            .find(|path| host.has(path));
        match (has_binderfs, node) {
            (true, Some(node)) => return Finding::ok(format!("binderfs, and {node}")),
            (true, None) => {
                return Finding::ok("binderfs; no node yet (Waydroid and redroid make theirs)");
            }
            (false, Some(node)) => return Finding::ok(format!("{node}, without binderfs")),
            (false, None) => {}
        }
        let release = host.kernel();
        if module_file::find(host, &release, "binder_linux").is_some() {
            return Finding::warning("its module is not loaded")
                .why("Android containers do not start without it; other programs do not care")
                .next("sudo modprobe binder_linux devices=binder,hwbinder,vndbinder");
        }
        Finding::absent("this kernel has none: native programs run, Android containers do not")
    }
}
