// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message that people find in their logs, and what it means.

use serde::Serialize;

/// Something that people find in their logs.
#[derive(Debug, Serialize)]
pub struct Message {
    /// A name to search for.
    pub id: &'static str,
    /// What a line must match; upper and lower case are the same.
    #[serde(skip)]
    pub pattern: &'static str,
    /// What it means.
    pub cause: &'static str,
    /// Commands to run next. A line that begins with `#` is for the reader. None: there is nothing
    /// to do.
    pub next: &'static [&'static str],
}
