// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an image of Android will ask for: its version, how its libcutils makes shared memory, what
//! its properties and seccomp policies decide, and which way serves it.
//!
//! An image is a root directory, a container's root, or a file with ext4 in it, sparse or not.
//! Nothing in it is trusted, and no program of it is run.

mod libcutils;
mod policies;
mod properties;
mod sparse;
mod tree;

use std::path::Path;

use serde::Serialize;

use crate::version::VERSION;

pub use libcutils::{Libcutils, MemfdRule, NodeRule};
pub use policies::SeccompPolicy;
pub use properties::UseMemfd;
pub use tree::{Error, ImageTree};

/// An image, looked at.
#[derive(Debug, Serialize)]
pub struct ImageReport {
    /// The version of this structure: it grows when a field changes its meaning or goes, not when
    /// one comes.
    pub version: u32,
    /// Where it lies.
    pub image: String,
    /// What it is on the disk: `directory`, `ext4` or `sparse`.
    pub form: &'static str,
    /// Android's version, as `ro.build.version.release` has it.
    pub android: Option<String>,
    /// The number of its API, `ro.build.version.sdk`.
    pub api: Option<u32>,
    /// The processor that its programs are for, as uname(1) names it.
    pub machine: Option<&'static str>,
    /// Whether that is this machine's.
    pub is_for_this_machine: Option<bool>,
    /// `ro.vndk.version`.
    pub vndk_version: Option<String>,
    /// `ro.treble.enabled`.
    pub treble: Option<String>,
    /// The largest pages, in bytes, that all of its libcutils can be loaded with.
    pub largest_pages: Option<u64>,
    /// Whether this machine's are no larger.
    pub fits_this_machines_pages: Option<bool>,
    /// Each libcutils that was found.
    pub libcutils: Vec<Libcutils>,
    /// Where the image sets `sys.use_memfd`, and to what.
    pub use_memfd: Vec<UseMemfd>,
    /// The seccomp policies of its services.
    pub seccomp: Vec<SeccompPolicy>,
    /// What serves it.
    pub ways: Vec<ImageWay>,
    /// Parts of the image that were not there to be looked at.
    pub missing: Vec<&'static str>,
}

/// Whether a way serves an image.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ImageWay {
    /// `module`, `agent`, `run`, or `memfd` for none of ours.
    pub way: &'static str,
    /// Whether it does.
    pub serves: bool,
    /// On which condition, or why not.
    pub because: String,
}

impl ImageReport {
    /// Looks at an image.
    ///
    /// # Errors
    /// If it cannot be read, or is of no form that is known here.
    pub fn make(path: &Path) -> Result<Self, Error> {
        let tree = ImageTree::open(path)?;
        let properties = properties::Properties::of(&tree);
        let number = |key| properties.get(key).and_then(|value| value.parse().ok());
        let libcutils = libcutils::all(&tree);
        let largest_pages = libcutils.iter().map(|library| library.page_alignment).min();
        let machine = libcutils.first().map(|library| library.machine);
        let vndk_version = properties.get("ro.vndk.version").map(str::to_owned);
        let treble = properties.get("ro.treble.enabled").map(str::to_owned);
        let seccomp = policies::all(&tree);
        let ways = ways(&libcutils, vndk_version.as_deref(), treble.as_deref(), &seccomp);
        let mut missing = Vec::new();
        if !tree.has("/system/build.prop") && !tree.has("/build.prop") {
            missing.push("build.prop: is this a root of Android, or its system partition?");
        }
        if libcutils.is_empty() {
            missing.push("libcutils.so, in /system/lib64 and /system/lib");
        }
        if tree.names("/vendor").is_empty() && tree.names("/system/vendor").is_empty() {
            missing.push(
                "the vendor partition: put vendor.img beside it, or mount both and name the \
                          directory",
            );
        }
        Ok(Self {
            version: VERSION,
            image: path.display().to_string(),
            form: tree.form(),
            android: properties.get("ro.build.version.release").map(str::to_owned),
            api: number("ro.build.version.sdk"),
            machine,
            is_for_this_machine: machine.map(|machine| machine == std::env::consts::ARCH),
            largest_pages,
            fits_this_machines_pages: largest_pages
                .map(|largest| rustix::param::page_size() as u64 <= largest),
            vndk_version,
            treble,
            libcutils,
            use_memfd: properties::use_memfd(&tree),
            seccomp,
            ways,
            missing,
        })
    }

    /// Whether it is an image of Android at all, as far as was seen.
    pub fn is_android(&self) -> bool {
        self.android.is_some() || !self.libcutils.is_empty()
    }
}

