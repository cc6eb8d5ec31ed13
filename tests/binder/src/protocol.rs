// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver's numbers and structures, as its uapi header has them.

/// The only protocol there is on 64-bit kernels.
pub(crate) const PROTOCOL: i32 = 8;

pub(crate) const WRITE_READ: u32 = number(b'b', 3, 1, size_of::<WriteRead>());
pub(crate) const SET_CONTEXT_MANAGER: u32 = number(b'b', 1, 13, size_of::<FlatObject>());
pub(crate) const VERSION: u32 = number(b'b', 3, 9, 4);

pub(crate) const BC_TRANSACTION: u32 = number(b'c', 1, 0, size_of::<Transaction>());
pub(crate) const BC_REPLY: u32 = number(b'c', 1, 1, size_of::<Transaction>());
pub(crate) const BC_FREE_BUFFER: u32 = number(b'c', 1, 3, 8);
pub(crate) const BC_ENTER_LOOPER: u32 = number(b'c', 0, 12, 0);
pub(crate) const BR_NOOP: u32 = number(b'r', 0, 12, 0);
pub(crate) const BR_TRANSACTION_COMPLETE: u32 = number(b'r', 0, 6, 0);
pub(crate) const BR_TRANSACTION: u32 = number(b'r', 2, 2, size_of::<Transaction>());
pub(crate) const BR_REPLY: u32 = number(b'r', 2, 3, size_of::<Transaction>());
pub(crate) const BR_DEAD_REPLY: u32 = number(b'r', 0, 5, 0);
pub(crate) const BR_FAILED_REPLY: u32 = number(b'r', 0, 17, 0);

/// The reply may carry descriptors.
pub(crate) const TF_ACCEPT_FDS: u32 = 0x10;
/// The context manager takes calls that carry descriptors.
pub(crate) const ACCEPTS_FDS: u32 = 0x100;
/// A `struct binder_fd_object`: the characters `fd*` and the mark of all object types.
pub(crate) const TYPE_FD: u32 = u32::from_be_bytes([b'f', b'd', b'*', 0x85]);

/// `struct binder_write_read`.
#[repr(C)]
pub(crate) struct WriteRead {
    pub(crate) write_size: u64,
    pub(crate) write_consumed: u64,
    pub(crate) write_buffer: u64,
    pub(crate) read_size: u64,
    pub(crate) read_consumed: u64,
    pub(crate) read_buffer: u64,
}

/// `struct binder_transaction_data`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Transaction {
    pub(crate) target: u64,
    pub(crate) cookie: u64,
    pub(crate) code: u32,
    pub(crate) flags: u32,
    pub(crate) sender_pid: i32,
    pub(crate) sender_euid: u32,
    pub(crate) data_size: u64,
    pub(crate) offsets_size: u64,
    pub(crate) buffer: u64,
    pub(crate) offsets: u64,
}

impl Transaction {
    /// The structure as it goes to the driver.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let start = (&raw const *self).cast::<u8>();
        // SAFETY: the structure has no padding, and the slice lives as long as the borrow.
        unsafe { std::slice::from_raw_parts(start, size_of::<Self>()) }
    }
}

/// `struct flat_binder_object`, and `struct binder_fd_object`, which has the same shape.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct FlatObject {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) handle: u64,
    pub(crate) cookie: u64,
}

/// What a message of this client carries: perhaps a descriptor, and a number.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Payload {
    pub(crate) object: FlatObject,
    pub(crate) number: u64,
}

/// A structure that holds integers alone: any bytes are a valid one.
///
/// # Safety
/// Implemented for such structures only.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: integers alone.
unsafe impl Plain for Transaction {}
// SAFETY: integers alone, also in the object.
unsafe impl Plain for Payload {}

/// Reads a structure that is as long as these bytes.
pub(crate) fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: the length is that of T, of which any bytes are a valid value.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// The commands in a buffer, each with what follows it; ends early where one is cut short.
pub(crate) fn commands(mut buffer: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let (command, rest) = buffer.split_first_chunk::<4>()?;
        let command = u32::from_ne_bytes(*command);
        // Every command says in its number how many bytes follow.
        let (body, rest) = rest.split_at_checked((command >> 16 & 0x3fff) as usize)?;
        buffer = rest;
        Some((command, body))
    })
}

const fn number(kind: u8, direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (kind as u32) << 8 | number
}
