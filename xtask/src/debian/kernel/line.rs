// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lines of kernels that a person may choose, and what is known of each without looking: where
//! it comes from, how it is built, what a machine that runs it is told and allowed.

use crate::debian::archive::{DEBIAN, SECURITY, Suite};
use crate::util::arch::Arch;
use std::fmt;

/// A line of kernels, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub(crate) enum Line {
    /// Debian 11's, the last with a C ashmem of its own
    #[value(name = "5.10")]
    V5_10,
    /// Debian 12's
    #[value(name = "6.1")]
    V6_1,
    /// Debian 12's backport
    #[value(name = "6.12")]
    V6_12,
    /// the newest in Debian: Debian 13's backport
    #[value(name = "newest")]
    Newest,
    /// 6.12 with pages of 16 KiB; for arm64 alone
    #[value(name = "6.12-16k")]
    V6_12LargePages,
    /// the newest with pages of 16 KiB; for arm64 alone
    #[value(name = "newest-16k")]
    NewestLargePages,
    /// Debian 13's backport of that line: an image without headers, for `--provider none`
    #[value(name = "6.16")]
    V6_16,
    /// the same of this line
    #[value(name = "6.17")]
    V6_17,
    /// the same of this line
    #[value(name = "6.18")]
    V6_18,
    /// the same of this line, and without modules
    #[value(name = "6.19")]
    V6_19,
    /// the same of this line, and without modules
    #[value(name = "7.0")]
    V7_0,
    /// the same of this line, and without modules
    #[value(name = "7.1")]
    V7_1,
    /// 6.12 built here with KASAN, UBSAN, lockdep, kmemleak, KCOV and failures on demand; the first
    /// build takes about 20 minutes on two processors, and 2.5 GB with the source
    Kasan,
    /// 6.12 built here with KCSAN, which finds data races; about 15 minutes
    Kcsan,
    /// 6.12 built here by clang with thin LTO and kCFI, as on phones; about 25 minutes
    Cfi,
    /// 6.12 built here with PREEMPT_RT and lockdep, where a spinlock_t sleeps; about 15 minutes
    Rt,
    /// 6.12 built here for arm64 with KASAN by tags in pointers, as on phones; no build of it has
    /// come to its end yet
    KasanTags,
}

impl Line {
    /// Every line of stock kernels, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::Newest];

    /// Every line of stock kernels for arm64, those with large pages among them.
    pub(crate) const ARM64: [Self; 6] = [
        Self::V5_10,
        Self::V6_1,
        Self::V6_12,
        Self::V6_12LargePages,
        Self::Newest,
        Self::NewestLargePages,
    ];

    /// The lines between them: the archive keeps their images and nothing to build a module with.
    pub(crate) const BETWEEN: [Self; 6] =
        [Self::V6_16, Self::V6_17, Self::V6_18, Self::V6_19, Self::V7_0, Self::V7_1];

