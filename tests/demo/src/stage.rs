// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the audience sees: the story in plain sentences, each call as strace would write it, each
//! claim with a mark.
//!
//! Several processes speak; each line is written at once, so none is ever torn.

use anyhow::{Result, bail};
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const CYAN: &str = "\x1b[36m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";

/// What a system call gave: a value, or its errno.
pub(crate) type Answer<T = i64> = io::Result<T>;

static NAME: OnceLock<&str> = OnceLock::new();

/// What the audience knows this process as.
pub(crate) fn name() -> &'static str {
    NAME.get().copied().unwrap_or("creator")
}

/// Gives this process its name. Called once, at the start of a process: nobody can have come
/// before.
pub(crate) fn be(name: &'static str) {
    let _ = NAME.set(name);
}

static COLOURS: AtomicBool = AtomicBool::new(false);

/// Whether to write in colours.
pub(crate) fn use_colours(wanted: bool) {
    COLOURS.store(wanted, Ordering::Relaxed);
}

/// The heading of an act.
pub(crate) fn act(title: &str) {
    line(&format!("\n{}", ink(BOLD, &format!("━━ {title} ━━"))));
}

/// A sentence of the story.
pub(crate) fn tell(sentence: &str) {
    line(&format!("\n{sentence}"));
}

/// Something to be read as it is: a line of maps, an event.
pub(crate) fn quote(text: &str) {
    line(&format!("    {}", ink(YELLOW, text)));
}

/// A system call of this process, with its decoded arguments and what came back.
pub(crate) fn call(name: &str, arguments: &str, result: &str, refused: bool) {
    let who = who();
    let result = ink(if refused { RED } else { GREEN }, result);
    line(&format!("{who}  {}({arguments}) = {result}", ink(CYAN, name)));
}

/// Something a process does without asking the kernel, such as storing to memory.
pub(crate) fn action(what: &str) {
    line(&format!("{}  {what}", who()));
}

/// States something that was checked; an error if it is not so.
pub(crate) fn claim(what: impl Display, holds: bool) -> Result<()> {
    if !holds {
        line(&format!("    {} {what}", ink(RED, "✗")));
        bail!("this does not hold: {what}");
    }
    line(&format!("    {} {what}", ink(GREEN, "✓")));
    Ok(())
}

/// Says why a part of the story is left out here.
pub(crate) fn left_out(why: impl Display) {
    line(&format!("    {} left out: {why}", ink(YELLOW, "–")));
}

fn who() -> String {
    ink(DIM, &format!("{:>7}", name()))
}

fn ink(colour: &str, text: &str) -> String {
    if COLOURS.load(Ordering::Relaxed) { format!("{colour}{text}\x1b[0m") } else { text.to_owned() }
}

fn line(text: &str) {
    // One write a line. Where nobody listens any more, there is nobody to tell.
    let _ = std::io::stdout().lock().write_all(format!("{text}\n").as_bytes());
}

/// Shows a call that has just returned and turns what came back into an answer.
pub(crate) fn shown(
    name: &str,
    arguments: &str,
    result: i64,
    decode: impl Fn(i64) -> String,
) -> Answer {
    if result == -1 {
        let error = io::Error::last_os_error();
        call(name, arguments, &format!("-1 {}", symbol(&error)), true);
        return Err(error);
    }
    call(name, arguments, &decode(result), false);
    Ok(result)
}

/// The errno's symbol, where it is one a client of the device is likely to see.
fn symbol(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM (Operation not permitted)".to_owned(),
        Some(libc::EINVAL) => "EINVAL (Invalid argument)".to_owned(),
        Some(libc::ENOENT) => "ENOENT (No such file or directory)".to_owned(),
        Some(libc::ENOTTY) => "ENOTTY (Inappropriate ioctl for device)".to_owned(),
        _ => error.to_string(),
    }
}

/// A result that is a number and nothing else.
pub(crate) fn decimal(value: i64) -> String {
    value.to_string()
}
