// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library, linked and laid out as it is installed.
//!
//! rustc makes an archive of it, with much of Rust's standard library in it that is not needed. The
//! linker makes that one object of what is needed, out of which nothing shows but the functions of
//! the headers: that is the static library, which can stand beside other Rust code. The shared
//! library is linked from the same object by the C compiler, because names with versions need a
//! version script of our own and rustc would bring one already.

use crate::build::cross;
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// By what build systems find the library: the template of each file, and its place among the
/// libraries, at the second level below them.
const DESCRIPTIONS: [(&str, &str); 3] = [
    ("libashmem.pc.in", "pkgconfig/libashmem.pc"),
    ("libashmem-config.cmake.in", "cmake/libashmem/libashmem-config.cmake"),
    ("libashmem-config-version.cmake.in", "cmake/libashmem/libashmem-config-version.cmake"),
];

/// The name programs are linked to: it changes when a function goes or changes its meaning, and
/// never else.
const SONAME: &str = "libashmem.so.0";

/// Builds the library and lays it out under `destdir` for use from `prefix`; the files written.
pub(crate) fn install(
    arch: Arch,
    prefix: &Path,
    libdir: &Path,
    destdir: Option<&Path>,
) -> Result<Vec<PathBuf>> {
    let up = way_up(libdir)?;
    let built = build(arch)?;
    let staged = |path: PathBuf| match destdir {
        None => path,
        Some(folder) => folder.join(path.strip_prefix("/").unwrap_or(&path)),
    };
    let (libraries, headers) = (prefix.join(libdir), prefix.join("include"));
    let mut files = Vec::new();
    let mut put = |content: &Path, to: PathBuf, mode: u32| -> Result<()> {
        let to = staged(to);
        copy(content, &to, mode)?;
        files.push(to);
        Ok(())
    };
    put(&built.shared, libraries.join(built.file_name()), 0o644)?;
    put(&built.archive, libraries.join("libashmem.a"), 0o644)?;
    for header in ["android/sharedmem.h", "cutils/ashmem.h"] {
        put(&source().join("include").join(header), headers.join(header), 0o644)?;
    }
    for name in [SONAME, "libashmem.so"] {
        let link = staged(libraries.join(name));
        // Another version's link may be there.
        let _ = fs::remove_file(&link);
        symlink(built.file_name(), &link).with_context(|| format!("linking {}", link.display()))?;
        files.push(link);
    }
    for (template, place) in DESCRIPTIONS {
        let template = source().join(template);
        let text = fs::read_to_string(&template)
            .with_context(|| format!("reading {}", template.display()))?
            .replace("@up@", &up)
            .replace("@soname@", SONAME)
            .replace("@version@", &built.version);
        let description = staged(libraries.join(place));
        make_parent(&description)?;
        workspace::write_whole(&description, &text)?;
        files.push(description);
    }
    Ok(files)
}

/// The way from a folder in the libraries' own up to the prefix, such as `../..`.
fn way_up(libdir: &Path) -> Result<String> {
    let is_below = |part: Component<'_>| matches!(part, Component::Normal(_));
    if libdir.as_os_str().is_empty() || !libdir.components().all(is_below) {
        bail!(
            "the libraries' folder is named within the prefix, such as lib or \
             lib/x86_64-linux-gnu, not {:?}",
            libdir
        );
    }
    Ok(vec![".."; libdir.components().count() + 1].join("/"))
}

/// What a build leaves.
struct Built {
    shared: PathBuf,
    archive: PathBuf,
    version: String,
}

impl Built {
    fn file_name(&self) -> String {
        format!("libashmem.so.{}", self.version)
    }
}

/// The crate's folder.
pub(crate) fn source() -> PathBuf {
    workspace::root().join("crates/libashmem")
}