    /// The line's name as typed and shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
            Self::V6_12LargePages => "6.12-16k",
            Self::NewestLargePages => "newest-16k",
            Self::V6_16 => "6.16",
            Self::V6_17 => "6.17",
            Self::V6_18 => "6.18",
            Self::V6_19 => "6.19",
            Self::V7_0 => "7.0",
            Self::V7_1 => "7.1",
            Self::Kasan => "kasan",
            Self::Kcsan => "kcsan",
            Self::Cfi => "cfi",
            Self::Rt => "rt",
            Self::KasanTags => "kasan-tags",
        }
    }

    /// Where Debian has the line for an architecture.
    pub(super) const fn suites(self, arch: Arch) -> &'static [Suite] {
        match self {
            // The security archive names newer ones for arm64 and does not hold them all.
            Self::V5_10 if matches!(arch, Arch::Arm64) => &[(DEBIAN, "bullseye")],
            Self::V5_10 => &[(SECURITY, "bullseye-security")],
            Self::V6_1 => &[(DEBIAN, "bookworm"), (SECURITY, "bookworm-security")],
            Self::V6_12
            | Self::V6_12LargePages
            | Self::Kasan
            | Self::Kcsan
            | Self::Cfi
            | Self::Rt
            | Self::KasanTags => &[(DEBIAN, "bookworm-backports")],
            Self::Newest
            | Self::NewestLargePages
            | Self::V6_16
            | Self::V6_17
            | Self::V6_18
            | Self::V6_19
            | Self::V7_0
            | Self::V7_1 => &[(DEBIAN, "trixie-backports")],
        }
    }

    /// The Debian release whose compiler and tools the line's headers need, where it is not the
    /// host's own.
    pub(super) const fn foreign_tools(self) -> Option<&'static str> {
        match self {
            Self::Newest | Self::NewestLargePages => Some("trixie"),
            _ => None,
        }
    }

    /// Whether the archive has what modules are built with for it.
    pub(super) fn has_headers(self) -> bool {
        !Self::BETWEEN.contains(&self)
    }

    /// Whether its pages have 16 KiB, which arm64's may.
    pub(crate) const fn has_large_pages(self) -> bool {
        matches!(self, Self::V6_12LargePages | Self::NewestLargePages)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// The line whose source they are built from: its interfaces are theirs.
pub(super) const LIKE: Line = Line::V6_12;

/// What every debug kernel has, and between two marks what only those for x86-64 have.
const BASE: &str = include_str!("../../../kernels/base.config");
const X86_64_BEGINS: &str = "# x86-64 alone: begin";
const X86_64_ENDS: &str = "# x86-64 alone: end";
/// What those for arm64 have in its place.
const ARM64: &str = include_str!("../../../kernels/arm64.config");

/// How one of them is made, and what a machine that runs it must be told and allowed.
pub(crate) struct Recipe {
    /// Its own configuration, on top of the common one.
    fragment: &'static str,
    /// The compiler, for `--version`.
    pub(super) compiler: &'static str,
    /// What make is told, for the kernel and for modules.
    pub(super) make: &'static [&'static str],
    /// How the module's Rust half is compiled for it; the C half takes what it wants from the
    /// kernel's own flags.
    instruments: Instruments,
    /// How many times longer than on a stock kernel anything may take in its machine.
    patience: u32,
    /// What building it wants beside what everything wants.
    packages: &'static [(&'static str, &'static str)],
}

/// Flags for rustc that watch what the module's Rust half does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Instruments {
    /// For `core` and the module alike.
    pub(crate) every_crate: &'static [&'static str],
    /// For the module, with all of `core` that ends up in it.
    pub(crate) own_crate: &'static [&'static str],
}

impl Instruments {
    /// For kernels that watch compiled code by other means than the compiler's.
    const NONE: Self = Self { every_crate: &[], own_crate: &[] };
}

/// What scripts/Makefile.kasan gives the kernel's own Rust, but for the global variables: their
/// registration would keep every table of `core` in the module, and the panics that print them. The
/// offset is x86-64's.
const KERNEL_ADDRESS: Instruments = Instruments {
    every_crate: &[
        "-Zsanitizer=kernel-address",
        "-Zsanitizer-recover=kernel-address",
        "-Cllvm-args=-asan-mapping-offset=0xdffffc0000000000",
        "-Cllvm-args=-asan-instrumentation-with-call-threshold=10000",
        "-Cllvm-args=-asan-stack=1",
        "-Cllvm-args=-asan-globals=0",
    ],
    // Coverage, as scripts/Makefile.kcov asks gcc for it.
    own_crate: &[
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=3",
        "-Cllvm-args=-sanitizer-coverage-trace-pc",
    ],
};

/// The same for arm64, where each access is checked by a call.
pub(super) const KERNEL_ADDRESS_ARM64: Instruments = Instruments {
    every_crate: &[
        "-Zsanitizer=kernel-address",
        "-Zsanitizer-recover=kernel-address",
        "-Cllvm-args=-asan-mapping-offset=0xdfff800000000000",
        "-Cllvm-args=-asan-instrumentation-with-call-threshold=0",
        "-Cllvm-args=-asan-stack=1",
        "-Cllvm-args=-asan-globals=0",
    ],
    ..KERNEL_ADDRESS
};

/// As scripts/Makefile.kcsan asks clang for it; plain copies of memory stay calls of the kernel's
/// own memcpy.
const THREAD: Instruments = Instruments {
    every_crate: &[
        "-Zsanitizer=thread",
        "-Cllvm-args=-tsan-compound-read-before-write=1",
        "-Cllvm-args=-tsan-distinguish-volatile=1",
        "-Cllvm-args=-tsan-instrument-func-entry-exit=0",
        "-Cllvm-args=-tsan-instrument-memintrinsics=0",
    ],
    own_crate: &[],
};

