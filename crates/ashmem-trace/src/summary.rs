// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sums of a trace, as `strace -c` has them: by operation, and by process.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::amount::Bytes;
use crate::event::{Event, EventProcess};
use crate::json::VERSION;

/// Calls, errors, bytes and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// How many.
    pub calls: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those whose result was not seen.
    pub unseen: u64,
    /// Bytes that those spoke of that succeeded.
    pub bytes: u64,
    /// Nanoseconds they took, where that was measured.
    pub ns: u64,
}

/// Sums so far.
#[derive(Debug, Default)]
pub struct Summary {
    by_operation: BTreeMap<&'static str, Sums>,
    by_process: BTreeMap<i32, (EventProcess, Sums)>,
}

/// A row in JSON: `{"type":"summary","by":"operation","op":"PIN",…}`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "summary")]
pub struct SummaryRow<'a> {
    /// [`VERSION`].
    pub version: u32,
    /// `operation` or `process`.
    pub by: &'static str,
    /// The operation, or none.
    pub op: Option<&'static str>,
    /// The process, or none.
    pub process: Option<&'a EventProcess>,
    /// Its sums.
    #[serde(flatten)]
    pub sums: Sums,
}

impl Sums {
    fn add(&mut self, event: &Event) {
        let failed = event.outcome.errno().is_some();
        let is_unseen = event.outcome.is_unseen(&event.operation);
        let has_succeeded = !failed && !is_unseen;
        self.calls += 1;
        self.errors += u64::from(failed);
        self.unseen += u64::from(is_unseen);
        self.bytes =
            self.bytes.saturating_add(if has_succeeded { event.operation.bytes() } else { 0 });
        self.ns += event.duration_ns.unwrap_or(0);
    }
}

impl Summary {
    /// One event more.
    pub fn add(&mut self, event: &Event) {
        self.by_operation.entry(event.operation.name()).or_default().add(event);
        let (process, sums) = self
            .by_process
            .entry(event.process.pid)
            .or_insert_with(|| (event.process.clone(), Sums::default()));
        // It may have executed another program since.
        process.command = event.process.command.clone();
        sums.add(event);
    }

    /// All rows, the longest first.
    pub fn rows(&self) -> Vec<SummaryRow<'_>> {
        let mut operations: Vec<SummaryRow<'_>> = self
            .by_operation
            .iter()
            .map(|(op, sums)| SummaryRow {
                version: VERSION,
                by: "operation",
                op: Some(op),
                process: None,
                sums: *sums,
            })
            .collect();
        let mut processes: Vec<SummaryRow<'_>> = self
            .by_process
            .values()
            .map(|(process, sums)| SummaryRow {
                version: VERSION,
                by: "process",
                op: None,
                process: Some(process),
                sums: *sums,
            })
            .collect();
        for rows in [&mut operations, &mut processes] {
            rows.sort_by_key(|row| std::cmp::Reverse((row.sums.ns, row.sums.calls)));
        }
        operations.append(&mut processes);
        operations
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        for (by, heading) in [("operation", "operation"), ("process", "process")] {
            let rows: Vec<_> = rows.iter().filter(|row| row.by == by).collect();
            let all: u64 = rows.iter().map(|row| row.sums.ns).sum();
            writeln!(
                formatter,
                "% time     seconds  usecs/call     calls    errors       bytes  {heading}"
            )?;
            for row in rows {
                let Sums { calls, errors, unseen, bytes, ns } = row.sums;
                let share = if all == 0 { 0.0 } else { ns as f64 * 100.0 / all as f64 };
                let errors = if errors == 0 { String::new() } else { errors.to_string() };
                write!(
                    formatter,
                    "{share:6.2} {:11.6} {:11.1} {calls:9} {errors:>9} {:>11}  ",
                    ns as f64 / 1e9,
                    ns as f64 / 1e3 / calls.max(1) as f64,
                    Bytes(bytes).to_string(),
                )?;
                match (row.op, row.process) {
                    (Some(op), _) if unseen > 0 => {
                        writeln!(formatter, "{op} ({unseen} of them with a result not seen)")?;
                    }
                    (Some(op), _) => writeln!(formatter, "{op}")?,
                    (_, Some(process)) => {
                        match process.pid {
                            // Nobody: the agent found it so.
                            0 => formatter.write_str("-")?,
                            pid => write!(formatter, "{} {pid}", process.command)?,
                        }
                        if let Some(inside) = process.container_pid {
                            write!(formatter, " ({inside}")?;
                            match &process.container {
                                Some(container) => write!(formatter, " in {container})")?,
                                None => write!(formatter, " inside)")?,
                            }
                        }
                        writeln!(formatter)?;
                    }
                    _ => writeln!(formatter)?,
                }
            }
            if by == "operation" {
                writeln!(formatter)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;
    use crate::event::{CallOutcome, Event, EventProcess, Source};
    use crate::operation::Operation;

    #[test]
    fn a_call_whose_result_was_not_seen_is_not_summed_as_made() {
        let event = |result: Option<i64>| Event {
            mono_ns: 1,
            source: Source::Agent,
            process: EventProcess::default(),
            operation: Operation::Mmap { address: 0, len: 4096, prot: 3, shared: true, offset: 0 },
            region: None,
            outcome: CallOutcome { result },
            duration_ns: None,
        };
        let mut summary = Summary::default();
        [None, Some(0x7000), Some(-12)].map(event).iter().for_each(|event| summary.add(event));
        let sums = summary.rows()[0].sums;
        assert_eq!((sums.calls, sums.errors, sums.unseen, sums.bytes), (3, 1, 1, 4096));
        assert!(summary.to_string().contains("(1 of them with a result not seen)"), "{summary}");
    }
}
