// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seccomp program: decides which calls become notifications, and which run untouched.
//!
//! One program has every table of [`crate::seccomp::syscalls`]. Calls of x32 and of unknown
//! architectures pass: this is no sandbox. A call that no table names is allowed whatever its
//! arguments, so that kernels from 5.11 on keep it in a bitmap and do not run the program for it.

use crate::seccomp::bpf::{Assembler, Field, Instruction};
use crate::seccomp::own::{self, MMAP, MREMAP, PRCTL, SECCOMP, SHMAT};
use crate::seccomp::syscalls::{SyscallKind, TABLES, X86_64};

/// Fidelity: how much of the device is emulated, against what it costs other calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fidelity {
    /// A region's descriptor looks like the character device in every call that can be answered.
    Full,
    /// Only open, the ioctls and mmap.
    Fast,
}

/// Whether a path lookup of the device's name finds a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeLookup {
    /// A character device lies at the path, in the program's own mount namespace or put there by
    /// its container. Lookups cost nothing, and the first ioctl on an open that was not notified
    /// turns it into a region.
    Present,
    /// Nothing lies there: every path that could be the device's is read.
    Absent,
}

/// What a program is filtered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Which behaviours are emulated.
    pub fidelity: Fidelity,
    /// Whether lookups of the path find a node.
    pub node: NodeLookup,
}

/// The address behind the one instruction whose calls pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate(pub u64);

/// A test of one argument: `args[arg] & mask == value`, in the low 32 bits; the upper ones are
/// ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Which argument.
    pub arg: u32,
    /// Which of its bits.
    pub mask: u32,
    /// What they must be.
    pub value: u32,
}

/// The start of the numbers of the x32 ABI, which shares x86_64's `AUDIT_ARCH`.
const X32: u32 = 0x4000_0000;
/// Options of prctl(2): who may look at the process, its filters, and who gets its calls.
const PR_SET_DUMPABLE: u32 = libc::PR_SET_DUMPABLE as u32;
const PR_SET_SECCOMP: u32 = libc::PR_SET_SECCOMP as u32;
const PR_SET_SYSCALL_USER_DISPATCH: u32 = 59;
const MREMAP_FIXED: u32 = libc::MREMAP_FIXED as u32;
const SHM_REMAP: u32 = 0o40000;
const ACCESS_MODE: u32 = libc::O_ACCMODE as u32;
const MAP_ANONYMOUS: u32 = libc::MAP_ANONYMOUS as u32;
const MAP_DENYWRITE: u32 = libc::MAP_DENYWRITE as u32;
const MAP_FIXED: u32 = libc::MAP_FIXED as u32;
const MAP_SHARED: u32 = libc::MAP_SHARED as u32;
const PROT_WRITE: u32 = libc::PROT_WRITE as u32;

/// Whether a call of [`own::ARCH`] ends what is answered inside a program, whose code is so long
/// and lies here: because it puts other memory there, or because the supervisor may not reach the
/// code any more, or calls that the code makes do not reach the kernel.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn ends_answers(nr: u32, args: &[u64; 6], code: u64, len: u64) -> bool {
    let covers = |from: u64, size: u64| from < code + len && from.saturating_add(size) > code;
    match (nr, args[0] as u32) {
        (SECCOMP, operation) => operation <= libc::SECCOMP_SET_MODE_FILTER,
        (PRCTL, PR_SET_DUMPABLE) => args[1] == 0,
        (PRCTL, PR_SET_SECCOMP) => true,
        (PRCTL, PR_SET_SYSCALL_USER_DISPATCH) => args[1] != 0,
        (MMAP, _) => args[3] as u32 & MAP_FIXED != 0 && covers(args[0], args[1]),
        (MREMAP, _) => args[3] as u32 & MREMAP_FIXED != 0 && covers(args[4], args[2]),
        // How long the segment is, the call does not say.
        (SHMAT, _) => args[2] as u32 & SHM_REMAP != 0 && args[1] < code + len,
        _ => false,
    }
}

