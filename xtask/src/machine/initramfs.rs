// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's whole user space as one archive in memory: init, its plan, the program, modules and
//! files.

use anyhow::{Context, Result};
use ashmem_guest::{PLAN, Plan};
use cpio::newc::{self, Builder};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;

/// An archive under construction, in the kernel's `newc` form. Everything in it belongs to root.
pub(crate) struct Initramfs {
    archive: Vec<u8>,
    directories: BTreeSet<String>,
}

impl Initramfs {
    /// An archive with our init and the users every program expects.
    pub(crate) fn new(init: &Path) -> Result<Self> {
        let init = fs::read(init).with_context(|| format!("reading {}", init.display()))?;
        let mut initramfs = Self::bare(&init)?;
        initramfs.bytes("/etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
        initramfs.bytes("/etc/group", 0o644, b"root:x:0:\n")?;
        Ok(initramfs)
    }

    /// An archive with this init and the folders every program expects.
    pub(crate) fn bare(init: &[u8]) -> Result<Self> {
        let mut initramfs = Self { archive: Vec::new(), directories: BTreeSet::new() };
        for directory in [
            "bin", "sbin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "usr/sbin",
        ] {
            initramfs.directory(directory)?;
        }
        initramfs.bytes("/init", 0o755, init)?;
        Ok(initramfs)
    }

    /// Puts a file of the host at `place`, with its mode.
    pub(crate) fn file(&mut self, place: &str, source: &Path) -> Result<()> {
        let reading = || format!("reading {}", source.display());
        let mode = fs::metadata(source).with_context(reading)?.permissions().mode() & 0o7777;
        self.bytes(place, mode, &fs::read(source).with_context(reading)?)
    }

    /// Puts a file with this content at `place`, and the folders above it.
    pub(crate) fn bytes(&mut self, place: &str, mode: u32, content: &[u8]) -> Result<()> {
        let place = place.trim_start_matches('/');
        if let Some((parent, _)) = place.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.entry(place, REGULAR | mode, content)
    }

    /// The finished archive, with the plan in it.
    pub(crate) fn finish(mut self, plan: &Plan) -> Result<Vec<u8>> {
        self.bytes(PLAN, 0o644, &serde_json::to_vec(plan).context("writing the plan")?)?;
        self.close()
    }

    /// The finished archive.
    pub(crate) fn close(self) -> Result<Vec<u8>> {
        newc::trailer(self.archive).context("closing the archive")
    }

    fn directory(&mut self, path: &str) -> Result<()> {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for directory in ends.filter_map(|end| path.get(..end)) {
            if self.directories.insert(directory.to_owned()) {
                self.entry(directory, DIRECTORY, &[])?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        let adding = || format!("adding /{path} to the initramfs");
        let size = u32::try_from(content.len()).with_context(adding)?;
        // The kernel tells hard links by inode: each entry has one of its own.
        let inode = u32::try_from(self.archive.len() / 4 + 1).with_context(adding)?;
        let header = Builder::new(path).ino(inode).nlink(1).mode(mode);
        let mut writer = header.write(&mut self.archive, size);
        writer.write_all(content).with_context(adding)?;
        writer.finish().with_context(adding)?;
        Ok(())
    }
}
