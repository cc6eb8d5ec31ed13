// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that the agent intercepts: their numbers on each architecture, and a
//! notification's registers as a typed call.
//!
//! One table has three uses: [`crate::seccomp::filter`] builds its program from it,
//! [`crate::seccomp::profile`] the rules of a container runtime, and [`Call::decode`] reads
//! notifications.

use ashmem_core::abi::Caller;

/// `AUDIT_ARCH_*` of the architectures that have a table here.
pub const X86_64: u32 = 0xc000_003e;
/// 32-bit x86, native or as a compat task.
pub const I386: u32 = 0x4000_0003;
/// 64-bit ARM.
pub const AARCH64: u32 = 0xc000_00b7;
/// 32-bit ARM by its EABI, as a compat task of a 64-bit kernel.
pub const ARM: u32 = 0x4000_0028;

/// A system call by what it does; several numbers may stand for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyscallKind {
    /// open(2).
    Open,
    /// openat(2).
    OpenAt,
    /// openat2(2): its flags lie in memory, where the filter cannot read them.
    OpenAt2,
    /// ioctl(2).
    Ioctl,
    /// mmap(2), the offset in bytes.
    Mmap,
    /// mmap2(2) of 32-bit callers, the offset in units of 4 KiB whatever a page has.
    Mmap2,
    /// The first mmap(2) of 32-bit x86, whose arguments lie in memory.
    OldMmap,
    /// fstat(2) with the structure of this layout.
    Fstat(Layout),
    /// stat(2).
    Stat(Layout),
    /// lstat(2).
    Lstat(Layout),
    /// newfstatat(2) or fstatat64(2).
    StatAt(Layout),
    /// statx(2).
    Statx,
    /// access(2).
    Access,
    /// faccessat(2): has no flags.
    AccessAt,
    /// faccessat2(2).
    AccessAt2,
    /// ftruncate(2).
    Truncate,
    /// fallocate(2).
    Allocate,
    /// fsync(2) and fdatasync(2).
    Sync,
    /// fcntl(2).
    Fcntl,
    /// mprotect(2) and pkey_mprotect(2).
    Protect,
    /// remap_file_pages(2).
    Remap,
    /// sendfile(2): out, in.
    SendFile,
    /// splice(2) and copy_file_range(2): in, its offset, out.
    Splice,
}

/// Which `struct stat` a call fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// 64-bit x86.
    X86_64,
    /// `struct stat64` of 32-bit x86, 96 bytes.
    I386Wide,
    /// `struct stat` of 32-bit x86 and of 32-bit ARM, 64 bytes.
    I386,
    /// `struct stat64` of 32-bit ARM, 104 bytes: its 64-bit fields lie at multiples of eight.
    ArmWide,
    /// The generic one of newer 64-bit architectures.
    Generic,
}

/// An architecture's calls.
pub struct SyscallTable {
    /// Its `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The width of its `long`.
    pub caller: Caller,
    /// Number, name and kind, the most frequent first: the filter compares in this order.
    pub calls: &'static [(u32, &'static str, SyscallKind)],
}

