// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C library's examples, built as its users build: by hand with pkg-config, by CMake, by meson.

use crate::build::library::source;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs.
const EXAMPLES: [&str; 2] = ["share", "cache"];

/// The library where it was installed.
pub(super) struct InstalledLibrary {
    /// What its headers lie in the `include` of.
    pub(super) prefix: PathBuf,
    /// What it lies in itself.
    pub(super) libraries: PathBuf,
}

impl InstalledLibrary {
    fn pkg_config(&self) -> PathBuf {
        self.libraries.join("pkgconfig")
    }
}

/// How a program comes by the library.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    Shared,
    Static,
}

impl Linkage {
    const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Static => "static",
        }
    }
}

/// What an example is compiled as.
#[derive(Clone, Copy)]
pub(super) enum Language {
    C,
    Cpp,
}

/// Both examples by one compiler.
pub(super) fn by_pkg_config(
    library: &InstalledLibrary,
    language: Language,
    linkage: Linkage,
) -> Result<Vec<PathBuf>> {
    EXAMPLES.iter().map(|name| compile(library, name, language, linkage)).collect()
}

/// One example as its first lines say; where it is linked statically, the C library is as well.
pub(super) fn compile(
    library: &InstalledLibrary,
    example: &str,
    language: Language,
    linkage: Linkage,
) -> Result<PathBuf> {
    let (compiler, language) = match language {
        Language::C => ("gcc", "c"),
        Language::Cpp => ("g++", "c++"),
    };
    let name = format!("{example}-{compiler}-{}", linkage.name());
    let program = workspace::cache("library")?.join(name);
    let mut ask = Command::new("pkg-config");
    ask.args(["--cflags", "--libs", "libashmem"]).env("PKG_CONFIG_PATH", library.pkg_config());
    let flags = process::capture(&mut ask).context("asking pkg-config")?;
    let mut compile = Command::new(compiler);
    compile.args(["-O2", "-Wall", "-Wextra", "-Werror", "-x", language]);
    compile
        .arg(source().join("examples").join(format!("{example}.c")))
        .args(["-x", "none", "-o"])
        .arg(&program);
    compile.args(flags.split_whitespace());
    if linkage == Linkage::Static {
        compile.arg("-static");
    }
    process::capture(&mut compile)?;
    is_linked(&program, linkage)?;
    Ok(program)
}

/// The examples by their CMakeLists.txt.
pub(super) fn by_cmake(library: &InstalledLibrary, linkage: Linkage) -> Result<Vec<PathBuf>> {
    let folder = empty_folder(&format!("cmake-{}", linkage.name()))?;
    let mut configure = cmake(library);
    configure.arg("-S").arg(source().join("examples")).arg("-B").arg(&folder);
    if linkage == Linkage::Static {
        configure.arg("-DLINK_STATIC=ON");
    }
    must(&mut configure)?;
    must(Command::new("cmake").arg("--build").arg(&folder))?;
    built(&folder, linkage)
}

/// A version that the library cannot stand for is not found: a newer one, and another major one.
pub(super) fn cmake_refuses_other_versions(library: &InstalledLibrary) -> Result<()> {
    let script = empty_folder("cmake-versions")?.join("versions.cmake");
    for version in ["99", "0.99", "1", "0.0...<0.1"] {
        let text = format!(
            "find_package(libashmem {version} QUIET)\n\
             if(libashmem_FOUND OR NOT libashmem_CONSIDERED_CONFIGS)\n\
             message(FATAL_ERROR \"${{libashmem_CONSIDERED_VERSIONS}} for {version}\")\n\
             endif()\n"
        );
        fs::write(&script, text).with_context(|| format!("writing {}", script.display()))?;
        must(cmake(library).arg("-P").arg(&script))?;
    }
    Ok(())
}

/// The examples by their meson.build.
pub(super) fn by_meson(library: &InstalledLibrary, linkage: Linkage) -> Result<Vec<PathBuf>> {
    let folder = empty_folder(&format!("meson-{}", linkage.name()))?;
    let mut setup = Command::new("meson");
    setup.arg("setup").arg("--pkg-config-path").arg(library.pkg_config());
    if linkage == Linkage::Static {
        setup.arg("-Dprefer_static=true");
    }
    must(setup.arg(&folder).arg(source().join("examples")))?;
    must(Command::new("meson").args(["compile", "-C"]).arg(&folder))?;
    built(&folder, linkage)
}

fn cmake(library: &InstalledLibrary) -> Command {
    let mut command = Command::new("cmake");
    command.arg(format!("-DCMAKE_PREFIX_PATH={}", library.prefix.display()));
    command
}

/// What a build system leaves in its folder.
fn built(folder: &Path, linkage: Linkage) -> Result<Vec<PathBuf>> {
    let programs: Vec<_> = EXAMPLES.iter().map(|name| folder.join(name)).collect();
    for program in &programs {
        is_linked(program, linkage)?;
    }
    Ok(programs)
}

/// A program needs the shared library, or holds the other.
fn is_linked(program: &Path, linkage: Linkage) -> Result<()> {
    let dynamic = process::capture(Command::new("readelf").args(["-dW"]).arg(program))?;
    let is_needed = dynamic.contains("[libashmem.so.0]");
    ensure!(
        is_needed == (linkage == Linkage::Shared),
        "{} was to be {}, and this is what it needs:\n{dynamic}",
        program.display(),
        linkage.name()
    );
    Ok(())
}

/// A folder of the cache with nothing of an earlier build.
fn empty_folder(name: &str) -> Result<PathBuf> {
    let folder = workspace::cache("library")?.join(name);
    workspace::make_whole(&folder, |_| Ok(()))?;
    Ok(folder)
}

/// Build systems tell on both outputs what went wrong.
fn must(command: &mut Command) -> Result<()> {
    let (text, status) = process::capture_both(command)?;
    if !status.success() {
        bail!("{} ended with {}:\n{text}", process::line(command), process::describe(status));
    }
    Ok(())
}
