// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel module, built for one kernel, and what is checked of every build.
//!
//! Two steps: one Rust object that knows no kernel (`module/rust/build.sh`), and kbuild for the C
//! glue around it. Each is kept in the cache under a key of all that goes into it.

mod object;

use crate::debian::kernel::{Instruments, Kernel, Line, Platform};
use crate::debian::toolchain::Toolchain;
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a build is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// For use.
    Plain,
    /// For tests: allocations can be made to fail.
    Faults,
    /// Without tracepoints, to measure what they cost.
    Untraced,
}

impl Flavour {
    const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Faults => "faults",
            Self::Untraced => "untraced",
        }
    }

    /// What make is told of it.
    const fn make_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["modules"],
            Self::Faults => &["ASHMEM_FAULTS=y", "modules"],
            Self::Untraced => &["ASHMEM_UNTRACED=y", "modules"],
        }
    }

    /// The flags of the Rust half.
    const fn rust_flags(self) -> &'static [&'static str] {
        match self {
            Self::Plain | Self::Faults => &[],
            Self::Untraced => &["--cfg", "ashmem_untraced"],
        }
    }
}

/// Builds `ashmem_linux.ko` for a kernel and returns its path.
pub(crate) fn build(kernel: &Kernel) -> Result<PathBuf> {
    build_flavour(kernel, Flavour::Plain)
}

/// As [`build`], for use or for a test.
pub(crate) fn build_flavour(kernel: &Kernel, flavour: Flavour) -> Result<PathBuf> {
    let Platform { arch, line } = kernel.platform;
    let object = rust_object(arch, flavour, kernel.platform.instruments())?;
    let sources = sources(&source())?;
    let key = key(
        &sources,
        &[&kernel.release, &kernel.version, flavour.name(), &object.display().to_string()],
    )?;
    let name = format!("{}-{}", kernel.platform.key(), flavour.name());
    let _lock = workspace::lock(&format!("module-{name}"))?;
    let name = format!("{name}-{key:016x}");
    let folder = workspace::cache("modules")?.join(&name);
    let module = folder.join("ashmem_linux.ko");
    if module.exists() {
        return Ok(module);
    }
    eprintln!("building ashmem_linux.ko for {} ...", kernel.release);
    // kbuild writes absolute paths down, so it works in the final place; a marker tells a whole
    // build from a broken one.
    let work = folder.with_file_name(format!("{name}.work"));
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    }
    for path in &sources {
        copy(
            path,
            &work.join(path.strip_prefix(source()).context("a source lies under module/")?),
        )?;
    }
    copy(&object, &work.join("rust").join(shipped(arch)))?;
    let text = kernel.make(&work, flavour.make_arguments())?;
    refuse_warnings(&text)?;
    refuse_panics(&work.join("ashmem_linux.ko"))?;
    object::check(&work.join("ashmem_linux.ko"), &object::Configuration::read(kernel.headers()?)?)?;
    check_probes(line, &work)?;
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let part = folder.join("ashmem_linux.ko.part");
    fs::copy(work.join("ashmem_linux.ko"), &part).context("keeping the module")?;
    fs::rename(&part, &module).context("keeping the module")?;
    Ok(module)
}

fn source() -> PathBuf {
    workspace::root().join("module")
}

/// Builds the Rust half, or finds it built. One object serves every kernel of an architecture that
/// asks for the same instruments.
pub(crate) fn rust_object(
    arch: Arch,
    flavour: Flavour,
    instruments: Instruments,
) -> Result<PathBuf> {
    let compiler = compiler()?;
    let core = workspace::root().join("crates/ashmem-core/src");
    let mut inputs = files(&core)?;
    inputs.extend(files(&source().join("src"))?);
    inputs.extend(files(&source().join("rust"))?);
    let flags = [flavour.rust_flags(), instruments.own_crate].concat();
    let everywhere = instruments.every_crate.join(" ");
    let tools = Toolchain::ensure(arch)?;
    let key = key(&inputs, &[&compiler.version, &flags.join(" "), &everywhere])?;
    let folder = workspace::cache("rust-objects")?.join(format!("{}{key:016x}", arch.prefix()));
    let _lock = workspace::lock("rust-object")?;
    if !folder.exists() {
        eprintln!("building the module's Rust half with {} ...", compiler.version);
        workspace::make_whole(&folder, |part| {
            let mut command = Command::new("sh");
            command
                .arg(source().join("rust/build.sh"))
                .arg("rustc")
                .arg(&compiler.library)
                .arg(&core)
                .arg(part)
                .args(flags);
            command.env("PATH", COMPILER_PATH).env("ASHMEM_RUST_FLAGS", &everywhere);
            command.env("ARCH", arch.kernel()).env("CROSS_COMPILE", &tools.prefix);
            tools.serve(&mut command);
            let (text, status) = process::capture_both(&mut command)?;
            if !status.success() {
                bail!(
                    "{} ended with {}:\n{text}",
                    process::line(&command),
                    process::describe(status)
                );
            }
            fs::remove_dir_all(part.join("work")).context("removing what the Rust build left")
        })?;
    }
    Ok(folder.join(shipped(arch)))
}

