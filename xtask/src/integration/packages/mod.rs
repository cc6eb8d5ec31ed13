// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages' life in real Debian systems: Debian's, and those of RPM and Arch in the root of
//! one.

pub(crate) mod faults;
pub(crate) mod installer;
mod machine;
pub(crate) mod others;
mod readme;
pub(crate) mod release;
pub(crate) mod released;
pub(crate) mod service;
pub(crate) mod signing;
pub(crate) mod supervisors;
mod trial;

use crate::build::packages::{self, built_once, folder, packages};
use crate::build::stage::Version;
use crate::debian::host;
use crate::debian::kernel::{Line, Platform};
use crate::util::arch::Arch;
use crate::util::process;
use crate::util::steps::{Step, StepResult};
use anyhow::{Context, Result};
use release::Release;
use std::path::PathBuf;
use std::time::Duration;
use trial::Trial;

/// The packages' tests: their life in each release; what goes wrong, and signing, in Debian 12; a
/// release, and the packages of RPM and Arch that it has.
pub(crate) fn steps() -> Vec<Step> {
    let on = |what: &str, release: Release, attempt: fn(&Trial) -> Result<String>| {
        Step::new(format!("packages on {release}, {what}"), move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(StepResult::Skipped(
                    "making and mounting a system needs root".to_owned(),
                ));
            }
            attempt(&trial(release, false)?).map(StepResult::Passed)
        })
    };
    let mut steps = vec![
        on("life", Release::Bookworm, Trial::run),
        on("faults", Release::Bookworm, faults::run),
        on("signing", Release::Bookworm, signing::run),
        on("service", Release::Bookworm, service::run),
        on("supervisors", Release::Bookworm, supervisors::run),
    ];
    steps.push(Step::new("ashmem module install on bookworm", || {
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped("making and mounting a system needs root".to_owned()));
        }
        installer::run(Release::Bookworm).map(StepResult::Passed)
    }));
    steps.push(Step::new("what a release gives away", || {
        released::run(false).map(StepResult::Passed)
    }));
    steps.extend(others::Manager::ALL.map(|manager| {
        Step::new(format!("{} packages on bookworm", manager.name()), move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(StepResult::Skipped("entering a root needs root".to_owned()));
            }
            others::run(Release::Bookworm, manager, false).map(StepResult::Passed)
        })
    }));
    steps.push(Step::new("packages on bookworm for arm64, life", || {
        host::ensure(&[Platform { arch: Arch::Arm64, line: Line::V6_1 }])?;
        if !rustix::process::geteuid().is_root() {
            return Ok(StepResult::Skipped("making and mounting a system needs root".to_owned()));
        }
        for_arm64()?.first_life().map(StepResult::Passed)
    }));
    steps.extend(
        [Release::Trixie, Release::Sid, Release::Bullseye]
            .map(|release| on("life", release, Trial::run)),
    );
    steps
}

/// The packages of this tree for arm64 in Debian 12.
fn for_arm64() -> Result<Trial> {
    let version = Version::of_this_tree()?;
    let before = packages::build(Arch::Arm64, &version, true)?;
    Ok(Trial {
        arch: Arch::Arm64,
        release: Release::Bookworm,
        packages: before.clone(),
        before,
        version_before: version.clone(),
        version,
    })
}

/// How long DKMS takes for the module on a Debian 12 that installs it: by the clock, and on
/// processors.
pub(crate) fn build_time() -> Result<(Duration, Duration)> {
    const MARK: &str = "nanoseconds:";
    let version = Version::of_this_tree()?;
    let packages = built_once(&version, false)?;
    let (before, version_before) = (Vec::new(), version.clone());
    let (arch, release) = (Arch::X86_64, Release::Bookworm);
    let trial = Trial { arch, release, packages, before, version, version_before };
    let machine = trial.machine("bench")?;
    machine.must(&trial::install(&trial.packages))?;
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let of_kernel = format!("-m ashmem -v {} -k {kernel}", trial.version);
    let before = process::children_time();
    let said = machine.must(&format!(
        "dkms unbuild {of_kernel}\n\
         begin=$(date +%s%N)\n\
         dkms build {of_kernel}\n\
         echo {MARK} $(( $(date +%s%N) - begin ))"
    ))?;
    let elapsed = said
        .lines()
        .find_map(|line| line.strip_prefix(MARK))
        .context("the machine told no time")?;
    let elapsed = elapsed.trim().parse().context("reading the time of the build")?;
    Ok((Duration::from_nanos(elapsed), process::children_time().saturating_sub(before)))
}

/// The packages of this tree and of a version before it, for a release: Debian 11 gets the module's
/// alone.
pub(crate) fn trial(release: Release, built: bool) -> Result<Trial> {
    let version = Version::of_this_tree()?;
    let version_before: Version =
        format!("0.0.1~before.{version}").parse().map_err(anyhow::Error::msg)?;
    let of = |version: &Version, lint_them| -> Result<Vec<PathBuf>> {
        let mut packages = if built {
            packages(&folder(Arch::X86_64, version)?)?
        } else {
            built_once(version, lint_them)?
        };
        packages.retain(|package| {
            !release.has_own_driver() || package.to_string_lossy().contains("ashmem-dkms_")
        });
        Ok(packages)
    };
    Ok(Trial {
        arch: Arch::X86_64,
        release,
        packages: of(&version, true)?,
        before: of(&version_before, false)?,
        version,
        version_before,
    })
}
