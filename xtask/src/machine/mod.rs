// SPDX-License-Identifier: MIT OR Apache-2.0
//! A virtual machine: one program, as root, on a kernel of its own.

mod console;
pub(crate) mod initramfs;
mod qemu;

pub(crate) use qemu::Board;

use crate::build::{module, static_program};
use crate::debian::kernel::{Kernel, Line, Platform};
use crate::machine::initramfs::Initramfs;
use crate::machine::qemu::{Life, Machine};
use crate::util::process;
use crate::util::steps::StepResult;
use anyhow::{Context, Result, bail};
use ashmem_guest::{Module, Plan, Word};
use clap::{Args, ValueEnum};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The status of a run whose kernel reported something.
const KERNEL_REPORT: u8 = 70;
/// The status of a run whose guest fell silent.
const HANG: u8 = 71;
/// The status of a run that never got as far as the program's end.
const NO_RESULT: u8 = 72;

/// How a machine is made up, for `vm` and for every verb that runs something in one.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// What answers /dev/ashmem in the guest
    #[arg(long, default_value = "module")]
    pub(crate) provider: Provider,
    /// One instruction is one nanosecond, so that figures repeat and no load of the host's shows;
    /// what one processor does by itself
    #[arg(long)]
    pub(crate) icount: bool,
    /// Processors: one counts its own instructions as time, several are host threads and go by the
    /// host's clock
    #[arg(long, default_value_t = 1)]
    pub(crate) smp: u32,
    /// Emulate the processors in turn, on one host thread: slower, and none of them runs code that
    /// another has changed, as QEMU's threads now and then do for ever
    #[arg(long)]
    pub(crate) round_robin: bool,
    /// NUMA nodes, over which memory and processors are split; a node may be left without a
    /// processor
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    pub(crate) numa: u32,
    /// Memory in MiB
    #[arg(long, default_value_t = 512)]
    pub(crate) memory: u32,
    /// Seconds after which the guest counts as hung; a debug kernel's has several times that
    #[arg(long, default_value_t = 600)]
    pub(crate) timeout: u64,
    /// The provider's module file, instead of building it
    #[arg(long, value_name = "KO")]
    pub(crate) module_path: Option<PathBuf>,
    /// A module of the kernel's own to load as well, with what it depends on
    #[arg(long, value_name = "NAME")]
    pub(crate) extra_module: Vec<String>,
    /// A file of the host to put into the guest, its mode kept
    #[arg(long, value_name = "HOST[:GUEST]")]
    pub(crate) file: Vec<String>,
    /// A variable for the program's environment
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) env: Vec<String>,
    /// A word for the kernel's command line, such as security=selinux
    #[arg(long, value_name = "WORD")]
    pub(crate) kernel_word: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            provider: Provider::Module,
            icount: false,
            smp: 1,
            round_robin: false,
            numa: 1,
            memory: 512,
            timeout: 600,
            module_path: None,
            extra_module: Vec::new(),
            file: Vec::new(),
            env: Vec::new(),
            kernel_word: Vec::new(),
        }
    }
}

/// What answers `/dev/ashmem` in a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Provider {
    /// Debian 5.10's own ashmem_linux.ko
    Reference,
    /// this project's module
    Module,
    /// nothing
    None,
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reference => "reference",
            Self::Module => "module",
            Self::None => "none",
        })
    }
}

/// One run in a machine.
#[derive(Debug, Clone)]
pub(crate) struct VmRequest {
    pub(crate) kernel: Platform,
    pub(crate) options: Options,
    /// A static program of the host.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// Whether the program's output goes to our own stdout and stderr as it comes.
    pub(crate) live: bool,
}

/// How a run ended and what it left.
#[derive(Debug)]
pub(crate) struct VmOutcome {
    pub(crate) status: Status,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// The kernel's console, whole.
    pub(crate) console: String,
    /// From QEMU's start to the program's.
    pub(crate) boot: Option<Duration>,
}

