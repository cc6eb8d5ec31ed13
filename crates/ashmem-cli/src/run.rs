// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem run`: a program that finds /dev/ashmem, without a module and without root.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::ExitCode;

use ashmem_agent::notice;
use ashmem_agent::run::{InsideMode, NOT_STARTED, Program, Unpinning};
use ashmem_agent::seccomp::filter::Fidelity;
use ashmem_trace_wire::pipe::RecordWriter;
use clap::{Args, ValueEnum, ValueHint};

/// Run a program that finds /dev/ashmem, without a kernel module and without root
///
/// The program and all that it starts can open /dev/ashmem (and /dev/ashmem<boot_id>), call its
/// ioctls and map it as if the kernel had the device. All their other calls run untouched. Works on
/// Linux 5.14 and newer, in containers too.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ashmem run ./my-android-program --its-options
  ashmem run -- python3 -c 'import os; print(os.open(\"/dev/ashmem\", os.O_RDWR))'
  ashmem run --fidelity fast -- make test
  ashmem run --unpin at-once -- ./cache-test    # each PIN says WAS_PURGED, and finds zeros
  ashmem run --root ANDROID_ROOT -- /system/bin/sh

Exit status: the program's own; 127 if there is no such program, 126 if it cannot be executed, 125
if its calls cannot be supervised, so that it was not started, 122 if the supervisor was killed,
which ends the program too. If a signal kills the program, this command ends by that signal.

Set-user-ID programs (sudo, ping) gain no rights here, unless root runs this command.")]
pub(crate) struct Arguments {
    /// How much of the device to emulate
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    fidelity: Level,
    /// Whether the program gets a private /dev that has the device's node
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    namespace: Namespace,
    /// Start the program in this root directory, whose /dev shows it the device's node; nothing is
    /// written there
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Whether calls of the device are answered inside the program, where that is possible
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    inside: InsideArgument,
    /// When pages that the program unpins are purged, for tests of what it does then
    #[arg(long, value_name = "WHEN", default_value = "reclaim")]
    unpin: Unpin,
    /// The pipe of the `ashmem trace` that started this
    #[arg(long = "tap", value_name = "FD", hide = true)]
    trace: Option<RawFd>,
    /// The program and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "PROGRAM",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    /// A region looks like the character device in stat and fstat too
    Full,
    /// Only open, the ioctls and mmap: nothing else is slowed. Not for libcutils of Android 7.1.2
    /// and newer, nor ASharedMemory: they take a region that fstat shows as a memfd for no region
    Fast,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Namespace {
    /// A private /dev if allowed; for other users than root in a user namespace, where other users'
    /// files appear owned by nobody
    Auto,
    /// No private /dev: at the level `full` every path lookup is notified instead, which costs some
    /// microseconds each
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum InsideArgument {
    /// A program that uses the device gets code that answers most calls without a notification
    Auto,
    /// The same with the first call, as tests want it
    #[value(hide = true)]
    AtOnce,
    /// Every call is notified
    Never,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Unpin {
    /// Under memory pressure, as by the device
    Reclaim,
    /// Only by PURGE_ALL_CACHES: PIN never says WAS_PURGED otherwise
    Never,
    /// Before UNPIN returns: the next PIN says WAS_PURGED, and the pages are zero
    AtOnce,
}

impl From<Unpin> for Unpinning {
    fn from(unpin: Unpin) -> Self {
        match unpin {
            Unpin::Reclaim => Self::Reclaim,
            Unpin::Never => Self::Never,
            Unpin::AtOnce => Self::AtOnce,
        }
    }
}

impl From<InsideArgument> for InsideMode {
    fn from(inside: InsideArgument) -> Self {
        match inside {
            InsideArgument::Auto => Self::Auto,
            InsideArgument::AtOnce => Self::AtOnce,
            InsideArgument::Never => Self::Never,
        }
    }
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
                notice!(
                    "the program was not started: --tap is no pipe of `ashmem trace`: \
                     {error}"
                );
                return ExitCode::from(NOT_STARTED);
            }
        };
        let program = Program {
            command: self.command,
            fidelity: self.fidelity.into(),
            own_dev: self.namespace == Namespace::Auto,
            root: self.root,
            inside: self.inside.into(),
            unpinning: self.unpin.into(),
            trace,
        };
        match program.run() {
            Ok(ending) => ending.repeat(),
            Err(error) => {
                notice!("the program was not started: {error}");
                ExitCode::from(NOT_STARTED)
            }
        }
    }
}
