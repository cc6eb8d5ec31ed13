//! The debug kernels: Debian's own source of 6.12, configured by the fragments in `xtask/kernels` and built here, each with
//! one family of checks that no distribution's kernel carries.
//!
//! A build is kept under a key of all that made it. One that was interrupted goes on where it stopped. What is kept looks
//! like an unpacked kernel of Debian's, so that everything else takes it for one.

use super::{IMAGE, Kernel, Line, folder};
use crate::debian::archive::Archive;
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

/// The line whose source they are built from: its interfaces are theirs.
const LIKE: Line = Line::V6_12;

/// Debian's package of that source.
const SOURCE: &str = "linux-source-6.12";

/// What every debug kernel has.
const BASE: &str = include_str!("../../../kernels/base.config");

/// How one of them is made, and what a machine that runs it must be told and allowed.
pub(crate) struct Recipe {
    /// Its own configuration, on top of the common one.
    fragment: &'static str,
    /// The compiler, for `--version`.
    compiler: &'static str,
    /// What make is told, for the kernel and for modules.
    make: &'static [&'static str],
    /// How the module's Rust half is compiled for it; the C half takes what it wants from the kernel's own flags.
    instruments: Instruments,
    /// How many times longer than on a stock kernel anything may take in its machine.
    patience: u32,
    /// What building it wants beside what everything wants.
    packages: &'static [(&'static str, &'static str)],
}

/// Flags for rustc that watch what the module's Rust half does.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Instruments {
    /// For `core` and the module alike.
    pub(crate) every_crate: &'static [&'static str],
    /// For the module, with all of `core` that ends up in it.
    pub(crate) own_crate: &'static [&'static str],
}

impl Instruments {
    /// For kernels that watch compiled code by other means than the compiler's.
    const NONE: Self = Self { every_crate: &[], own_crate: &[] };
}

/// What scripts/Makefile.kasan gives the kernel's own Rust, but for the global variables: their registration would keep
/// every table of `core` in the module, and the panics that print them. The offset is x86-64's.
const KERNEL_ADDRESS: Instruments = Instruments {
    every_crate: &[
        "-Zsanitizer=kernel-address",
        "-Zsanitizer-recover=kernel-address",
        "-Cllvm-args=-asan-mapping-offset=0xdffffc0000000000",
        "-Cllvm-args=-asan-instrumentation-with-call-threshold=10000",
        "-Cllvm-args=-asan-stack=1",
        "-Cllvm-args=-asan-globals=0",
    ],
    // Coverage, as scripts/Makefile.kcov asks gcc for it.
    own_crate: &[
        "-Cpasses=sancov-module",
        "-Cllvm-args=-sanitizer-coverage-level=3",
        "-Cllvm-args=-sanitizer-coverage-trace-pc",
    ],
};

/// As scripts/Makefile.kcsan asks clang for it; plain copies of memory stay calls of the kernel's own memcpy.
const THREAD: Instruments = Instruments {
    every_crate: &[
        "-Zsanitizer=thread",
        "-Cllvm-args=-tsan-compound-read-before-write=1",
        "-Cllvm-args=-tsan-distinguish-volatile=1",
        "-Cllvm-args=-tsan-instrument-func-entry-exit=0",
        "-Cllvm-args=-tsan-instrument-memintrinsics=0",
    ],
    own_crate: &[],
};

const KASAN: Recipe = Recipe {
    fragment: include_str!("../../../kernels/kasan.config"),
    compiler: "gcc",
    make: &["CC=gcc"],
    instruments: KERNEL_ADDRESS,
    patience: 6,
    packages: &[],
};
const KCSAN: Recipe = Recipe { fragment: include_str!("../../../kernels/kcsan.config"), instruments: THREAD, ..KASAN };
const RT: Recipe = Recipe {
    fragment: include_str!("../../../kernels/rt.config"),
    instruments: Instruments::NONE,
    patience: 4,
    ..KASAN
};
const CFI: Recipe = Recipe {
    fragment: include_str!("../../../kernels/cfi.config"),
    compiler: "clang-19",
    make: &["LLVM=-19"],
    instruments: Instruments::NONE,
    patience: 2,
    packages: &[
        ("clang-19", "the kernel that clang builds"),
        ("lld-19", "the kernel that clang builds"),
        ("llvm-19", "the kernel that clang builds"),
    ],
};