/// What such a call must answer where the answers inside could not be ended; `None`: it does no
/// harm itself.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) fn is_harmful(nr: u32, args: &[u64; 6]) -> Option<rustix::io::Errno> {
    match (nr, args[0] as u32) {
        (PRCTL, PR_SET_DUMPABLE) => None,
        (PRCTL | SECCOMP, _) => Some(rustix::io::Errno::PERM),
        _ => Some(rustix::io::Errno::NOMEM),
    }
}

impl Test {
    const ALWAYS: Self = Self { arg: 0, mask: 0, value: 0 };

    const fn of(arg: u32, mask: u32, value: u32) -> Self {
        Self { arg, mask, value }
    }
}

impl Filter {
    /// When a call of this kind is notified: if every test of one of these conditions holds. None:
    /// never.
    pub fn conditions(self, kind: SyscallKind) -> Vec<Vec<Test>> {
        match kind {
            // MAP_DENYWRITE does nothing since Linux 2.6, but the C library's loader sets it on
            // every library that it maps: privately, and where it writes at a fixed address. Only
            // such mappings are let through.
            SyscallKind::Mmap | SyscallKind::Mmap2 => {
                let flags = |mask, value| Test::of(3, mask, value);
                let shared = MAP_ANONYMOUS | MAP_DENYWRITE | MAP_SHARED;
                vec![
                    vec![flags(MAP_ANONYMOUS | MAP_DENYWRITE, 0)],
                    vec![flags(shared, MAP_DENYWRITE | MAP_SHARED)],
                    vec![
                        flags(shared | MAP_FIXED, MAP_DENYWRITE),
                        Test::of(2, PROT_WRITE, PROT_WRITE),
                    ],
                ]
            }
            kind => self.test(kind).into_iter().map(|test| vec![test]).collect(),
        }
    }

    /// When a call of this kind is notified, for those kinds that one test tells.
    fn test(self, kind: SyscallKind) -> Option<Test> {
        let full = self.fidelity == Fidelity::Full;
        let searching = full && self.node == NodeLookup::Absent;
        // Read-only opens are by far the most frequent, and no program opens the device so; O_CREAT
        // is how files are made. Such opens of the device end at the node, and become a region with
        // their first ioctl. At the level `fast` every open does; only a descriptor that is copied
        // before its first ioctl then makes two regions.
        let open = |arg| {
            if searching {
                Some(Test::ALWAYS)
            } else if full || self.node == NodeLookup::Absent {
                Some(Test::of(arg, ACCESS_MODE | libc::O_CREAT as u32, libc::O_RDWR as u32))
            } else {
                None
            }
        };
        // Of the status calls with a path, only those with an empty path, which are fstat by
        // another name.
        let at = |arg| {
            let empty = libc::AT_EMPTY_PATH as u32;
            if searching { Test::ALWAYS } else { Test::of(arg, empty, empty) }
        };
        match kind {
            SyscallKind::Open => open(1),
            SyscallKind::OpenAt => open(2),
            SyscallKind::Ioctl => Some(Test::of(1, 0xff00, ashmem_core::abi::MAGIC << 8)),
            // It remaps a region without a descriptor that could be inspected (CVE-2020-0009).
            // Programs do not call it.
            SyscallKind::Remap => Some(Test::ALWAYS),
            SyscallKind::SendFile | SyscallKind::Splice if full => Some(Test::ALWAYS),
            SyscallKind::OldMmap | SyscallKind::OpenAt2 if full => Some(Test::ALWAYS),
            SyscallKind::Fstat(_)
            | SyscallKind::Truncate
            | SyscallKind::Allocate
            | SyscallKind::Sync
                if full =>
            {
                Some(Test::ALWAYS)
            }
            SyscallKind::StatAt(_) if full => Some(at(3)),
            SyscallKind::Statx if full => Some(at(2)),
            SyscallKind::Stat(_)
            | SyscallKind::Lstat(_)
            | SyscallKind::Access
            | SyscallKind::AccessAt
            | SyscallKind::AccessAt2
                if searching =>
            {
                Some(Test::ALWAYS)
            }
            // F_ADD_SEALS and F_GET_SEALS are 1033 and 1034; their neighbours in this group of four
            // are as rare.
            SyscallKind::Fcntl if full => Some(Test::of(1, !3, 1032)),
            SyscallKind::Protect if full => {
                Some(Test::of(2, libc::PROT_EXEC as u32, libc::PROT_EXEC as u32))
            }
            _ => None,
        }
    }