/// Every supported architecture.
pub const TABLES: &[SyscallTable] = &[
    SyscallTable {
        arch: X86_64,
        caller: Caller::Bits64,
        calls: &[
            (257, "openat", SyscallKind::OpenAt),
            (262, "newfstatat", SyscallKind::StatAt(Layout::X86_64)),
            (5, "fstat", SyscallKind::Fstat(Layout::X86_64)),
            (9, "mmap", SyscallKind::Mmap),
            (10, "mprotect", SyscallKind::Protect),
            (16, "ioctl", SyscallKind::Ioctl),
            (72, "fcntl", SyscallKind::Fcntl),
            (2, "open", SyscallKind::Open),
            (4, "stat", SyscallKind::Stat(Layout::X86_64)),
            (6, "lstat", SyscallKind::Lstat(Layout::X86_64)),
            (332, "statx", SyscallKind::Statx),
            (21, "access", SyscallKind::Access),
            (269, "faccessat", SyscallKind::AccessAt),
            (439, "faccessat2", SyscallKind::AccessAt2),
            (437, "openat2", SyscallKind::OpenAt2),
            (77, "ftruncate", SyscallKind::Truncate),
            (285, "fallocate", SyscallKind::Allocate),
            (74, "fsync", SyscallKind::Sync),
            (75, "fdatasync", SyscallKind::Sync),
            (329, "pkey_mprotect", SyscallKind::Protect),
            (216, "remap_file_pages", SyscallKind::Remap),
            (40, "sendfile", SyscallKind::SendFile),
            (275, "splice", SyscallKind::Splice),
            (326, "copy_file_range", SyscallKind::Splice),
        ],
    },
    SyscallTable {
        arch: I386,
        caller: Caller::Bits32,
        calls: &[
            (295, "openat", SyscallKind::OpenAt),
            (5, "open", SyscallKind::Open),
            (54, "ioctl", SyscallKind::Ioctl),
            (192, "mmap2", SyscallKind::Mmap2),
            (197, "fstat64", SyscallKind::Fstat(Layout::I386Wide)),
            (300, "fstatat64", SyscallKind::StatAt(Layout::I386Wide)),
            (383, "statx", SyscallKind::Statx),
            (125, "mprotect", SyscallKind::Protect),
            (221, "fcntl64", SyscallKind::Fcntl),
            (55, "fcntl", SyscallKind::Fcntl),
            (195, "stat64", SyscallKind::Stat(Layout::I386Wide)),
            (196, "lstat64", SyscallKind::Lstat(Layout::I386Wide)),
            (33, "access", SyscallKind::Access),
            (307, "faccessat", SyscallKind::AccessAt),
            (439, "faccessat2", SyscallKind::AccessAt2),
            (437, "openat2", SyscallKind::OpenAt2),
            (90, "mmap", SyscallKind::OldMmap),
            (106, "stat", SyscallKind::Stat(Layout::I386)),
            (107, "lstat", SyscallKind::Lstat(Layout::I386)),
            (108, "fstat", SyscallKind::Fstat(Layout::I386)),
            (93, "ftruncate", SyscallKind::Truncate),
            (194, "ftruncate64", SyscallKind::Truncate),
            (324, "fallocate", SyscallKind::Allocate),
            (118, "fsync", SyscallKind::Sync),
            (148, "fdatasync", SyscallKind::Sync),
            (380, "pkey_mprotect", SyscallKind::Protect),
            (257, "remap_file_pages", SyscallKind::Remap),
            (187, "sendfile", SyscallKind::SendFile),
            (239, "sendfile64", SyscallKind::SendFile),
            (313, "splice", SyscallKind::Splice),
            (377, "copy_file_range", SyscallKind::Splice),
        ],
    },
    SyscallTable {
        arch: AARCH64,
        caller: Caller::Bits64,
        calls: &[
            (56, "openat", SyscallKind::OpenAt),
            (79, "newfstatat", SyscallKind::StatAt(Layout::Generic)),
            (80, "fstat", SyscallKind::Fstat(Layout::Generic)),
            (222, "mmap", SyscallKind::Mmap),
            (226, "mprotect", SyscallKind::Protect),
            (29, "ioctl", SyscallKind::Ioctl),
            (25, "fcntl", SyscallKind::Fcntl),
            (291, "statx", SyscallKind::Statx),
            (48, "faccessat", SyscallKind::AccessAt),
            (439, "faccessat2", SyscallKind::AccessAt2),
            (437, "openat2", SyscallKind::OpenAt2),
            (46, "ftruncate", SyscallKind::Truncate),
            (47, "fallocate", SyscallKind::Allocate),
            (82, "fsync", SyscallKind::Sync),
            (83, "fdatasync", SyscallKind::Sync),
            (288, "pkey_mprotect", SyscallKind::Protect),
            (234, "remap_file_pages", SyscallKind::Remap),
            (71, "sendfile", SyscallKind::SendFile),
            (76, "splice", SyscallKind::Splice),
            (285, "copy_file_range", SyscallKind::Splice),
        ],
    },
    SyscallTable {
        arch: ARM,
        caller: Caller::Bits32,
        calls: &[
            (322, "openat", SyscallKind::OpenAt),
            (5, "open", SyscallKind::Open),
            (54, "ioctl", SyscallKind::Ioctl),
            (192, "mmap2", SyscallKind::Mmap2),
            (197, "fstat64", SyscallKind::Fstat(Layout::ArmWide)),
            (327, "fstatat64", SyscallKind::StatAt(Layout::ArmWide)),
            (397, "statx", SyscallKind::Statx),
            (125, "mprotect", SyscallKind::Protect),
            (221, "fcntl64", SyscallKind::Fcntl),
            (55, "fcntl", SyscallKind::Fcntl),
            (195, "stat64", SyscallKind::Stat(Layout::ArmWide)),
            (196, "lstat64", SyscallKind::Lstat(Layout::ArmWide)),
            (33, "access", SyscallKind::Access),
            (334, "faccessat", SyscallKind::AccessAt),
            (439, "faccessat2", SyscallKind::AccessAt2),
            (437, "openat2", SyscallKind::OpenAt2),
            (106, "stat", SyscallKind::Stat(Layout::I386)),
            (107, "lstat", SyscallKind::Lstat(Layout::I386)),
            (108, "fstat", SyscallKind::Fstat(Layout::I386)),
            (93, "ftruncate", SyscallKind::Truncate),
            (194, "ftruncate64", SyscallKind::Truncate),
            (352, "fallocate", SyscallKind::Allocate),
            (118, "fsync", SyscallKind::Sync),
            (148, "fdatasync", SyscallKind::Sync),
            (394, "pkey_mprotect", SyscallKind::Protect),
            (253, "remap_file_pages", SyscallKind::Remap),
            (187, "sendfile", SyscallKind::SendFile),
            (239, "sendfile64", SyscallKind::SendFile),
            (340, "splice", SyscallKind::Splice),
            (391, "copy_file_range", SyscallKind::Splice),
        ],
    },
];