impl VmOutcome {
    /// What became of a program with a closing line of its own, which is the note.
    pub(crate) fn step_result(&self) -> StepResult {
        let said = String::from_utf8_lossy(&self.stdout);
        if self.status.is_success() {
            let (closing, boot) =
                (said.trim_end().lines().last().unwrap_or_default(), self.boot.unwrap_or_default());
            return StepResult::Passed(format!(
                "{closing} (booted in {:.1} s)",
                boot.as_secs_f64()
            ));
        }
        let complaints = String::from_utf8_lossy(&self.stderr);
        StepResult::Failed(format!("{}\n{said}{complaints}", self.status))
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Status {
    /// The program returned this status on a kernel that stayed healthy.
    Exit(i32),
    /// A signal killed the program on a kernel that stayed healthy.
    Signal(i32),
    /// The kernel reported something; its console from there on.
    KernelReport(String),
    /// The guest did not finish in its time; the end of its console.
    Hang(String),
    /// The guest never got as far as the program's end; why.
    NoResult(String),
}

impl Status {
    /// Whether the program returned 0 on a healthy kernel.
    pub(crate) const fn is_success(&self) -> bool {
        matches!(self, Self::Exit(0))
    }

    /// The run's status as xtask's own.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Exit(code) => u8::try_from(*code).unwrap_or(u8::MAX),
            Self::Signal(signal) => u8::try_from(signal.saturating_add(128)).unwrap_or(u8::MAX),
            Self::KernelReport(_) => KERNEL_REPORT,
            Self::Hang(_) => HANG,
            Self::NoResult(_) => NO_RESULT,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(formatter, "the program ended with status {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal} killed the program"),
            Self::KernelReport(text) => write!(formatter, "the guest's kernel reported:\n{text}"),
            Self::Hang(text) => write!(
                formatter,
                "the guest did not finish in time; its console ends with:\n{text}"
            ),
            Self::NoResult(text) => {
                write!(formatter, "the guest could not run the program: {text}")
            }
        }
    }
}

/// Boots the kernel, runs the program to its end, reads the console. An error means that xtask
/// could not try.
pub(crate) fn run(request: &VmRequest) -> Result<VmOutcome> {
    let kernel = Kernel::fetch(request.kernel)?;
    let options = &request.options;
    if options.provider == Provider::Reference && request.kernel.line != Line::V5_10 {
        bail!(
            "the reference driver exists on kernel 5.10 alone: use --kernel 5.10 or --provider \
             module"
        );
    }
    if options.icount && options.smp > 1 {
        bail!(
            "--icount counts the instructions of one processor, and --smp asks for {}: leave one \
             of the two out",
            options.smp
        );
    }
    let initramfs = pack(&kernel, request)?;
    let of_line = request.kernel.line.boot_words();
    let words = std::iter::once(of_line).chain(options.kernel_word.iter().map(String::as_str));
    let machine = Machine {
        arch: request.kernel.arch,
        image: &kernel.image,
        words: &words.collect::<Vec<_>>().join(" "),
        initramfs: &initramfs,
        memory: options.memory,
        processors: options.smp,
        nodes: options.numa,
        counted: options.smp == 1,
        round_robin: options.round_robin,
        patience: Duration::from_secs(options.timeout) * request.kernel.patience(),
        boot_patience: BOOT * request.kernel.patience(),
        live: request.live,
    };
    let mut life = machine.run()?;
    for _ in 0..REBOOTS {
        let has_run = life.words.contains(&Word::Ready);
        let why = if never_began(&life) {
            "the kernel hung or complained before init had a word, so before anything of ours ran"
        // What a live machine has printed cannot be taken back.
        } else if is_emulators_fault(&life.console) && !(request.live && has_run) {
            "QEMU ran a breakpoint that the kernel's memory no longer holds, and the kernel died \
             of it"
        } else {
            break;
        };
        eprintln!("vm: {why}; booting again");
        life = machine.run()?;
    }
    let status = judge(&life);
    let Life { console, stdout, stderr, boot, .. } = life;
    Ok(VmOutcome { status, stdout, stderr, console, boot })
}

/// How often a boot that the emulator spoilt is tried again.
const REBOOTS: usize = 4;

