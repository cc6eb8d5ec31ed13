// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one program the machine exists for: started, its output carried to the ports, its end
//! reported.
//!
//! Its output goes through pipes, so that it sees what it sees under a shell's `|`, never a
//! terminal, and so that a descendant that outlives it cannot hold the machine up.

use crate::machine;
use anyhow::{Context, Result};
use ashmem_guest::{Plan, STDERR_PORT, STDOUT_PORT, Word};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

/// Runs the plan's program to its end and the last byte of its output.
pub(crate) fn run(plan: &Plan, binder: bool) -> Result<Word> {
    let (stdout, stderr) = (machine::open_port(STDOUT_PORT)?, machine::open_port(STDERR_PORT)?);
    let mut child = Command::new(&plan.program)
        .args(&plan.arguments)
        .env_clear()
        .env("PATH", "/bin:/sbin:/usr/bin:/usr/sbin")
        .env("HOME", "/root")
        .env("ASHMEM_BINDER", if binder { "yes" } else { "no" })
        .envs(plan.environment.iter().cloned())
        .current_dir("/root")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!("starting {} (a program that is not static finds no loader here)", plan.program)
        })?;
    // The carriers wait for output or for the end of this pipe: no clock ticks while the program
    // runs, for its cost may be what is being measured.
    let (over, running) = pipe_with(PipeFlags::CLOEXEC).context("making a pipe")?;
    let mut carriers = Vec::new();
    if let Some(output) = child.stdout.take() {
        carriers.push(carry(output, stdout, over.try_clone()?));
    }
    if let Some(output) = child.stderr.take() {
        carriers.push(carry(output, stderr, over));
    }
    let word = wait_for(Pid::from_child(&child))?;
    end_the_rest()?;
    drop(running);
    for carrier in carriers {
        let _ = carrier.join();
    }
    Ok(word)
}

/// Process 1 inherits every orphan; all are reaped, one is waited for.
fn wait_for(child: Pid) -> Result<Word> {
    loop {
        let Some((pid, status)) = wait(WaitOptions::empty()).context("waiting for the program")?
        else {
            continue;
        };
        if pid != child {
            continue;
        }
        if let Some(code) = status.exit_status() {
            return Ok(Word::Exit(code));
        }
        if let Some(signal) = status.terminating_signal() {
            return Ok(Word::Signal(signal));
        }
    }
}

/// Kills whatever the program left running: it has nobody to report to any more. Kernel threads
/// ignore it.
fn end_the_rest() -> Result<()> {
    for entry in fs::read_dir("/proc").context("listing /proc")?.flatten() {
        let pid =
            entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|pid| *pid != Pid::INIT) {
            // One that has just gone needs no killing.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

/// Copies `output` to `port` on a thread of its own until it ends, or is empty once the program is
/// over.
fn carry<O: Read + AsFd + Send + 'static>(
    mut output: O,
    mut port: File,
    over: OwnedFd,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0_u8; 4096];
        loop {
            let mut waited =
                [PollFd::new(&output, PollFlags::IN), PollFd::new(&over, PollFlags::IN)];
            if poll(&mut waited, None).is_err() {
                continue;
            }
            let [has_output, is_over] = waited.map(|descriptor| !descriptor.revents().is_empty());
            if has_output {
                match output.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => {
                        if buffer.get(..length).is_some_and(|bytes| port.write_all(bytes).is_err())
                        {
                            break;
                        }
                    }
                }
            } else if is_over {
                break;
            }
        }
        machine::drain(&port);
    })
}
