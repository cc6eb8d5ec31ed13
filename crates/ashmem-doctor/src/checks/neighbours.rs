// SPDX-License-Identifier: MIT OR Apache-2.0
//! The other devices that Android asks for.

use rustix::fs::FileType;

use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::way::Way;

/// A device, what Android does with it, and what brings it.
struct Neighbour {
    path: &'static str,
    name: &'static str,
    used_for: &'static str,
    next: &'static str,
}

const NEIGHBOURS: [Neighbour; 4] = [
    Neighbour {
        path: "/dev/fuse",
        name: "fuse",
        used_for: "shows its storage (/sdcard) by it",
        next: "sudo modprobe fuse   # on the host; then --device /dev/fuse, or bind it in LXC",
    },
    Neighbour {
        path: "/dev/loop-control",
        name: "loop-control",
        used_for: "mounts APEX files by it, where an image has not flattened them",
        next: "sudo modprobe loop   # on the host; the container needs /dev/loop-control and \
               /dev/loop*",
    },
    Neighbour {
        path: "/dev/dma_heap/system",
        name: "dma_heap",
        used_for: "takes codecs' and graphics' buffers from it (before it: ion)",
        next: "grep DMABUF_HEAPS /boot/config-$(uname -r)   # CONFIG_DMABUF_HEAPS_SYSTEM=y, kernel \
               5.6 and newer",
    },
    Neighbour {
        path: "/dev/kmsg",
        name: "kmsg",
        used_for: "writes init's log to it",
        next: "# --device /dev/kmsg; LXC: lxc.mount.entry = /dev/kmsg dev/kmsg none \
               bind,create=file 0 0",
    },
];

/// FUSE, loop devices, DMA-BUF heaps, the kernel's log.
pub(super) struct NeighboursCheck;

impl Check for NeighboursCheck {
    fn name(&self) -> &'static str {
        "other devices"
    }

    fn looks_at(&self) -> &'static str {
        "/dev/fuse, /dev/loop-control, /dev/dma_heap/system, /dev/kmsg, which Android asks for: in \
         Android's own root each must be there"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let is_device = |path| {
            host.stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_char_device())
        };
        let (there, missing): (Vec<_>, Vec<_>) =
            NEIGHBOURS.iter().partition(|neighbour| is_device(neighbour.path));
        let names = |list: &[&Neighbour]| {
            list.iter().map(|neighbour| neighbour.name).collect::<Vec<_>>().join(", ")
        };
        let summary = match (there.is_empty(), missing.is_empty()) {
            (_, true) => return Finding::ok(names(&there)),
            (true, _) => format!("no {}", names(&missing)),
            (false, _) => format!("{}; no {}", names(&there), names(&missing)),
        };
        // A host, or a container of another kind, needs none of them.
        if !host.has("/system/build.prop") {
            return Finding::absent(format!("{summary} (Android asks for them)"));
        }
        let why: Vec<_> = missing
            .iter()
            .map(|neighbour| format!("Android {} ({})", neighbour.used_for, neighbour.name))
            .collect();
        missing.iter().fold(Finding::warning(summary).why(why.join("; ")), |finding, neighbour| {
            finding.next(neighbour.next)
        })
    }
}
