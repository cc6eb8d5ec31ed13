// SPDX-License-Identifier: MIT OR Apache-2.0
//! A trace from its first line to its last.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::clock::{TraceClock, monotonic};
use crate::event::{Event, Source};
use crate::growth::TraceGrowth;
use crate::json::{EventTag, JsonLine, Lost, StampedRef, TraceEnd, TraceStart, VERSION};
use crate::line::EventLine;
use crate::output::{self, Output};
use crate::perfetto::Perfetto;
use crate::selection::Selection;
use crate::source::{EventSource, SourceItem};
use crate::summary::Summary;

/// How often the buffers are looked into while little happens.
const PAUSE: Duration = Duration::from_millis(50);
/// Nanoseconds between two lines for people that tell of losses, at least.
const BETWEEN_LOSSES: u64 = 1_000_000_000;

/// How a trace is written.
#[derive(Debug)]
pub enum TraceForm {
    /// Lines for people.
    Lines,
    /// Lines of JSON.
    Json,
    /// Perfetto's.
    Perfetto(Box<Perfetto>),
    /// What grows, a line a second, for people or as JSON.
    Growth {
        /// As JSON.
        json: bool,
        /// So far.
        growth: TraceGrowth,
    },
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
    losses: Losses,
    error: Option<output::Error>,
}

/// Losses that no line has told people of yet: one line a second sums them up.
#[derive(Debug, Default)]
struct Losses {
    events: u64,
    uncounted: bool,
    /// When the last line told of any, in nanoseconds of `CLOCK_MONOTONIC`.
    told: Option<u64>,
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
        let (totals, losses) = (TraceTotals::default(), Losses::default());
        let mut writer = SessionWriter { form, output, totals, losses, error: None };
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
            self.tick(monotonic());
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

    /// Writes what is due at this time, in nanoseconds of `CLOCK_MONOTONIC`.
    pub fn tick(&mut self, now: u64) {
        let Self { clock, writer, .. } = self;
        writer.tell_losses(clock, now);
        writer.tell_growth(clock, now);
    }

    /// Writes what closes the trace.
    ///
    /// # Errors
    /// What could not be written, now or before.
    pub fn end(mut self) -> Result<TraceTotals, output::Error> {
        self.writer.totals.unseen = self.selection.unseen();
        self.writer.end(&self.clock);
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
            TraceForm::Json | TraceForm::Growth { json: true, .. } => {
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
            TraceForm::Lines | TraceForm::Growth { .. } | TraceForm::Summary { .. } => {}
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
            TraceForm::Growth { growth, .. } => growth.take(event),
            TraceForm::Summary { summary, .. } => summary.add(event),
        }
    }

    fn lost(&mut self, clock: &TraceClock, lost: Lost) {
        match lost.events {
            Some(events) => self.totals.lost += events,
            None => self.totals.uncounted = true,
        }
        if let TraceForm::Growth { growth, .. } = &mut self.form {
            growth.lost();
        }
        match &mut self.form {
            TraceForm::Lines | TraceForm::Growth { json: false, .. } => {
                match lost.events {
                    Some(events) => self.losses.events += events,
                    None => self.losses.uncounted = true,
                }
                self.tell_losses(clock, lost.mono_ns);
            }
            TraceForm::Json | TraceForm::Growth { json: true, .. } => {
                self.json(&JsonLine::Lost(lost))
            }
            TraceForm::Perfetto(perfetto) => {
                let packets = perfetto.lost(lost);
                self.record(|bytes| bytes.extend(packets));
            }
            TraceForm::Summary { .. } => {}
        }
    }

    /// Tells people of losses, where a second has passed since they were told last.
    fn tell_losses(&mut self, clock: &TraceClock, now: u64) {
        let Losses { events, uncounted, told } = self.losses;
        let is_due = told.is_none_or(|told| now.saturating_sub(told) >= BETWEEN_LOSSES);
        if is_due && (events != 0 || uncounted) {
            self.losses = Losses { told: Some(now), ..Losses::default() };
            let many = match (events, uncounted) {
                (0, _) => "an unknown number of".to_owned(),
                (events, true) => format!("{events} or more"),
                (events, false) => events.to_string(),
            };
            let time = clock.time_of_day(now);
            let line = format!("{time}  -- {many} events were lost --\n");
            self.record(|bytes| bytes.extend(line.into_bytes()));
        }
    }

    /// Tells what has grown, where that is asked for and due.
    fn tell_growth(&mut self, clock: &TraceClock, now: u64) {
        let TraceForm::Growth { json, growth } = &mut self.form else { return };
        let Some(line) = growth.due(clock, now) else { return };
        if *json {
            return self.json(&JsonLine::Growth(line));
        }
        let text = format!("{}\n", line.shown(clock));
        self.record(|bytes| bytes.extend(text.into_bytes()));
    }

    fn end(&mut self, clock: &TraceClock) {
        self.losses.told = None;
        self.tell_losses(clock, monotonic());
        if let TraceForm::Growth { growth, .. } = &mut self.form {
            growth.end();
        }
        self.tell_growth(clock, monotonic());
        match &self.form {
            TraceForm::Json | TraceForm::Growth { json: true, .. } => {
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
            TraceForm::Lines | TraceForm::Growth { .. } | TraceForm::Perfetto(_) => {}
        }
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Session, TraceForm};
    use crate::clock::monotonic;
    use crate::event::Source;
    use crate::growth::TraceGrowth;
    use crate::json::Lost;
    use crate::output::Output;
    use crate::selection::Selection;
    use crate::source::SourceItem;

    /// What a session writes of losses at these times, in seconds after now.
    fn written(form: TraceForm, losses: &[(f64, Option<u64>)]) -> Vec<String> {
        let file = std::env::temp_dir().join(format!(
            "ashmem-session-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let output = Output::file(Path::new(&file)).expect("a file");
        let mut session = Session::begin(Selection::default(), form, output, vec![Source::Module]);
        let now = monotonic();
        for (seconds, events) in losses {
            let mono_ns = now + (seconds * 1e9) as u64;
            let lost = Lost { mono_ns, source: Source::Module, events: *events };
            session.take(SourceItem::Lost(lost));
        }
        session.end().expect("it is written");
        let text = std::fs::read_to_string(&file).expect("it is there");
        let _ = std::fs::remove_file(&file);
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn people_read_one_line_of_losses_a_second_and_programs_each() {
        let losses: Vec<_> = (0..25).map(|tenth| (f64::from(tenth) / 10.0, Some(7))).collect();
        let lines = written(TraceForm::Lines, &losses);
        let told: Vec<_> =
            lines.iter().map(|line| line.split_once("  ").map_or("", |line| line.1)).collect();
        let wanted = [7, 70, 70, 28].map(|many| format!("-- {many} events were lost --"));
        assert_eq!(told, wanted);
        let lines = written(TraceForm::Json, &losses);
        assert_eq!(lines.iter().filter(|line| line.contains(r#""type":"lost""#)).count(), 25);
    }

    #[test]
    fn losses_that_nobody_counted_are_told_too() {
        let growth = TraceForm::Growth { json: false, growth: TraceGrowth::default() };
        let lines = written(growth, &[(0.0, None), (0.1, Some(3)), (0.2, None)]);
        assert!(lines[0].ends_with("-- an unknown number of events were lost --"), "{lines:?}");
        assert!(lines[1].ends_with("-- 3 or more events were lost --"), "{lines:?}");
    }
}
