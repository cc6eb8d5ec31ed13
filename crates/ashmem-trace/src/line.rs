// SPDX-License-Identifier: MIT OR Apache-2.0
//! One line for people.

use std::fmt;

use crate::clock::TraceClock;
use crate::event::Event;
use crate::operation::Operation;

/// An event as a line, without its end:
/// `08:31:00.123456  app 812 (12 in web)  #3 CursorWindow  PIN [0, 8192) = WAS_PURGED  <0.9 µs>`.
pub struct EventLine<'a> {
    /// The trace's clock.
    pub clock: &'a TraceClock,
    /// The event.
    pub event: &'a Event,
}

impl fmt::Display for EventLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { mono_ns, process, operation, region, outcome, duration_ns, .. } = self.event;
        write!(formatter, "{}  ", self.clock.time_of_day(*mono_ns))?;
        match process.pid {
            // Nobody: the agent found it so.
            0 => formatter.write_str("-")?,
            pid => write!(formatter, "{} {pid}", process.command)?,
        }
        if process.tid != process.pid && process.tid != 0 {
            write!(formatter, "/{}", process.tid)?;
        }
        match (process.container_pid, &process.container) {
            (Some(pid), Some(container)) => write!(formatter, " ({pid} in {container})")?,
            (Some(pid), None) => write!(formatter, " ({pid} inside)")?,
            (None, Some(container)) => write!(formatter, " (in {container})")?,
            (None, None) => {}
        }
        formatter.write_str("  ")?;
        if let Some(region) = region {
            write!(formatter, "#{}", region.id)?;
            if let Some(name) = &region.name {
                write!(formatter, " {name}")?;
            }
            formatter.write_str("  ")?;
        }
        write!(formatter, "{operation}")?;
        match (outcome.errno(), outcome.result) {
            (Some(errno), _) => write!(formatter, " = {errno} ({})", errno.0.desc())?,
            (None, Some(value)) => write_value(formatter, operation, value)?,
            // The kernel has the result, and nobody could see it.
            (None, None) if outcome.is_unseen(operation) => formatter.write_str(" = ?")?,
            (None, None) => {}
        }
        match duration_ns {
            Some(ns) => write!(formatter, "  <{}>", Duration(*ns)),
            None => Ok(()),
        }
    }
}

/// What a call returned, by the word its caller knows it by.
fn write_value(
    formatter: &mut fmt::Formatter<'_>,
    operation: &Operation,
    value: i64,
) -> fmt::Result {
    match (operation, value) {
        (Operation::Pin(_), 0) => formatter.write_str(" = NOT_PURGED"),
        (Operation::Pin(_), 1) => formatter.write_str(" = WAS_PURGED"),
        (Operation::GetPinStatus(_), 0) => formatter.write_str(" = IS_UNPINNED"),
        (Operation::GetPinStatus(_), 1) => formatter.write_str(" = IS_PINNED"),
        (Operation::Mmap { address, .. }, _) => write!(formatter, " = {address:#x}"),
        (Operation::GetProtMask {}, mask @ 0..=7) => {
            write!(formatter, " = {}", crate::operation::ProtBits(mask as u32))
        }
        (Operation::Release {} | Operation::Purge { .. }, _) => Ok(()),
        _ => write!(formatter, " = {value}"),
    }
}

/// Nanoseconds as people read them: `0.9 µs`, `12 µs`, `3.4 ms`.
pub struct Duration(pub u64);

impl fmt::Display for Duration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        let (value, unit) = match self.0 {
            0..1_000_000 => (ns / 1e3, "µs"),
            1_000_000..1_000_000_000 => (ns / 1e6, "ms"),
            _ => (ns / 1e9, "s"),
        };
        if value < 10.0 {
            write!(formatter, "{value:.1} {unit}")
        } else {
            write!(formatter, "{value:.0} {unit}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EventLine;
    use crate::clock::TraceClock;
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::{Operation, PinRange};
    use crate::text::Text;

    #[test]
    fn a_line_says_who_did_what_and_what_came_of_it() {
        let mut event = Event {
            mono_ns: 1,
            source: Source::Module,
            process: EventProcess {
                pid: 812,
                tid: 812,
                command: Text::from(b"ap\x1bp"),
                ..EventProcess::default()
            },
            operation: Operation::Pin(PinRange::new(0, 8192)),
            region: Some(EventRegion {
                id: 3,
                name: Some(Text::from(b"cache")),
                ..EventRegion::default()
            }),
            outcome: CallOutcome::of_return(1),
            duration_ns: Some(900),
        };
        let clock = TraceClock::now();
        let shown = |event: &Event| {
            let line = EventLine { clock: &clock, event }.to_string();
            line.split_once("  ").map(|(_, rest)| rest.to_owned()).expect("a time first")
        };
        assert_eq!(shown(&event), "ap\\x1bp 812  #3 cache  PIN [0, 8192) = WAS_PURGED  <0.9 µs>");
        event.process.container_pid = Some(12);
        event.process.container = Some(Text::from(b"web"));
        event.process.tid = 815;
        event.outcome = CallOutcome::of_return(-22);
        event.duration_ns = None;
        assert_eq!(
            shown(&event),
            "ap\\x1bp 812/815 (12 in web)  #3 cache  PIN [0, 8192) = EINVAL (Invalid argument)"
        );
    }
}
