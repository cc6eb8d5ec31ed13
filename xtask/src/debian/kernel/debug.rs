// SPDX-License-Identifier: MIT OR Apache-2.0
//! The debug kernels: Debian's own source of 6.12, configured by the fragments in `xtask/kernels`
//! and built here, each with one family of checks that no distribution's kernel carries.
//!
//! A build is kept under a key of all that made it. One that was interrupted goes on where it
//! stopped. What is kept looks like an unpacked kernel of Debian's, so that everything else takes
//! it for one.

use super::line::{LIKE, Recipe};
use super::platform::Platform;
use super::unpacked::{IMAGE, Kernel, folder};
use crate::debian::archive::Archive;
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Changes whenever the same inputs would be made into something else.
const RECIPE: u64 = 1;

/// Debian's package of that source.
const SOURCE: &str = "linux-source-6.12";

/// The key of all that makes the kernel but its source.
fn key(arch: Arch, recipe: &Recipe) -> Result<u64> {
    let tools = Toolchain::ensure(arch)?;
    let mut compiler = Command::new(tools.tool(recipe.compiler));
    tools.serve(&mut compiler);
    let version = process::capture(compiler.arg("--version"))
        .with_context(|| format!("asking {} for its version", recipe.compiler))?;
    let mut hasher = DefaultHasher::new();
    RECIPE.hash(&mut hasher);
    // Not the comments: a better word is no other kernel.
    for line in recipe.wishes(arch).lines().filter(|line| line.starts_with("CONFIG_")) {
        line.hash(&mut hasher);
    }
    version.lines().next().hash(&mut hasher);
    recipe.make.hash(&mut hasher);
    Ok(hasher.finish())
}

/// The source as Debian patched it, unpacked.
struct Source {
    version: String,
    root: PathBuf,
}

impl Source {
    /// The source if the cache has it.
    fn cached() -> Option<Self> {
        let folder = workspace::cache("kernels/source").ok()?;
        let current: Value =
            serde_json::from_str(&fs::read_to_string(folder.join("current.json")).ok()?).ok()?;
        let version = current.get("version")?.as_str()?.to_owned();
        let root = folder.join(&version);
        root.join("Makefile").exists().then_some(Self { version, root })
    }

    /// The newest source in Debian's archive.
    fn download() -> Result<Self> {
        let archive = Archive::update("6.12-source", LIKE.suites(Arch::X86_64), Arch::X86_64)?;
        let package = archive.look_up(SOURCE)?;
        let folder = workspace::cache("kernels/source")?;
        let (version, root) = (package.version.clone(), folder.join(&package.version));
        if !root.exists() {
            eprintln!("fetching {SOURCE} ({version}), 150 MB packed, 1.7 GB unpacked ...");
            workspace::make_whole(&root, |part| {
                archive.unpack(&[package], part)?;
                let packed = part.join(format!("usr/src/{SOURCE}.tar.xz"));
                let mut tar = Command::new("tar");
                tar.args(["--extract", "--strip-components=1", "--directory"])
                    .arg(part)
                    .arg("--file")
                    .arg(packed);
                process::capture(&mut tar)?;
                fs::remove_dir_all(part.join("usr/src")).context("removing the packed source")?;
                fs::remove_dir_all(part.join("usr/share/doc"))
                    .context("removing the package's own files")
            })?;
        }
        let current = json!({ "version": version });
        workspace::write_whole(&folder.join("current.json"), &format!("{current}\n"))?;
        Ok(Self { version, root })
    }

    /// The source from the cache, or from the archive where the cache has none or is to be renewed.
    fn fetch(renew: bool) -> Result<Self> {
        let _lock = workspace::lock("kernel-source")?;
        match Self::cached() {
            Some(source) if !renew => Ok(source),
            _ => Self::download(),
        }
    }
}

/// The line's kernel if the cache has it as today's fragments and compiler would make it.
pub(super) fn cached(platform: Platform, recipe: &Recipe) -> Option<Kernel> {
    open(platform, &version(platform.arch, &Source::cached()?, recipe).ok()?).ok()
}

