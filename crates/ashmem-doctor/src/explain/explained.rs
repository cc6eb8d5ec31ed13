// SPDX-License-Identifier: MIT OR Apache-2.0
//! One message that a log was found to hold.

use serde::Serialize;

use crate::log_source::LogSource;
use crate::message::Message;

/// A message that was recognised, and where.
#[derive(Debug, Serialize)]
pub struct Explained {
    /// Its name.
    pub id: &'static str,
    /// What it means.
    pub cause: &'static str,
    /// Commands to run next, for the log's distribution. A line that begins with `#` is for the
    /// reader. None: there is nothing to do.
    pub next: Vec<String>,
    /// What wrote the first line that showed it.
    pub source: LogSource,
    /// The error that this line names, by its symbol.
    pub errno: Option<&'static str>,
    /// That line, as it was.
    pub line: String,
    /// How many lines showed it.
    pub count: usize,
    #[serde(skip)]
    pub(super) message: &'static Message,
    /// That line's number.
    #[serde(skip)]
    pub(super) place: usize,
    /// Whether one of the lines speaks of binder.
    #[serde(skip)]
    pub(super) is_binders: bool,
}
