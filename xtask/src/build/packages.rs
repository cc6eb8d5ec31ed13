//! `cargo xtask package`: the Debian packages, and their life in real Debian systems.

use crate::debian::host;
use crate::util::steps::{Step, Verdict};
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::build::stage::{self, Version};
use crate::integration::packages::release::Release;
use crate::integration::packages::trial::{self, Trial};
use crate::integration::packages::{faults, service, signing};

/// Build the Debian packages: ashmem, ashmem-dkms, libashmem0, libashmem-dev
///
/// Builds the program, the library and the module's Rust half, builds that half a second time from the sources that are
/// packed and compares the two, then packs everything by debian/rules and lets lintian look at it. Leaves the packages in
/// target/packages and prints their paths. They are for amd64, for Debian 12 and newer; ashmem-dkms also for Debian 11.
#[derive(Debug, clap::Args)]
pub(crate) struct Package {
    /// The version to give them, where it is not this tree's own
    #[arg(long, value_name = "VERSION")]
    version: Option<Version>,
    /// Install, upgrade, downgrade, boot, remove and purge them in a system of this release (needs root)
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
}

impl Package {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        host::ensure(&[])?;
        if let Some(release) = self.trial {
            let trial = trial(release, self.built)?;
            let seen = match (self.faults, self.signing, self.service) {
                (true, ..) => faults::run(&trial)?,
                (_, true, _) => signing::run(&trial)?,
                (.., true) => service::run(&trial)?,
                _ => trial.run()?,
            };
            println!("{seen}");
            return Ok(ExitCode::SUCCESS);
        }
        let version = self.version.clone().map_or_else(Version::of_this_tree, Ok)?;
        for package in publish(&build(&version, true)?)? {
            println!("{}", package.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The packages' tests: their life in each release; what goes wrong, and signing, in Debian 12.
pub(crate) fn steps() -> Vec<Step> {
    let on = |what: &str, release: Release, attempt: fn(&Trial) -> Result<String>| {
        Step::new(format!("packages on {release}, {what}"), move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Verdict::Skipped("making and mounting a system needs root".to_owned()));
            }
            attempt(&trial(release, false)?).map(Verdict::Passed)
        })
    };
    let mut steps = vec![
        on("life", Release::Bookworm, Trial::run),
        on("faults", Release::Bookworm, faults::run),
        on("signing", Release::Bookworm, signing::run),
        on("service", Release::Bookworm, service::run),
    ];
    steps.extend([Release::Trixie, Release::Sid, Release::Bullseye].map(|release| on("life", release, Trial::run)));
    steps
}

/// How long DKMS takes for the module on a Debian 12 that installs it: by the clock, and on processors.
pub(crate) fn build_time() -> Result<(Duration, Duration)> {
    const MARK: &str = "nanoseconds:";
    let version = Version::of_this_tree()?;
    let packages = built_once(&version, false)?;
    let (before, version_before) = (Vec::new(), version.clone());
    let trial = Trial { release: Release::Bookworm, packages, before, version, version_before };
    let machine = trial.machine("bench")?;
    machine.must(&trial::install(&trial.packages))?;
    let kernel = machine.kernels()?.into_iter().next().context("the machine has no kernel")?;
    let of_kernel = format!("-m ashmem -v {} -k {kernel}", trial.version);
    let before = process::children_time();
    let said = machine.must(&format!(
        "dkms unbuild {of_kernel}\nbegin=$(date +%s%N)\ndkms build {of_kernel}\necho {MARK} $(( $(date +%s%N) - begin ))"
    ))?;
    let elapsed = said.lines().find_map(|line| line.strip_prefix(MARK)).context("the machine told no time")?;
    let elapsed = elapsed.trim().parse().context("reading the time of the build")?;
    Ok((Duration::from_nanos(elapsed), process::children_time().saturating_sub(before)))
}

/// Builds the packages of a version, and lets lintian look at them where they are to be given away.
fn build(version: &Version, lint_them: bool) -> Result<Vec<PathBuf>> {
    let folder = folder(version)?;
    let _lock = workspace::lock("packages")?;
    workspace::make_whole(&folder, |part| {
        let tree = part.join("ashmem-linux");
        stage::fill(&tree, version)?;
        let mut command = Command::new("dpkg-buildpackage");
        command.args(["--build=binary", "--no-sign"]).current_dir(&tree);
        let (text, status) = process::capture_both(&mut command)?;
        if !status.success() {
            bail!("{} ended with {}:\n{text}", process::line(&command), process::describe(status));
        }
        if lint_them {
            lint(&packages(part)?)?;
        }
        fs::remove_dir_all(&tree).context("removing the tree the packages were made from")
    })?;
    packages(&folder)
}

/// Lays the packages where people find them, and takes away those of earlier builds.
fn publish(built: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let folder = workspace::root().join("target/packages");
    workspace::make_whole(&folder, |part| {
        for package in built {
            let name = package.file_name().context("a package has a name")?;
            fs::copy(package, part.join(name)).with_context(|| format!("copying {}", package.display()))?;
        }
        Ok(())
    })?;
    packages(&folder)
}

/// The packages of a version as the first trial of this run built them.
fn built_once(version: &Version, lint_them: bool) -> Result<Vec<PathBuf>> {
    static BUILT: Mutex<BTreeMap<String, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(packages) = built.get(version.as_str()) {
        return Ok(packages.clone());
    }
    let packages = build(version, lint_them)?;
    built.insert(version.as_str().to_owned(), packages.clone());
    Ok(packages)
}

/// The packages of this tree and of a version before it, for a release: Debian 11 gets the module's alone.
fn trial(release: Release, built: bool) -> Result<Trial> {
    let version = Version::of_this_tree()?;
    let version_before: Version = format!("0.0.1~before.{version}").parse().map_err(anyhow::Error::msg)?;
    let of = |version: &Version, lint_them| -> Result<Vec<PathBuf>> {
        let mut packages = if built { packages(&folder(version)?)? } else { built_once(version, lint_them)? };
        packages.retain(|package| !release.has_own_driver() || package.to_string_lossy().contains("ashmem-dkms_"));
        Ok(packages)
    };
    Ok(Trial { release, packages: of(&version, true)?, before: of(&version_before, false)?, version, version_before })
}

/// Where a version's packages are left.
fn folder(version: &Version) -> Result<PathBuf> {
    Ok(workspace::cache("packages")?.join(version.as_str()))
}

/// The packages in a folder, in order.
fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|ending| ending == "deb"));
    found.sort();
    Ok(found)
}

/// Debian's checker; whatever it says above a hint is a failure.
fn lint(packages: &[PathBuf]) -> Result<()> {
    let mut command = Command::new("lintian");
    command.args(["--allow-root", "--fail-on", "error,warning", "--display-info", "--tag-display-limit", "0"]);
    let (text, status) = process::capture_both(command.args(packages))?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(&command), process::describe(status));
    }
    eprint!("{text}");
    Ok(())
}