/// How the Rust half for an architecture is called.
pub(crate) fn shipped(arch: Arch) -> String {
    format!("ashmem-{}.o_shipped", arch.kernel_folder())
}

/// Lays the Rust half for every architecture into a folder, with its hashes and its compiler's
/// version: what a tree of the module's source is shipped with.
pub(crate) fn lay_objects(folder: &Path) -> Result<()> {
    let mut sums = String::new();
    for arch in Arch::ALL {
        let object = rust_object(arch, Flavour::Plain, Instruments::default())?;
        copy(&object, &folder.join(shipped(arch)))?;
        // As the build sees them, from the folder above.
        let name = format!("rust/{}", shipped(arch));
        let above = folder.parent().context("the folder lies in the tree")?;
        sums += &process::capture(Command::new("sha256sum").arg(&name).current_dir(above))?;
    }
    let write = |name: &str, text: &str| {
        let place = folder.join(name);
        fs::write(&place, text).with_context(|| format!("writing {}", place.display()))
    };
    write("sha256sums", &sums)?;
    write("compiler", &format!("{}\n", compiler()?.version))
}

/// Where Debian's packages put their programs; a rustup toolchain, which has no sources, is not
/// among them.
pub(crate) const COMPILER_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Debian's own compiler, and the sources of its `core`.
pub(crate) struct Compiler {
    pub(crate) version: String,
    pub(crate) library: PathBuf,
}

/// The compiler of the module's Rust half.
pub(crate) fn compiler() -> Result<Compiler> {
    let version = process::capture(
        Command::new("rustc").arg("--version").env("PATH", COMPILER_PATH),
    )
    .context(
        "Debian's own rustc is wanted for the module's Rust half: `cargo xtask setup` installs it",
    )?;
    let release = version.split_whitespace().nth(1).context("rustc did not tell its release")?;
    let library = PathBuf::from(format!("/usr/src/rustc-{release}/library"));
    if !library.join("core/src/lib.rs").exists() {
        bail!(
            "{} holds no sources of core: `cargo xtask setup` installs rust-web-src",
            library.display()
        );
    }
    Ok(Compiler { version: version.trim().to_owned(), library })
}

/// What kbuild reads.
fn sources(module: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![module.join("Kbuild"), module.join("VERSION")];
    found.extend(files(&module.join("glue"))?);
    found.extend(files(&module.join("probes"))?);
    Ok(found)
}

/// The files below a folder, in order.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn key(inputs: &[PathBuf], words: &[&str]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for path in inputs {
        path.hash(&mut hasher);
        fs::read(path).with_context(|| format!("reading {}", path.display()))?.hash(&mut hasher);
    }
    words.hash(&mut hasher);
    Ok(hasher.finish())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    fs::copy(from, to)
        .with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

/// The compiler, modpost and objtool have nothing to say about a good module.
fn refuse_warnings(text: &str) -> Result<()> {
    // Not about the module: there is no vmlinux beside headers, and the compiler's build may differ
    // from the kernel's.
    const EXPECTED: [&str; 4] = [
        "the compiler differs from the one used to build the kernel",
        "Skipping BTF generation",
        "pahole version differs",
        "You are using:",
    ];
    let found: Vec<_> = text
        .lines()
        .filter(|line| line.to_lowercase().contains("warning") || line.contains("objtool:"))
        .filter(|line| !EXPECTED.iter().any(|expected| line.contains(expected)))
        .collect();
    if !found.is_empty() {
        bail!("the build of the module warns:\n{}\nall it printed:\n{text}", found.join("\n"));
    }
    Ok(())
}

/// A panic in the kernel would be a crash of the machine, so no code that can reach one is linked.
fn refuse_panics(module: &Path) -> Result<()> {
    let symbols = process::capture(Command::new("nm").arg("--demangle").arg(module))?;
    let found: Vec<_> = symbols.lines().filter(|line| line.contains("panicking")).collect();
    if !found.is_empty() {
        bail!("{} holds a panic path:\n{}", module.display(), found.join("\n"));
    }
    Ok(())
}

/// A probe that fails for a reason of its own would silently choose the wrong way.
fn check_probes(line: Line, work: &Path) -> Result<()> {
    let table = source().join("probes/expected.json");
    let text =
        fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
    let expected: BTreeMap<String, BTreeSet<String>> =
        serde_json::from_str(&text).with_context(|| format!("reading {}", table.display()))?;
    let expected = expected.get(line.interfaces().name());
    let expected = expected.with_context(|| format!("{} has no line {line}", table.display()))?;
    let header = work.join("glue/probes.h");
    let text =
        fs::read_to_string(&header).with_context(|| format!("reading {}", header.display()))?;
    let found: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define ASHMEM_HAS_")?.strip_suffix(" 1"))
        .map(str::to_lowercase)
        .collect();
    if &found != expected {
        bail!(
            "the probes found {found:?} in kernel {line}, where {} expects {expected:?};\n\
             what the compiler said of each is in {}/probes/*.log",
            table.display(),
            work.display()
        );
    }
    Ok(())
}