/// Builds the line's kernel. The caller holds the line's lock.
pub(super) fn build(platform: Platform, recipe: &Recipe, renew: bool) -> Result<Kernel> {
    let source = Source::fetch(renew)?;
    let version = version(platform.arch, &source, recipe)?;
    if let Ok(kernel) = open(platform, &version) {
        return Ok(kernel);
    }
    let destination = folder(platform)?.join(&version);
    let work = destination.with_file_name(format!("{version}.work"));
    let started = Instant::now();
    eprintln!(
        "building kernel {platform} from {SOURCE} ({}); an interrupted build goes on where it \
         stopped ...",
        source.version
    );
    let goes_on = work.exists();
    let mut release = make_all(platform, &source, recipe, &work);
    if let (true, Err(error)) = (goes_on, &release) {
        // A machine that stops in the middle leaves half-written files, which make takes for whole
        // ones.
        let why = error.to_string();
        eprintln!(
            "{}; the build was interrupted before, so it is begun anew ...",
            why.lines().next().unwrap_or_default()
        );
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
        release = make_all(platform, &source, recipe, &work);
    }
    let release = release?;
    fs::rename(&work, &destination).with_context(|| {
        format!("giving {} its final name {}", work.display(), destination.display())
    })?;
    eprintln!("built kernel {release} in {:.0} min", started.elapsed().as_secs_f64() / 60.0);
    open(platform, &version)
}

/// Makes the kernel in the folder; its release.
fn make_all(platform: Platform, source: &Source, recipe: &Recipe, work: &Path) -> Result<String> {
    let tree = work.join("usr/src/build");
    fs::create_dir_all(&tree).with_context(|| format!("making {}", tree.display()))?;
    let arch = platform.arch;
    configure(arch, source, recipe, &tree)?;
    compile(
        platform,
        make(arch, source, recipe, &tree)?.args([image(arch), "modules"]),
        &work.join("build.log"),
    )?;
    settle(arch, work, &tree)
}

/// The image that QEMU boots, as make calls it.
fn image(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "vmlinux",
        Arch::Arm64 => "Image",
    }
}

fn version(arch: Arch, source: &Source, recipe: &Recipe) -> Result<String> {
    Ok(format!("{}-{:016x}", source.version, key(arch, recipe)?))
}

fn open(platform: Platform, version: &str) -> Result<Kernel> {
    let note = folder(platform)?.join(version).join("release");
    let release =
        fs::read_to_string(&note).with_context(|| format!("reading {}", note.display()))?;
    Kernel::open(platform, version, release.trim())
}

/// make in the build's folder, out of the source's.
fn make(arch: Arch, source: &Source, recipe: &Recipe, tree: &Path) -> Result<Command> {
    let mut make = Command::new("make");
    make.arg("-C").arg(&source.root).arg(format!("O={}", tree.display()));
    match arch {
        Arch::X86_64 => make.args(recipe.make),
        Arch::Arm64 => make.args(Toolchain::ensure(arch)?.make_variables(arch)),
    };
    Toolchain::ensure(arch)?.serve(&mut make);
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    make.arg(format!("-j{jobs}")).stdin(Stdio::null());
    make.env("LC_ALL", "C.UTF-8")
        .env_remove("MAKEFLAGS")
        .env_remove("MFLAGS")
        .env_remove("MAKELEVEL");
    Ok(make)
}

/// Writes the configuration, and refuses one that lost something asked for: an option whose
/// condition does not hold goes without a word, and a check that is not there would pass for one
/// that found nothing.
fn configure(arch: Arch, source: &Source, recipe: &Recipe, tree: &Path) -> Result<()> {
    // Written last: the configuration of a run that was interrupted here is made anew.
    let (config, done) = (tree.join(".config"), tree.join("configured"));
    if !done.exists() {
        process::capture(make(arch, source, recipe, tree)?.args(["-s", "tinyconfig"]))?;
        let mut file =
            File::options().append(true).open(&config).context("opening the configuration")?;
        file.write_all(recipe.wishes(arch).as_bytes()).context("writing the configuration")?;
        drop(file);
        process::capture(make(arch, source, recipe, tree)?.args(["-s", "olddefconfig"]))?;
    }
    let made =
        fs::read_to_string(&config).with_context(|| format!("reading {}", config.display()))?;
    let wishes = recipe.wishes(arch);
    let lost = lost(&wishes, &made);
    if !lost.is_empty() {
        bail!("the kernel's configuration came out without {}: see xtask/kernels", lost.join(", "));
    }
    fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}

