// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The device's numbers, structures and the decoding of `(cmd, arg)` into a typed request.
//!
//! The single place in the project where an ioctl number is written. Source: the uapi header of
//! Linux 5.10, specification rows NUM-01 to NUM-17; `GET_FILE_ID` is Android's addition (NUM-12).

/// Longest name `GET_NAME` can return, with its NUL, in bytes (NUM-13).
pub const NAME_LEN: usize = 256;
/// What `GET_NAME` answers and `/proc/PID/maps` shows for a region without a name (NAME-01,
/// NAME-16).
pub const DEFAULT_NAME: &[u8] = b"dev/ashmem";
/// What stands before the region's name in `/proc/PID/maps`, without the leading slash (NAME-15,
/// NAME-18).
pub const NAME_PREFIX: &[u8] = b"dev/ashmem/";

/// `PIN`: the pages still hold what was written (NUM-13).
pub const NOT_PURGED: i64 = 0;
/// `PIN`: at least one of the pages' ranges was purged (NUM-13).
pub const WAS_PURGED: i64 = 1;
/// `GET_PIN_STATUS`: at least one page of the interval is unpinned (NUM-13).
pub const IS_UNPINNED: i64 = 0;
/// `GET_PIN_STATUS`: every page of the interval is pinned (NUM-13).
pub const IS_PINNED: i64 = 1;

/// `SET_NAME`: the argument is a pointer to a NUL-terminated string (NUM-02).
pub const SET_NAME: u32 = iow(1, NAME_LEN as u32);
/// `GET_NAME`: the argument is a pointer to [`NAME_LEN`] bytes (NUM-03).
pub const GET_NAME: u32 = ior(2, NAME_LEN as u32);
/// `SET_SIZE` of a 64-bit caller: the argument is the size itself, in bytes (NUM-04).
pub const SET_SIZE: u32 = iow(3, 8);
/// `GET_SIZE`: the size is the return value, in bytes (NUM-05).
pub const GET_SIZE: u32 = io(4);
/// `SET_PROT_MASK` of a 64-bit caller: the argument is the mask itself (NUM-06).
pub const SET_PROT_MASK: u32 = iow(5, 8);
/// `GET_PROT_MASK`: the mask is the return value (NUM-07).
pub const GET_PROT_MASK: u32 = io(6);
/// `PIN`: the argument is a pointer to a [`Pin`] (NUM-08).
pub const PIN: u32 = iow(7, PIN_BYTES as u32);
/// `UNPIN`: the argument is a pointer to a [`Pin`] (NUM-09).
pub const UNPIN: u32 = iow(8, PIN_BYTES as u32);
/// `GET_PIN_STATUS`: encoded without a size, yet the argument is a pointer to a [`Pin`] (NUM-10).
pub const GET_PIN_STATUS: u32 = io(9);
/// `PURGE_ALL_CACHES`: needs `CAP_SYS_ADMIN` in the initial user namespace (NUM-11, PURGE-01).
pub const PURGE_ALL_CACHES: u32 = io(10);
/// `GET_FILE_ID` of a 64-bit caller: the argument is a pointer to an `unsigned long` (NUM-12).
pub const GET_FILE_ID: u32 = ior(11, 8);

/// This project's own, of the module alone: purge what is unpinned of this region. Answers how many
/// pages that were, to callers with `CAP_SYS_ADMIN` in the initial user namespace; to all others it
/// is no number of the device (NUM-14), which is why [`Request::decode`] does not know it. Far from
/// the numbers that Android counts up.
pub const PURGE_REGION: u32 = io(0xe0);

/// `SET_SIZE` of a 32-bit caller (NUM-04).
pub const SET_SIZE_32: u32 = iow(3, 4);
/// `SET_PROT_MASK` of a 32-bit caller (NUM-06).
pub const SET_PROT_MASK_32: u32 = iow(5, 4);
/// `GET_FILE_ID` of a 32-bit caller: the answer is 4 bytes (FID-04).
pub const GET_FILE_ID_32: u32 = ior(11, 4);

/// The type byte of every ashmem ioctl (NUM-01).
pub const MAGIC: u32 = 0x77;

/// Size of [`Pin`] in the caller's memory, in bytes; the same for 32- and 64-bit callers.
pub const PIN_BYTES: usize = 8;

/// The argument of `PIN`, `UNPIN` and `GET_PIN_STATUS`: `struct ashmem_pin` of the uapi header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Pin {
    /// First byte of the interval; must be page aligned.
    pub offset: u32,
    /// Length in bytes; must be page aligned; 0 stands for "to the end of the region".
    pub len: u32,
}

