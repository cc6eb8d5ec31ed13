// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem trace`: shows each call to ashmem.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ashmem_agent::agent::endpoint::Address;
use ashmem_agent::notice;
use ashmem_trace::agent::AgentSource;
use ashmem_trace::container_watch::ContainerWatch;
use ashmem_trace::event::Source;
use ashmem_trace::glob::Glob;
use ashmem_trace::growth::TraceGrowth;
use ashmem_trace::module::ModuleSource;
use ashmem_trace::output::Output;
use ashmem_trace::process_selector::{ProcessSelector, Watched};
use ashmem_trace::processes::Processes;
use ashmem_trace::selection::Selection;
use ashmem_trace::session::{Session, TraceForm, TraceTotals};
use ashmem_trace::source::EventSource;
use ashmem_trace::summary::Summary;
use ashmem_trace::syscalls::SyscallSource;
use ashmem_trace::syscalls::calls::Scope;
use ashmem_trace::tracefs::Tracefs;
use ashmem_trace_wire::attach::AttachError;
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum, ValueHint};

use crate::announcement::Announcement;
use crate::ending::tell;

/// The exit status where the program was not started because of us.
/// The most of `--buffer`: 1 GiB for each processor.
const MOST_BUFFER: u64 = 1 << 20;

const NOT_STARTED: u8 = 125;

/// How often to check whether the watched containers still exist.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Show each call to ashmem as it happens: process, operation, result, duration
///
/// Prints one line for each call: time, process (with its number inside its container), region,
/// operation with its arguments, result, duration. With PROGRAM it starts that and follows all its
/// descendants; otherwise it watches the named processes, or all.
#[derive(Args)]
#[command(after_help = "\
Sources of events (--source):
  module    the kernel module's tracepoints, read through tracefs, in a trace instance of our own:
            needs root
  agent     the supervisor of `ashmem run`: needs no rights; PROGRAM runs as under `ashmem run`.
            Without PROGRAM the containers of `ashmem agent`: needs root, or to be the agent's user
  syscalls  the kernel's system call tracepoints, for ashmem ioctls and memfd: needs root; what a
            call points to in its caller's memory is read a moment after it. Without PROGRAM and
            --pid it leaves out what every process does all the time, and says which calls
  auto      the module where it is loaded, else the agent where PROGRAM is given or one listens,
            else syscalls

Examples:
  ashmem trace -- ./my-android-program
  ashmem trace -p waydroid:812 --name 'CursorWindow*'   # number 812 inside the container
  ashmem trace -f                                       # all failures on this host, until Ctrl-C
  ashmem trace --growth -- ./program                    # what it makes and does not free, by name
  ashmem trace --summary -- make test                   # counts, bytes, time, errors; as strace -c
  ashmem trace -o trace.pftrace -- ./program            # open it at https://ui.perfetto.dev