/// What serves an image whose libraries ask so.
fn ways(
    libraries: &[Libcutils],
    vndk: Option<&str>,
    treble: Option<&str>,
    policies: &[SeccompPolicy],
) -> Vec<ImageWay> {
    let Some(strictest) = libraries.iter().max_by_key(|library| library.nodes) else {
        return Vec::new();
    };
    let nodes = match strictest.nodes {
        NodeRule::Plain => "bind /dev/ashmem into the container",
        NodeRule::BootIdThenPlain => {
            "bind /dev/ashmem into the container; the boot id name is asked for first, and may be \
             missing"
        }
        NodeRule::BootId => {
            "bind /dev/ashmem<boot_id> into the container: nothing else is opened (`ashmem cdi` \
             and `ashmem waydroid enable` do)"
        }
    };
    let way = |way, serves, because: &str| ImageWay { way, serves, because: because.to_owned() };
    vec![
        way("module", true, nodes),
        way("agent", true, "its profile answers both names, and ashmem's ioctls on memfds"),
        way(
            "run",
            true,
            "for one program of it (`ashmem run -- chroot DIR ...`), not for a container that an \
             engine starts",
        ),
        memfd(strictest, vndk, treble, policies),
    ]
}

/// Whether memfd alone will do, without anything of ours.
fn memfd(
    library: &Libcutils,
    vndk: Option<&str>,
    treble: Option<&str>,
    policies: &[SeccompPolicy],
) -> ImageWay {
    let no = |because: String| ImageWay { way: "memfd", serves: false, because };
    match library.memfd {
        MemfdRule::Never => return no("this libcutils knows no memfd".to_owned()),
        MemfdRule::WithIoctls => {
            return no("this libcutils takes a memfd only if it answers ashmem's ioctls, as only \
                       Google's kernels do"
                .to_owned());
        }
        MemfdRule::Vndk => {
            let is_met = vndk.and_then(|vndk| vndk.parse::<u32>().ok()).is_some_and(|n| n >= 29);
            if !is_met {
                return no(format!(
                    "ro.vndk.version must be a number of 29 or more, and is {}",
                    vndk.map_or_else(|| "not set".to_owned(), |vndk| format!("`{vndk}`"))
                ));
            }
        }
        MemfdRule::Treble => {
            if !treble.is_some_and(|treble| treble == "true" || treble == "1") {
                return no("ro.treble.enabled must be true, and is not".to_owned());
            }
        }
    }
    let killed: Vec<_> = policies
        .iter()
        .filter(|policy| policy.is_for_media && !policy.allows_memfd)
        .map(|policy| policy.path.as_str())
        .collect();
    let mut because = "if sys.use_memfd is true before the first process (redroid: \
                       androidboot.use_memfd=1; Waydroid does it where no device is), and no app \
                       opens the device by itself"
        .to_owned();
    if !killed.is_empty() {
        because.push_str("; these policies kill memfd_create: ");
        because.push_str(&killed.join(", "));
    }
    ImageWay { way: "memfd", serves: killed.is_empty(), because }
}

#[cfg(test)]
mod tests {
    use super::{Libcutils, MemfdRule, NodeRule, ways};

    fn library(nodes: NodeRule, memfd: MemfdRule) -> Libcutils {
        Libcutils {
            path: "/system/lib64/libcutils.so".to_owned(),
            bits: 64,
            machine: "x86_64",
            nodes,
            memfd,
            page_alignment: 4096,
        }
    }

    #[test]
    fn memfd_alone_will_do_where_each_condition_is_met() {
        let serves = |library: Libcutils, vndk, treble| {
            let ways = ways(&[library], vndk, treble, &[]);
            ways.iter().find(|way| way.way == "memfd").map(|way| way.serves)
        };
        let thirteen = || library(NodeRule::BootIdThenPlain, MemfdRule::Vndk);
        assert_eq!(serves(thirteen(), Some("33"), None), Some(true));
        for refused in [Some("current"), Some("28"), None] {
            assert_eq!(serves(thirteen(), refused, None), Some(false));
        }
        let fifteen = || library(NodeRule::BootIdThenPlain, MemfdRule::Treble);
        assert_eq!(serves(fifteen(), None, Some("true")), Some(true));
        assert_eq!(serves(fifteen(), Some("35"), None), Some(false));
        let sixteen = library(NodeRule::BootId, MemfdRule::WithIoctls);
        assert_eq!(serves(sixteen, Some("36"), Some("true")), Some(false));
        assert_eq!(serves(library(NodeRule::Plain, MemfdRule::Never), None, None), Some(false));
    }
}