impl Pin {
    /// Reads the structure as it lies in a caller's memory on this machine.
    pub fn from_bytes(bytes: [u8; PIN_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h] = bytes;
        Self { offset: u32::from_ne_bytes([a, b, c, d]), len: u32::from_ne_bytes([e, f, g, h]) }
    }
}

/// Width of the caller's `unsigned long`, which two of the numbers carry in their size field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A native caller: only the 64-bit numbers are known (NUM-15).
    Bits64,
    /// A compat caller: the 32-bit numbers, and every 64-bit number as well (NUM-16, NUM-17).
    Bits32,
}

/// One decoded ioctl. Pointers are addresses in the caller's memory, not yet looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Give the region the string at this address.
    SetName(u64),
    /// Write the region's name to this address.
    GetName(u64),
    /// Make the region this many bytes long.
    SetSize(u64),
    /// Return the size in bytes.
    GetSize,
    /// Reduce the protection mask to this one.
    SetProtMask(u64),
    /// Return the protection mask.
    GetProtMask,
    /// Pin the interval described by the [`Pin`] at this address.
    Pin(u64),
    /// Unpin the interval described by the [`Pin`] at this address.
    Unpin(u64),
    /// Tell whether the interval described by the [`Pin`] at this address is pinned.
    GetPinStatus(u64),
    /// Purge every unpinned range of every region.
    PurgeAllCaches,
    /// Write the backing file's inode number to this address, as `bytes` bytes.
    GetFileId {
        /// Where to write.
        address: u64,
        /// Width of the caller's `unsigned long`: 4 or 8.
        bytes: usize,
    },
}

impl Request {
    /// Decodes an ioctl; `None` for a number that is not the device's: the answer is ENOTTY
    /// (NUM-14).
    ///
    /// `arg` is the register as the caller passed it; for a [`Caller::Bits32`] only its low half
    /// counts.
    pub const fn decode(caller: Caller, cmd: u32, arg: u64) -> Option<Self> {
        let compat = matches!(caller, Caller::Bits32);
        let arg = if compat { arg & 0xffff_ffff } else { arg };
        Some(match cmd {
            SET_NAME => Self::SetName(arg),
            GET_NAME => Self::GetName(arg),
            SET_SIZE => Self::SetSize(arg),
            SET_SIZE_32 if compat => Self::SetSize(arg),
            GET_SIZE => Self::GetSize,
            SET_PROT_MASK => Self::SetProtMask(arg),
            SET_PROT_MASK_32 if compat => Self::SetProtMask(arg),
            GET_PROT_MASK => Self::GetProtMask,
            PIN => Self::Pin(arg),
            UNPIN => Self::Unpin(arg),
            GET_PIN_STATUS => Self::GetPinStatus(arg),
            PURGE_ALL_CACHES => Self::PurgeAllCaches,
            GET_FILE_ID => Self::GetFileId { address: arg, bytes: 8 },
            GET_FILE_ID_32 if compat => Self::GetFileId { address: arg, bytes: 4 },
            _ => return None,
        })
    }
}

const fn io(nr: u32) -> u32 {
    MAGIC << 8 | nr
}

const fn iow(nr: u32, size: u32) -> u32 {
    1 << 30 | size << 16 | io(nr)
}

const fn ior(nr: u32, size: u32) -> u32 {
    2 << 30 | size << 16 | io(nr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_uapi_header() {
        let all = [
            (SET_NAME, 0x4100_7701),
            (GET_NAME, 0x8100_7702),
            (SET_SIZE, 0x4008_7703),
            (SET_SIZE_32, 0x4004_7703),
            (GET_SIZE, 0x7704),
            (SET_PROT_MASK, 0x4008_7705),
            (SET_PROT_MASK_32, 0x4004_7705),
            (GET_PROT_MASK, 0x7706),
            (PIN, 0x4008_7707),
            (UNPIN, 0x4008_7708),
            (GET_PIN_STATUS, 0x7709),
            (PURGE_ALL_CACHES, 0x770a),
            (GET_FILE_ID, 0x8008_770b),
            (GET_FILE_ID_32, 0x8004_770b),
        ];
        for (ours, header) in all {
            assert_eq!(ours, header, "{header:#x}");
        }
    }

    #[test]
    fn only_a_compat_caller_may_use_the_32_bit_numbers() {
        for cmd in [SET_SIZE_32, SET_PROT_MASK_32, GET_FILE_ID_32] {
            assert_eq!(Request::decode(Caller::Bits64, cmd, 1), None);
            assert!(Request::decode(Caller::Bits32, cmd, 1).is_some());
        }
        assert_eq!(
            Request::decode(Caller::Bits32, SET_SIZE, u64::MAX),
            Some(Request::SetSize(0xffff_ffff))
        );
    }
}