/// `AT_FDCWD` as a call's register holds it, cut to 32 bits.
pub const CWD: i32 = -100;

/// One call with its arguments. Addresses are in the caller's memory, not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// An open by flags in a register.
    Open {
        /// Directory that a relative path starts from.
        dir: i32,
        /// Address of the path.
        path: u64,
        /// `O_*`.
        flags: u32,
    },
    /// An open by a `struct open_how`.
    OpenAt2 {
        /// Directory that a relative path starts from.
        dir: i32,
        /// Address of the path.
        path: u64,
        /// Address of the structure.
        how: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// ioctl(2).
    Ioctl {
        /// The descriptor.
        fd: i32,
        /// The command, its low 32 bits: callers sign-extend.
        cmd: u32,
        /// The argument.
        arg: u64,
    },
    /// mmap(2).
    Mmap(Mmap),
    /// mmap(2) with its arguments at this address: six 32-bit words.
    OldMmap(u64),
    /// A descriptor's status.
    Fstat {
        /// The descriptor.
        fd: i32,
        /// Where the structure goes.
        buffer: u64,
        /// Which structure.
        layout: Layout,
    },
    /// A path's status, or a descriptor's where the path is empty.
    Stat {
        /// Directory that a relative path starts from.
        dir: i32,
        /// Address of the path.
        path: u64,
        /// Where the structure goes.
        buffer: u64,
        /// `AT_*`.
        flags: u32,
        /// Which structure.
        layout: Layout,
    },
    /// statx(2).
    Statx {
        /// Directory that a relative path starts from.
        dir: i32,
        /// Address of the path.
        path: u64,
        /// Where the structure goes.
        buffer: u64,
        /// `AT_*`.
        flags: u32,
    },
    /// access(2), faccessat(2), faccessat2(2).
    Access {
        /// Directory that a relative path starts from.
        dir: i32,
        /// Address of the path.
        path: u64,
        /// `R_OK`, `W_OK`, `X_OK`.
        mode: u32,
        /// `AT_*`.
        flags: u32,
    },
    /// ftruncate(2) of this descriptor.
    Truncate(i32),
    /// fallocate(2) of this descriptor.
    Allocate(i32),
    /// fsync(2) or fdatasync(2) of this descriptor.
    Sync(i32),
    /// fcntl(2).
    Fcntl {
        /// The descriptor.
        fd: i32,
        /// `F_*`.
        cmd: u32,
    },
    /// mprotect(2).
    Protect {
        /// First address.
        address: u64,
        /// Length in bytes.
        len: u64,
        /// `PROT_*`.
        prot: u32,
    },
    /// remap_file_pages(2).
    Remap {
        /// First address.
        address: u64,
        /// Length in bytes.
        len: u64,
    },
    /// A copy between two descriptors inside the kernel.
    Transfer {
        /// Where the bytes come from.
        from: i32,
        /// Where they go.
        to: i32,
    },
}

