// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs of others: of this Debian's packages, with the libraries they load, for a guest that
//! has neither; and of crates.io, for this machine.

use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lists what a program loads.
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
/// What a package brings that no program reads.
const UNREAD: [&str; 4] =
    ["/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/lintian"];

/// These programs, each at /usr/bin, and what they load, as [`crate::machine::Options`] wants
/// files.
pub(crate) fn programs(names: &[&str]) -> Result<Vec<String>> {
    programs_of("".as_ref(), names, |program| Command::new(program))
        .context("`cargo xtask setup` installs what is wanted")
}

/// The same of a root that is not this machine's, where `command` runs a program inside.
pub(crate) fn programs_of(
    root: &Path,
    names: &[&str],
    command: impl Fn(&str) -> Command,
) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for name in names {
        let inside = ["/usr/bin", "/usr/sbin"].map(|folder| format!("{folder}/{name}"));
        let under_root = |path: &str| format!("{}{path}", root.display());
        let inside = inside.iter().find(|path| Path::new(&under_root(path)).exists());
        let inside = inside.with_context(|| format!("{name} is not in {}/", root.display()))?;
        let path = under_root(inside);
        found.insert(format!("{path}:/usr/bin/{name}"));
        // What names no loader is static, and loads nothing.
        let header = process::capture(Command::new("readelf").args(["-lW", &path]))?;
        if header.contains(" INTERP ") {
            let list = process::capture(command(LOADER).args(["--list", inside]))?;
            let libraries = list.lines().filter_map(library);
            found.extend(libraries.map(|library| {
                let path = under_root(library);
                if root.as_os_str().is_empty() { path } else { format!("{path}:{library}") }
            }));
        }
    }
    Ok(found.into_iter().collect())
}

/// The files of these packages, but what people read.
pub(crate) fn packages(names: &[&str]) -> Result<Vec<String>> {
    let list = process::capture(Command::new("dpkg-query").arg("--listfiles").args(names))?;
    let is_read = |path: &&str| !UNREAD.iter().any(|folder| path.starts_with(folder));
    let found: Vec<_> =
        list.lines().filter(is_read).filter(|path| Path::new(path).is_file()).collect();
    if found.is_empty() {
        bail!("the packages {names:?} hold no file");
    }
    Ok(found.into_iter().map(ToOwned::to_owned).collect())
}

/// Where [`from_crates_io`] puts a program.
pub(crate) fn installed(name: &str) -> Result<PathBuf> {
    Ok(workspace::cache("tools")?.join("bin").join(name))
}

/// The program of this crate in this version, installed into the cache if it is not there yet.
/// What `cargo install` is told besides stands in `options`.
pub(crate) fn from_crates_io(name: &str, version: &str, options: &[&str]) -> Result<PathBuf> {
    let tools = workspace::cache("tools")?;
    let _lock = workspace::lock("tools")?;
    let program = installed(name)?;
    let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Not every program tells its version in the same way; cargo tells of each.
    let list = process::capture(cargo().args(["install", "--list", "--root"]).arg(&tools))?;
    if program.exists() && has(&list, name, version) {
        return Ok(program);
    }
    eprintln!("installing {name} {version} into {} (some minutes) ...", tools.display());
    let mut cargo = cargo();
    cargo
        .args(["install", "--locked", name, "--version", &format!("={version}")])
        .args(options)
        .arg("--root");
    process::show(cargo.arg(&tools))
        .with_context(|| format!("installing {name} from crates.io"))?;
    Ok(program)
}

/// Whether what `cargo install --list` printed has this crate in this version.
fn has(list: &str, name: &str, version: &str) -> bool {
    let line = format!("{name} v{version}:");
    list.lines().any(|other| other == line)
}

/// The file that a line of ldd(1) names: `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, or
/// the loader itself.
fn library(line: &str) -> Option<&str> {
    let path = line.split_once("=>").map_or(line, |(_, path)| path).trim();
    let path = path.split_once(" (").map_or(path, |(path, _)| path);
    path.starts_with('/').then_some(path)
}

#[cfg(test)]
mod tests {
    use super::{has, library};

    #[test]
    fn cargo_lists_a_crate_with_its_version_above_its_programs() {
        let list = "cargo-cyclonedx v0.5.9:\n    cargo-cyclonedx\nmdbook v0.5.4:\n    mdbook\n";
        assert!(has(list, "cargo-cyclonedx", "0.5.9") && has(list, "mdbook", "0.5.4"));
        assert!(!has(list, "cargo-cyclonedx", "0.5.8") && !has(list, "cyclonedx", "0.5.9"));
        assert!(!has("", "mdbook", "0.5.4"));
    }

    #[test]
    fn libraries_are_what_ldd_names_by_path() {
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x00007f)"), Some("/lib/libc.so.6"));
        assert_eq!(
            library("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"),
            Some("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007f)"), None);
    }
}
