// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other programs, run for what they do or for what they print, with errors that say what was tried
//! and what came back.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// Runs a command and returns what it printed on stdout; fails with its stderr when it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", line(command)))?;
    if !output.status.success() {
        bail!(
            "{} ended with {}:\n{}",
            line(command),
            describe(output.status),
            tail(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command and returns stdout and stderr as one text in the order printed, and how it ended.
pub(crate) fn capture_both(command: &mut Command) -> Result<(String, ExitStatus)> {
    let (reader, writer) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("making a pipe")?;
    let both = writer.try_clone().context("copying a pipe")?;
    let name = line(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(both)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    // The command keeps its copies of the pipe's ends; with them alive here the text would never
    // end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut text = Vec::new();
    File::from(reader).read_to_end(&mut text).with_context(|| format!("reading from {name}"))?;
    let status = child.wait().with_context(|| format!("waiting for {name}"))?;
    Ok((String::from_utf8_lossy(&text).into_owned(), status))
}

/// Runs a command that shows its own progress, all of it on our stderr; fails when it fails.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = show_status(command)?;
    if !status.success() {
        bail!("{} ended with {}", line(command), describe(status));
    }
    Ok(())
}

/// As [`show`], but hands back how the command ended.
pub(crate) fn show_status(command: &mut Command) -> Result<ExitStatus> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().context("copying stderr")?;
    command
        .stdin(Stdio::null())
        .stdout(stderr)
        .status()
        .with_context(|| format!("starting {}", line(command)))
}

/// A command that knows nothing of who runs it: no setting of this person's home or environment
/// shows in what it makes.
pub(crate) fn plain(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("HOME", "/nonexistent").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

/// Runs a command that asks the person at the terminal; what it prints goes where our stderr does.
/// How it ended.
pub(crate) fn ask(command: &mut Command) -> Result<ExitStatus> {
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().context("copying stderr")?;
    command.stdout(stderr).status().with_context(|| format!("starting {}", line(command)))
}

/// The processor time of all children that ended and were waited for, theirs among it.
pub(crate) fn children_time() -> Duration {
    // SAFETY: a structure of numbers, which the call below fills.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one structure.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let duration = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.unsigned_abs())
            + Duration::from_micros(time.tv_usec.unsigned_abs())
    };
    duration(usage.ru_utime) + duration(usage.ru_stime)
}

/// Whether a person watches our stderr.
pub(crate) fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// The command as a person would type it.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// A status in words: `status 2`, `signal 9`.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}

/// The last lines of a text, enough to see what went wrong.
pub(crate) fn tail(text: &[u8]) -> String {
    const LINES: usize = 40;
    let text = String::from_utf8_lossy(text);
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::{capture, plain};

    #[test]
    fn a_plain_command_has_nothing_of_its_callers_environment() {
        let said = capture(&mut plain("env")).expect("env runs");
        let mut names: Vec<_> = said.lines().filter_map(|line| line.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TZ"]);
    }
}
