// SPDX-License-Identifier: MIT OR Apache-2.0
//! Maps the blob into a program and leads a call site to it.
//!
//! What is mapped belongs to the program: it may read it, unmap it or put something else there, and
//! harms itself alone. So nothing that is read there is believed further than that: at worst, bytes
//! of the program's own memory are overwritten, which it could do itself.

use std::fs::File;
use std::os::unix::fs::FileExt;

use ashmem_inside::BLOB;
use ashmem_inside::layout::{BlobHeader, HEADER, JUMP_PAGES, LIMIT, MAGIC, WINDOW};
use ashmem_proc::maps;
use rustix::io::{Errno, Result};

use super::site::{self, PAGE, PATCHED};
use super::stopped::StoppedThread;
use crate::seccomp::own;
use crate::target_thread::registers::Registers;

const PROT: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
const FLAGS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE) as u64;
/// Where the header has the pages of jumps.
const JUMP_PAGES_AT: u64 = std::mem::offset_of!(BlobHeader, jump_pages) as u64;

/// The memory of a program.
pub(super) struct Memory(File);

impl Memory {
    /// Opens it.
    ///
    /// # Errors
    /// EACCES or EPERM: it may not be looked at.
    pub(super) fn open(tid: i32) -> Result<Self> {
        File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{tid}/mem"))
            .map(Self)
            .map_err(of_io)
    }

    fn read<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.read_exact_at(&mut bytes, at).map_err(of_io)?;
        Ok(bytes)
    }

    fn word(&self, at: u64) -> Result<u64> {
        self.read(at).map(u64::from_le_bytes)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_all_at(bytes, at).map_err(of_io)
    }

    /// Whether a blob of ours seems to be there.
    fn has_blob(&self) -> bool {
        self.word(WINDOW) == Ok(MAGIC)
    }

    fn jump_pages(&self) -> Result<[u64; JUMP_PAGES]> {
        let bytes: [u8; JUMP_PAGES * 8] = self.read(WINDOW + JUMP_PAGES_AT)?;
        let mut pages = [0; JUMP_PAGES];
        for (page, bytes) in pages.iter_mut().zip(bytes.chunks_exact(8)) {
            *page = u64::from_le_bytes(bytes.try_into().map_err(|_| Errno::FAULT)?);
        }
        Ok(pages)
    }

    /// Whether the program has ended, or runs another image by now.
    pub(super) fn is_gone(&self) -> bool {
        self.0.read_at(&mut [0], site::NOWHERE).is_ok_and(|got| got == 0)
    }

    /// Leads every patched site back to its own call, from the next time on. One instruction
    /// changes in each page, so that no thread need stop for it.
    pub(super) fn switch_off(&self) -> Result<()> {
        if !self.has_blob() {
            return Ok(());
        }
        for page in self.jump_pages()?.into_iter().filter(|page| *page != 0) {
            self.write(page + site::SWITCH, &site::OFF)?;
        }
        Ok(())
    }
}

/// A call site to patch.
pub(super) struct Site {
    /// The address of the instruction that makes the call.
    pub(super) syscall: u64,
    /// The one in front of it.
    pub(super) patched: [u8; PATCHED],
}

/// Maps what is missing, and patches the site. Every thread that runs on this memory is stopped;
/// the caller stands behind a call.
///
/// # Errors
/// What the program's own mmap says, or EEXIST: something else lies at the blob's place.
pub(super) fn implant(
    memory: &Memory,
    caller: &StoppedThread,
    registers: &Registers,
    process: i32,
    header: &BlobHeader,
    site: &Site,
) -> Result<()> {
    let from = site.syscall - PATCHED as u64;
    if memory.read(from)? != site.patched {
        return Err(Errno::AGAIN);
    }
    let text = ashmem_proc::read(format!("/proc/{process}/maps")).map_err(of_io)?;
    let is_own = maps::mappings(&text)
        .any(|mapping| (mapping.start..mapping.end).contains(&from) && mapping.rights[3] == b'p');
    // What is written to shared memory others would run too.
    if !is_own {
        return Err(Errno::PERM);
    }
    let map = |at: u64, len: u64| {
        let got = caller.call(registers, own::MMAP.into(), [at, len, PROT, FLAGS, u64::MAX, 0])?;
        if got == at { Ok(()) } else { Err(Errno::EXIST) }
    };
    if !memory.has_blob() {
        map(WINDOW, LIMIT as u64)?;
        memory.write(WINDOW + HEADER as u64, &BLOB[HEADER..])?;
        // With the magic word, by which the blob is known to be complete.
        memory.write(WINDOW, header.as_bytes())?;
    }
    let (page, index) = match near(memory, from)? {
        Some(place) => place,
        None => {
            let pages = memory.jump_pages()?;
            let free = pages.iter().position(|page| *page == 0).ok_or(Errno::NOSPC)?;
            let page = site::place(&mappings(&text), from).ok_or(Errno::NOSPC)?;
            map(page, PAGE)?;
            memory.write(page, &site::head())?;
            memory.write(WINDOW + JUMP_PAGES_AT + 8 * free as u64, &page.to_le_bytes())?;
            (page, 1)
        }
    };
    let jump = site::jump(page, index, &site.patched, site.syscall).ok_or(Errno::NOSPC)?;
    let patch = site::jump_to(from, site::slot(page, index)).ok_or(Errno::NOSPC)?;
    memory.write(site::slot(page, index), &jump)?;
    memory.write(page + site::COUNT, &(index + 1).to_le_bytes())?;
    memory.write(from, &patch)
}

/// A page of jumps near this address, with a free slot.
fn near(memory: &Memory, from: u64) -> Result<Option<(u64, u64)>> {
    for page in memory.jump_pages()?.into_iter().filter(|page| *page != 0) {
        let index = memory.word(page + site::COUNT)?;
        let is_on = memory.read(page + site::SWITCH)? == site::ON;
        if !is_on {
            return Err(Errno::PERM);
        }
        if (1..site::SLOTS).contains(&index) && site::jump_to(from, page).is_some() {
            return Ok(Some((page, index)));
        }
    }
    Ok(None)
}

fn mappings(text: &[u8]) -> Vec<(u64, u64)> {
    maps::mappings(text).map(|mapping| (mapping.start, mapping.end)).collect()
}

fn of_io(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}
