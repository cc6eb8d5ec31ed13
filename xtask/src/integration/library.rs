// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is tried of the libraries: their promises wherever they run, their examples, their binary
//! interface.

use super::c_examples::{self, InstalledLibrary, Language, Linkage};
use crate::build::library::{install, source};
use crate::build::static_program;
use crate::debian::kernel::Line;
use crate::machine::{self, Options, VmRequest};
use crate::util::arch::Arch;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kernel whose module is tried; what differs between kernels is the suite's to find.
const KERNEL: Line = Line::V6_1;

/// Where the libraries lie within a prefix: as installed by hand, and as in Debian's packages.
const LIBDIR: &str = "lib";
const LIBDIR_OF_PACKAGES: &str = "lib/x86_64-linux-gnu";

/// What wants this machine.
pub(crate) fn here() -> Vec<Step> {
    vec![
        Step::new("libraries under ashmem run", || {
            let mut command = Command::new(static_program::build_named("ashmem-cli", "ashmem")?);
            command
                .args(["run", "--"])
                .arg(static_program::build("ashmem-library-test")?)
                .args(["--provider", "run"]);
            let (text, status) = process::capture_both(command.env_remove("ASHMEM_BACKEND"))?;
            Ok(if status.success() {
                StepResult::Passed(text.trim_end().lines().last().unwrap_or_default().to_owned())
            } else {
                StepResult::Failed(format!("it ended with {}:\n{text}", process::describe(status)))
            })
        }),
        Step::new("C library: interface and headers", || {
            Ok(StepResult::Passed(interface(&staged(LIBDIR)?)?))
        }),
        Step::new("C library: examples on memfd and under ashmem run", || {
            Ok(StepResult::Passed(examples(&staged(LIBDIR)?)?))
        }),
    ]
}

/// What runs in machines of its own.
pub(crate) fn booted() -> Vec<Step> {
    let trial = Step::new(format!("libraries on the module, kernel {KERNEL}"), || {
        on_module(static_program::build("ashmem-library-test")?, &["--provider", "module"])
    });
    let example = Step::new(format!("C library: example on the module, kernel {KERNEL}"), || {
        let library = staged(LIBDIR)?;
        let program = c_examples::compile(&library, "cache", Language::C, Linkage::Static)?;
        on_module(program, &[])
    });
    vec![trial, example]
}

fn on_module(program: PathBuf, arguments: &[&str]) -> Result<StepResult> {
    // Where only the device will do, a program that quietly took memfd would fail.
    let options = Options { env: vec!["ASHMEM_BACKEND=device".to_owned()], ..Options::default() };
    let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
    let outcome = machine::run(&VmRequest {
        kernel: KERNEL.into(),
        options,
        program,
        arguments,
        live: false,
    })?;
    let said = String::from_utf8_lossy(&outcome.stdout);
    Ok(if outcome.status.is_success() {
        StepResult::Passed(said.trim_end().lines().last().unwrap_or_default().to_owned())
    } else {
        StepResult::Failed(format!(
            "{}\n{said}{}",
            outcome.status,
            String::from_utf8_lossy(&outcome.stderr)
        ))
    })
}

/// The library as a user gets it, in a place of the cache's, for a prefix that is not there:
/// whatever finds its parts has to go by where they lie.
fn staged(libdir: &str) -> Result<InstalledLibrary> {
    let folder = workspace::cache("library")?.join(format!("staged-{}", libdir.replace('/', "-")));
    let _lock = workspace::lock("library-staged")?;
    // Nothing of an earlier build stays.
    workspace::make_whole(&folder, |part| {
        install(Arch::X86_64, Path::new("/not-there"), Path::new(libdir), Some(part)).map(drop)
    })?;
    let prefix = folder.join("not-there");
    Ok(InstalledLibrary { libraries: prefix.join(libdir), prefix })
}