/// The arguments of mmap(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mmap {
    /// Where, or 0.
    pub address: u64,
    /// Length in bytes, as asked for.
    pub len: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// The descriptor.
    pub fd: i32,
    /// Offset in bytes.
    pub offset: u64,
}

impl Call {
    /// Decodes a notification's registers; `None` for a number that no table has, which the filter
    /// never sends.
    pub fn decode(arch: u32, nr: u32, args: &[u64; 6]) -> Option<(Self, Caller)> {
        let table = TABLES.iter().find(|table| table.arch == arch)?;
        let (_, _, kind) = *table.calls.iter().find(|(number, ..)| *number == nr)?;
        let narrow = table.caller == Caller::Bits32;
        let [a, b, c, d, e, f] = args.map(|arg| if narrow { arg & 0xffff_ffff } else { arg });
        let no_follow = libc::AT_SYMLINK_NOFOLLOW as u32;
        let call = match kind {
            SyscallKind::Open => Self::Open { dir: CWD, path: a, flags: b as u32 },
            SyscallKind::OpenAt => Self::Open { dir: a as i32, path: b, flags: c as u32 },
            SyscallKind::OpenAt2 => Self::OpenAt2 { dir: a as i32, path: b, how: c, size: d },
            SyscallKind::Ioctl => Self::Ioctl { fd: a as i32, cmd: b as u32, arg: c },
            SyscallKind::Mmap => Self::Mmap(Mmap {
                address: a,
                len: b,
                prot: c as u32,
                flags: d as u32,
                fd: e as i32,
                offset: f,
            }),
            SyscallKind::Mmap2 => Self::Mmap(Mmap {
                address: a,
                len: b,
                prot: c as u32,
                flags: d as u32,
                fd: e as i32,
                offset: f << 12,
            }),
            SyscallKind::OldMmap => Self::OldMmap(a),
            SyscallKind::Fstat(layout) => Self::Fstat { fd: a as i32, buffer: b, layout },
            SyscallKind::Stat(layout) => {
                Self::Stat { dir: CWD, path: a, buffer: b, flags: 0, layout }
            }
            SyscallKind::Lstat(layout) => {
                Self::Stat { dir: CWD, path: a, buffer: b, flags: no_follow, layout }
            }
            SyscallKind::StatAt(layout) => {
                Self::Stat { dir: a as i32, path: b, buffer: c, flags: d as u32, layout }
            }
            SyscallKind::Statx => {
                Self::Statx { dir: a as i32, path: b, buffer: e, flags: c as u32 }
            }
            SyscallKind::Access => Self::Access { dir: CWD, path: a, mode: b as u32, flags: 0 },
            SyscallKind::AccessAt => {
                Self::Access { dir: a as i32, path: b, mode: c as u32, flags: 0 }
            }
            SyscallKind::AccessAt2 => {
                Self::Access { dir: a as i32, path: b, mode: c as u32, flags: d as u32 }
            }
            SyscallKind::Truncate => Self::Truncate(a as i32),
            SyscallKind::Allocate => Self::Allocate(a as i32),
            SyscallKind::Sync => Self::Sync(a as i32),
            SyscallKind::Fcntl => Self::Fcntl { fd: a as i32, cmd: b as u32 },
            SyscallKind::Protect => {
                Self::Protect { address: untagged(arch, a), len: b, prot: c as u32 }
            }
            SyscallKind::Remap => Self::Remap { address: a, len: b },
            SyscallKind::SendFile => Self::Transfer { from: b as i32, to: a as i32 },
            SyscallKind::Splice => Self::Transfer { from: a as i32, to: c as i32 },
        };
        Some((call, table.caller))
    }
}