impl Line {
    /// The kernels that are built here, for the faults that stock ones do not show.
    pub(crate) const DEBUG: [Self; 4] = [Self::Kasan, Self::Kcsan, Self::Cfi, Self::Rt];

    /// How the line's kernel is made here; nothing for a stock one.
    pub(super) const fn recipe(self) -> Option<&'static Recipe> {
        match self {
            Self::Kasan => Some(&KASAN),
            Self::Kcsan => Some(&KCSAN),
            Self::Cfi => Some(&CFI),
            Self::Rt => Some(&RT),
            Self::V5_10 | Self::V6_1 | Self::V6_12 | Self::Newest => None,
        }
    }

    /// The stock line whose interfaces the line's kernel has: itself for a stock one.
    pub(crate) fn interfaces(self) -> Self {
        if self.recipe().is_some() { LIKE } else { self }
    }

    /// How many times longer than on a stock kernel anything may take.
    pub(crate) fn patience(self) -> u32 {
        self.recipe().map_or(1, |recipe| recipe.patience)
    }

    /// How the module's Rust half is compiled for the line.
    pub(crate) fn instruments(self) -> Instruments {
        self.recipe().map_or(Instruments::NONE, |recipe| recipe.instruments)
    }

    /// The packages that the line wants beside what everything wants, and for what.
    pub(crate) fn packages(self) -> &'static [(&'static str, &'static str)] {
        self.recipe().map_or(&[], |recipe| recipe.packages)
    }

    /// What make is told of the compiler.
    pub(super) fn make_variables(self) -> &'static [&'static str] {
        self.recipe().map_or(&["CC=gcc"], |recipe| recipe.make)
    }

    /// What the kernel is told when it boots, beside what every kernel is told.
    pub(crate) fn boot_words(self) -> &'static str {
        match self.recipe() {
            // An instrumented kernel under emulation is slow, not stuck: half a minute of one processor's silence is usual
            // where the host has other work as well.
            Some(_) => "watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120",
            None => "",
        }
    }
}

impl Recipe {
    /// What the kernel's configuration is asked to hold.
    fn wishes(&self) -> String {
        format!("{BASE}{}", self.fragment)
    }