/// What a configuration does not hold of what was asked for; of two wishes about one option the
/// later counts.
fn lost<'a>(wishes: &'a str, made: &str) -> Vec<&'a str> {
    let option = |wish: &str| wish.split_once('=').map_or(wish.len(), |(option, _)| option.len());
    let wishes: Vec<&str> = wishes.lines().filter(|line| line.starts_with("CONFIG_")).collect();
    let is_last = |place: usize, wish: &str| {
        let same = |later: &&str| later.get(..option(later)) == wish.get(..option(wish));
        !wishes.iter().skip(place + 1).any(same)
    };
    let holds = |wish: &str| match wish.strip_suffix("=n") {
        Some(option) => !made
            .lines()
            .any(|line| line.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))),
        None => made.lines().any(|line| line == wish),
    };
    wishes
        .iter()
        .enumerate()
        .filter(|(place, wish)| is_last(*place, wish) && !holds(wish))
        .map(|(_, wish)| *wish)
        .collect()
}

/// Runs make to its end, tells now and then how far it is, and keeps what it printed.
fn compile(platform: Platform, make: &mut Command, log: &Path) -> Result<()> {
    const SILENCE: Duration = Duration::from_secs(60);
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe")?;
    let both = writer.try_clone().context("copying a pipe")?;
    let mut child = make.stdout(writer).stderr(both).spawn().context("starting make")?;
    // With the command's own copies alive the text would never end.
    make.stdout(Stdio::null()).stderr(Stdio::null());
    let mut kept = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let (started, mut told, mut files) = (Instant::now(), Instant::now(), 0_u32);
    for text in BufReader::new(File::from(reader)).lines() {
        let text = text.context("reading from make")?;
        writeln!(kept, "{text}").with_context(|| format!("writing {}", log.display()))?;
        files += u32::from(text.trim_start().starts_with("CC "));
        if told.elapsed() > SILENCE {
            told = Instant::now();
            let minutes = started.elapsed().as_secs() / 60;
            eprintln!(
                "kernel {platform}: {files} files compiled in {minutes} min, of about a \
                 thousand ..."
            );
        }
    }
    let status = child.wait().context("waiting for make")?;
    if !status.success() {
        let text = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
        bail!(
            "building kernel {platform} ended with {}:\n{}\nthe command was: {}",
            process::describe(status),
            process::tail(&text),
            process::line(make)
        );
    }
    Ok(())
}

/// Puts the image, the index of modules and what modules are built with where Debian's packages
/// have theirs, and drops the rest. Returns the kernel's release.
fn settle(arch: Arch, work: &Path, tree: &Path) -> Result<String> {
    let release = fs::read_to_string(tree.join("include/config/kernel.release"))
        .context("reading the kernel's release")?;
    let release = release.trim();
    let (boot, modules) = (work.join("boot"), work.join("lib/modules").join(release));
    for place in [&boot, &modules] {
        fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    }
    // The relocations and symbols that a machine does not load are most of the file.
    match arch {
        Arch::X86_64 => process::capture(
            Command::new("objcopy")
                .arg("--strip-debug")
                .arg(tree.join("vmlinux"))
                .arg(work.join(IMAGE)),
        )
        .map(drop)?,
        Arch::Arm64 => fs::copy(tree.join("arch/arm64/boot/Image"), work.join(IMAGE))
            .map(drop)
            .context("keeping the image")?,
    }
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(tree.join(name), modules.join(name)).with_context(|| format!("keeping {name}"))?;
    }
    process::capture(
        Command::new("depmod")
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .arg("--basedir")
            .arg(work)
            .arg(release),
    )?;
    // A module's build wants headers and programs; the objects were the kernel's own.
    let mut drop_objects = Command::new("find");
    drop_objects.arg(tree).args([
        "-type", "f", "(", "-name", "*.o", "-o", "-name", "*.a", "-o", "-name", "vmlinux*", ")",
    ]);
    drop_objects.args(["-not", "-path", "*/scripts/*", "-not", "-path", "*/tools/*", "-delete"]);
    process::capture(&mut drop_objects)?;
    fs::rename(tree, work.join("usr/src").join(format!("linux-headers-{release}")))
        .context("keeping the headers")?;
    fs::write(work.join("release"), release).context("noting the kernel's release")?;
    Ok(release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::lost;

    #[test]
    fn a_wish_that_did_not_come_is_named() {
        let made = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_NAME=\"x\"\n";
        assert_eq!(lost("# words\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_NAME=\"x\"\n", made), [""; 0]);
        assert_eq!(
            lost("CONFIG_B=y\nCONFIG_C=n\nCONFIG_AB=y\n", made),
            ["CONFIG_B=y", "CONFIG_C=n", "CONFIG_AB=y"]
        );
        // A kernel's own fragment overrules the common one.
        assert_eq!(lost("CONFIG_B=y\nCONFIG_B=n\n", made), [""; 0]);
    }
}
