// SPDX-License-Identifier: MIT OR Apache-2.0
//! The time of events: measured by the monotonic clock, shown by the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Local, SecondsFormat, Utc};
use rustix::time::{ClockId, clock_gettime};

/// How the wall clock stood to the monotonic one when the trace began. It is asked once: when
/// somebody sets the clock meanwhile, the trace's times go on evenly.
#[derive(Clone, Copy, Debug)]
pub struct TraceClock {
    /// Nanoseconds to add to `CLOCK_MONOTONIC` for nanoseconds since 1970.
    offset: i128,
}

impl TraceClock {
    /// As the two clocks stand now.
    pub fn now() -> Self {
        let before = monotonic();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let mono = u128::from(before) + u128::from(monotonic() - before) / 2;
        Self { offset: wall as i128 - mono as i128 }
    }

    /// Clocks that stand so: for traces that were recorded elsewhere.
    pub fn at(mono_ns: u64, wall: DateTime<Utc>) -> Self {
        Self { offset: i128::from(wall.timestamp_nanos_opt().unwrap_or(0)) - i128::from(mono_ns) }
    }

    /// Nanoseconds since 1970 at this instant.
    pub fn wall_ns(&self, mono_ns: u64) -> i64 {
        i64::try_from(self.offset + i128::from(mono_ns)).unwrap_or(i64::MAX)
    }

    /// The instant in full, by UTC: `2026-11-23T08:31:00.123456789Z`.
    pub fn utc(&self, mono_ns: u64) -> String {
        DateTime::from_timestamp_nanos(self.wall_ns(mono_ns))
            .to_rfc3339_opts(SecondsFormat::Nanos, true)
    }

    /// The time of day where the reader lives, to the microsecond: `08:31:00.123456`.
    pub fn time_of_day(&self, mono_ns: u64) -> impl std::fmt::Display {
        DateTime::from_timestamp_nanos(self.wall_ns(mono_ns))
            .with_timezone(&Local)
            .format("%H:%M:%S%.6f")
    }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

/// How long the machine has slept since it was started: what `CLOCK_BOOTTIME` counts beyond
/// `CLOCK_MONOTONIC`.
pub fn slept() -> u64 {
    nanoseconds(ClockId::Boottime).saturating_sub(monotonic())
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
