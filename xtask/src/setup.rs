// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask setup`: everything the other verbs need, on a bare Debian 12 that has Rust.

use crate::debian::host::{
    Missing, ensure_for_release, ensure_packages, missing_for_release, missing_packages,
};
use crate::debian::kernel::{Kernel, Line, Platform};
use crate::debian::toolchain::Toolchain;
use crate::integration::kubernetes;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::Result;
use clap::{Args, ValueEnum};
use std::process::{Command, ExitCode};

/// Install and fetch everything the other verbs need
///
/// Installs the Debian packages that are missing (nothing recommended, only what is needed) and
/// removes none, then fetches the stock kernels with their headers into target/ashmem and makes the
/// chroot the newest one builds in. What is there already is left alone: a second run does nothing
/// and takes a moment. Without root it installs nothing and prints the one command to run.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Kernels to fetch, or build where they are debug kernels; `none` for none [default: the four
    /// stock ones]
    #[arg(long, value_delimiter = ',', value_name = "KERNELS")]
    kernels: Vec<Choice>,
    /// The kernels' architecture; another than this machine's wants a compiler and an emulator of
    /// its own, fetched as well
    #[arg(long, default_value_t)]
    arch: Arch,
    /// Only the packages that `cargo xtask release` and the trials of its packages need
    #[arg(long, conflicts_with_all = ["kernels", "arch", "refresh"])]
    release: bool,
    /// Look for newer kernels than the cached ones
    #[arg(long)]
    refresh: bool,
    /// Only say what is missing; status 1 if anything is
    #[arg(long)]
    check: bool,
}

/// A line of kernels, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Line(Line),
    None,
}

impl ValueEnum for Choice {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self::Line(Line::V5_10),
            Self::Line(Line::V6_1),
            Self::Line(Line::V6_12),
            Self::Line(Line::Newest),
            Self::Line(Line::V6_12LargePages),
            Self::Line(Line::NewestLargePages),
            Self::Line(Line::V6_16),
            Self::Line(Line::V6_17),
            Self::Line(Line::V6_18),
            Self::Line(Line::V6_19),
            Self::Line(Line::V7_0),
            Self::Line(Line::V7_1),
            Self::Line(Line::Kasan),
            Self::Line(Line::Kcsan),
            Self::Line(Line::Cfi),
            Self::Line(Line::Rt),
            Self::Line(Line::KasanTags),
            Self::None,
        ]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::Line(line) => line.to_possible_value(),
            Self::None => Some(clap::builder::PossibleValue::new("none").help("no kernel")),
        }
    }
}

impl Setup {
    /// Does what is missing.
    pub(crate) fn run(self) -> Result<ExitCode> {
        if self.release {
            if self.check {
                return Ok(check(&missing_for_release()?, &[]));
            }
            ensure_for_release()?;
            hand_over()?;
            eprintln!("everything for a release is there");
            return Ok(ExitCode::SUCCESS);
        }
        let lines: Vec<Line> = if self.kernels.is_empty() {
            Line::ALL.to_vec()
        } else {
            let lines = self.kernels.iter().filter_map(|choice| match choice {
                Choice::Line(line) => Some(*line),
                Choice::None => None,
            });
            lines.collect()
        };
        let platforms: Vec<_> =
            lines.into_iter().map(|line| Platform { arch: self.arch, line }).collect();
        if self.check {
            return Ok(check(&missing_packages(&platforms)?, &platforms));
        }
        ensure_packages(&platforms)?;
        for platform in &platforms {
            let platform = *platform;
            let kernel =
                if self.refresh { Kernel::refresh(platform) } else { Kernel::fetch(platform) }?;
            eprintln!("kernel {platform}: {} ({})", kernel.release, kernel.version);
        }
        Toolchain::ensure(self.arch)?;
        kubernetes::Validator::ensure()?;
        hand_over()?;
        eprintln!("everything is there");
        Ok(ExitCode::SUCCESS)
    }
}

fn check(packages: &[Missing], platforms: &[Platform]) -> ExitCode {
    let is_missing = |platform: &&Platform| Kernel::cached(**platform).is_none();
    let kernels: Vec<_> = platforms.iter().filter(is_missing).collect();
    for (package, reason) in packages {
        println!("package {package} is missing: {reason}");
    }
    for platform in &kernels {
        println!("kernel {platform} is not fetched");
    }
    if packages.is_empty() && kernels.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives the cache to the person behind `sudo`, who goes on without it.
fn hand_over() -> Result<()> {
    let (Ok(user), Ok(group)) = (std::env::var("SUDO_UID"), std::env::var("SUDO_GID")) else {
        return Ok(());
    };
    let cache = workspace::cache("")?;
    process::capture(Command::new("chown").args(["-R", &format!("{user}:{group}")]).arg(cache))?;
    Ok(())
}
