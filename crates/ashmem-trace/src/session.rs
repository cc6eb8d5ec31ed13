// SPDX-License-Identifier: MIT OR Apache-2.0
//! A trace from its first line to its last.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::clock::{TraceClock, monotonic};
use crate::event::{Event, Source};
use crate::json::{EventTag, JsonLine, Lost, StampedRef, TraceEnd, TraceStart, VERSION};
use crate::line::EventLine;
use crate::output::{self, Output};
use crate::perfetto::Perfetto;
use crate::selection::Selection;
use crate::source::{EventSource, SourceItem};
use crate::summary::Summary;

/// How often the buffers are looked into while little happens.
const PAUSE: Duration = Duration::from_millis(50);

/// How a trace is written.
#[derive(Debug)]
pub enum TraceForm {
    /// Lines for people.
    Lines,
    /// Lines of JSON.
    Json,
    /// Perfetto's.
    Perfetto(Box<Perfetto>),
    /// Sums alone, at the end, for people or as JSON.
    Summary {
        /// As JSON.
        json: bool,
        /// So far.
        summary: Summary,
    },
}

/// Totals of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceTotals {
    /// Events written.
    pub events: u64,
    /// Events lost, as far as they were counted.
    pub lost: u64,
    /// Whether an unknown number of events was lost besides.
    pub uncounted: bool,
    /// Calls left out of a trace of failures that may have failed: nobody saw their results.
    pub unseen: u64,
}

/// A trace being written.
pub struct Session {
    clock: TraceClock,
    selection: Selection,
    writer: SessionWriter,
}

struct SessionWriter {
    form: TraceForm,
    output: Output,
    totals: TraceTotals,
    error: Option<output::Error>,
}

impl Session {
    /// Begins one.
    pub fn begin(
        selection: Selection,
        form: TraceForm,
        output: Output,
        sources: Vec<Source>,
    ) -> Self {
        let clock = TraceClock::now();
        let mut writer =
            SessionWriter { form, output, totals: TraceTotals::default(), error: None };
        writer.start(&clock, sources);
        Self { clock, selection, writer }
    }

    /// Reads and writes events until `stop` returns true; it also wakes for `wake`.
    ///
    /// # Errors
    /// The source is broken.
    pub fn run(
        &mut self,
        source: &mut dyn EventSource,
        wake: BorrowedFd<'_>,
        mut stop: impl FnMut() -> bool,
    ) -> io::Result<()> {
        while !stop() && self.writer.error.is_none() {
            match source.wait(wake, PAUSE) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            let more = source.poll_batch(&mut |seen| self.take(seen))?;
            if !more {
                self.writer.flush();
            }
        }
        source.finish(&mut |seen| self.take(seen))
    }

    /// Takes one item of a source.
    pub fn take(&mut self, seen: SourceItem) {
        let Self { clock, selection, writer } = self;
        match seen {
            SourceItem::Event(event) => {
                selection.sift(event, &mut |event| writer.event(clock, event))
            }
            SourceItem::Lost(lost) => writer.lost(clock, lost),
        }
    }

    /// Writes what closes the trace.
    ///
    /// # Errors
    /// What could not be written, now or before.
    pub fn end(mut self) -> Result<TraceTotals, output::Error> {
        self.writer.totals.unseen = self.selection.unseen();
        self.writer.end();
        match self.writer.error {
            Some(error) => Err(error),
            None => Ok(self.writer.totals),
        }
    }
}

impl SessionWriter {
    fn record(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Err(error) = self.output.record(write) {
            self.error.get_or_insert(error);
        }
    }

    fn flush(&mut self) {
        if let Err(error) = self.output.flush() {
            self.error.get_or_insert(error);
        }
    }

    fn json(&mut self, line: &impl serde::Serialize) {
        self.record(|bytes| {
            // Plain data, and a vector that takes all.
            let _ = serde_json::to_writer(&mut *bytes, line);
            bytes.push(b'\n');
        });
    }

    fn start(&mut self, clock: &TraceClock, sources: Vec<Source>) {
        let mono_ns = monotonic();
        match &mut self.form {
            TraceForm::Json => {
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                let start = TraceStart {
                    version: VERSION,
                    time: clock.utc(mono_ns),
                    mono_ns,
                    host,
                    sources,
                };
                self.json(&JsonLine::Start(start));
            }
            TraceForm::Perfetto(perfetto) => {
                let packets = perfetto.start(clock, mono_ns);
                self.record(|bytes| bytes.extend(packets));
            }
            TraceForm::Lines | TraceForm::Summary { .. } => {}
        }
    }

    fn event(&mut self, clock: &TraceClock, event: &Event) {
        self.totals.events += 1;
        match &mut self.form {
            TraceForm::Lines => {
                use std::io::Write as _;
                let line = EventLine { clock, event };
                // A vector takes all.
                self.record(|bytes| drop(writeln!(bytes, "{line}")));
            }
            TraceForm::Json => {
                let line =
                    StampedRef { kind: EventTag::Event, time: clock.utc(event.mono_ns), event };
                self.json(&line);
            }
            TraceForm::Perfetto(perfetto) => {
                let packets = perfetto.event(event);
                self.record(|bytes| bytes.extend(packets));
            }
            TraceForm::Summary { summary, .. } => summary.add(event),
        }
    }

    fn lost(&mut self, clock: &TraceClock, lost: Lost) {
        match lost.events {
            Some(events) => self.totals.lost += events,
            None => self.totals.uncounted = true,
        }
        match &mut self.form {
            TraceForm::Lines => {
                let time = clock.time_of_day(lost.mono_ns).to_string();
                let many = lost
                    .events
                    .map_or("an unknown number of".to_owned(), |events| events.to_string());
                self.record(|bytes| {
                    bytes.extend(format!("{time}  -- {many} events were lost --\n").into_bytes())
                });
            }
            TraceForm::Json => self.json(&JsonLine::Lost(lost)),
            TraceForm::Perfetto(perfetto) => {
                let packets = perfetto.lost(lost);
                self.record(|bytes| bytes.extend(packets));
            }
            TraceForm::Summary { .. } => {}
        }
    }

    fn end(&mut self) {
        match &self.form {
            TraceForm::Json => {
                let end = TraceEnd {
                    mono_ns: monotonic(),
                    events: self.totals.events,
                    lost: self.totals.lost,
                };
                self.json(&JsonLine::End(end));
            }
            TraceForm::Summary { json: false, summary } => {
                let text = summary.to_string();
                self.record(|bytes| bytes.extend(text.into_bytes()));
            }
            TraceForm::Summary { json: true, summary } => {
                let lines: Vec<String> = summary
                    .rows()
                    .iter()
                    .filter_map(|row| serde_json::to_string(row).ok())
                    .collect();
                for line in lines {
                    self.record(|bytes| bytes.extend(format!("{line}\n").into_bytes()));
                }
            }
            TraceForm::Lines | TraceForm::Perfetto(_) => {}
        }
        self.flush();
    }
}