Exit status: PROGRAM's own; 125 if it was not started. Without PROGRAM 0, or 1 if there is nothing
to trace with.")]
pub(crate) struct Arguments {
    /// Watch this process and all it starts: PID, or CONTAINER:PID by the container's own number
    /// (repeatable)
    #[arg(short, long, value_name = "PID", conflicts_with = "command")]
    pid: Vec<ProcessSelector>,
    /// Only processes in this container: its name or id, or a pattern (repeatable)
    #[arg(long, value_name = "NAME")]
    container: Vec<Glob>,
    /// Only regions whose name matches, from their open on (repeatable)
    #[arg(long, value_name = "GLOB")]
    name: Vec<Glob>,
    /// Only calls that failed, whoever refused them
    #[arg(short, long)]
    fail_only: bool,
    /// What grows instead of calls: regions and bytes made minus freed, by the beginning of their
    /// names, a line for each second in which that changed
    #[arg(long, conflicts_with_all = ["summary", "fail_only"])]
    growth: bool,
    /// Totals at the end instead of lines: by operation and by process
    #[arg(short = 'c', long)]
    summary: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Write here instead of to standard error (with PROGRAM) or standard output; *.pftrace is
    /// written for Perfetto
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The source of the events
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    source: Choice,
    /// The socket of `ashmem agent` for OCI runtimes
    #[arg(
        long,
        value_name = "unix:PATH",
        default_value = "unix:/run/ashmem/agent.sock",
        conflicts_with = "command"
    )]
    agent: Address,
    /// Kernel memory for unread events, for each processor; with the module and --pid or PROGRAM
    /// twice that
    #[arg(
        long,
        value_name = "KIB",
        default_value_t = 4096,
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=MOST_BUFFER)
    )]
    buffer: usize,
    /// The program and its arguments
    #[arg(
        trailing_var_arg = true,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The first of these that can see what is asked for
    Auto,
    /// The kernel module's tracepoints
    Module,
    /// The supervisor of `ashmem run`, or `ashmem agent`
    Agent,
    /// The kernel's system call tracepoints
    Syscalls,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let has_program = !self.command.is_empty();
        match self.trace() {
            Ok(code) => code,
            Err(error) => {
                tell(&error);
                if has_program { ExitCode::from(NOT_STARTED) } else { ExitCode::FAILURE }
            }
        }
    }

    fn trace(mut self) -> Result<ExitCode> {
        self.check_output()?;
        let words = std::mem::take(&mut self.command);
        let mut watched = Vec::new();
        for wanted in &self.pid {
            watched.push(wanted.find()?);
        }
        let signals = Signals::catch()?;
        let Traced { mut source, before, limit } = self.source(&watched, !words.is_empty())?;
        let kind = source.source();
        if self.growth && !kind.sees_ends() {
            bail!(
                "--growth counts what is freed, and the kernel's system call tracepoints do not \
                 show that: `ashmem list --leaks --for 60` compares two moments"
            );
        }
        let (form, output) = self.writing(!words.is_empty())?;
        let (mut containers, mut looked) =
            (ContainerWatch::new(self.container.clone()), None::<Instant>);
        // What grows counts by the names that regions have at each moment.
        let names = if self.growth { Vec::new() } else { self.name.clone() };
        let selection = Selection::new(self.fail_only, names, self.container.clone());
        if words.is_empty() {
            self.announce(kind, &watched);
        }
        if let Some(limit) = limit {
            notice!("{limit}");
        }
        let mut session = Session::begin(selection, form, output, vec![kind]);
        let mut program = start(before, words)?;
        let mut ended = None;
        session
            .run(source.as_mut(), signals.wake.as_fd(), || {
                signals.drain();
                if let Some(child) = &mut program {
                    if signals.take_end() {
                        // If the program has ended already, the signal has no receiver.
                        let _ = rustix::process::kill_process(
                            rustix::process::Pid::from_child(child),
                            rustix::process::Signal::TERM,
                        );
                    }
                    ended = child.try_wait().ok().flatten();
                    return ended.is_some();
                }
                for name in watched.iter_mut().filter_map(Watched::ended_now) {
                    notice!("process {name} has ended");
                }
                if looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN) {
                    looked = Some(Instant::now());
                    report_ends(&mut containers);
                }
                let all_gone = !watched.is_empty() && watched.iter().all(Watched::has_ended);
                signals.take_interrupt() || signals.take_end() || all_gone
            })
            .context("reading the events")?;
        drop(source);
        report_ends(&mut containers);
        let totals = session.end();
        let failed = totals.is_err();
        match totals {
            Ok(totals) => report_losses(totals, kind),
            Err(ashmem_trace::output::Error::Stream(error))
                if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => notice!("{error}"),
        }
        if let Some(child) = &mut program {
            // If writing has failed, the program continues untraced.
            let status = match ended {
                Some(status) => status,
                None => child.wait().context("waiting for the program")?,
            };
            return Ok(repeat(status));
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Says what is traced, and how that is seen, before the first line of it.
    fn announce(&self, source: Source, watched: &[Watched]) {
        let announcement = Announcement {
            source,
            agent: &self.agent,
            processes: watched.iter().map(Watched::name).collect(),
            containers: &self.container,
            names: &self.name,
            fail_only: self.fail_only,
        };
        notice!("{announcement}");
    }

    /// Refuses what cannot be written to the file that was named.
    fn check_output(&self) -> Result<()> {
        let other = [(self.growth, "--growth"), (self.summary, "--summary"), (self.json, "--json")];
        if let Some((_, option)) = other.iter().find(|(given, _)| *given)
            && self.is_for_perfetto()
        {
            bail!(
                "*.pftrace is written for Perfetto, and {option} writes lines: name the file \
                 otherwise, or leave out {option}"
            );
        }
        Ok(())
    }

    fn is_for_perfetto(&self) -> bool {
        let end = self.output.as_ref().and_then(|path| path.extension());
        end.is_some_and(|end| end == "pftrace")
    }

    fn source(&self, watched: &[Watched], has_program: bool) -> Result<Traced> {
        // This process is followed, and so are its children.
        let threads: Option<Vec<i32>> = match (has_program, watched) {
            (true, _) => Some(vec![std::process::id() as i32]),
            (false, []) => None,
            (false, watched) => Some(watched.iter().flat_map(Watched::tree).collect()),
        };
        let threads = threads.as_deref();
        let tracefs = Tracefs::find();
        match (self.source, tracefs) {
            (Choice::Auto | Choice::Module, Ok(tracefs)) if ModuleSource::is_here(&tracefs) => {
                let followed = followed(threads);
                Ok(Traced::new(ModuleSource::begin(&tracefs, followed, threads, self.buffer)?))
            }
            (Choice::Auto | Choice::Agent, _) if has_program => Traced::under_agent(),
            (Choice::Agent, _) => self.attached(watched),
            (Choice::Module, Ok(_)) => {
                bail!(
                    "the kernel has no ashmem events: the module ashmem_linux is not loaded (`sudo \
                     modprobe ashmem_linux`)"
                )
            }
            (Choice::Auto, tracefs) if !has_program => match self.attached(watched) {
                Ok(traced) => Ok(traced),
                Err(_) => self.syscalls(&tracefs?, threads),
            },
            (_, tracefs) => self.syscalls(&tracefs?, threads),
        }
    }

    /// The agent that serves containers.
    fn attached(&self, watched: &[Watched]) -> Result<Traced> {
        let roots = (!watched.is_empty()).then(|| watched.iter().flat_map(Watched::tree).collect());
        let agent = AgentSource::attached(self.agent.path(), roots).map_err(|error| {
            let next = match &error {
                AttachError::Socket(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    "only root and the agent's own user may trace it"
                }
                _ => {
                    "if `ashmem agent` serves containers, give its --oci socket as `--agent \
                     unix:PATH`; to trace a program of your own, give it after `--`"
                }
            };
            anyhow::anyhow!("no agent to trace at {}: {error}; {next}", self.agent)
        })?;
        Ok(Traced::new(agent))
    }

    fn syscalls(&self, tracefs: &Tracefs, threads: Option<&[i32]>) -> Result<Traced> {
        let scope = Scope { threads, fail_only: self.fail_only };
        let source = SyscallSource::begin(tracefs, followed(threads), scope, self.buffer)?;
        let limit = match threads {
            _ if source.knows_paths() => None,
            Some(_) => Some(
                "this kernel, older than Linux 5.17, cannot tell the paths of opens: one that it \
                 refuses is shown only if its path can be read from the process afterwards",
            ),
            None => Some(
                "this kernel, older than Linux 5.17, cannot tell the paths of opens: none that it \
                 refuses is shown",
            ),
        };
        Ok(Traced { limit, ..Traced::new(source) })
    }

    fn writing(&self, has_program: bool) -> Result<(TraceForm, Output)> {
        let output = match &self.output {
            Some(path) => {
                Output::file(path).with_context(|| format!("making {}", path.display()))?
            }
            None if has_program => Output::stderr(),
            None => Output::stdout(),
        };
        let form = match (self.summary, self.json, self.is_for_perfetto()) {
            (_, json, _) if self.growth => {
                TraceForm::Growth { json, growth: TraceGrowth::of_names(self.name.clone()) }
            }
            (true, json, _) => TraceForm::Summary { json, summary: Summary::default() },
            (_, true, _) => TraceForm::Json,
            (_, _, true) => TraceForm::Perfetto(Box::default()),
            _ => TraceForm::Lines,
        };
        Ok((form, output))
    }
}

