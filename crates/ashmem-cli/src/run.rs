//! `ashmem run`: a program that finds /dev/ashmem, without a module and without root.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::process::ExitCode;

use ashmem_agent::run::{NOT_STARTED, Program};
use ashmem_agent::seccomp::filter::Fidelity;
use ashmem_trace_wire::pipe::RecordWriter;
use clap::{Args, ValueEnum};

/// Run a program that finds /dev/ashmem, without a kernel module and without root
///
/// The program and all it starts open /dev/ashmem (and /dev/ashmem<boot_id>), call its ioctls and map it as if the
/// kernel had the device. Everything else they do runs untouched. Works on Linux 5.14 and newer, in containers too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem run ./my-android-program --its-options
  ashmem run -- python3 -c 'import os; print(os.open(\"/dev/ashmem\", os.O_RDWR))'
  ashmem run --fidelity fast -- make test

Exit status: the program's own; 127 if there is no such program, 126 if it cannot be executed, 125 if it was not
started because its calls could not be supervised. A program killed by a signal ends this command by that signal.

Programs that gain rights when executed (sudo, ping) do not gain them here, unless this command is run as root.")]
pub(crate) struct Arguments {
    /// How much of the device to keep up
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    fidelity: Level,
    /// Whether the program gets a /dev of its own, in which the node lies
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    namespace: Namespace,
    /// The pipe of the `ashmem trace` that runs this
    #[arg(long = "tap", value_name = "FD", hide = true)]
    trace: Option<RawFd>,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// A region looks like the character device in stat and fstat too
    Full,
    /// Only open, the ioctls and mmap: nothing else is slowed
    Fast,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Namespace {
    /// Yes, where the kernel lets it; unless this is root's, in a user namespace where other users' files are nobody's
    Auto,
    /// No: at the level `full` every lookup of a path is looked at instead, which costs some microseconds each
    Never,
}

impl From<Level> for Fidelity {
    fn from(level: Level) -> Self {
        match level {
            Level::Full => Self::Full,
            Level::Fast => Self::Fast,
        }
    }
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let trace = match self.trace.map(RecordWriter::inherited).transpose() {
            Ok(trace) => trace,
            Err(error) => {
                eprintln!("ashmem: the program was not started: --tap is no pipe of `ashmem trace`: {error}");
                return ExitCode::from(NOT_STARTED);
            }
        };
        let program = Program {
            command: self.command,
            fidelity: self.fidelity.into(),
            own_dev: self.namespace == Namespace::Auto,
            trace,
        };
        match program.run() {
            Ok(ending) => ending.repeat(),
            Err(error) => {
                eprintln!("ashmem: the program was not started: {error}");
                ExitCode::from(NOT_STARTED)
            }
        }
    }
}
