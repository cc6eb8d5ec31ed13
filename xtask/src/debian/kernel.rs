//! The stock kernels everything is built for and tried on: Debian's own images and headers, unpacked, never installed.
//!
//! A [`Line`] is a choice a person makes; the package index says which [`Kernel`] that is today. One that was fetched is
//! used without asking again until `cargo xtask setup --refresh`.
//!
//! The debug kernels, which are built here from Debian's source, lie beside them in the same form ([`debug`]).

mod debug;

pub(crate) use debug::Instruments;

use crate::debian::archive::{Archive, DEBIAN, Package, SECURITY, Suite};
use crate::debian::chroot::Chroot;
use crate::debian::image;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes whenever an unpacked kernel would come out differently: what an older xtask left is then fetched anew.
const RECIPE: u64 = 2;

/// Where an unpacked kernel has its decompressed image.
const IMAGE: &str = "boot/vmlinux";

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
    /// 6.12 built here with KASAN, UBSAN, lockdep, kmemleak, KCOV and failures on demand; the first build takes about 20
    /// minutes on two processors, and 2.5 GB with the source
    Kasan,
    /// 6.12 built here with KCSAN, which finds data races; about 15 minutes
    Kcsan,
    /// 6.12 built here by clang with thin LTO and kCFI, as on phones; about 25 minutes
    Cfi,
    /// 6.12 built here with PREEMPT_RT and lockdep, where a spinlock_t sleeps; about 15 minutes
    Rt,
}

