// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a system call's registers point to: read from its caller's memory, and from /proc, a moment
//! after the call.

use ashmem_core::abi;
use ashmem_proc::process;

use crate::event::EventRegion;
use crate::module::request;
use crate::operation::{Operation, PinRange};
use crate::regions::name;
use crate::syscalls::calls::is_device;
use crate::text::Text;

/// What a descriptor is by /proc: a memfd, or a device of the old kind.
pub(super) fn look(pid: i32, fd: i32) -> Option<EventRegion> {
    let link = process::descriptor_link(pid, fd)?;
    let given = link
        .strip_prefix(b"/memfd:".as_slice())
        .map(|rest| rest.strip_suffix(b" (deleted)").unwrap_or(rest));
    if given.is_none() && !is_device(link.strip_suffix(b" (deleted)").unwrap_or(&link)) {
        return None;
    }
    let inode = process::descriptor_status(pid, fd)?.stx_ino;
    Some(EventRegion { inode: Some(inode), name: given.and_then(name), ..EventRegion::default() })
}

/// An ioctl with what it points to.
pub(super) fn argued(pid: i32, command: u32, argument: u64) -> Operation {
    let range = || {
        let mut bytes = [0; abi::PIN_BYTES];
        if read(pid, argument, &mut bytes) == bytes.len() {
            let pin = abi::Pin::from_bytes(bytes);
            PinRange::new(pin.offset, pin.len)
        } else {
            PinRange::UNKNOWN
        }
    };
    match request(command, argument) {
        Operation::SetName { .. } => Operation::SetName { name: read_string(pid, argument) },
        Operation::Pin(_) => Operation::Pin(range()),
        Operation::Unpin(_) => Operation::Unpin(range()),
        Operation::GetPinStatus(_) => Operation::GetPinStatus(range()),
        other => other,
    }
}

/// A string in a process's memory, to its NUL.
pub(super) fn read_string(pid: i32, at: u64) -> Option<Text> {
    const PAGE: u64 = 4096;
    let mut bytes = [0; abi::NAME_LEN];
    // The rest may lie in a page that is not there.
    let first = usize::try_from(PAGE - at % PAGE).ok()?.min(bytes.len());
    let mut len = read(pid, at, &mut bytes[..first]);
    if len == first && first < bytes.len() && !bytes[..first].contains(&0) {
        len += read(pid, at + first as u64, &mut bytes[first..]);
    }
    let end = bytes[..len].iter().position(|byte| *byte == 0)?;
    Some(Text::from(&bytes[..end]))
}

/// Reads a process's memory; answers how much of it could be read.
fn read(pid: i32, at: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: at as usize as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the local vector is `into`; the remote address is looked at in the other process
    // alone.
    let len = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(len).unwrap_or(0)
}
