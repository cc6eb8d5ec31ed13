// SPDX-License-Identifier: MIT OR Apache-2.0
//! A kernel as it lies unpacked in the cache, and what is done with one: modules are built for it,
//! its own are found.

use super::platform::Platform;
use crate::debian::chroot::Chroot;
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where an unpacked kernel has its decompressed image.
pub(super) const IMAGE: &str = "boot/vmlinux";

/// A kernel in the cache, whole: image, modules, headers.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// The platform it is the latest of.
    pub(crate) platform: Platform,
    /// What `uname -r` says in it.
    pub(crate) release: String,
    /// The Debian package's version.
    pub(crate) version: String,
    /// The image as QEMU boots it at once: decompressed.
    pub(crate) image: PathBuf,
    /// `…/lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
    /// What `make -C` wants, where the archive has it.
    headers: Option<PathBuf>,
    /// Where modules for it are built.
    pub(crate) build_root: BuildRoot,
}

/// Where a kernel's headers find the compiler and libraries they want.
#[derive(Debug, Clone)]
pub(crate) enum BuildRoot {
    /// On this machine.
    Host,
    /// In a Debian of its own.
    Chroot(PathBuf),
}

impl Kernel {
    /// Builds an out-of-tree module for this kernel: `make -C HEADERS M=module_dir CC=gcc ARGS…`
    /// where its tools are (by clang where the kernel was).
    ///
    /// Returns everything printed, warnings among it; fails with the text's tail when make fails.
    pub(crate) fn make(&self, module_dir: &Path, args: &[&str]) -> Result<String> {
        let module_dir = module_dir
            .canonicalize()
            .with_context(|| format!("finding the module's folder {}", module_dir.display()))?;
        let mut make = match &self.build_root {
            BuildRoot::Host => Command::new("make"),
            BuildRoot::Chroot(root) => Chroot::at(root.clone())
                .command("make", &[&folder(self.platform)?.canonicalize()?, &module_dir]),
        };
        make.arg("-C").arg(self.headers()?).arg(format!("M={}", module_dir.display()));
        self.tell_compiler(&mut make)?;
        make.args(args);
        // make hands its own variables down; those of a make that runs us are not meant for this
        // one.
        make.env("LC_ALL", "C.UTF-8")
            .env_remove("MAKEFLAGS")
            .env_remove("MFLAGS")
            .env_remove("MAKELEVEL");
        let (text, status) = process::capture_both(&mut make)?;
        if !status.success() {
            let (command, tail) = (process::line(&make), process::tail(text.as_bytes()));
            bail!(
                "building {} for {} ended with {}:\n{tail}\nthe command was: {command}",
                module_dir.display(),
                self.release,
                process::describe(status)
            );
        }
        Ok(text)
    }

    /// What modules for this kernel are built with; fails where the archive has none of it.
    pub(crate) fn headers(&self) -> Result<&Path> {
        self.headers.as_deref().with_context(|| {
            format!(
                "Debian's archive holds the image of {} and no headers to build a module with: \
                 use --provider none, or another --kernel",
                self.release
            )
        })
    }

    /// Tells make of the compiler.
    fn tell_compiler(&self, make: &mut Command) -> Result<()> {
        let Platform { arch, line } = self.platform;
        let tools = match (arch, &self.build_root) {
            (Arch::X86_64, _) => {
                make.args(line.make_variables());
                return Ok(());
            }
            (Arch::Arm64, BuildRoot::Host) => Toolchain::ensure(arch)?,
            (Arch::Arm64, BuildRoot::Chroot(_)) => Toolchain::installed(arch),
        };
        make.args(tools.make_variables(arch));
        tools.serve(make);
        Ok(())
    }

    /// The files to load for a module, dependencies first; none where it is built in. Fails where
    /// the kernel lacks it.
    pub(crate) fn module_files(&self, module: &str) -> Result<Vec<PathBuf>> {
        let root = self.unpacked_root()?;
        let text = process::capture(
            Command::new("modprobe")
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args([
                    "--config",
                    "/dev/null",
                    "--show-depends",
                    "--set-version",
                    &self.release,
                    "--dirname",
                ])
                .arg(root)
                .arg(module),
        )
        .with_context(|| format!("kernel {} has no module {module}", self.release))?;
        Ok(text
            .lines()
            .filter_map(|line| Some(line.strip_prefix("insmod ")?.trim().into()))
            .collect())
    }

    /// A kernel as it lies unpacked; fails where a part is not there.
    pub(super) fn open(platform: Platform, version: &str, release: &str) -> Result<Self> {
        let root = folder(platform)?.join(version);
        let modules = root.join("lib/modules").join(release);
        let image = root.join(IMAGE);
        let headers = platform
            .line
            .has_headers()
            .then(|| root.join("usr/src").join(format!("linux-headers-{release}")));
        let symbols = headers.as_ref().map(|headers| headers.join("Module.symvers"));
        for part in [Some(image.clone()), Some(modules.join("modules.dep")), symbols] {
            if let Some(part) = part.filter(|part| !part.exists()) {
                bail!("{} is not there", part.display());
            }
        }
        let build_root = match platform.line.foreign_tools() {
            None => BuildRoot::Host,
            Some(release_of_tools) => {
                BuildRoot::Chroot(Chroot::cached(release_of_tools, platform.arch)?.root)
            }
        };
        let (release, version) = (release.to_owned(), version.to_owned());
        Ok(Self { platform, release, version, image, modules, headers, build_root })
    }

    fn unpacked_root(&self) -> Result<&Path> {
        self.modules.ancestors().nth(3).context("a kernel's modules lie under lib/modules")
    }
}

/// Where a platform's kernels are kept.
pub(super) fn folder(platform: Platform) -> Result<PathBuf> {
    workspace::cache(&format!("kernels/{}", platform.key()))
}