    /// The key of all that makes the kernel but its source.
    fn key(&self) -> Result<u64> {
        let version = process::capture(Command::new(self.compiler).arg("--version"))
            .with_context(|| format!("asking {} for its version", self.compiler))?;
        let mut hasher = DefaultHasher::new();
        RECIPE.hash(&mut hasher);
        // Not the comments: a better word is no other kernel.
        for line in self.wishes().lines().filter(|line| line.starts_with("CONFIG_")) {
            line.hash(&mut hasher);
        }
        version.lines().next().hash(&mut hasher);
        self.make.hash(&mut hasher);
        Ok(hasher.finish())
    }
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
        let current: Value = serde_json::from_str(&fs::read_to_string(folder.join("current.json")).ok()?).ok()?;
        let version = current.get("version")?.as_str()?.to_owned();
        let root = folder.join(&version);
        root.join("Makefile").exists().then_some(Self { version, root })
    }

    /// The newest source in Debian's archive.
    fn download() -> Result<Self> {
        let archive = Archive::update("6.12-source", LIKE.suites())?;
        let package = archive.look_up(SOURCE)?;
        let folder = workspace::cache("kernels/source")?;
        let (version, root) = (package.version.clone(), folder.join(&package.version));
        if !root.exists() {
            eprintln!("fetching {SOURCE} ({version}), 150 MB packed, 1.7 GB unpacked ...");
            workspace::make_whole(&root, |part| {
                archive.unpack(&[package], part)?;
                let packed = part.join(format!("usr/src/{SOURCE}.tar.xz"));
                let mut tar = Command::new("tar");
                tar.args(["--extract", "--strip-components=1", "--directory"]).arg(part).arg("--file").arg(packed);
                process::capture(&mut tar)?;
                fs::remove_dir_all(part.join("usr/src")).context("removing the packed source")?;
                fs::remove_dir_all(part.join("usr/share/doc")).context("removing the package's own files")
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
pub(super) fn cached(line: Line, recipe: &Recipe) -> Option<Kernel> {
    open(line, &version(&Source::cached()?, recipe).ok()?).ok()
}

/// Builds the line's kernel. The caller holds the line's lock.
pub(super) fn build(line: Line, recipe: &Recipe, renew: bool) -> Result<Kernel> {
    let source = Source::fetch(renew)?;
    let version = version(&source, recipe)?;
    if let Ok(kernel) = open(line, &version) {
        return Ok(kernel);
    }
    let destination = folder(line)?.join(&version);
    let work = destination.with_file_name(format!("{version}.work"));
    let started = Instant::now();
    eprintln!(
        "building kernel {line} from {SOURCE} ({}); an interrupted build goes on where it stopped ...",
        source.version
    );
    let goes_on = work.exists();
    let mut release = make_all(line, &source, recipe, &work);
    if let (true, Err(error)) = (goes_on, &release) {
        // A machine that stops in the middle leaves half-written files, which make takes for whole ones.
        let why = error.to_string();
        eprintln!(
            "{}; the build was interrupted before, so it is begun anew ...",
            why.lines().next().unwrap_or_default()
        );
        fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
        release = make_all(line, &source, recipe, &work);
    }
    let release = release?;
    fs::rename(&work, &destination)
        .with_context(|| format!("giving {} its final name {}", work.display(), destination.display()))?;
    eprintln!("built kernel {release} in {:.0} min", started.elapsed().as_secs_f64() / 60.0);
    open(line, &version)
}

/// Makes the kernel in the folder; its release.
fn make_all(line: Line, source: &Source, recipe: &Recipe, work: &Path) -> Result<String> {
    let tree = work.join("usr/src/build");
    fs::create_dir_all(&tree).with_context(|| format!("making {}", tree.display()))?;
    configure(source, recipe, &tree)?;
    compile(line, make(source, recipe, &tree).args(["vmlinux", "modules"]), &work.join("build.log"))?;
    settle(work, &tree)
}

fn version(source: &Source, recipe: &Recipe) -> Result<String> {
    Ok(format!("{}-{:016x}", source.version, recipe.key()?))
}

fn open(line: Line, version: &str) -> Result<Kernel> {
    let note = folder(line)?.join(version).join("release");
    let release = fs::read_to_string(&note).with_context(|| format!("reading {}", note.display()))?;
    Kernel::open(line, version, release.trim())
}

/// make in the build's folder, out of the source's.
fn make(source: &Source, recipe: &Recipe, tree: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C").arg(&source.root).arg(format!("O={}", tree.display())).args(recipe.make);
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    make.arg(format!("-j{jobs}")).stdin(Stdio::null());
    make.env("LC_ALL", "C.UTF-8").env_remove("MAKEFLAGS").env_remove("MFLAGS").env_remove("MAKELEVEL");
    make
}

/// Writes the configuration, and refuses one that lost something asked for: an option whose condition does not hold goes
/// without a word, and a check that is not there would pass for one that found nothing.
fn configure(source: &Source, recipe: &Recipe, tree: &Path) -> Result<()> {
    // Written last: the configuration of a run that was interrupted here is made anew.
    let (config, done) = (tree.join(".config"), tree.join("configured"));
    if !done.exists() {
        process::capture(make(source, recipe, tree).args(["-s", "tinyconfig"]))?;
        let mut file = File::options().append(true).open(&config).context("opening the configuration")?;
        file.write_all(recipe.wishes().as_bytes()).context("writing the configuration")?;
        drop(file);
        process::capture(make(source, recipe, tree).args(["-s", "olddefconfig"]))?;
    }
    let made = fs::read_to_string(&config).with_context(|| format!("reading {}", config.display()))?;
    let wishes = recipe.wishes();
    let lost = lost(&wishes, &made);
    if !lost.is_empty() {
        bail!("the kernel's configuration came out without {}: see xtask/kernels", lost.join(", "));
    }
    fs::write(&done, "").with_context(|| format!("writing {}", done.display()))
}

/// What a configuration does not hold of what was asked for; of two wishes about one option the later counts.
fn lost<'a>(wishes: &'a str, made: &str) -> Vec<&'a str> {
    let option = |wish: &str| wish.split_once('=').map_or(wish.len(), |(option, _)| option.len());
    let wishes: Vec<&str> = wishes.lines().filter(|line| line.starts_with("CONFIG_")).collect();
    let is_last = |place: usize, wish: &str| {
        let same = |later: &&str| later.get(..option(later)) == wish.get(..option(wish));
        !wishes.iter().skip(place + 1).any(same)
    };
    let holds = |wish: &str| match wish.strip_suffix("=n") {
        Some(option) => !made.lines().any(|line| line.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))),
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
fn compile(line: Line, make: &mut Command, log: &Path) -> Result<()> {
    const SILENCE: Duration = Duration::from_secs(60);
    let (reader, writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe")?;
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
            eprintln!("kernel {line}: {files} files compiled in {minutes} min, of about a thousand ...");
        }
    }
    let status = child.wait().context("waiting for make")?;
    if !status.success() {
        let text = fs::read(log).with_context(|| format!("reading {}", log.display()))?;
        bail!(
            "building kernel {line} ended with {}:\n{}\nthe command was: {}",
            process::describe(status),
            process::tail(&text),
            process::line(make)
        );
    }
    Ok(())
}

/// Puts the image, the index of modules and what modules are built with where Debian's packages have theirs, and drops
/// the rest. Returns the kernel's release.
fn settle(work: &Path, tree: &Path) -> Result<String> {
    let release =
        fs::read_to_string(tree.join("include/config/kernel.release")).context("reading the kernel's release")?;
    let release = release.trim();
    let (boot, modules) = (work.join("boot"), work.join("lib/modules").join(release));
    for place in [&boot, &modules] {
        fs::create_dir_all(place).with_context(|| format!("making {}", place.display()))?;
    }
    // The relocations and symbols that a machine does not load are most of the file.
    process::capture(Command::new("objcopy").arg("--strip-debug").arg(tree.join("vmlinux")).arg(work.join(IMAGE)))?;
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(tree.join(name), modules.join(name)).with_context(|| format!("keeping {name}"))?;
    }
    process::capture(
        Command::new("depmod").env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin").arg("--basedir").arg(work).arg(release),
    )?;
    // A module's build wants headers and programs; the objects were the kernel's own.
    let mut drop_objects = Command::new("find");
    drop_objects
        .arg(tree)
        .args(["-type", "f", "(", "-name", "*.o", "-o", "-name", "*.a", "-o", "-name", "vmlinux*", ")"]);
    drop_objects.args(["-not", "-path", "*/scripts/*", "-not", "-path", "*/tools/*", "-delete"]);
    process::capture(&mut drop_objects)?;
    fs::rename(tree, work.join("usr/src").join(format!("linux-headers-{release}"))).context("keeping the headers")?;
    fs::write(work.join("release"), release).context("noting the kernel's release")?;
    Ok(release.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{BASE, Line, lost};

    #[test]
    fn a_wish_that_did_not_come_is_named() {
        let made = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_NAME=\"x\"\n";
        assert_eq!(lost("# words\nCONFIG_A=y\nCONFIG_B=n\nCONFIG_NAME=\"x\"\n", made), [""; 0]);
        assert_eq!(lost("CONFIG_B=y\nCONFIG_C=n\nCONFIG_AB=y\n", made), ["CONFIG_B=y", "CONFIG_C=n", "CONFIG_AB=y"]);
        // A kernel's own fragment overrules the common one.
        assert_eq!(lost("CONFIG_B=y\nCONFIG_B=n\n", made), [""; 0]);
    }

    #[test]
    fn every_line_of_a_fragment_is_a_wish_or_a_word_about_it() {
        let fragments = Line::DEBUG.iter().filter_map(|line| line.recipe()).map(|recipe| recipe.fragment);
        for line in fragments.chain([BASE]).flat_map(str::lines) {
            let is_wish = line.starts_with("CONFIG_") && line.contains('=');
            assert!(line.is_empty() || line.starts_with("# ") || is_wish, "{line}");
        }
    }
}
