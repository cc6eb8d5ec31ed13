// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trees that packages are made from: Debian's, with `debian/` and beside it in `built/`
//! everything that the packages hold; and a release's archive, which all others are made from.

use crate::build::distributed::{self, Linkage};
use crate::build::library;
use crate::build::module::{self, Compiler};
use crate::build::static_program;
use crate::debian::kernel::Instruments;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use ashmem_module_source::Filling;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

/// A version as Debian compares them; DKMS gets the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version(String);

impl Version {
    /// The workspace's own version.
    pub(crate) fn of_this_tree() -> Result<Self> {
        let own = Self(env!("CARGO_PKG_VERSION").to_owned());
        let module = read(&workspace::root().join("module/VERSION"))?;
        let changelog = read(&workspace::root().join("packaging/debian/changelog"))?;
        if module.trim() != own.0 || !changelog.starts_with(&format!("ashmem-linux ({own})")) {
            bail!(
                "Cargo.toml says version {own}: module/VERSION and packaging/debian/changelog must \
                 say the same"
            );
        }
        Ok(own)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_sound = text.starts_with(|c: char| c.is_ascii_digit())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || ".+~".contains(c));
        if is_sound {
            Ok(Self(text.to_owned()))
        } else {
            Err("a version is digits, letters, . + and ~".to_owned())
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Fills an empty folder for Debian's tools.
pub(crate) fn fill(tree: &Path, arch: Arch, version: &Version) -> Result<()> {
    let built = tree.join("built");
    debian(&tree.join("debian"), version)?;
    let here = distributed::build(Arch::X86_64, Linkage::Dynamic)?;
    let own = match arch {
        Arch::X86_64 => here.clone(),
        Arch::Arm64 => distributed::build(arch, Linkage::Dynamic)?,
    };
    contents(&built, arch, version, &own, &here)?;
    let libraries = format!("lib/{}-linux-gnu", arch.machine());
    let place = built.join("library");
    library::install(arch, Path::new("/usr"), Path::new(&libraries), Some(&place)).map(drop)
}

/// Fills an empty folder as a release's archive has it: this static program, what belongs to it,
/// the module's source, and the script that lays all of it below a root.
///
/// `here` is the same program for this machine.
pub(crate) fn fill_archive(
    tree: &Path,
    arch: Arch,
    version: &Version,
    program: &Path,
    here: &Path,
) -> Result<()> {
    contents(tree, arch, version, program, here)?;
    copy(&packaging("system/units"), &tree.join("units"))?;
    copy_with(&packaging("archive/lay"), &tree.join("lay"), version)?;
    for name in ["ashmem.cil", "ashmem-agent", "ashmem-agent.conf", "policy"] {
        copy(&packaging("selinux").join(name), &tree.join("selinux").join(name))?;
    }
    for file in files(&packaging("nix"), OsStr::new(""))? {
        let name = file.file_name().context("a recipe has a name")?;
        copy_with(&file, &tree.join("nix").join(name), version)?;
    }
    for name in ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "module/LICENSE-GPL-2.0"] {
        let file = workspace::root().join(name);
        copy(&file, &tree.join(file.file_name().context("a licence has a name")?))?;
    }
    Ok(())
}

/// What every package is made of.
fn contents(
    built: &Path,
    arch: Arch,
    version: &Version,
    program: &Path,
    here: &Path,
) -> Result<()> {
    copy(program, &built.join("ashmem"))?;
    copy(&static_program::build_small(arch, "ashmem-join")?, &built.join("ashmem-join"))?;
    told_by_the_program(built, here)?;
    module_source(&built.join("module"), version)?;
    for name in ["ashmem.conf", "60-ashmem.rules"] {
        copy(&packaging(&format!("system/{name}")), &built.join(name))?;
    }
    copy_with(&packaging("dkms/modules"), &built.join("modules"), version)?;
    for unit in files(&packaging("systemd"), OsStr::new(""))? {
        copy(&unit, &built.join("systemd").join(unit.file_name().context("a unit has a name")?))?;
    }
    copy(&packaging("waydroid/lxc-start"), &built.join("waydroid/lxc-start"))?;
    for folder in ["services", "openrc", "runit"] {
        for file in files(&packaging(folder), OsStr::new(""))? {
            let place = file.strip_prefix(packaging("")).context("it lies in packaging/")?;
            copy(&file, &built.join(place))?;
        }
    }
    Ok(())
}

/// Debian's control files, with the version in them.
fn debian(folder: &Path, version: &Version) -> Result<()> {
    for file in files(&packaging("debian"), OsStr::new(""))? {
        let place = folder
            .join(file.strip_prefix(packaging("debian")).context("a file lies below its folder")?);
        copy_with(&file, &place, version)?;
    }
    let changelog = folder.join("changelog");
    let text = read(&changelog)?;
    let (latest, rest) = text.split_once(')').context("debian/changelog names no version")?;
    let (name, _) = latest.split_once('(').context("debian/changelog names no version")?;
    write(&changelog, &format!("{name}({version}){rest}"))?;
    let copyright = folder.join("copyright");
    let licence = read(&workspace::root().join("LICENSE-MIT"))?;
    let (_, terms) =
        licence.split_once("\n\nPermission").context("LICENSE-MIT grants no permission")?;
    let terms = format!("Permission{terms}");
    let lines: Vec<_> = terms
        .trim_end()
        .lines()
        .map(|line| if line.is_empty() { " .".to_owned() } else { format!(" {line}") })
        .collect();
    write(&copyright, &read(&copyright)?.replace("@MIT@", &lines.join("\n")))
}

/// The program's manual pages and completions; what it prints is the same everywhere.
fn told_by_the_program(built: &Path, here: &Path) -> Result<()> {
    process::capture(Command::new(here).arg("man").arg(built.join("man")))?;
    for (shell, name) in [("bash", "ashmem"), ("zsh", "_ashmem"), ("fish", "ashmem.fish")] {
        let text = process::capture(Command::new(here).args(["completions", shell]))?;
        write(&built.join("completions").join(shell).join(name), &text)?;
    }
    Ok(())
}

/// What DKMS gets: the C half, the Rust half as an object and as sources, and what it needs to
/// build each.
///
/// The object is built a second time, in another folder and by the very script that a user would
/// call, from the sources packed beside it: a difference is an error.
fn module_source(folder: &Path, version: &Version) -> Result<()> {
    let filling = Filling { name: "ashmem", version: version.as_str(), has_objects: true };
    let files = ashmem_module_source::files(workspace::root());
    for file in files.context("listing the module's source tree")? {
        let place = folder.join(&file.name);
        copy(&file.path, &place)?;
        let content = fs::read(&place).with_context(|| format!("reading {}", place.display()))?;
        fs::write(&place, filling.fill(&file.name, content))
            .with_context(|| format!("writing {}", place.display()))?;
    }
    module::lay_objects(&folder.join("rust"))?;
    let compiler = module::compiler()?;
    let object = module::rust_object(Arch::X86_64, module::Flavour::Plain, Instruments::default())?;
    confirm(folder, &object, &compiler)
}

/// Builds the object again where that was not done for this one yet.
fn confirm(folder: &Path, object: &Path, compiler: &Compiler) -> Result<()> {
    let confirmed = object.with_file_name("comes-out-the-same");
    if confirmed.exists() {
        return Ok(());
    }
    eprintln!("building the module's Rust half again, from the sources that are packed ...");
    let again = folder.with_file_name("module-from-source");
    process::capture(Command::new("cp").arg("-a").arg(folder).arg(&again))?;
    let mut prepare = Command::new(again.join("prepare"));
    prepare.arg("source").env("PATH", module::COMPILER_PATH).env("RUST_LIBRARY", &compiler.library);
    let said = process::capture(&mut prepare)?;
    if !said.contains("to the byte") {
        bail!("the module's Rust half does not come out the same twice: {said}");
    }
    fs::remove_dir_all(&again).context("removing the second build of the Rust half")?;
    write(&confirmed, &said)
}

/// A file of `packaging/`.
pub(crate) fn packaging(name: &str) -> PathBuf {
    workspace::root().join("packaging").join(name)
}

/// The files below a folder but those called `but`.
fn files(folder: &Path, but: &OsStr) -> Result<Vec<PathBuf>> {
    let mut found = module::files(folder)?;
    found.retain(|file| file.file_name() != Some(but));
    Ok(found)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// As [`copy`], with `@VERSION@` filled in.
pub(crate) fn copy_with(from: &Path, to: &Path, version: &Version) -> Result<()> {
    copy(from, to)?;
    write(to, &read(to)?.replace("@VERSION@", version.as_str()))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