/// The source of events, and the command that runs the program.
struct Traced {
    source: Box<dyn EventSource>,
    before: Option<UnderAgent>,
    /// What of that which was asked for cannot be seen here.
    limit: Option<&'static str>,
}

/// `ashmem run`, with the pipe into which it traces.
struct UnderAgent {
    words: Vec<OsString>,
    /// Closed once the program has started: the pipe ends with its supervisor.
    _pipe: OwnedFd,
}

impl Traced {
    fn new(source: impl EventSource + 'static) -> Self {
        Self { source: Box::new(source), before: None, limit: None }
    }

    fn under_agent() -> Result<Self> {
        let making = "making a pipe";
        let (reader, writer) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context(making)?;
        // `ashmem run` inherits it, and gives it to no other process.
        rustix::io::fcntl_setfd(&writer, rustix::io::FdFlags::empty()).context(making)?;
        let own = std::env::current_exe().context("finding this program's own path")?;
        let tap = writer.as_raw_fd().to_string();
        let words = vec![own.into(), "run".into(), "--tap".into(), tap.into(), "--".into()];
        Ok(Self {
            source: Box::new(AgentSource::new(reader)?),
            before: Some(UnderAgent { words, _pipe: writer }),
            limit: None,
        })
    }
}

/// These threads and all they start, or all processes.
fn followed(threads: Option<&[i32]>) -> Processes {
    threads.map_or_else(Processes::all, |threads| Processes::following(threads.iter().copied()))
}

