// SPDX-License-Identifier: MIT OR Apache-2.0
//! Debian's own kernels: found in the archive, unpacked, made to work where they lie.

use super::line::Line;
use super::platform::Platform;
use super::unpacked::{IMAGE, Kernel, folder};
use crate::debian::archive::{Archive, Package, megabytes};
use crate::debian::chroot::Chroot;
use crate::debian::image;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Changes whenever an unpacked kernel would come out differently: what an older xtask left is then
/// fetched anew.
const RECIPE: u64 = 2;

/// The platform's kernel if the cache has it.
pub(super) fn cached(platform: Platform) -> Option<Kernel> {
    let text = fs::read_to_string(folder(platform).ok()?.join("current.json")).ok()?;
    let current: Value = serde_json::from_str(&text).ok()?;
    if current.get("recipe")?.as_u64()? != RECIPE {
        return None;
    }
    let text = |name| current.get(name)?.as_str();
    Kernel::open(platform, text("version")?, text("release")?).ok()
}

/// The platform's kernel by a fresh look at the archive.
pub(super) fn download(platform: Platform) -> Result<Kernel> {
    let Platform { arch, line } = platform;
    let archive = Archive::update(&platform.key(), line.suites(arch), arch)?;
    let packages = packages(&archive, platform)?;
    let (image, name) = packages
        .iter()
        .find_map(|package| Some((package, package.name.strip_prefix("linux-image-")?)))
        .context("the archive's kernel has no image package")?;
    let version = &image.version;
    let release = name.split(':').next().unwrap_or_default();
    // First, for it may want root: better said before the downloads than after.
    if let Some(release_of_tools) = line.foreign_tools() {
        let wishes =
            packages.iter().flat_map(|package| &package.depends).filter(|name| !is_kernel(name));
        Chroot::ensure(release_of_tools, arch, wishes.filter(|name| is_tool(name)).cloned())?;
    }
    let destination = folder(platform)?.join(version);
    if !Kernel::open(platform, version, release).is_ok_and(|_| cached(platform).is_some()) {
        eprintln!("fetching kernel {release} ({version}), {} MB ...", megabytes(&packages));
        workspace::make_whole(&destination, |part| {
            archive.unpack(&packages, part)?;
            settle(part, &destination, release, line)
        })?;
    }
    let current = json!({ "recipe": RECIPE, "version": version, "release": release });
    workspace::write_whole(&folder(platform)?.join("current.json"), &format!("{current}\n"))?;
    Kernel::open(platform, version, release)
}

/// The packages that make up the archive's kernel: its own, not the tools and maintainer scripts
/// they also want.
fn packages(archive: &Archive, platform: Platform) -> Result<Vec<Package>> {
    let Platform { arch, line } = platform;
    let mut found: Vec<Package> = Vec::new();
    let mut wanted = first_packages(archive, platform)?;
    // Where two name all others, they hold nothing themselves.
    let empty = if line.has_headers() { wanted.len() } else { 0 };
    let mut seen = 0;
    while let Some(name) = wanted.get(seen).cloned() {
        seen += 1;
        let package = match archive.look_up(&qualified(&name, arch)) {
            // The archive keeps some images longer than what they came with.
            Err(_) if !line.has_headers() && seen > 1 => continue,
            package => package?,
        };
        for dependency in package.depends.iter().filter(|name| is_kernel(name)) {
            if !wanted.contains(dependency) {
                wanted.push(dependency.clone());
            }
        }
        found.push(package);
    }
    Ok(found.split_off(empty))
}

/// The packages that name all others.
fn first_packages(archive: &Archive, platform: Platform) -> Result<Vec<String>> {
    let Platform { arch, line } = platform;
    let arch = arch.debian();
    if line.has_headers() {
        let pages = if line.has_large_pages() { "-16k" } else { "" };
        return Ok(["image", "headers"].map(|part| format!("linux-{part}-{arch}{pages}")).into());
    }
    let start = format!("linux-image-{line}.");
    let end = format!("+deb13-{arch}");
    let patch = |name: &String| -> Option<u32> {
        name.strip_prefix(&start)?.strip_suffix(&end)?.parse().ok()
    };
    let newest = archive
        .names(&start)?
        .into_iter()
        .filter(|name| patch(name).is_some())
        .max_by_key(patch)
        .with_context(|| format!("the archive has no image of {line} any more"))?;
    Ok(vec![newest])
}

/// A package's name with the architecture to look it up for: what builds runs here, whatever it
/// builds for.
fn qualified(name: &str, arch: Arch) -> String {
    let runs_here = name.starts_with("linux-kbuild-") || name.ends_with("-common");
    match arch {
        Arch::Arm64 if !runs_here => format!("{name}:{}", arch.debian()),
        _ => name.to_owned(),
    }
}

/// Whether a package holds a part of the kernel itself.
fn is_kernel(name: &str) -> bool {
    const PARTS: [&str; 6] = [
        "linux-image-",
        "linux-binary-",
        "linux-modules-",
        "linux-headers-",
        "linux-kbuild-",
        "linux-base-",
    ];
    PARTS.iter().any(|part| name.starts_with(part))
}

/// Whether a package is something the headers build with, rather than something an installed kernel
/// boots with.
fn is_tool(name: &str) -> bool {
    name.starts_with("gcc")
        || name.starts_with("lib")
        || name == "pahole"
        || name.starts_with("zlib")
}

/// Makes an unpacked kernel work where it lies: Debian's headers name their other halves by
/// absolute path, and the index of modules is made at installation. The image is decompressed here,
/// once, for a guest would take longer over it than over all the rest of its boot.
fn settle(part: &Path, destination: &Path, release: &str, line: Line) -> Result<()> {
    if !part.join("lib").exists() {
        std::os::unix::fs::symlink("usr/lib", part.join("lib"))
            .context("linking lib to usr/lib")?;
    }
    if line.has_headers() {
        settle_headers(part, destination, release)?;
    }
    let packed = [format!("boot/vmlinuz-{release}"), format!("lib/modules/{release}/vmlinuz")];
    let packed = packed.iter().map(|path| part.join(path)).find(|path| path.exists());
    image::decompress(&packed.context("the kernel's packages hold no image")?, &part.join(IMAGE))?;
    // Of a kernel whose modules are kept nowhere the index is empty.
    let modules = part.join("usr/lib/modules").join(release);
    if !part.join("lib/modules").join(release).exists() {
        fs::create_dir_all(&modules).with_context(|| format!("making {}", modules.display()))?;
    }
    process::capture(
        Command::new("depmod")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .arg("--basedir")
            .arg(part)
            .arg(release),
    )?;
    Ok(())
}

/// Tells headers where their other halves lie.
fn settle_headers(part: &Path, destination: &Path, release: &str) -> Result<()> {
    let headers = part.join("usr/src").join(format!("linux-headers-{release}"));
    for name in ["Makefile", ".kernelvariables"] {
        let file = headers.join(name);
        let text =
            fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let text = text.replace("/usr/src/", &format!("{}/usr/src/", destination.display()));
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}