const KASAN: Recipe = Recipe {
    fragment: include_str!("../../../kernels/kasan.config"),
    compiler: "gcc",
    make: &["CC=gcc"],
    instruments: KERNEL_ADDRESS,
    patience: 6,
    packages: &[],
};
const KCSAN: Recipe = Recipe {
    fragment: include_str!("../../../kernels/kcsan.config"),
    instruments: THREAD,
    ..KASAN
};
const RT: Recipe = Recipe {
    fragment: include_str!("../../../kernels/rt.config"),
    instruments: Instruments::NONE,
    patience: 4,
    ..KASAN
};
/// The Rust half bears no checks of its own: what is seen is that it goes about with such pointers.
const KASAN_TAGS: Recipe = Recipe {
    fragment: include_str!("../../../kernels/kasan-tags.config"),
    instruments: Instruments::NONE,
    ..KASAN
};
const CFI: Recipe = Recipe {
    fragment: include_str!("../../../kernels/cfi.config"),
    compiler: "clang-19",
    make: &["LLVM=-19"],
    instruments: Instruments::NONE,
    patience: 2,
    packages: &[
        ("clang-19", "the kernel that clang builds"),
        ("lld-19", "the kernel that clang builds"),
        ("llvm-19", "the kernel that clang builds"),
    ],
};

impl Line {
    /// The kernels that are built here, for the faults that stock ones do not show.
    pub(crate) const DEBUG: [Self; 4] = [Self::Kasan, Self::Kcsan, Self::Cfi, Self::Rt];
    /// The same for arm64.
    pub(crate) const DEBUG_ARM64: [Self; 2] = [Self::Kasan, Self::KasanTags];

    /// How the line's kernel is made here; nothing for a stock one.
    pub(super) const fn recipe(self) -> Option<&'static Recipe> {
        match self {
            Self::Kasan => Some(&KASAN),
            Self::Kcsan => Some(&KCSAN),
            Self::Cfi => Some(&CFI),
            Self::Rt => Some(&RT),
            Self::KasanTags => Some(&KASAN_TAGS),
            _ => None,
        }
    }

    /// The stock line whose interfaces the line's kernel has: itself for a stock one with usual
    /// pages.
    pub(crate) fn interfaces(self) -> Self {
        match self {
            Self::V6_12LargePages => Self::V6_12,
            Self::NewestLargePages => Self::Newest,
            _ if self.recipe().is_some() => LIKE,
            _ => self,
        }
    }

    /// How many times longer than on a stock kernel anything may take.
    pub(crate) fn patience(self) -> u32 {
        self.recipe().map_or(1, |recipe| recipe.patience)
    }

    /// How the module's Rust half is compiled for the line.
    pub(super) fn instruments(self) -> Instruments {
        self.recipe().map_or(Instruments::NONE, |recipe| recipe.instruments)
    }

    /// The packages that the line wants beside what everything wants, and for what.
    pub(crate) fn packages(self) -> &'static [(&'static str, &'static str)] {
        self.recipe().map_or(&[], |recipe| recipe.packages)
    }

    /// What make is told of the compiler.
    pub(super) fn make_variables(self) -> &'static [&'static str] {
        self.recipe().map_or(&["CC=gcc"], |recipe| recipe.make)
    }

    /// What the kernel is told when it boots, beside what every kernel is told.
    pub(crate) fn boot_words(self) -> &'static str {
        match self.recipe() {
            // An instrumented kernel under emulation is slow, not stuck: half a minute of one
            // processor's silence is usual where the host has other work as well.
            Some(_) => "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120",
            None => "",
        }
    }
}

impl Recipe {
    /// What the kernel's configuration is asked to hold.
    pub(super) fn wishes(&self, arch: Arch) -> String {
        match arch {
            Arch::X86_64 => format!("{BASE}{}", self.fragment),
            Arch::Arm64 => format!("{}{ARM64}{}", for_any_architecture(), self.fragment),
        }
    }
}

/// What every debug kernel has on any architecture.
fn for_any_architecture() -> String {
    let mut is_x86_64 = false;
    let mut text = String::new();
    for line in BASE.lines() {
        match line {
            X86_64_BEGINS => is_x86_64 = true,
            X86_64_ENDS => is_x86_64 = false,
            _ if is_x86_64 => {}
            _ => text.extend([line, "\n"]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{ARM64, BASE, Line};

    #[test]
    fn every_line_of_a_fragment_is_a_wish_or_a_word_about_it() {
        let fragments =
            Line::DEBUG.iter().filter_map(|line| line.recipe()).map(|recipe| recipe.fragment);
        for line in fragments.chain([BASE, ARM64]).flat_map(str::lines) {
            let is_wish = line.starts_with("CONFIG_") && line.contains('=');
            assert!(line.is_empty() || line.starts_with("# ") || is_wish, "{line}");
        }
    }
}
