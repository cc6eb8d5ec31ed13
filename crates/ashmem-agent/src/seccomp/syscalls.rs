//! The system calls the agent looks at: their numbers on each architecture, and a notification's registers as a typed
//! call.
//!
//! One table serves three times: [`crate::seccomp::filter`] builds its program from it, [`crate::seccomp::profile`] the rules of a container
//! runtime, and [`Call::decode`] reads what arrives.

use ashmem_core::abi::Caller;

/// `AUDIT_ARCH_*` of the architectures that have a table here.
pub const X86_64: u32 = 0xc000_003e;
/// 32-bit x86, native or as a compat task.
pub const I386: u32 = 0x4000_0003;
/// 64-bit ARM.
pub const AARCH64: u32 = 0xc000_00b7;

/// A system call by what it does; several numbers may stand for one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// open(2).
    Open,
    /// openat(2).
    OpenAt,
    /// openat2(2): the flags lie in memory, out of the filter's sight.
    OpenAt2,
    /// ioctl(2).
    Ioctl,
    /// mmap(2), the offset in bytes.
    Mmap,
    /// mmap2(2) of 32-bit x86, the offset in units of 4 KiB.
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
    /// `struct stat` of 32-bit x86, 64 bytes.
    I386,
    /// The generic one of newer 64-bit architectures.
    Generic,
}

/// An architecture's calls.
pub struct Table {
    /// Its `AUDIT_ARCH_*`.
    pub arch: u32,
    /// The width of its `long`.
    pub caller: Caller,
    /// Number, name and kind, the most frequent first: the filter compares in this order.
    pub calls: &'static [(u32, &'static str, Kind)],
}

/// Every architecture that is looked at.
pub const TABLES: &[Table] = &[
    Table {
        arch: X86_64,
        caller: Caller::Bits64,
        calls: &[
            (257, "openat", Kind::OpenAt),
            (262, "newfstatat", Kind::StatAt(Layout::X86_64)),
            (5, "fstat", Kind::Fstat(Layout::X86_64)),
            (9, "mmap", Kind::Mmap),
            (10, "mprotect", Kind::Protect),
            (16, "ioctl", Kind::Ioctl),
            (72, "fcntl", Kind::Fcntl),
            (2, "open", Kind::Open),
            (4, "stat", Kind::Stat(Layout::X86_64)),
            (6, "lstat", Kind::Lstat(Layout::X86_64)),
            (332, "statx", Kind::Statx),
            (21, "access", Kind::Access),
            (269, "faccessat", Kind::AccessAt),
            (439, "faccessat2", Kind::AccessAt2),
            (437, "openat2", Kind::OpenAt2),
            (77, "ftruncate", Kind::Truncate),
            (285, "fallocate", Kind::Allocate),
            (74, "fsync", Kind::Sync),
            (75, "fdatasync", Kind::Sync),
            (329, "pkey_mprotect", Kind::Protect),
            (216, "remap_file_pages", Kind::Remap),
            (40, "sendfile", Kind::SendFile),
            (275, "splice", Kind::Splice),
            (326, "copy_file_range", Kind::Splice),
        ],
    },
    Table {
        arch: I386,
        caller: Caller::Bits32,
        calls: &[
            (295, "openat", Kind::OpenAt),
            (5, "open", Kind::Open),
            (54, "ioctl", Kind::Ioctl),
            (192, "mmap2", Kind::Mmap2),
            (197, "fstat64", Kind::Fstat(Layout::I386Wide)),
            (300, "fstatat64", Kind::StatAt(Layout::I386Wide)),
            (383, "statx", Kind::Statx),
            (125, "mprotect", Kind::Protect),
            (221, "fcntl64", Kind::Fcntl),
            (55, "fcntl", Kind::Fcntl),
            (195, "stat64", Kind::Stat(Layout::I386Wide)),
            (196, "lstat64", Kind::Lstat(Layout::I386Wide)),
            (33, "access", Kind::Access),
            (307, "faccessat", Kind::AccessAt),
            (439, "faccessat2", Kind::AccessAt2),
            (437, "openat2", Kind::OpenAt2),
            (90, "mmap", Kind::OldMmap),
            (106, "stat", Kind::Stat(Layout::I386)),
            (107, "lstat", Kind::Lstat(Layout::I386)),
            (108, "fstat", Kind::Fstat(Layout::I386)),
            (93, "ftruncate", Kind::Truncate),
            (194, "ftruncate64", Kind::Truncate),
            (324, "fallocate", Kind::Allocate),
            (118, "fsync", Kind::Sync),
            (148, "fdatasync", Kind::Sync),
            (380, "pkey_mprotect", Kind::Protect),
            (257, "remap_file_pages", Kind::Remap),
            (187, "sendfile", Kind::SendFile),
            (239, "sendfile64", Kind::SendFile),
            (313, "splice", Kind::Splice),
            (377, "copy_file_range", Kind::Splice),
        ],
    },
    Table {
        arch: AARCH64,
        caller: Caller::Bits64,
        calls: &[
            (56, "openat", Kind::OpenAt),
            (79, "newfstatat", Kind::StatAt(Layout::Generic)),
            (80, "fstat", Kind::Fstat(Layout::Generic)),
            (222, "mmap", Kind::Mmap),
            (226, "mprotect", Kind::Protect),
            (29, "ioctl", Kind::Ioctl),
            (25, "fcntl", Kind::Fcntl),
            (291, "statx", Kind::Statx),
            (48, "faccessat", Kind::AccessAt),
            (439, "faccessat2", Kind::AccessAt2),
            (437, "openat2", Kind::OpenAt2),
            (46, "ftruncate", Kind::Truncate),
            (47, "fallocate", Kind::Allocate),
            (82, "fsync", Kind::Sync),
            (83, "fdatasync", Kind::Sync),
            (288, "pkey_mprotect", Kind::Protect),
            (234, "remap_file_pages", Kind::Remap),
            (71, "sendfile", Kind::SendFile),
            (76, "splice", Kind::Splice),
            (285, "copy_file_range", Kind::Splice),
        ],
    },
];