    /// The program.
    pub fn program(self) -> Vec<Instruction> {
        self.assemble(None)
    }

    /// The program for processes in which calls are answered: what comes from this one instruction
    /// passes, and what would end that is notified (`ends_answers`).
    pub fn program_with_gate(self, gate: Gate) -> Vec<Instruction> {
        self.assemble(Some(gate))
    }

    fn assemble(self, gate: Option<Gate>) -> Vec<Instruction> {
        let mut tests: Vec<Vec<Vec<Test>>> = Vec::new();
        let mut code = Assembler::default();
        code.load(Field::Arch);
        for table in TABLES {
            code.jump_if_equal(table.arch, Label::SyscallTable(table.arch));
        }
        code.jump(Label::Allow);
        for table in TABLES {
            code.place(Label::SyscallTable(table.arch));
            code.load(Field::Number);
            if table.arch == X86_64 {
                code.jump_if_at_least(X32, Label::Allow);
            }
            for (number, _, kind) in table.calls {
                let conditions = self.conditions(*kind);
                if conditions.is_empty() {
                    continue;
                }
                if conditions == [[Test::ALWAYS]] {
                    code.jump_if_equal(*number, Label::Notify);
                    continue;
                }
                let known = tests.iter().position(|known| *known == conditions);
                let index = known.unwrap_or_else(|| {
                    tests.push(conditions);
                    tests.len() - 1
                });
                code.jump_if_equal(*number, Label::Test(index, 0, 0));
            }
            if gate.is_some() && table.arch == own::ARCH {
                code.jump_if_equal(SECCOMP, Label::Seccomp);
                code.jump_if_equal(PRCTL, Label::Prctl);
                code.jump_if_equal(MREMAP, Label::Mremap);
                code.jump_if_equal(SHMAT, Label::Shmat);
            }
            code.jump(Label::Allow);
        }
        for (index, conditions) in tests.iter().enumerate() {
            let is_mmap = *conditions == self.conditions(SyscallKind::Mmap);
            let otherwise = if gate.is_some() && is_mmap { Label::Mmap } else { Label::Allow };
            for (number, condition) in conditions.iter().enumerate() {
                for (step, test) in condition.iter().enumerate() {
                    code.place(Label::Test(index, number, step));
                    code.load(Field::LowArgument(test.arg));
                    code.and(test.mask);
                    let is_last = step + 1 == condition.len();
                    let holds = Label::Test(index, number, step + 1);
                    code.jump_if_equal(test.value, if is_last { Label::Notify } else { holds });
                    let others = number + 1 < conditions.len();
                    let next = Label::Test(index, number + 1, 0);
                    code.jump(if others { next } else { otherwise });
                }
            }
        }
        if let Some(gate) = gate {
            // Where a mapping of less than 4 GiB could reach the code, its address tells.
            let high = (gate.0 >> 32) as u32;
            for (label, flags, fixed, address, len) in
                [(Label::Mmap, 3, MAP_FIXED, 0, 1), (Label::Mremap, 3, MREMAP_FIXED, 4, 2)]
            {
                code.place(label);
                code.load(Field::LowArgument(flags));
                code.and(fixed);
                code.jump_if_equal(0, Label::Allow);
                code.load(Field::HighArgument(address));
                code.jump_if_equal(high, Label::Notify);
                code.jump_if_equal(high - 1, Label::Notify);
                code.load(Field::HighArgument(len));
                code.jump_if_equal(0, Label::Allow);
                code.jump(Label::Notify);
            }
            code.place(Label::Shmat);
            code.load(Field::LowArgument(2));
            code.and(SHM_REMAP);
            code.jump_if_equal(0, Label::Allow);
            code.jump(Label::Notify);
            // seccomp(2) with SECCOMP_SET_MODE_STRICT or SECCOMP_SET_MODE_FILTER.
            code.place(Label::Seccomp);
            code.load(Field::LowArgument(0));
            code.and(!1);
            code.jump_if_equal(0, Label::Notify);
            code.jump(Label::Allow);
            code.place(Label::Prctl);
            code.load(Field::LowArgument(0));
            for option in [PR_SET_SECCOMP, PR_SET_DUMPABLE, PR_SET_SYSCALL_USER_DISPATCH] {
                code.jump_if_equal(option, Label::Notify);
            }
            code.jump(Label::Allow);
        }
        code.place(Label::Notify);
        if let Some(gate) = gate {
            code.load(Field::HighPointer);
            code.jump_if_equal((gate.0 >> 32) as u32, Label::Gate);
            code.jump(Label::Ask);
            code.place(Label::Gate);
            code.load(Field::LowPointer);
            code.jump_if_equal(gate.0 as u32, Label::Allow);
            code.place(Label::Ask);
        }
        code.end(libc::SECCOMP_RET_USER_NOTIF);
        code.place(Label::Allow);
        code.end(libc::SECCOMP_RET_ALLOW);
        code.assemble()
    }
}

