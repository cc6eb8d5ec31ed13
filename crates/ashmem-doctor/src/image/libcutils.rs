// SPDX-License-Identifier: MIT OR Apache-2.0
//! An image's libcutils: what it opens and which memfd it takes, told by the words in it.
//!
//! Each version of `ashmem-dev.cpp` brings words of its own: the path of the boot's id, the
//! properties that it asks, and what it says when a memfd does not answer ashmem's ioctls.

use object::read::elf::{ElfFile32, ElfFile64, ProgramHeader};
use object::{Architecture, Endianness, Object};
use serde::Serialize;

use super::tree::ImageTree;

const PLACES: [(&str, u32); 4] = [
    ("/system/lib64/libcutils.so", 64),
    ("/system/lib/libcutils.so", 32),
    ("/lib64/libcutils.so", 64),
    ("/lib/libcutils.so", 32),
];

/// Which names of the device a libcutils opens; the stricter, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRule {
    /// `/dev/ashmem`.
    Plain,
    /// `/dev/ashmem<boot_id>`, and `/dev/ashmem` where that is missing.
    BootIdThenPlain,
    /// `/dev/ashmem<boot_id>` alone.
    BootId,
}

/// When a libcutils takes memfd in the device's place; always with `sys.use_memfd` true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemfdRule {
    /// Never.
    Never,
    /// If `ro.vndk.version` is a number of 29 or more.
    Vndk,
    /// If `ro.treble.enabled` is true.
    Treble,
    /// If a memfd answers ashmem's ioctls besides.
    WithIoctls,
}

/// A libcutils.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Libcutils {
    /// The file.
    pub path: String,
    /// Its word, in bits.
    pub bits: u32,
    /// The processor that it is for, as uname(1) names it.
    pub machine: &'static str,
    /// What it opens.
    pub nodes: NodeRule,
    /// When it takes memfd.
    pub memfd: MemfdRule,
    /// What its segments are aligned to, in bytes: larger pages than this cannot load it.
    pub page_alignment: u64,
}

/// Those of an image.
pub(super) fn all(tree: &ImageTree) -> Vec<Libcutils> {
    let mut libraries: Vec<Libcutils> = Vec::new();
    for (path, bits) in PLACES {
        if libraries.iter().any(|library| library.bits == bits) {
            continue;
        }
        let Some(bytes) = tree.bytes(path) else { continue };
        libraries.extend(read(path, bits, &bytes));
    }
    libraries
}

fn read(path: &str, bits: u32, bytes: &[u8]) -> Option<Libcutils> {
    let (architecture, page_alignment) = shape(bytes)?;
    let has = |words: &str| contains(bytes, words.as_bytes());
    let has_ioctls = has("no ashmem-memfd compat support");
    let nodes = match (has("/proc/sys/kernel/random/boot_id"), has_ioctls) {
        (false, _) => NodeRule::Plain,
        (true, false) => NodeRule::BootIdThenPlain,
        (true, true) => NodeRule::BootId,
    };
    let memfd = if !has("sys.use_memfd") {
        MemfdRule::Never
    } else if has_ioctls {
        MemfdRule::WithIoctls
    } else if has("ro.vndk.version") {
        MemfdRule::Vndk
    } else {
        MemfdRule::Treble
    };
    let machine = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::I386 => "x86",
        Architecture::Aarch64 => "aarch64",
        Architecture::Arm => "arm",
        Architecture::Riscv64 => "riscv64",
        _ => "another",
    };
    Some(Libcutils { path: path.to_owned(), bits, machine, nodes, memfd, page_alignment })
}

/// Its processor, and what its segments are aligned to.
fn shape(bytes: &[u8]) -> Option<(Architecture, u64)> {
    if let Ok(file) = ElfFile64::<Endianness>::parse(bytes) {
        let align = |header: &object::elf::ProgramHeader64<Endianness>| {
            (header.p_type(file.endian()) == object::elf::PT_LOAD)
                .then(|| header.p_align(file.endian()))
        };
        let largest = file.elf_program_headers().iter().filter_map(align).max();
        return Some((file.architecture(), largest.unwrap_or(0)));
    }
    let file = ElfFile32::<Endianness>::parse(bytes).ok()?;
    let align = |header: &object::elf::ProgramHeader32<Endianness>| {
        (header.p_type(file.endian()) == object::elf::PT_LOAD)
            .then(|| u64::from(header.p_align(file.endian())))
    };
    let largest = file.elf_program_headers().iter().filter_map(align).max();
    Some((file.architecture(), largest.unwrap_or(0)))
}

fn contains(bytes: &[u8], words: &[u8]) -> bool {
    bytes.windows(words.len()).any(|window| window == words)
}
