// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was asked for: the device's calls by their names, and the few of memfd's that stand for
//! them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::Text;

/// One operation with its arguments. Offsets and lengths are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", content = "args", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Operation {
    /// open(2) of the device: a new region. The result is the descriptor where the source knows it,
    /// else 0.
    Open {},
    /// The region is gone: its last descriptor was closed (module), or nothing of it is left
    /// anywhere (agent).
    Release {},
    /// `ASHMEM_SET_NAME`. Without a name: it could not be read.
    SetName {
        /// The name asked for.
        name: Option<Text>,
    },
    /// `ASHMEM_GET_NAME`.
    GetName {},
    /// `ASHMEM_SET_SIZE`.
    SetSize {
        /// The size asked for.
        bytes: u64,
    },
    /// `ASHMEM_GET_SIZE`; the result is the size.
    GetSize {},
    /// `ASHMEM_SET_PROT_MASK`.
    SetProtMask {
        /// `PROT_*` bits.
        mask: u64,
    },
    /// `ASHMEM_GET_PROT_MASK`; the result is the mask.
    GetProtMask {},
    /// `ASHMEM_PIN`; the result is 1 where pages were purged, 0 where none was.
    Pin(PinRange),
    /// `ASHMEM_UNPIN`.
    Unpin(PinRange),
    /// `ASHMEM_GET_PIN_STATUS`; the result is 1 where all is pinned, 0 where something is unpinned.
    GetPinStatus(PinRange),
    /// `ASHMEM_PURGE_ALL_CACHES`; the result is the number of pages that were unpinned.
    PurgeAllCaches {},
    /// `ASHMEM_GET_FILE_ID`.
    GetFileId {},
    /// An ioctl of the device's type that is none of its requests.
    Ioctl {
        /// The command.
        command: u32,
    },
    /// mmap(2) of a region or a memfd; the result is the address where the source knows it, else 0.
    Mmap {
        /// Where.
        address: u64,
        /// Length, in whole pages.
        len: u64,
        /// `PROT_*` bits.
        prot: u32,
        /// `MAP_SHARED`, or private.
        shared: bool,
        /// Where in the region it begins.
        offset: u64,
    },
    /// munmap(2) of such a mapping.
    Munmap {
        /// Where.
        address: u64,
        /// Length.
        len: u64,
    },
    /// Unpinned pages were taken away, by the task that needed the memory; the result is the number
    /// of bytes.
    Purge {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
    /// memfd_create(2); the result is the descriptor.
    MemfdCreate {
        /// The name asked for. None: it could not be read any more.
        name: Option<Text>,
    },
    /// ftruncate(2) of a memfd.
    Ftruncate {
        /// The size asked for.
        bytes: u64,
    },
    /// fcntl(2) with `F_ADD_SEALS` on a memfd.
    AddSeals {
        /// `F_SEAL_*` bits.
        seals: u32,
    },
    /// close(2) of a region's or a memfd's descriptor.
    Close {
        /// The descriptor.
        fd: i32,
    },
}

/// The bytes that PIN and its like speak of. `None`: the caller's structure could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinRange {
    /// First byte.
    pub offset: Option<u32>,
    /// Length; 0 stands for "to the end of the region".
    pub len: Option<u32>,
}

impl PinRange {
    /// A range that is known.
    pub fn new(offset: u32, len: u32) -> Self {
        Self { offset: Some(offset), len: Some(len) }
    }

    /// A range whose structure could not be read.
    pub const UNKNOWN: Self = Self { offset: None, len: None };
}

impl Operation {
    /// Its name, as in JSON.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Open {} => "OPEN",
            Self::Release {} => "RELEASE",
            Self::SetName { .. } => "SET_NAME",
            Self::GetName {} => "GET_NAME",
            Self::SetSize { .. } => "SET_SIZE",
            Self::GetSize {} => "GET_SIZE",
            Self::SetProtMask { .. } => "SET_PROT_MASK",
            Self::GetProtMask {} => "GET_PROT_MASK",
            Self::Pin(_) => "PIN",
            Self::Unpin(_) => "UNPIN",
            Self::GetPinStatus(_) => "GET_PIN_STATUS",
            Self::PurgeAllCaches {} => "PURGE_ALL_CACHES",
            Self::GetFileId {} => "GET_FILE_ID",
            Self::Ioctl { .. } => "IOCTL",
            Self::Mmap { .. } => "MMAP",
            Self::Munmap { .. } => "MUNMAP",
            Self::Purge { .. } => "PURGE",
            Self::MemfdCreate { .. } => "MEMFD_CREATE",
            Self::Ftruncate { .. } => "FTRUNCATE",
            Self::AddSeals { .. } => "ADD_SEALS",
            Self::Close { .. } => "CLOSE",
        }
    }

    /// The bytes it moves, names or takes away, for sums: 0 where it does not speak of bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::SetSize { bytes } | Self::Ftruncate { bytes } => *bytes,
            Self::Mmap { len, .. } | Self::Munmap { len, .. } | Self::Purge { len, .. } => *len,
            Self::Pin(range) | Self::Unpin(range) => range.len.unwrap_or(0).into(),
            _ => 0,
        }
    }
}