/// A jump target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    SyscallTable(u32),
    /// A test: of which call, in which condition, at which place in it.
    Test(usize, usize, usize),
    /// mmap(2) with flags that are of no interest.
    Mmap,
    Mremap,
    Shmat,
    Seccomp,
    Prctl,
    Notify,
    /// The high half of the pointer is the gate's.
    Gate,
    /// It is not the gate's.
    Ask,
    Allow,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::bpf::{run, run_from};
    use crate::seccomp::syscalls::{AARCH64, ARM, I386};

    const LEVELS: [Filter; 4] = [
        Filter { fidelity: Fidelity::Full, node: NodeLookup::Present },
        Filter { fidelity: Fidelity::Full, node: NodeLookup::Absent },
        Filter { fidelity: Fidelity::Fast, node: NodeLookup::Present },
        Filter { fidelity: Fidelity::Fast, node: NodeLookup::Absent },
    ];

    fn notified(filter: Filter, arch: u32, nr: u32, args: [u64; 6]) -> bool {
        match run(&filter.program(), arch, nr, args) {
            libc::SECCOMP_RET_USER_NOTIF => true,
            libc::SECCOMP_RET_ALLOW => false,
            other => panic!("action {other:#x}"),
        }
    }

    #[test]
    fn the_program_decides_as_the_table_says() {
        for filter in LEVELS {
            for table in TABLES {
                for (nr, _, kind) in table.calls {
                    for flags in [
                        0_u64,
                        1,
                        2,
                        4,
                        0x20,
                        0x42,
                        0x802,
                        0x1000,
                        0x7704,
                        0x4008_7703,
                        1033,
                        u64::MAX,
                    ] {
                        let args = [flags; 6];
                        let holds = |test: &Test| flags as u32 & test.mask == test.value;
                        let conditions = filter.conditions(*kind);
                        let want = conditions.iter().any(|tests| tests.iter().all(holds));
                        assert_eq!(
                            notified(filter, table.arch, *nr, args),
                            want,
                            "{filter:?} {kind:?} {flags:#x}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_ioctl_of_the_device_is_notified_and_no_other() {
        for filter in LEVELS {
            for (arch, nr) in [(X86_64, 16), (I386, 54), (AARCH64, 29), (ARM, 54)] {
                for cmd in
                    [0x4100_7701_u64, 0x8100_7702, 0x7704, 0xffff_ffff_8100_7702, 0x0077_0477_770a]
                {
                    assert!(notified(filter, arch, nr, [3, cmd, 0, 0, 0, 0]), "{cmd:#x}");
                }
                for cmd in [0x5401_u64, 0x7877, 0x77_0000, 0x7701_0000_5401] {
                    assert!(!notified(filter, arch, nr, [3, cmd, 0, 0, 0, 0]), "{cmd:#x}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_ours_passes() {
        for filter in LEVELS {
            for nr in [0, 1, 3, 39, 60, 231] {
                assert!(!notified(filter, X86_64, nr, [0x7704; 6]), "call {nr}");
            }
            assert!(!notified(filter, X86_64, X32 | 16, [3, 0x7704, 0, 0, 0, 0]), "x32");
            assert!(
                !notified(filter, 0x1234_5678, 16, [3, 0x7704, 0, 0, 0, 0]),
                "an unknown architecture"
            );
            let library = u64::from(MAP_DENYWRITE) | libc::MAP_PRIVATE as u64;
            assert!(
                !notified(filter, X86_64, 9, [0, 4096, 1, library, 3, 0]),
                "a library's mapping"
            );
            assert!(
                !notified(filter, X86_64, 9, [0, 4096, 3, 0x22, u64::MAX, 0]),
                "anonymous memory"
            );
        }
    }

    #[test]
    fn only_a_loaders_own_mappings_pass_by_denywrite() {
        let [private, shared, fixed] =
            [libc::MAP_PRIVATE, libc::MAP_SHARED, libc::MAP_FIXED].map(|flag| flag as u64);
        let deny = u64::from(MAP_DENYWRITE);
        for filter in LEVELS {
            for (arch, nr) in [(X86_64, 9), (I386, 192), (AARCH64, 222), (ARM, 192)] {
                let is_notified =
                    |prot, flags| notified(filter, arch, nr, [0, 4096, prot, flags, 3, 0]);
                for flags in [private, private | fixed] {
                    assert!(!is_notified(1, flags | deny) && !is_notified(5, flags | deny));
                }
                assert!(!is_notified(3, private | fixed | deny), "a library's data");
                assert!(is_notified(3, private | deny), "writable where the kernel likes");
                for prot in [0, 1, 3, 5, 7] {
                    assert!(is_notified(prot, shared | deny), "shared, {prot}");
                    assert!(is_notified(prot, shared | fixed | deny), "shared and fixed, {prot}");
                    assert!(is_notified(prot, shared) && is_notified(prot, private));
                }
            }
        }
    }

    #[test]
    fn with_a_node_only_opens_for_reading_and_writing_are_notified() {
        let present = Filter { fidelity: Fidelity::Full, node: NodeLookup::Present };
        let read_only = [CWD, 0, 0, 0, 0, 0];
        let read_write = [CWD, 0, libc::O_RDWR as u64 | libc::O_CLOEXEC as u64, 0, 0, 0];
        assert!(!notified(present, X86_64, 257, read_only));
        assert!(notified(present, X86_64, 257, read_write));
        assert!(notified(Filter { node: NodeLookup::Absent, ..present }, X86_64, 257, read_only));
    }

    #[test]
    fn one_instruction_passes_and_what_ends_that_is_notified() {
        let gate = 0x1234_5678_9abc;
        for filter in LEVELS {
            let program = filter.program_with_gate(Gate(gate));
            let notified = |pointer, arch, nr, args| {
                run_from(&program, pointer, arch, nr, args) == libc::SECCOMP_RET_USER_NOTIF
            };
            let of_ours = [3, 0x7704, 0, 0, 0, 0];
            assert!(!notified(gate, X86_64, 16, of_ours));
            for other in [0, gate - 2, gate + 1, gate & 0xffff_ffff, gate | 1 << 63] {
                assert!(notified(other, X86_64, 16, of_ours), "{other:#x}");
            }
            for (nr, args, wanted) in [
                (317, [0, 0, 0, 0, 0, 0], true),
                (317, [1, 0, 0, 0, 0, 0], true),
                (317, [3, 0, 0, 0, 0, 0], false),
                (157, [22, 2, 0, 0, 0, 0], true),
                (157, [4, 0, 0, 0, 0, 0], true),
                (157, [59, 1, 0, 0, 0, 0], true),
                (157, [38, 1, 0, 0, 0, 0], false),
                (9, [gate, 4096, 3, 0x32, u64::MAX, 0], true),
                (9, [4096, 4096, 3, 0x32, u64::MAX, 0], false),
                (9, [gate, 4096, 3, 0x10_0022, u64::MAX, 0], false),
                (9, [gate - (1 << 32), 4096, 3, 0x32, u64::MAX, 0], true),
                (9, [4096, 1 << 45, 0, 0x4032, u64::MAX, 0], true),
                (9, [4096, 1 << 45, 0, 0x4022, u64::MAX, 0], false),
                (25, [4096, 4096, 4096, 3, gate, 0], true),
                (25, [4096, 4096, 1 << 45, 3, 4096, 0], true),
                (25, [4096, 4096, 4096, 3, 4096, 0], false),
                (25, [4096, 4096, 4096, 1, gate, 0], false),
                (30, [1, gate, 0o40000, 0, 0, 0], true),
                (30, [1, gate, 0, 0, 0, 0], false),
                (39, [0; 6], false),
            ] {
                assert_eq!(notified(0, X86_64, nr, args), wanted, "{nr} {args:x?}");
            }
            // Without a gate none of that is asked.
            assert!(!self::notified(filter, X86_64, 317, [1; 6]));
        }
    }

    #[test]
    fn only_what_covers_the_code_ends_answers() {
        let (code, len) = (0x1a5e_0000_0000, 0x4000);
        let ends = |nr, args| ends_answers(nr, &args, code, len);
        let fixed = |at, size| [at, size, 3, 0x32, u64::MAX, 0];
        assert!(ends(MMAP, fixed(code, 1)) && ends(MMAP, fixed(code + len - 4096, 4096)));
        assert!(ends(MMAP, fixed(code - 4096, 4097)) && ends(MMAP, fixed(4096, u64::MAX)));
        assert!(!ends(MMAP, fixed(code - 4096, 4096)) && !ends(MMAP, fixed(code + len, 4096)));
        assert!(!ends(MMAP, [code, 4096, 3, 0x22, u64::MAX, 0]));
        assert!(ends(MREMAP, [0, 4096, 4096, 3, code, 0]));
        assert!(!ends(MREMAP, [code, 4096, 4096, 1, 0, 0]));
        assert!(ends(SHMAT, [1, 4096, 0o40000, 0, 0, 0]) && !ends(SHMAT, [1, 4096, 0, 0, 0, 0]));
        assert!(ends(PRCTL, [4, 0, 0, 0, 0, 0]) && !ends(PRCTL, [4, 1, 0, 0, 0, 0]));
        assert!(ends(PRCTL, [59, 1, 0, 0, 0, 0]) && !ends(PRCTL, [59, 0, 0, 0, 0, 0]));
        assert!(ends(PRCTL, [22, 2, 0, 0, 0, 0]) && !ends(PRCTL, [38, 1, 0, 0, 0, 0]));
        assert!(ends(SECCOMP, [1, 0, 0, 0, 0, 0]) && !ends(SECCOMP, [2, 0, 0, 0, 0, 0]));
    }

    const CWD: u64 = crate::seccomp::syscalls::CWD as u32 as u64;
}