/// `AT_FDCWD` as a call's register holds it, cut to 32 bits.
pub const CWD: i32 = -100;

/// One call, its registers taken apart. Addresses are in the caller's memory, not yet looked at.
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
    /// access(2) and its younger brothers.
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
    /// Reads a notification's registers; `None` for a number no table has, which the filter never sends.
    pub fn decode(arch: u32, nr: u32, args: &[u64; 6]) -> Option<(Self, Caller)> {
        let table = TABLES.iter().find(|table| table.arch == arch)?;
        let (_, _, kind) = *table.calls.iter().find(|(number, ..)| *number == nr)?;
        let narrow = table.caller == Caller::Bits32;
        let [a, b, c, d, e, f] = args.map(|arg| if narrow { arg & 0xffff_ffff } else { arg });
        let no_follow = libc::AT_SYMLINK_NOFOLLOW as u32;
        let call = match kind {
            Kind::Open => Self::Open { dir: CWD, path: a, flags: b as u32 },
            Kind::OpenAt => Self::Open { dir: a as i32, path: b, flags: c as u32 },
            Kind::OpenAt2 => Self::OpenAt2 { dir: a as i32, path: b, how: c, size: d },
            Kind::Ioctl => Self::Ioctl { fd: a as i32, cmd: b as u32, arg: c },
            Kind::Mmap => {
                Self::Mmap(Mmap { address: a, len: b, prot: c as u32, flags: d as u32, fd: e as i32, offset: f })
            }
            Kind::Mmap2 => {
                Self::Mmap(Mmap { address: a, len: b, prot: c as u32, flags: d as u32, fd: e as i32, offset: f << 12 })
            }
            Kind::OldMmap => Self::OldMmap(a),
            Kind::Fstat(layout) => Self::Fstat { fd: a as i32, buffer: b, layout },
            Kind::Stat(layout) => Self::Stat { dir: CWD, path: a, buffer: b, flags: 0, layout },
            Kind::Lstat(layout) => Self::Stat { dir: CWD, path: a, buffer: b, flags: no_follow, layout },
            Kind::StatAt(layout) => Self::Stat { dir: a as i32, path: b, buffer: c, flags: d as u32, layout },
            Kind::Statx => Self::Statx { dir: a as i32, path: b, buffer: e, flags: c as u32 },
            Kind::Access => Self::Access { dir: CWD, path: a, mode: b as u32, flags: 0 },
            Kind::AccessAt => Self::Access { dir: a as i32, path: b, mode: c as u32, flags: 0 },
            Kind::AccessAt2 => Self::Access { dir: a as i32, path: b, mode: c as u32, flags: d as u32 },
            Kind::Truncate => Self::Truncate(a as i32),
            Kind::Allocate => Self::Allocate(a as i32),
            Kind::Sync => Self::Sync(a as i32),
            Kind::Fcntl => Self::Fcntl { fd: a as i32, cmd: b as u32 },
            Kind::Protect => Self::Protect { address: a, len: b, prot: c as u32 },
            Kind::Remap => Self::Remap { address: a, len: b },
            Kind::SendFile => Self::Transfer { from: b as i32, to: a as i32 },
            Kind::Splice => Self::Transfer { from: a as i32, to: c as i32 },
        };
        Some((call, table.caller))
    }
}

impl Mmap {
    /// Reads the six words of the first mmap(2) of 32-bit x86.
    pub fn from_words(words: [u32; 6]) -> Self {
        let [address, len, prot, flags, fd, offset] = words;
        Self { address: address.into(), len: len.into(), prot, flags, fd: fd as i32, offset: offset.into() }
    }
}