impl Line {
    /// Every line of stock kernels, oldest first.
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::Newest];

    /// The line's name as typed and shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::Newest => "newest",
            Self::Kasan => "kasan",
            Self::Kcsan => "kcsan",
            Self::Cfi => "cfi",
            Self::Rt => "rt",
        }
    }

    const fn suites(self) -> &'static [Suite] {
        match self {
            Self::V5_10 => &[(SECURITY, "bullseye-security")],
            Self::V6_1 => &[(DEBIAN, "bookworm"), (SECURITY, "bookworm-security")],
            Self::V6_12 | Self::Kasan | Self::Kcsan | Self::Cfi | Self::Rt => &[(DEBIAN, "bookworm-backports")],
            Self::Newest => &[(DEBIAN, "trixie-backports")],
        }
    }

    /// The Debian release whose compiler and tools the line's headers need, where it is not the host's own.
    const fn foreign_tools(self) -> Option<&'static str> {
        match self {
            Self::Newest => Some("trixie"),
            _ => None,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A kernel in the cache, whole: image, modules, headers.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// The line it is the latest of.
    pub(crate) line: Line,
    /// What `uname -r` says in it.
    pub(crate) release: String,
    /// The Debian package's version.
    pub(crate) version: String,
    /// The image as QEMU boots it at once: decompressed.
    pub(crate) image: PathBuf,
    /// `…/lib/modules/RELEASE`.
    pub(crate) modules: PathBuf,
    /// What `make -C` wants.
    pub(crate) headers: PathBuf,
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
    /// The line's kernel from the cache; where the cache has none, from the archive or built here.
    pub(crate) fn fetch(line: Line) -> Result<Self> {
        match Self::cached(line) {
            Some(kernel) => Ok(kernel),
            None => {
                let _lock = workspace::lock(&format!("kernel-{line}"))?;
                // Another run may have fetched it while we waited.
                Self::cached(line).map_or_else(|| Self::provide(line, false), Ok)
            }
        }
    }

    /// The line's latest kernel by a fresh look at the archive.
    pub(crate) fn refresh(line: Line) -> Result<Self> {
        let _lock = workspace::lock(&format!("kernel-{line}"))?;
        Self::provide(line, true)
    }

    fn provide(line: Line, renew: bool) -> Result<Self> {
        match line.recipe() {
            Some(recipe) => debug::build(line, recipe, renew),
            None => Self::download(line),
        }
    }

    /// The line's kernel if the cache has it.
    pub(crate) fn cached(line: Line) -> Option<Self> {
        if let Some(recipe) = line.recipe() {
            return debug::cached(line, recipe);
        }
        let text = fs::read_to_string(folder(line).ok()?.join("current.json")).ok()?;
        let current: Value = serde_json::from_str(&text).ok()?;
        if current.get("recipe")?.as_u64()? != RECIPE {
            return None;
        }
        Self::open(line, current.get("version")?.as_str()?, current.get("release")?.as_str()?).ok()
    }

    /// Builds an out-of-tree module for this kernel: `make -C HEADERS M=module_dir CC=gcc ARGS…` where its tools are
    /// (by clang where the kernel was).
    ///
    /// Returns everything printed, warnings among it; fails with the text's tail when make fails.
    pub(crate) fn make(&self, module_dir: &Path, args: &[&str]) -> Result<String> {
        let module_dir = module_dir
            .canonicalize()
            .with_context(|| format!("finding the module's folder {}", module_dir.display()))?;
        let mut make = match &self.build_root {
            BuildRoot::Host => Command::new("make"),
            BuildRoot::Chroot(root) => {
                Chroot::at(root.clone()).command("make", &[&folder(self.line)?.canonicalize()?, &module_dir])
            }
        };
        make.arg("-C").arg(&self.headers).arg(format!("M={}", module_dir.display()));
        make.args(self.line.make_variables()).args(args);
        // make hands its own variables down; those of a make that runs us are not meant for this one.
        make.env("LC_ALL", "C.UTF-8").env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
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

    /// The files to load for a module, dependencies first; none where it is built in. Fails where the kernel lacks it.
    pub(crate) fn module_files(&self, module: &str) -> Result<Vec<PathBuf>> {
        let root = self.unpacked_root()?;
        let text = process::capture(
            Command::new("modprobe")
                .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
                .args(["--config", "/dev/null", "--show-depends", "--set-version", &self.release, "--dirname"])
                .arg(root)
                .arg(module),
        )
        .with_context(|| format!("kernel {} has no module {module}", self.release))?;
        Ok(text.lines().filter_map(|line| Some(line.strip_prefix("insmod ")?.trim().into())).collect())
    }

    fn download(line: Line) -> Result<Self> {
        let archive = Archive::update(line.name(), line.suites())?;
        let packages = packages(&archive)?;
        let headers = packages
            .iter()
            .find(|package| package.name.starts_with("linux-headers-") && !package.name.ends_with("-common"))
            .context("the archive's kernel has no headers package")?;
        let (version, release) = (&headers.version, headers.name.trim_start_matches("linux-headers-"));
        // First, for it may want root: better said before the downloads than after.
        if let Some(release_of_tools) = line.foreign_tools() {
            let wishes = packages.iter().flat_map(|package| &package.depends).filter(|name| !is_kernel(name));
            Chroot::ensure(release_of_tools, wishes.filter(|name| is_tool(name)).map(String::as_str))?;
        }
        let destination = folder(line)?.join(version);
        if !Self::open(line, version, release).is_ok_and(|_| Self::cached(line).is_some()) {
            eprintln!("fetching kernel {release} ({version}) ...");
            workspace::make_whole(&destination, |part| {
                archive.unpack(&packages, part)?;
                settle(part, &destination, release)
            })?;
        }
        let current = json!({ "recipe": RECIPE, "version": version, "release": release });
        workspace::write_whole(&folder(line)?.join("current.json"), &format!("{current}\n"))?;
        Self::open(line, version, release)
    }

    /// A kernel as it lies unpacked; fails where a part is not there.
    fn open(line: Line, version: &str, release: &str) -> Result<Self> {
        let root = folder(line)?.join(version);
        let modules = root.join("lib/modules").join(release);
        let image = root.join(IMAGE);
        let headers = root.join("usr/src").join(format!("linux-headers-{release}"));
        for part in [&image, &modules.join("modules.dep"), &headers.join("Module.symvers")] {
            if !part.exists() {
                bail!("{} is not there", part.display());
            }
        }
        let build_root = match line.foreign_tools() {
            None => BuildRoot::Host,
            Some(release_of_tools) => BuildRoot::Chroot(Chroot::cached(release_of_tools)?.root),
        };
        let (release, version) = (release.to_owned(), version.to_owned());
        Ok(Self { line, release, version, image, modules, headers, build_root })
    }

    fn unpacked_root(&self) -> Result<&Path> {
        self.modules.ancestors().nth(3).context("a kernel's modules lie under lib/modules")
    }
}

fn folder(line: Line) -> Result<PathBuf> {
    workspace::cache(&format!("kernels/{line}"))
}

/// The packages that make up the archive's generic kernel, found from the two packages that always depend on the
/// latest: the kernel's own, not the tools and maintainer scripts they also want.
fn packages(archive: &Archive) -> Result<Vec<Package>> {
    let mut found: Vec<Package> = Vec::new();
    let mut wanted = vec!["linux-image-amd64".to_owned(), "linux-headers-amd64".to_owned()];
    let metas = wanted.len();
    let mut seen = 0;
    while let Some(name) = wanted.get(seen).cloned() {
        seen += 1;
        let package = archive.look_up(&name)?;
        for dependency in package.depends.iter().filter(|name| is_kernel(name)) {
            if !wanted.contains(dependency) {
                wanted.push(dependency.clone());
            }
        }
        found.push(package);
    }
    Ok(found.split_off(metas))
}

/// Whether a package holds a part of the kernel itself.
fn is_kernel(name: &str) -> bool {
    const PARTS: [&str; 6] =
        ["linux-image-", "linux-binary-", "linux-modules-", "linux-headers-", "linux-kbuild-", "linux-base-"];
    PARTS.iter().any(|part| name.starts_with(part))
}

/// Whether a package is something the headers build with, rather than something an installed kernel boots with.
fn is_tool(name: &str) -> bool {
    name.starts_with("gcc") || name.starts_with("lib") || name == "pahole" || name.starts_with("zlib")
}

/// Makes an unpacked kernel work where it lies: Debian's headers name their other halves by absolute path, and the
/// index of modules is made at installation. The image is decompressed here, once, for a guest would take longer over it
/// than over all the rest of its boot.
fn settle(part: &Path, destination: &Path, release: &str) -> Result<()> {
    if !part.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", part.join("lib")).context("linking lib to usr/lib")?;
    }
    let headers = part.join("usr/src").join(format!("linux-headers-{release}"));
    for name in ["Makefile", ".kernelvariables"] {
        let file = headers.join(name);
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let text = text.replace("/usr/src/", &format!("{}/usr/src/", destination.display()));
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    let packed = [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")];
    let packed = packed.iter().map(|path| part.join(path)).find(|path| path.exists());
    image::decompress(&packed.context("the kernel's packages hold no image")?, &part.join(IMAGE))?;
    process::capture(
        Command::new("depmod").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("--basedir").arg(part).arg(release),
    )?;
    Ok(())
}