/// Names, versions and dependencies are those of the list, and each header can be used alone, in C
/// and in C++.
fn interface(library: &InstalledLibrary) -> Result<String> {
    let list = source().join("abi.txt");
    let text = fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?;
    let should: BTreeSet<_> =
        text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    let is = relied_on(&library.libraries.join("libashmem.so.0"))?;
    let lines = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    let (lost, new) = (lines(&should, &is), lines(&is, &should));
    ensure!(
        lost.is_empty() && new.is_empty(),
        "the library is not what {} says.\nmissing: {}\nnew: {}",
        list.display(),
        lost.join(", "),
        new.join(", ")
    );
    for header in ["android/sharedmem.h", "cutils/ashmem.h"] {
        for (compiler, standard) in
            [("gcc", "c99"), ("gcc", "c17"), ("g++", "c++11"), ("g++", "c++20")]
        {
            let language = if compiler == "g++" { "c++" } else { "c" };
            let mut command = Command::new(compiler);
            command.args([
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                "-Wpedantic",
                "-Werror",
                &format!("-std={standard}"),
            ]);
            command.args(["-x", language]).arg(library.prefix.join("include").join(header));
            process::capture(&mut command).with_context(|| format!("{header} as {standard}"))?;
        }
    }
    Ok(format!("{} lines of the interface, 2 headers in 4 standards", should.len()))
}

/// What a shared library gives, takes and needs, a line for each.
fn relied_on(library: &Path) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    let names = process::capture(Command::new("nm").arg("-D").arg(library))?;
    for line in names.lines() {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            // A version's own name, and what any shared object may weakly ask for.
            [_, "A", _] | ["w", _] => {}
            ["U", name] => {
                lines.insert(format!("takes {}", name.split('@').next().unwrap_or_default()));
            }
            [_, "T", name] => {
                lines.insert(format!("gives {name}"));
            }
            _ => bail!(
                "{}: nm says {line:?}, which no line of the list can stand for",
                library.display()
            ),
        }
    }
    let dynamic = process::capture(Command::new("readelf").args(["-dW"]).arg(library))?;
    for line in dynamic.lines() {
        let name = || line.split(['[', ']']).nth(1).unwrap_or_default();
        if line.contains("(NEEDED)") {
            lines.insert(format!("needs {}", name()));
        } else if line.contains("(SONAME)") {
            lines.insert(format!("soname {}", name()));
        }
    }
    Ok(lines)
}

/// Every example as each user would build it, run where there is no device and under `ashmem run`;
/// and the Rust ones.
fn examples(by_hand: &InstalledLibrary) -> Result<String> {
    let supervisor = static_program::build_named("ashmem-cli", "ashmem")?;
    let mut runs = 0;
    let mut run = |program: &Path, library: &InstalledLibrary| -> Result<()> {
        let plain = Command::new(program);
        let mut supervised = Command::new(&supervisor);
        supervised.args(["run", "--"]).arg(program).env("ASHMEM_BACKEND", "device");
        for mut command in [plain, supervised] {
            let said = process::capture(command.env("LD_LIBRARY_PATH", &library.libraries))?;
            ensure!(said.contains("bytes"), "{} said {said:?}", process::line(&command));
            runs += 1;
        }
        Ok(())
    };
    let packaged = staged(LIBDIR_OF_PACKAGES)?;
    for library in [by_hand, &packaged] {
        let mut programs = Vec::new();
        for linkage in [Linkage::Shared, Linkage::Static] {
            for language in [Language::C, Language::Cpp] {
                programs.extend(c_examples::by_pkg_config(library, language, linkage)?);
            }
            programs.extend(c_examples::by_cmake(library, linkage)?);
            programs.extend(c_examples::by_meson(library, linkage)?);
        }
        for program in programs {
            run(&program, library)?;
        }
    }
    c_examples::cmake_refuses_other_versions(by_hand)?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--release", "--package", "ashmem-linux", "--examples"])
        .arg("--target-dir");
    let target = workspace::root().join("target");
    process::capture(cargo.arg(&target).current_dir(workspace::root()))
        .context("building the Rust examples")?;
    for example in ["share", "cache"] {
        run(&target.join("release/examples").join(example), by_hand)?;
    }
    Ok(format!("{runs} runs of 2 C programs, by pkg-config, CMake and meson, and 2 Rust programs"))
}
