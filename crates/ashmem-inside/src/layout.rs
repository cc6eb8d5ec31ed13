// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the blob lies in a program, and what stands before its code. Blob and supervisor read the
//! same file.

/// Where the supervisor maps the blob, in every program at the same address: the filter lets calls
/// pass by the address of the instruction that makes them. On arm64 programs may have 39 bits of
/// addresses only; the address is a multiple of its largest page.
pub const WINDOW: u64 =
    if cfg!(target_arch = "aarch64") { 0x1_a5e0_0000 } else { 0x1a5e_0000_0000 };
/// Bytes of the header, which is one page.
pub const HEADER: usize = 4096;
/// Bytes of the instruction that makes a call: `syscall`, or `svc`.
pub const CALL: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };
/// Offset of the one such instruction, and behind it a `ret`.
pub const GATE: usize = HEADER;
/// Offset of the code that a patched call site reaches; `src/blob` says with which registers.
pub const ENTRY: usize = HEADER + 16;
/// What the filter sees as the instruction pointer of a call from the gate: the address behind the
/// instruction.
pub const GATE_POINTER: u64 = WINDOW + (GATE + CALL) as u64;
/// Header and code are no longer than this.
pub const LIMIT: usize = 4 * 4096;
/// The first word of a header.
pub const MAGIC: u64 = u64::from_le_bytes(*b"ashmem-1");
/// Pages of jumps that one header can list.
pub const JUMP_PAGES: usize = 16;
/// Bytes of `struct stat`.
pub const STAT: usize = if cfg!(target_arch = "aarch64") { 128 } else { 144 };

/// The header. The program can read it and not write it; no answer depends on its being true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BlobHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// Where the pages of jumps lie; 0: no page. The supervisor's own notes.
    pub jump_pages: [u64; JUMP_PAGES],
    /// `st_dev` of the device's node.
    pub node_dev: u64,
    /// `st_ino` of the device's node.
    pub node_ino: u64,
    /// The mounts of the node's two names.
    pub node_mounts: [u64; 2],
    /// The mount on which the same node lies under its own name, where it is not the device.
    pub plain_mount: u64,
    /// `st_dev` of every memfd.
    pub memfd_dev: u64,
    /// Flags for memfd_create(2).
    pub memfd_flags: u64,
    /// What fstat(2) shows for every region.
    pub stat: [u64; STAT / 8],
    /// 1: fstat(2) shows a region as the device, and an open of the node makes a region at once.
    pub is_full: u64,
    /// 1: unshare(2) tells whether a process has one thread.
    pub tells_threads: u64,
    /// The page size, as a power of two.
    pub page_shift: u64,
}

impl BlobHeader {
    /// The header's bytes, as they lie in memory.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the structure is plain integers of 64 bits, without padding.
        unsafe { core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>()) }
    }
}
