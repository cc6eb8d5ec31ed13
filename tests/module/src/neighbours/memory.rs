// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory: how much there is, and who takes it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use super::part::{Part, USER, check};
use crate::region::PAGE;

/// A piece in which a hog takes memory.
pub(crate) const PIECE: usize = 1 << 20;

/// A number of KiB in /proc/meminfo, in bytes.
pub(crate) fn of_machine(what: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("reading /proc/meminfo")?;
    number(&text, what).with_context(|| format!("/proc/meminfo has no {what}"))
}

/// The number of KiB after a word, in bytes.
fn number(text: &str, what: &str) -> Option<u64> {
    let kib: u64 = text
        .lines()
        .find_map(|line| line.split_once(what)?.1.split_whitespace().next()?.parse().ok())?;
    Some(kib * 1024)
}

/// Anonymous memory that is there until this ends.
pub(crate) struct Taken {
    start: *mut u8,
    length: usize,
}

impl Taken {
    /// Takes this much at once, of no use yet; `touch` makes it memory.
    pub(crate) fn reserve(length: usize) -> Result<Self> {
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error())
                .with_context(|| format!("mapping {length} bytes"));
        }
        // Small pages: what is taken is then what was touched.
        // SAFETY: the new mapping.
        unsafe { libc::madvise(start, length, libc::MADV_NOHUGEPAGE) };
        Ok(Self { start: start.cast(), length })
    }

    /// Makes memory of a piece.
    pub(crate) fn touch(&self, from: usize, length: usize) {
        for at in (from..(from + length).min(self.length)).step_by(PAGE) {
            // SAFETY: inside the mapping. Each page another, so that none can be shared or
            // compressed well.
            unsafe {
                self.start.add(at).cast::<u64>().write_volatile(at as u64 ^ 0x9e37_79b9_7f4a_7c15)
            }
        }
    }

    /// Where a piece begins.
    pub(crate) fn at(&self, from: usize) -> *mut u8 {
        // SAFETY: inside the mapping, or its end.
        unsafe { self.start.add(from.min(self.length)) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: mapped by `reserve`, and nobody uses it after this.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
}

/// A process that takes memory until somebody makes it stop: it is the first to be killed when none
/// is left.
pub(crate) fn hog() -> Result<Part> {
    Part::start(USER, || {
        fs::write("/proc/self/oom_score_adj", "1000").context("asking to be killed for memory")?;
        let most = of_machine("MemTotal:")? as usize * 2;
        let taken = Taken::reserve(most)?;
        for from in (0..most).step_by(PIECE) {
            taken.touch(from, PIECE);
        }
        Ok(String::new())
    })
}

/// Lets hogs take memory, one after the other as each is killed, until `done`; `false` if it never
/// was.
pub(crate) fn press_until(hogs: usize, mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    for _ in 0..hogs {
        let hog = hog()?;
        for _ in 0..600 {
            if done()? {
                return Ok(true);
            }
            if hog.is_at_end()? {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    done()
}

/// The nodes that have memory.
pub(crate) fn nodes() -> Result<Vec<u32>> {
    let mut nodes = Vec::new();
    for node in 0..8 {
        if fs::exists(format!("/sys/devices/system/node/node{node}/meminfo"))? {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// How a policy treats its nodes; the numbers are those of `linux/mempolicy.h`.
#[derive(Clone, Copy)]
pub(crate) enum Policy {
    Default = 0,
    Preferred = 1,
    Bind = 2,
}

/// Where this process's memory comes from, from now on.
pub(crate) fn set_policy(policy: Policy, node: u32) -> Result<()> {
    let mask = if matches!(policy, Policy::Default) { 0_u64 } else { 1 << node };
    // SAFETY: a mask of 64 nodes; the kernel reads one bit less than it is told.
    check(unsafe {
        libc::syscall(libc::SYS_set_mempolicy, policy as libc::c_long, &raw const mask, 65)
    })
    .context("set_mempolicy")?;
    Ok(())
}

/// The node of the page at an address, or an errno, negative.
pub(crate) fn node_of(address: *const u8) -> Result<i32> {
    let (pages, mut status) = ([address], [0_i32]);
    // SAFETY: one page asked about, room for one answer; without nodes nothing is moved.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            1,
            pages.as_ptr(),
            std::ptr::null::<i32>(),
            status.as_mut_ptr(),
            0,
        )
    })
    .context("asking move_pages where a page is")?;
    Ok(status[0])
}