/// An address as the kernel takes it for mprotect(2): 64-bit ARM ignores its highest byte, where
/// programs keep tags.
fn untagged(arch: u32, address: u64) -> u64 {
    const TAG: u32 = 8;
    if arch == AARCH64 { ((address << TAG) as i64 >> TAG) as u64 } else { address }
}

/// What a call of this architecture has left in the register of its result, as a 64-bit caller
/// would see it; `None`: one of the kernel's own numbers, for a call that is made again.
pub(crate) fn result_in(arch: u32, register: u64) -> Option<i64> {
    const LAST_ERRNO: i64 = -4095;
    const RESTARTED: i64 = -512;
    let narrow = register as u32 as i32;
    let result = match TABLES.iter().find(|table| table.arch == arch)?.caller {
        Caller::Bits32 if (LAST_ERRNO..0).contains(&narrow.into()) => narrow.into(),
        Caller::Bits32 => i64::from(register as u32),
        Caller::Bits64 => register as i64,
    };
    (!(LAST_ERRNO..=RESTARTED).contains(&result)).then_some(result)
}

impl Mmap {
    /// Reads the six words of the first mmap(2) of 32-bit x86.
    pub fn from_words(words: [u32; 6]) -> Self {
        let [address, len, prot, flags, fd, offset] = words;
        Self {
            address: address.into(),
            len: len.into(),
            prot,
            flags,
            fd: fd as i32,
            offset: offset.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_once_in_a_table_and_a_name_too() {
        for table in TABLES {
            for (place, (number, name, _)) in table.calls.iter().enumerate() {
                let before = &table.calls[..place];
                assert!(!before.iter().any(|(other, ..)| other == number), "{number}");
                assert!(!before.iter().any(|(_, other, _)| other == name), "{name}");
            }
        }
    }

    #[test]
    fn calls_of_32_bit_callers_have_the_low_halves_of_their_registers() {
        let args = [3, 0xffff_ffff_0000_7704, u64::MAX, 4, 5, 6].map(|arg| arg | 1 << 40);
        for (arch, nr) in [(I386, 54), (ARM, 54)] {
            let ioctl = Call::Ioctl { fd: 3, cmd: 0x7704, arg: 0xffff_ffff };
            assert_eq!(Call::decode(arch, nr, &args), Some((ioctl, Caller::Bits32)), "{arch:#x}");
        }
        // Units of 4 KiB on every kernel.
        for (arch, nr) in [(I386, 192), (ARM, 192)] {
            let Some((Call::Mmap(call), _)) = Call::decode(arch, nr, &[0, 1, 3, 1, 7, 0x10_0000])
            else {
                panic!("{arch:#x} has no mmap2")
            };
            assert_eq!((call.fd, call.offset), (7, 1 << 32));
        }
    }

    #[test]
    fn only_64_bit_arm_ignores_the_highest_byte_of_an_address() {
        let at = |arch, nr, address| match Call::decode(arch, nr, &[address, 4096, 4, 0, 0, 0]) {
            Some((Call::Protect { address, .. }, _)) => address,
            other => panic!("{other:?}"),
        };
        let tagged = 0xb400_7f00_0000_1000;
        assert_eq!(at(AARCH64, 226, tagged), 0x7f00_0000_1000);
        assert_eq!(at(AARCH64, 226, 0x7f00_0000_1000), 0x7f00_0000_1000);
        assert_eq!(at(X86_64, 10, tagged), tagged);
        assert_eq!(at(ARM, 125, 0xb000_1000), 0xb000_1000);
    }

    #[test]
    fn a_result_is_none_where_the_call_is_made_again() {
        let of = |arch, register: i64| result_in(arch, register as u64);
        for arch in [X86_64, AARCH64] {
            assert_eq!(of(arch, 0x7f00_0000_0000), Some(0x7f00_0000_0000));
            assert_eq!(of(arch, -12), Some(-12));
            assert_eq!(of(arch, -512), None);
        }
        for arch in [I386, ARM] {
            assert_eq!(of(arch, 0xf7f0_0000), Some(0xf7f0_0000), "no error");
            assert_eq!(of(arch, 0xffff_fff4), Some(-12));
            assert_eq!(of(arch, 0xffff_fe00), None);
        }
    }
}
