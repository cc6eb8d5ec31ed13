// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packages of this host that the verbs need, and how apt is asked for them.

use crate::debian::backports::Backport;
use crate::debian::kernel::{Kernel, Line, Platform};
use crate::util::arch::Arch;
use crate::util::steps::StepResult;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Instant;

/// What is installed, and for what.
const PACKAGES: &[(&str, &str)] = &[
    ("bc", "kbuild of older kernels"),
    ("binutils", "linking the module, looking at its symbols"),
    ("bison", "configuring the debug kernels"),
    ("bpftrace", "a page of docs/ that compares with it"),
    ("busybox-static", "a shell for the test machine and for containers"),
    ("ca-certificates", "apt and cargo over https"),
    ("chromium-headless-shell", "seeing the pages of `ashmem report`"),
    ("cmake", "compiling against the C library as its users do"),
    ("containerd", "containers under the agent"),
    ("crun", "containers under the agent"),
    ("debian-archive-keyring", "checking what comes from Debian's archives"),
    ("debhelper", "building the packages"),
    (
        "debootstrap",
        "the chroot the newest kernel's headers need, the systems packages are tried in",
    ),
    ("dpkg-dev", "building the packages"),
    ("e2fsprogs", "the images of a container that Waydroid starts"),
    ("fish", "its opinion of the completions"),
    ("flex", "configuring the debug kernels"),
    ("fonts-dejavu-core", "letters on these pages"),
    ("g++", "the C library's headers and examples as C++"),
    ("gcc", "the module's C half"),
    ("golang-go", "a client in Go"),
    ("kmod", "the index of a kernel's modules"),
    // With lib32gcc-12-dev in gcc-multilib's place, which conflicts with every cross compiler.
    ("libc6-dev-i386", "32-bit clients"),
    ("libc6-dev", "static programs"),
    ("lib32gcc-12-dev", "32-bit clients"),
    ("libelf-dev", "kbuild's objtool"),
    ("lintian", "checking the packages"),
    ("linux-perf", "a page of docs/ that compares with it"),
    ("lxc", "containers under the agent"),
    ("make", "kbuild"),
    ("mandoc", "checking the manual pages"),
    ("meson", "compiling against the C library as its users do"),
    ("ovmf", "a firmware that holds keys"),
    ("pahole", "kbuild's type information"),
    ("pkgconf", "compiling against the C library as its users do"),
    ("podman", "containers under the agent, and by the CDI specification"),
    ("python3-pip", "the validator of Kubernetes manifests, the editor of a firmware's variables"),
    ("python3", "the example of docs/tracing.md"),
    ("qemu-system-x86", "the test machine"),
    ("runc", "containers under the agent"),
    ("rust-web-src", "the sources of `core`, built with kernel flags"),
    ("rustc-web", "the compiler that goes with them"),
    ("strace", "watching clients of the agent, and a page of docs/"),
    ("tmux", "a terminal for `ashmem top`"),
    ("trace-cmd", "a page of docs/ that compares with it"),
    ("xz-utils", "kernel images and modules"),
    ("zsh", "its opinion of the completions"),
    ("zstd", "kernel images"),
];

/// What is installed besides where something is for arm64.
const ARM64: &[(&str, &str)] = &[
    ("qemu-system-arm", "the test machine for arm64"),
    ("qemu-user-static", "a system of arm64, made and entered here"),
];

/// What is installed besides where a release is made, or what it holds is tried.
const RELEASE: &[(&str, &str)] = &[
    ("createrepo-c", "a repository of RPM packages, for dnf"),
    ("dnf", "installing the RPM packages as on Fedora"),
    ("fakeroot", "Arch's packages"),
    ("libarchive-tools", "Arch's packages"),
    ("makepkg", "Arch's packages"),
    ("minisign", "signing a release"),
    ("nix-bin", "reading NixOS's module"),
    ("pacman-package-manager", "installing Arch's packages"),
    ("rpm", "the RPM packages"),
];

/// How apt is to install: what is asked for and what that needs, and never at the price of another
/// package.
const CAREFULLY: [&str; 2] = ["--no-install-recommends", "--no-remove"];

/// Makes sure of the packages and of these kernels, for a verb that needs them. Costs a moment when
/// all is there.
pub(crate) fn ensure(platforms: &[Platform]) -> Result<()> {
    for platform in platforms {
        platform.check()?;
    }
    ensure_packages(platforms)?;
    for platform in platforms {
        Kernel::fetch(*platform)?;
    }
    Ok(())
}

/// Installs what is missing for everything and for these kernels, or names the command that does.
pub(crate) fn ensure_packages(platforms: &[Platform]) -> Result<()> {
    ensure_with(platforms, false)
}

/// What besides this machine's own a release is made and tried for.
const RELEASED: [Platform; 1] = [Platform { arch: Arch::Arm64, line: Line::V6_1 }];

/// As [`ensure_packages`], and what a release is made and tried with, of both architectures.
pub(crate) fn ensure_for_release() -> Result<()> {
    ensure_with(&RELEASED, true)
}

/// What [`ensure_for_release`] would install.
pub(crate) fn missing_for_release() -> Result<Vec<Missing>> {
    lacking(&RELEASED, true)
}