fn start(before: Option<UnderAgent>, words: Vec<OsString>) -> Result<Option<Child>> {
    let all: Vec<&OsString> =
        before.iter().flat_map(|before| &before.words).chain(&words).collect();
    let (Some(_), Some((name, rest))) = (words.first(), all.split_first()) else { return Ok(None) };
    let child = Command::new(name).args(rest).spawn();
    child.map(Some).with_context(|| format!("cannot run {}", name.to_string_lossy()))
}

/// Ends as the program ended.
fn repeat(status: std::process::ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(code as u8),
        (_, Some(signal)) => {
            // As a shell has it.
            ExitCode::from(128 + signal as u8)
        }
        _ => ExitCode::FAILURE,
    }
}

fn report_ends(containers: &mut ContainerWatch) {
    containers.gone().iter().for_each(|name| notice!("container {name} has ended"));
}

fn report_losses(totals: TraceTotals, source: Source) {
    if totals.lost != 0 || totals.uncounted {
        let more = if totals.uncounted { " or more" } else { "" };
        let why = match source {
            Source::Agent => "they came faster than they could be written, or the agent restarted",
            _ => "the kernel's buffer was full: make it larger with --buffer KIB",
        };
        notice!("{} events{more} were lost, {} were traced: {why}", totals.lost, totals.events);
    }
    if totals.unseen != 0 {
        notice!(
            "{} calls may have failed too: the kernel decided their results, which could \
             not be seen; without --fail-only they are shown with = ?",
            totals.unseen
        );
    }
}

/// The signals that end a trace, and the one that reports an ended child.
struct Signals {
    wake: UnixStream,
    interrupt: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
}

impl Signals {
    fn catch() -> Result<Self> {
        let (wake, told) = UnixStream::pair().context("making a socket pair")?;
        wake.set_nonblocking(true).context("making a socket pair")?;
        let (interrupt, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let catching = "catching signals";
        for (signal, flag) in [
            (libc::SIGINT, &interrupt),
            (libc::SIGQUIT, &interrupt),
            (libc::SIGTERM, &end),
            (libc::SIGHUP, &end),
        ] {
            signal_hook::flag::register(signal, Arc::clone(flag)).context(catching)?;
        }
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
            let told: OwnedFd = told.try_clone().context(catching)?.into();
            signal_hook::low_level::pipe::register(signal, told).context(catching)?;
        }
        Ok(Self { wake, interrupt, end })
    }

    fn drain(&self) {
        use std::io::Read as _;
        // Only that something came counts.
        while (&self.wake).read(&mut [0; 64]).is_ok_and(|len| len > 0) {}
    }

    fn take_interrupt(&self) -> bool {
        self.interrupt.swap(false, Ordering::Relaxed)
    }

    fn take_end(&self) -> bool {
        self.end.swap(false, Ordering::Relaxed)
    }
}