/// How long a stock kernel may take to init's first word. It takes some seconds.
const BOOT: Duration = Duration::from_secs(120);

/// Whether the machine hung, or its kernel complained, while nothing of what is to be tried had
/// begun: a module's loading is a word. Seen with two processors on a busy host, in the first tenth
/// of a second.
fn never_began(life: &Life) -> bool {
    life.words.is_empty() && (life.timed_out || console::first_report(&life.console).is_some())
}

/// Whether the kernel met a breakpoint of its own code patching after it was done with it. With two
/// processors QEMU 7.2 may run an instruction that was replaced by then; real ones cannot. The
/// report itself proves it: the bytes that it shows as lying there hold no breakpoint. The kernel
/// patches the text of modules as well (tracepoints); a breakpoint that a module really holds is
/// shown.
pub(crate) fn is_emulators_fault(console: &str) -> bool {
    /// int3's only byte, which the processor has just passed.
    const BREAKPOINT: &str = "cc";
    let report = console::first_report(console).unwrap_or_default();
    let mut lines = report.lines();
    let is_breakpoint = lines.next().is_some_and(|line| line.contains("int3: 0000"));
    let after = |mark: &str| {
        lines.clone().find_map(|line| line.split_once(mark).map(|(_, rest)| rest.trim()))
    };
    let passed = after("Code: ").and_then(|bytes| bytes.split_once(" <")?.0.rsplit(' ').next());
    is_breakpoint && passed.is_some_and(|byte| byte != BREAKPOINT)
}

/// How a run came out: the kernel's health comes before the program's result.
fn judge(life: &Life) -> Status {
    if let Some(report) = console::first_report(&life.console) {
        return Status::KernelReport(report);
    }
    let console_end = || process::tail(life.console.as_bytes());
    if life.timed_out {
        return Status::Hang(console_end());
    }
    match life.words.last() {
        Some(Word::Exit(code)) => Status::Exit(*code),
        Some(Word::Signal(signal)) => Status::Signal(*signal),
        Some(Word::InitError(text)) => {
            Status::NoResult(format!("{text}\nthe console ends with:\n{}", console_end()))
        }
        Some(Word::Loading(_) | Word::Ready) | None => Status::NoResult(format!(
            "the machine went off without a word; QEMU said: {}\nthe console ends with:\n{}",
            if life.complaints.is_empty() { "nothing" } else { life.complaints.trim_end() },
            console_end()
        )),
    }
}

/// Packs the initramfs and the plan.
fn pack(kernel: &Kernel, request: &VmRequest) -> Result<Vec<u8>> {
    let options = &request.options;
    let init = static_program::build_for(kernel.platform.arch, "ashmem-guest", "ashmem-guest")?;
    let mut initramfs = Initramfs::new(&init)?;
    let name = request
        .program
        .file_name()
        .with_context(|| format!("{} is no program", request.program.display()))?;
    let program = format!("/bin/{}", name.to_string_lossy());
    initramfs.file(&program, &request.program)?;
    for file in &options.file {
        let (host, guest) = file.split_once(':').unwrap_or((file, file));
        initramfs.file(guest, Path::new(host))?;
    }
    let mut modules = Vec::new();
    let mut environment = vec![
        ("ASHMEM_KERNEL".to_owned(), kernel.platform.line.name().to_owned()),
        ("ASHMEM_PROVIDER".to_owned(), options.provider.to_string()),
    ];
    for name in &options.extra_module {
        for file in kernel.module_files(name)? {
            modules.push(put_module(&mut initramfs, &file, "")?);
        }
    }
    // A kernel may have no binder; the guest's environment then says so.
    for file in kernel.module_files("binder_linux").unwrap_or_default() {
        modules.push(put_module(&mut initramfs, &file, "devices=binder,hwbinder,vndbinder")?);
    }
    let provider = match (options.provider, &options.module_path) {
        (Provider::None, None) => None,
        (Provider::None, Some(_)) => {
            bail!("--module-path names a module, --provider none asks for none")
        }
        (Provider::Reference, None) => kernel.module_files("ashmem_linux")?.pop(),
        (Provider::Module, None) => Some(module::build(kernel)?),
        (_, Some(path)) => Some(path.clone()),
    };
    if let Some(file) = provider {
        let module = put_module(&mut initramfs, &file, "")?;
        environment.push(("ASHMEM_MODULE".to_owned(), module.path.clone()));
        modules.push(module);
    }
    for pair in &options.env {
        let (key, value) =
            pair.split_once('=').with_context(|| format!("--env {pair} is not KEY=VALUE"))?;
        environment.push((key.to_owned(), value.to_owned()));
    }
    modules.dedup_by(|second, first| second.path == first.path);
    initramfs.finish(&Plan { modules, program, arguments: request.arguments.clone(), environment })
}

