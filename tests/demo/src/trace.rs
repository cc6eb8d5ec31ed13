// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's own account: the `ashmem:*` trace events of this run, in a trace of our own that
//! disturbs nobody's.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

const TRACING: &str = "/sys/kernel/tracing";

/// A trace that records every ashmem event, until it is dropped.
pub(crate) struct Trace(PathBuf);

impl Trace {
    /// Begins one; or says why there is none here.
    pub(crate) fn begin() -> Result<Self, String> {
        let events = Path::new(TRACING).join("events/ashmem");
        if !events.exists() {
            return Err(format!("{} is not there, or not for us", events.display()));
        }
        let own = Path::new(TRACING)
            .join("instances")
            .join(format!("ashmem-demo-{}", std::process::id()));
        fs::create_dir(&own).map_err(|error| format!("making {}: {error}", own.display()))?;
        let trace = Self(own);
        let switch = trace.0.join("events/ashmem/enable");
        fs::write(&switch, "1")
            .map_err(|error| format!("writing 1 to {}: {error}", switch.display()))?;
        Ok(trace)
    }

    /// What was recorded so far, an event a line: when, who, what.
    pub(crate) fn events(&self) -> Result<Vec<String>> {
        let path = self.0.join("trace");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(shorten).collect())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // A trace that stays costs memory and nothing else.
        let _ = fs::write(self.0.join("events/ashmem/enable"), "0");
        let _ = fs::remove_dir(&self.0);
    }
}

/// `  task-PID  [CPU] flags  TIME: event: fields` without processor and flags.
fn shorten(line: &str) -> Option<String> {
    let (task, rest) = line.split_once('[')?;
    let (head, event) = rest.split_once(": ")?;
    let time = head.split_whitespace().last()?;
    Some(format!("{time:>11}  {}  ashmem:{}", task.trim(), event.trim()))
}
