// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process becomes the program that it was asked for, or says why not.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStringExt;

use rustix::io::Errno;

use crate::notice;
use crate::sys;

/// The exit code if the program was not started because of us; env(1), timeout(1) and docker(1) use
/// the same.
pub const NOT_STARTED: u8 = 125;
/// The exit code for a program that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;
/// The exit code for a program that does not exist.
const NOT_FOUND: u8 = 127;

/// A word of the command holds a NUL.
#[derive(Debug, thiserror::Error)]
#[error("a word of the command holds a NUL byte, which no program can be given")]
pub struct NulError;

/// A command as the kernel takes it.
///
/// # Errors
/// [`NulError`].
pub(crate) fn words_of(command: Vec<OsString>) -> Result<Vec<CString>, NulError> {
    let words = command.into_iter().map(|word| CString::new(word.into_vec()));
    words.collect::<Result<_, _>>().map_err(|_| NulError)
}

/// execvp(3): becomes this program. If that fails, says why on standard error, and returns the exit
/// code to end with; `verb` is the one whose command line named the program.
pub(crate) fn become_or_say(words: &[CString], verb: &str) -> u8 {
    let errno = sys::execute(words);
    let name = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let name = if name.is_empty() { "''".into() } else { name };
    let hint = if name.starts_with('-') {
        format!("; it is no option of `{verb}` either: see `{verb} --help`")
    } else {
        String::new()
    };
    // SIGPIPE has its default action by now, as the program was to find it: where nobody reads the
    // line, it would end this process with another status.
    let _blocked = sys::SignalMask::block_all();
    notice!("cannot run {name}: {}{hint}", io::Error::from(errno));
    if errno == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE }
}
