// SPDX-License-Identifier: MIT OR Apache-2.0
//! `cargo xtask package`: the Debian packages, and their life in real Debian systems.

use crate::build::packages::{build, publish};
use crate::build::stage::Version;
use crate::debian::host;
use crate::integration::packages::others::{self, Manager};
use crate::integration::packages::release::Release;
use crate::integration::packages::{faults, installer, service, signing, supervisors, trial};
use crate::util::arch::Arch;
use anyhow::Result;
use std::process::ExitCode;

/// Build the Debian packages: ashmem, ashmem-dkms, libashmem0, libashmem-dev
///
/// Builds the program, the library and the module's Rust half, builds that half a second time from
/// the sources that are packed and compares the two, then packs everything by debian/rules and lets
/// lintian look at it. Leaves the packages in target/packages and prints their paths. They are for
/// Debian 12 and newer; ashmem-dkms is for all architectures, and also for Debian 11.
#[derive(Debug, clap::Args)]
pub(crate) struct Package {
    /// The architecture they are for
    #[arg(long, default_value_t, conflicts_with = "trial")]
    arch: Arch,
    /// The version to give them, where it is not this tree's own
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// Install, upgrade, downgrade, boot, remove and purge them in a system of this release (needs
    /// root)
    #[arg(long, value_name = "RELEASE", conflicts_with = "version")]
    trial: Option<Release>,
    /// With --trial: make what goes wrong on people's machines go wrong, instead
    #[arg(long, requires = "trial")]
    faults: bool,
    /// With --trial: take the packages that were built last
    #[arg(long, requires = "trial")]
    built: bool,
    /// With --trial: a kernel that takes signed modules alone, instead
    #[arg(long, requires = "trial", conflicts_with = "faults")]
    signing: bool,
    /// With --trial: the agent as systemd's service, killed and started anew, instead
    #[arg(long, requires = "trial", conflicts_with_all = ["faults", "signing"])]
    service: bool,
    /// With --trial: the agent and the module as services of OpenRC and runit, instead
    #[arg(long, requires = "trial", conflicts_with_all = ["faults", "signing", "service"])]
    supervisors: bool,
    /// With --trial: `ashmem module install` without packages, by DKMS and by kbuild, instead
    #[arg(
        long,
        requires = "trial",
        conflicts_with_all = ["faults", "signing", "service", "supervisors"]
    )]
    installer: bool,
    /// With --trial: the RPM packages of a release, by dnf and rpm, instead; with --built of the
    /// one that `cargo xtask release` made last
    #[arg(
        long,
        requires = "trial",
        conflicts_with_all = ["faults", "signing", "service", "supervisors", "installer"]
    )]
    rpm: bool,
    /// With --trial: Arch's packages of a release, by pacman, in the same way
    #[arg(
        long,
        requires = "trial",
        conflicts_with_all = ["faults", "signing", "service", "supervisors", "installer", "rpm"]
    )]
    pacman: bool,
}

impl Package {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        host::ensure(&[])?;
        if let Some(release) = self.trial.filter(|_| self.installer) {
            println!("{}", installer::run(release)?);
            return Ok(ExitCode::SUCCESS);
        }
        let manager = if self.rpm {
            Some(Manager::Rpm)
        } else if self.pacman {
            Some(Manager::Pacman)
        } else {
            None
        };
        if let (Some(release), Some(manager)) = (self.trial, manager) {
            println!("{}", others::run(release, manager, self.built)?);
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(release) = self.trial {
            let trial = trial(release, self.built)?;
            let seen = if self.faults {
                faults::run(&trial)?
            } else if self.signing {
                signing::run(&trial)?
            } else if self.service {
                service::run(&trial)?
            } else if self.supervisors {
                supervisors::run(&trial)?
            } else {
                trial.run()?
            };
            println!("{seen}");
            return Ok(ExitCode::SUCCESS);
        }
        let version = self.version.clone().map_or_else(Version::of_this_tree, Ok)?;
        for package in publish(&build(self.arch, &version, true)?)? {
            println!("{}", package.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
