// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines for whoever started this program, on standard error.

use std::fmt::Arguments;
use std::io::Write;

/// Says a line on standard error, with the program's name before it; takes what `format!` takes.
///
/// A line that cannot be written is left out. `eprintln!` panics over it: a disk that is full, or a
/// reader that has gone (`2>&1 | head`), would end a supervisor while programs wait for its answer.
#[macro_export]
macro_rules! notice {
    ($($words:tt)*) => {
        $crate::notice::say(::std::format_args!($($words)*))
    };
}

/// What [`notice!`] does.
#[doc(hidden)]
pub fn say(words: Arguments<'_>) {
    // In one write, so that lines of several processes stay whole.
    let line = format!("ashmem: {words}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}