/// What [`ensure_packages`] would install for these kernels.
pub(crate) fn missing_packages(platforms: &[Platform]) -> Result<Vec<Missing>> {
    lacking(platforms, false)
}

/// A package that is not installed, and what it is for.
pub(crate) type Missing = (&'static str, &'static str);

fn ensure_with(platforms: &[Platform], for_release: bool) -> Result<()> {
    if lacking(platforms, for_release)?.is_empty() {
        return Ok(());
    }
    // apt fails where another one is at work, such as another step's.
    let _lock = workspace::lock("apt")?;
    let missing = lacking(platforms, for_release)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("missing on this machine:");
    for (package, reason) in &missing {
        eprintln!("  {package:24} {reason}");
    }
    if !rustix::process::geteuid().is_root() {
        let foreign = platforms.iter().find(|platform| platform.arch != Arch::X86_64);
        let words = foreign.map_or_else(String::new, |platform| {
            format!(" --arch {} --kernels {}", platform.arch, platform.line)
        });
        let words = if for_release { " --release".to_owned() } else { words };
        let command = format!("{}{words}", workspace::with_root()?);
        bail!(
            "installing needs root; run this one command, then go on as yourself:\n\n  {command}\n"
        );
    }
    let started = Instant::now();
    eprintln!("installing them with apt ...");
    process::show(Command::new("apt-get").args(["-q", "update"]))
        .context("reading the package index")?;
    let mut missing: Vec<_> = missing.into_iter().map(|(package, _)| package).collect();
    if let Some(backport) = Backport::of_host()? {
        backport.install(&missing, &CAREFULLY)?;
        missing =
            lacking(platforms, for_release)?.into_iter().map(|(package, _)| package).collect();
    }
    let mut install = Command::new("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "install", "-y"]).args(CAREFULLY);
    // An index that could not be read is no failure to apt; not to know a package is.
    let mut rehearsal = Command::new("apt-get");
    let (said, status) = process::capture_both(
        rehearsal.args(["-q", "install", "--simulate"]).args(CAREFULLY).args(&missing),
    )?;
    if !status.success() {
        bail!(
            "apt cannot install all of these from what its index holds without removing a package; \
             it said:\n\
             {}\n\
             If it would remove one, decide about that one and remove it yourself (gcc-multilib, \
             which an earlier setup installed, is no longer needed). Otherwise make sure that the \
             network is there and that apt's sources name Debian 12's bookworm. Then run it again",
            process::tail(said.as_bytes())
        );
    }
    process::show(install.args(&missing)).context(
        "installing packages; run it again to go on when apt's complaint above is seen to",
    )?;
    let left = lacking(platforms, for_release)?;
    if !left.is_empty() {
        bail!("apt reported success but these are still missing: {left:?}");
    }
    eprintln!("installed {} packages in {:.0} s", missing.len(), started.elapsed().as_secs_f64());
    Ok(())
}

/// The packages that are not installed, each with what it is for.
fn lacking(platforms: &[Platform], for_release: bool) -> Result<Vec<Missing>> {
    let list = process::capture(Command::new("dpkg-query").args([
        "--show",
        "--showformat",
        "${Package} ${db:Status-Abbrev}\n",
    ]))
    .context(
        "asking dpkg what is installed; setup knows Debian alone, the packages it wants stand in \
         xtask/src/debian/host.rs",
    )?;
    let installed: BTreeSet<&str> =
        list.lines().filter_map(|line| line.strip_suffix("ii ")).map(str::trim).collect();
    let wanted = platforms.iter().flat_map(|platform| {
        let foreign = match platform.arch {
            Arch::X86_64 => &[],
            Arch::Arm64 => ARM64,
        };
        foreign.iter().chain(platform.line.packages())
    });
    let release = if for_release { RELEASE } else { &[] };
    let mut seen = installed;
    Ok(PACKAGES
        .iter()
        .chain(wanted)
        .chain(release)
        .copied()
        .filter(|(package, _)| seen.insert(package))
        .collect())
}

/// Whether the packages can be had together with a cross compiler, on a machine that has no package
/// yet: apt's own judgement, from the index it holds.
pub(crate) fn beside_cross_compiler() -> Result<StepResult> {
    const CROSS: &str = "gcc-aarch64-linux-gnu";
    if process::capture(Command::new("apt-cache").args(["show", CROSS])).is_err() {
        return Ok(StepResult::Skipped(format!(
            "apt's index holds no {CROSS}; `apt-get update` may bring it"
        )));
    }
    let mut apt = Command::new("apt-get");
    apt.args(["-o", "Dir::State::status=/dev/null", "-q", "install", "--simulate"]).args(CAREFULLY);
    let packages = || PACKAGES.iter().chain(ARM64).chain(RELEASE).map(|(package, _)| package);
    apt.args(packages()).arg(CROSS);
    let (said, status) = process::capture_both(&mut apt)?;
    Ok(if status.success() {
        StepResult::Passed(format!("{} packages beside {CROSS}", packages().count()))
    } else {
        StepResult::Failed(format!(
            "{} ended with {}:\n{said}",
            process::line(&apt),
            process::describe(status)
        ))
    })
}