/// Compiles the crate and links both libraries.
fn build(arch: Arch) -> Result<Built> {
    let tools = Toolchain::ensure(arch)?;
    let tool = |name: &str| {
        let mut command = Command::new(tools.tool(name));
        tools.serve(&mut command);
        command
    };
    let target = workspace::root().join("target");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The archive alone: cargo optimises across crates only where no rlib is asked for as well.
    cargo.args(["rustc", "--quiet", "--profile", "library", "--package", "libashmem", "--lib"]);
    cargo.args(["--crate-type", "staticlib"]);
    cargo.arg("--target-dir").arg(&target).current_dir(workspace::root());
    let foreign = (arch != Arch::X86_64).then(|| arch.rust_target());
    if let Some(foreign) = &foreign {
        cargo.args(["--target", foreign]);
    }
    cross::prepare(&mut cargo, arch)?;
    let (text, status) = process::capture_both(&mut cargo)?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(&cargo), process::describe(status));
    }
    let compiled = target.join(foreign.unwrap_or_default()).join("library/liblibashmem.a");
    let folder = workspace::cache(&format!("{}library", arch.prefix()))?;
    let _lock = workspace::lock("library")?;
    let map = source().join("libashmem.map");
    let names = exported(&map)?;
    let object = folder.join("libashmem.o");
    let mut merge = tool("ld");
    merge.args(["-r", "--gc-sections", "--strip-debug", "-o"]).arg(&object);
    merge.args(names.iter().map(|name| format!("-u{name}"))).arg(&compiled);
    process::capture(&mut merge).context("making the library one object")?;
    refuse_panics(&object, tool("nm"))?;
    let mut hide = tool("objcopy");
    hide.args(names.iter().map(|name| format!("--keep-global-symbol={name}")))
        .arg("--strip-unneeded");
    // What rustc keeps for link-time optimisation; merged it is many times the code, and no tool
    // can read it.
    hide.args(["--remove-section=.llvmbc", "--remove-section=.llvmcmd"]);
    // Where Rust's library keeps a program's arguments: nothing of ours is to run when a program
    // loads us.
    hide.args(["--wildcard", "--remove-section=.init_array*"]).arg(&object);
    process::capture(&mut hide).context("hiding the library's own names")?;
    let archive = folder.join("libashmem.a");
    // ar adds to what is there.
    let _ = fs::remove_file(&archive);
    process::capture(tool("ar").args(["rcsD"]).arg(&archive).arg(&object))
        .context("making the archive")?;
    let shared = folder.join("libashmem.so");
    let mut link = tool("gcc");
    link.args(["-shared", "-o"]).arg(&shared).arg(format!("-Wl,-soname,{SONAME}"));
    link.arg(format!("-Wl,--version-script={}", map.display()));
    link.args(["-Wl,--as-needed,--strip-debug", "-Wl,-z,defs,-z,relro,-z,now"]).arg(&object);
    process::capture(&mut link).context("linking the shared library")?;
    Ok(Built { shared, archive, version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// A library that cannot panic needs nothing of Rust's own at run time, and is a tenth of the size.
/// A path to one would bring the whole of its messages, backtraces and allocations into every
/// program that links it.
fn refuse_panics(object: &Path, mut nm: Command) -> Result<()> {
    let names = process::capture(nm.arg(object)).context("reading the library's names")?;
    // Of a merged block of data a part may be the standard library's; data alone leads nowhere.
    let is_code = |line: &str| {
        line.trim_start_matches(|c: char| c.is_ascii_hexdigit())
            .trim_start()
            .starts_with(['t', 'T', 'w', 'W', 'U'])
    };
    let found: Vec<_> =
        names.lines().filter(|line| line.contains("panicking") && is_code(line)).collect();
    if !found.is_empty() {
        bail!(
            "the C library holds a way to panic: find the caller with `objdump -dr {}`\n{}",
            object.display(),
            found.join("\n")
        );
    }
    Ok(())
}

/// The names that a version script gives away.
fn exported(map: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(map).with_context(|| format!("reading {}", map.display()))?;
    let names = text.lines().filter_map(|line| line.trim().strip_suffix(';'));
    Ok(names
        .filter(|name| name.starts_with(|letter: char| letter.is_ascii_alphabetic()))
        .map(str::to_owned)
        .collect())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    make_parent(to)?;
    // A program may run from the old file; it keeps it.
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("writing {}", to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", to.display()))
}

fn make_parent(file: &Path) -> Result<()> {
    let folder = file.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::way_up;
    use std::path::Path;

    #[test]
    fn the_prefix_is_found_from_below_the_libraries() {
        assert_eq!(way_up(Path::new("lib")).ok().as_deref(), Some("../.."));
        assert_eq!(way_up(Path::new("lib/x86_64-linux-gnu")).ok().as_deref(), Some("../../.."));
        for libdir in ["", "/usr/lib", "../lib", "lib/../.."] {
            assert!(way_up(Path::new(libdir)).is_err(), "{libdir:?}");
        }
    }
}