/// As a line for people has it, without its result.
impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::SetName { name: Some(given) } | Self::MemfdCreate { name: Some(given) } => {
                write!(formatter, "{name} \"{given}\"")
            }
            Self::SetName { name: None } | Self::MemfdCreate { name: None } => {
                write!(formatter, "{name} ?")
            }
            Self::SetSize { bytes } | Self::Ftruncate { bytes } => {
                write!(formatter, "{name} {}", ExactBytes(*bytes))
            }
            Self::SetProtMask { mask } => match u32::try_from(*mask) {
                Ok(mask) if mask <= 7 => write!(formatter, "{name} {}", ProtBits(mask)),
                _ => write!(formatter, "{name} {mask:#x}"),
            },
            Self::Pin(range) | Self::Unpin(range) | Self::GetPinStatus(range) => {
                write!(formatter, "{name} {range}")
            }
            Self::Ioctl { command } => write!(formatter, "ioctl {command:#x}"),
            Self::Mmap { len, prot, shared, offset, .. } => {
                let shared = if *shared { "shared" } else { "private" };
                write!(formatter, "mmap {} {} {shared}", ExactBytes(*len), ProtBits(*prot))?;
                if *offset == 0 { Ok(()) } else { write!(formatter, " at {offset}") }
            }
            Self::Munmap { address, len } => {
                write!(formatter, "munmap {address:#x} {}", ExactBytes(*len))
            }
            Self::Purge { offset, len } => {
                write!(formatter, "PURGE [{offset}, {})", offset.saturating_add(*len))
            }
            Self::AddSeals { seals } => write!(formatter, "{name} {seals:#x}"),
            Self::Close { fd } => write!(formatter, "close {fd}"),
            Self::Open {} => formatter.write_str("open"),
            Self::Release {} => formatter.write_str("release"),
            _ => formatter.write_str(name),
        }
    }
}

impl fmt::Display for PinRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.offset, self.len) {
            (Some(offset), Some(0)) => write!(formatter, "[{offset}, end)"),
            (Some(offset), Some(len)) => {
                write!(formatter, "[{offset}, {})", u64::from(offset) + u64::from(len))
            }
            _ => formatter.write_str("[?)"),
        }
    }
}

/// Bytes as people read them, with a binary unit only where that is exact: `2M`. For rounded ones
/// see [`Bytes`](crate::amount::Bytes).
pub struct ExactBytes(pub u64);

impl fmt::Display for ExactBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0;
        for (unit, shift) in [("G", 30), ("M", 20), ("K", 10)] {
            // Below 64 KiB the plain number is what people look for.
            if bytes >= 64 << 10 && bytes.trailing_zeros() >= shift && bytes >> shift != 0 {
                return write!(formatter, "{}{unit}", bytes >> shift);
            }
        }
        write!(formatter, "{bytes}")
    }
}

/// `PROT_*` bits as `/proc/PID/maps` writes them: `rw-`.
pub struct ProtBits(pub u32);

impl fmt::Display for ProtBits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (bit, letter) in [(1, 'r'), (2, 'w'), (4, 'x')] {
            write!(formatter, "{}", if self.0 & bit != 0 { letter } else { '-' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, PinRange};
    use crate::text::Text;

    #[test]
    fn operations_read_as_people_say_them() {
        let mmap =
            |len, offset| Operation::Mmap { address: 0x7f00, len, prot: 3, shared: true, offset };
        for (operation, shown) in [
            (
                Operation::SetName { name: Some(Text::from(b"CursorWindow: /data/x")) },
                "SET_NAME \"CursorWindow: /data/x\"",
            ),
            (Operation::SetName { name: None }, "SET_NAME ?"),
            (Operation::SetSize { bytes: 2 << 20 }, "SET_SIZE 2M"),
            (Operation::SetSize { bytes: 8192 }, "SET_SIZE 8192"),
            (Operation::SetSize { bytes: 65537 }, "SET_SIZE 65537"),
            (Operation::SetProtMask { mask: 1 }, "SET_PROT_MASK r--"),
            (Operation::SetProtMask { mask: u64::MAX }, "SET_PROT_MASK 0xffffffffffffffff"),
            (Operation::Pin(PinRange::new(0, 8192)), "PIN [0, 8192)"),
            (Operation::Unpin(PinRange::new(4096, 0)), "UNPIN [4096, end)"),
            (Operation::Unpin(PinRange::UNKNOWN), "UNPIN [?)"),
            (mmap(8192, 0), "mmap 8192 rw- shared"),
            (mmap(8192, 4096), "mmap 8192 rw- shared at 4096"),
            (Operation::Purge { offset: 4096, len: 8192 }, "PURGE [4096, 12288)"),
            (Operation::Ioctl { command: 0x770c }, "ioctl 0x770c"),
        ] {
            assert_eq!(operation.to_string(), shown);
        }
    }

    #[test]
    fn names_are_those_of_the_json_form() {
        for operation in [
            Operation::Open {},
            Operation::GetPinStatus(PinRange::new(0, 0)),
            Operation::PurgeAllCaches {},
        ] {
            let value = serde_json::to_value(&operation).expect("plain data");
            assert_eq!(value["op"], operation.name());
        }
    }
}
