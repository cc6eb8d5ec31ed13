// SPDX-License-Identifier: MIT OR Apache-2.0
//! The small program where half of today's regions are: on plain memfds.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Result, ensure};
use ashmem_trace::operation::Operation;
use ashmem_trace::text::Text;

use crate::account::{Account, HOSTILE, Recorder};
use crate::region::{PAGE, Region, answer, inode_at, unmap};

/// Every call that the source tells of, those that fail among them.
pub(crate) fn work() -> Result<Account> {
    let mut recorder = Recorder::default();
    let name = std::ffi::CString::new(HOSTILE)?;
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name lives through the call.
    let fd = answer(unsafe { libc::memfd_create(name.as_ptr(), flags) }.into());
    ensure!(fd >= 0, "memfd_create: {fd}");
    // SAFETY: the call made it, and nobody else has it.
    let region = Region(unsafe { OwnedFd::from_raw_fd(fd as i32) });
    let fd = region.0.as_raw_fd();
    recorder.inode = Some(rustix::fs::fstat(&region.0)?.st_ino);
    recorder.note(Operation::MemfdCreate { name: Some(Text::from(HOSTILE)) }, fd.into());
    // Which file a descriptor is, the source looks up a moment later.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let len = 4 * PAGE;
    // SAFETY: a descriptor of this program's own.
    let truncate = |bytes: usize| answer(unsafe { libc::ftruncate(fd, bytes as i64) }.into());
    let truncated = truncate(len);
    recorder.note(Operation::Ftruncate { bytes: len as u64 }, truncated);
    let address = region.map(len);
    ensure!(address > 0, "mmap: {address}");
    ensure!(Some(inode_at(address)?) == recorder.inode, "the mapping shows another inode");
    let mapping = address as u64;
    recorder.note(
        Operation::Mmap { address: mapping, len: len as u64, prot: 3, shared: true, offset: 0 },
        address,
    );
    let seals = libc::F_SEAL_GROW | libc::F_SEAL_SHRINK;
    // SAFETY: a descriptor of this program's own.
    let sealed = answer(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }.into());
    recorder.note(Operation::AddSeals { seals: seals as u32 }, sealed);
    let refused = truncate(PAGE);
    recorder.note(Operation::Ftruncate { bytes: PAGE as u64 }, refused);
    // What Android's libcutils asks of a memfd; the kernel alone knows no such request.
    recorder.note(Operation::GetSize {}, region.ioctl(ashmem_core::abi::GET_SIZE, 0));
    // Of the whole host it looks at each call: nothing tells it of closes.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let unmapped = unmap(address, len);
    recorder.note(Operation::Munmap { address: mapping, len: len as u64 }, unmapped);
    drop(region);
    recorder.note(Operation::Close { fd }, 0);
    Ok(recorder.account())
}

/// Memfds as fast as they go, as often as TRIAL_TURNS says.
pub(crate) fn many(file: &str) -> Result<()> {
    let turns: u64 =
        std::env::var("TRIAL_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(1000);
    for _ in 0..turns {
        drop(rustix::fs::memfd_create("many", rustix::fs::MemfdFlags::CLOEXEC)?);
    }
    std::fs::write(file, serde_json::to_vec(&Account::default())?)?;
    Ok(())
}
