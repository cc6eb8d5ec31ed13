// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine that the module is installed on: its files, its programs, and whether the kernel
//! that runs is its own.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ashmem_doctor::Host;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal};

use crate::inherited;
use crate::refusal::Error;

/// Where programs lie that only root runs, wherever PATH leads.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine, seen from its root directory.
pub struct TargetMachine {
    /// Its files.
    pub host: Host,
    /// Whether the running kernel is this machine's: the module is loaded into no other's.
    pub is_live: bool,
    /// Tells how the work goes on.
    pub say: fn(&str),
    /// The program that hooks call, still open, and the path by which it was started.
    pub program: Option<(File, PathBuf)>,
    stop: Arc<AtomicBool>,
}

/// What a program printed, on both outputs, and how it ended.
#[derive(Debug)]
pub struct Printed {
    /// The text.
    pub text: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl TargetMachine {
    /// The machine of a root directory that nobody interrupts.
    pub fn new(host: Host, is_live: bool) -> Self {
        Self { host, is_live, say: |_| {}, program: None, stop: Arc::default() }
    }

    /// Takes notice of the signals by which people and systems end a program. From now on they end
    /// what this machine runs, and what was begun is undone.
    ///
    /// # Errors
    /// Those of sigaction(2).
    pub fn watch_signals(&self) -> std::io::Result<()> {
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
            signal_hook::consts::SIGQUIT,
        ] {
            signal_hook::flag::register(signal, Arc::clone(&self.stop))?;
        }
        Ok(())
    }

    /// An error, if somebody asked to stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub fn go_on(&self) -> Result<(), Error> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// A path of the machine, as this process reaches it.
    pub fn at(&self, path: &str) -> PathBuf {
        self.host.root().join(path.trim_start_matches('/'))
    }

    /// Runs a program of the machine until it ends or somebody asks to stop.
    ///
    /// # Errors
    /// It cannot be started, or [`Error::Interrupted`].
    pub fn run(&self, program: &str, words: &[&str]) -> Result<Printed, Error> {
        self.run_while(program, words, || !self.stop.load(Ordering::Relaxed))
    }

    /// As [`Self::run`], to its end in any case: what undoes something is not interrupted.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run_to_its_end(&self, program: &str, words: &[&str]) -> Result<Printed, Error> {
        self.run_while(program, words, || true)
    }

    fn run_while(
        &self,
        program: &str,
        words: &[&str],
        may_go_on: impl Fn() -> bool,
    ) -> Result<Printed, Error> {
        let line = || std::iter::once(program).chain(words.iter().copied()).collect::<Vec<_>>();
        let failed = |error: std::io::Error| Error::Program {
            line: line().join(" "),
            status: error.to_string(),
            text: String::new(),
        };
        // Programs of another root are not run from here: whoever means them enters it first.
        if !self.host.is_here() {
            return Err(failed(std::io::ErrorKind::Unsupported.into()));
        }
        inherited::keep_from_programs();
        let output = rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC)
            .map_err(|errno| failed(errno.into()))?;
        let mut output = File::from(output);
        let (one, other) =
            (output.try_clone().map_err(failed)?, output.try_clone().map_err(failed)?);
        let mut child = Command::new(program)
            .args(words)
            .stdin(Stdio::null())
            .stdout(one)
            .stderr(other)
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            // make hands its variables down; those of a make that runs us are not for this one.
            .env_remove("MAKEFLAGS")
            .env_remove("MAKELEVEL")
            .env_remove("KERNELRELEASE")
            .env_remove("ARCH")
            .env_remove("CROSS_COMPILE")
            .current_dir("/")
            // A group of its own: a terminal's signals reach it through this program alone.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if !may_go_on() {
                if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                    let _ = rustix::process::kill_process_group(group, Signal::TERM);
                }
                child.wait().map_err(failed)?;
                return Err(Error::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let mut bytes = Vec::new();
        output.rewind().map_err(failed)?;
        output.read_to_end(&mut bytes).map_err(failed)?;
        Ok(Printed { text: String::from_utf8_lossy(&bytes).into_owned(), status })
    }

    /// As [`Self::run`], for a program that must end well.
    ///
    /// # Errors
    /// As there, and [`Error::Program`] with what it printed.
    pub fn must(&self, program: &str, words: &[&str]) -> Result<String, Error> {
        let printed = self.run(program, words)?;
        if printed.status.success() {
            return Ok(printed.text);
        }
        let line: Vec<_> = std::iter::once(program).chain(words.iter().copied()).collect();
        Err(Error::Program {
            line: line.join(" "),
            status: printed.status.to_string(),
            text: printed.text,
        })
    }
}