/// Puts a module into the archive, decompressed: init hands it to the kernel as it is.
pub(crate) fn put_module(
    initramfs: &mut Initramfs,
    file: &Path,
    parameters: &str,
) -> Result<Module> {
    let name = file
        .file_name()
        .with_context(|| format!("{} is no module", file.display()))?
        .to_string_lossy();
    let content = match name.strip_suffix(".xz") {
        Some(_) => {
            let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(file).output();
            let output = output.with_context(|| format!("decompressing {}", file.display()))?;
            if !output.status.success() {
                bail!(
                    "xz could not decompress {}:\n{}",
                    file.display(),
                    process::tail(&output.stderr)
                );
            }
            output.stdout
        }
        None => {
            std::fs::read(file).with_context(|| format!("reading the module {}", file.display()))?
        }
    };
    let path = format!("/lib/modules/{}", name.trim_end_matches(".xz"));
    initramfs.bytes(&path, 0o644, &content)?;
    Ok(Module { path, parameters: parameters.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::{is_emulators_fault, never_began};
    use crate::machine::qemu::Life;
    use ashmem_guest::Word;

    /// As a console showed it: the two bytes of a NOP lie where the breakpoint was met.
    const STALE: &str = "[   34.805423] Oops: int3: 0000 [#1] SMP NOPTI\n\
                         [   34.806502] CPU: 0 UID: 0 PID: 0 Comm: swapper/0 Tainted: G           \
                         OE       7.3.4+deb13-amd64\n\
                         [   34.807465] RIP: 0010:ttwu_do_activate+0x93/0x1b0\n\
                         [   34.807827] Code: 00 80 f9 02 0f 44 d0 c7 43 18 00 00 00 00 66 <90> 48 \
                         8b 83 18 04\n";

    #[test]
    fn only_a_silent_boot_is_begun_again() {
        let hung = Life { timed_out: true, ..Life::default() };
        assert!(never_began(&hung));
        assert!(!never_began(&Life { timed_out: false, ..Life::default() }), "it went off");
        let loading = Word::Loading("/lib/modules/ashmem_linux.ko".to_owned());
        assert!(
            !never_began(&Life { words: vec![loading], timed_out: true, ..Life::default() }),
            "a module was loaded"
        );
        let report = "WARNING: CPU: 1 PID: 0 at arch/x86/kernel/smpboot.c:350".to_owned();
        let complained = Life { console: report, ..Life::default() };
        assert!(never_began(&complained));
        assert!(!never_began(&Life { words: vec![Word::Ready], ..complained }), "the program ran");
    }

    #[test]
    fn only_a_breakpoint_that_is_not_there_is_the_emulators() {
        assert!(is_emulators_fault(STALE));
        for (from, to, why) in [
            ("int3: 0000", "general protection fault", "another fault"),
            ("66 <90>", "cc <90>", "a breakpoint that is there"),
            ("Code: ", "", "nothing shows what lies there"),
        ] {
            assert!(STALE.contains(from), "{from}");
            assert!(!is_emulators_fault(&STALE.replace(from, to)), "{why}");
        }
        assert!(is_emulators_fault(&STALE.replace("0x1b0", "0x1b0 [ashmem_linux]")), "in a module");
        assert!(!is_emulators_fault(""), "no fault");
    }
}
