// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JSON form: one object a line, told apart by `type`.
//!
//! The first line is `start`, the last `end`, unless the trace was cut off: each line stands by
//! itself. Fields are added, never renamed or taken away; a reader leaves out what it does not
//! know.

use serde::{Deserialize, Serialize};

use crate::clock::TraceClock;
use crate::event::{Event, Source};
use crate::growth::GrowthLine;

/// The form's version.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum JsonLine {
    /// The trace begins.
    Start(TraceStart),
    /// Something happened.
    Event(Stamped),
    /// Events were lost; those around them are true.
    Lost(Lost),
    /// What has grown so far, of `--growth`.
    Growth(GrowthLine),
    /// The trace ends.
    End(TraceEnd),
}

/// What a trace is of.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TraceStart {
    /// [`VERSION`].
    pub version: u32,
    /// When, by the wall clock (UTC).
    pub time: String,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// The host's name.
    pub host: String,
    /// The sources of the events.
    pub sources: Vec<Source>,
}

/// An event and when it was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stamped {
    /// When it was over, by the wall clock (UTC) as it stood when the trace began.
    pub time: String,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// Lost events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// When it was noticed.
    pub mono_ns: u64,
    /// What lost them.
    pub source: Source,
    /// How many. None: the kernel did not say.
    pub events: Option<u64>,
}

/// A trace's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceEnd {
    /// When.
    pub mono_ns: u64,
    /// Events written.
    pub events: u64,
    /// Events lost, as far as they were counted.
    pub lost: u64,
}

/// An event's line as it is written: borrowed, for there are many.
#[derive(Debug, Serialize)]
pub(crate) struct StampedRef<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: EventTag,
    pub(crate) time: String,
    #[serde(flatten)]
    pub(crate) event: &'a Event,
}

/// The `type` of an event's line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventTag {
    Event,
}

impl JsonLine {
    /// An event's line.
    pub fn event(clock: &TraceClock, event: Event) -> Self {
        Self::Event(Stamped { time: clock.utc(event.mono_ns), event })
    }
}

#[cfg(test)]
mod tests {
    use super::{JsonLine, Lost};
    use crate::clock::TraceClock;
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::{Operation, PinRange};
    use crate::text::Text;

    fn event() -> Event {
        Event {
            mono_ns: 1_500_000_000,
            source: Source::Module,
            process: EventProcess {
                pid: 812,
                tid: 813,
                container_pid: Some(12),
                container: Some(Text::from(b"web")),
                command: Text::from(b"app"),
            },
            operation: Operation::Pin(PinRange::new(0, 8192)),
            region: Some(EventRegion {
                id: 3,
                inode: Some(1234),
                name: Some(Text::from(b"dalvik-\xff")),
                size: Some(65536),
                made_in_trace: Some(true),
            }),
            outcome: CallOutcome::of_return(-22),
            duration_ns: Some(900),
        }
    }

    #[test]
    fn an_events_line_is_this() {
        let wall = "2026-11-23T08:31:00Z".parse().expect("a time");
        let line = JsonLine::event(&TraceClock::at(1_000_000_000, wall), event());
        assert_eq!(
            serde_json::to_string(&line).expect("plain data"),
            concat!(
                r#"{"type":"event","time":"2026-11-23T08:31:00.500000000Z","mono_ns":1500000000,"#,
                r#""source":"module","pid":812,"tid":813,"container_pid":12,"container":"web","#,
                r#""command":"app","op":"PIN","args":{"offset":0,"len":8192},"#,
                r#""region":{"id":3,"inode":1234,"name":"dalvik-\\xff","size":65536,"#,
                r#""made_in_trace":true},"#,
                r#""result":-22,"errno":"EINVAL","duration_ns":900}"#
            )
        );
    }

    #[test]
    fn a_line_is_read_back() {
        let lines = [
            JsonLine::event(&TraceClock::now(), event()),
            JsonLine::Lost(Lost { mono_ns: 1, source: Source::Agent, events: None }),
        ];
        for line in lines {
            let text = serde_json::to_string(&line).expect("plain data");
            let read: JsonLine = serde_json::from_str(&text).expect("its own form");
            assert_eq!(serde_json::to_string(&read).expect("plain data"), text);
            if let (JsonLine::Event(read), JsonLine::Event(written)) = (&read, &line) {
                assert_eq!(read.event, written.event);
            }
        }
    }
}
