// SPDX-License-Identifier: MIT OR Apache-2.0
//! A trace that ui.perfetto.dev opens.
//!
//! - a track a thread, under its process: its calls, each as long as it took;
//! - a track a region, under "ashmem regions": its life, and on it what is pinned, unpinned and
//!   purged;
//! - three counters: bytes of all regions, and of them what is unpinned and what is purged.
//!
//! Each event becomes packets that stand by themselves: a trace that was cut off opens as well.

mod schema;

use std::collections::{HashMap, HashSet};

use prost::Message;

use crate::clock::TraceClock;
use crate::event::{Event, EventRegion};
use crate::json::Lost;
use crate::life::{Life, RegionBytes};
use crate::operation::{ExactBytes, Operation};
use schema::{
    COUNTER, ClockSnapshot, CounterDescriptor, DebugAnnotation, INSTANT, ProcessDescriptor,
    SLICE_BEGIN, SLICE_END, ThreadDescriptor, TracePacket, TrackDescriptor, TrackEvent,
};

/// Numbers of tracks: the kind in the upper bits, the object in the lower ones.
const GROUP: u64 = 1 << 60;
const TOTAL: u64 = 2 << 60;
const UNPINNED: u64 = (2 << 60) + 1;
const PURGED: u64 = (2 << 60) + 2;
const LOSSES: u64 = (2 << 60) + 3;
const PROCESS: u64 = 3 << 60;
const THREAD: u64 = 4 << 60;
const REGION: u64 = 5 << 60;

/// All our packets are of one sequence.
const SEQUENCE: u32 = 1;

/// What the trace contains so far.
#[derive(Debug, Default)]
pub struct Perfetto {
    packets: Vec<u8>,
    told: HashSet<u64>,
    regions: HashMap<u64, Track>,
    total: u64,
    unpinned: u64,
    purged: u64,
}

/// A region and its track.
#[derive(Debug, Default)]
struct Track {
    /// When it was first met, in nanoseconds.
    since: u64,
    /// Whether its track is written: its name cannot change any more.
    is_told: bool,
    life: Life,
}

impl Perfetto {
    /// What a trace begins with.
    pub fn start(&mut self, clock: &TraceClock, mono_ns: u64) -> Vec<u8> {
        let reading = |clock_id, timestamp| schema::Clock {
            clock_id: Some(clock_id),
            timestamp: Some(timestamp),
        };
        let clocks = vec![
            reading(schema::MONOTONIC, mono_ns),
            reading(schema::BOOTTIME, mono_ns.saturating_add(crate::clock::slept())),
            reading(schema::REALTIME, clock.wall_ns(mono_ns).max(0) as u64),
        ];
        let primary_trace_clock = Some(schema::MONOTONIC);
        self.put(TracePacket {
            clock_snapshot: Some(ClockSnapshot { clocks, primary_trace_clock }),
            timestamp: Some(mono_ns),
            ..packet()
        });
        self.track(TrackDescriptor {
            uuid: Some(GROUP),
            name: Some("ashmem regions".into()),
            ..track()
        });
        for (uuid, name) in [
            (TOTAL, "ashmem: all regions"),
            (UNPINNED, "ashmem: unpinned"),
            (PURGED, "ashmem: purged"),
        ] {
            let counter = Some(CounterDescriptor { unit: Some(schema::SIZE_BYTES) });
            self.track(TrackDescriptor {
                uuid: Some(uuid),
                name: Some(name.into()),
                counter,
                ..track()
            });
            self.counter(mono_ns, uuid, 0);
        }
        std::mem::take(&mut self.packets)
    }

    /// An event's packets.
    pub fn event(&mut self, event: &Event) -> Vec<u8> {
        // An event without a caller has no thread.
        if event.process.pid != 0 {
            self.call(event);
        }
        if let Some(region) = &event.region {
            self.live(event, region);
        }
        std::mem::take(&mut self.packets)
    }

    /// Tells of a loss.
    pub fn lost(&mut self, lost: Lost) -> Vec<u8> {
        self.track(TrackDescriptor {
            uuid: Some(LOSSES),
            name: Some("ashmem: lost events".into()),
            ..track()
        });
        let many =
            lost.events.map_or("an unknown number of".to_owned(), |events| events.to_string());
        self.slice(
            lost.mono_ns,
            LOSSES,
            INSTANT,
            Some(format!("{many} events were lost")),
            Vec::new(),
        );
        std::mem::take(&mut self.packets)
    }

    /// The call on its thread's track.
    fn call(&mut self, event: &Event) {
        let process = &event.process;
        let inside =
            process.container_pid.map(|pid| format!(" ({pid} inside)")).unwrap_or_default();
        let container =
            process.container.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        let tid = if process.tid == 0 { process.pid } else { process.tid };
        let of_process = PROCESS | process.pid as u32 as u64;
        let of_thread = THREAD | tid as u32 as u64;
        self.track(TrackDescriptor {
            uuid: Some(of_process),
            process: Some(ProcessDescriptor {
                pid: Some(process.pid),
                process_name: Some(format!("{}{inside}{container}", process.command)),
            }),
            ..track()
        });
        let thread_name = (tid == process.pid).then(|| process.command.to_string());
        self.track(TrackDescriptor {
            uuid: Some(of_thread),
            thread: Some(ThreadDescriptor { pid: Some(process.pid), tid: Some(tid), thread_name }),
            ..track()
        });
        let name = Some(event.operation.to_string());
        let mut annotations = Vec::new();
        if let Some(region) = &event.region {
            annotations.push(number("region", region.id));
            annotations.extend(region.name.as_ref().map(|name| text("name", name.to_string())));
        }
        if let Some(result) = event.outcome.result {
            annotations.push(DebugAnnotation {
                name: Some("result".into()),
                int_value: Some(result),
                ..annotation()
            });
        }
        annotations.extend(event.outcome.errno().map(|errno| text("errno", errno.to_string())));
        match event.duration_ns {
            Some(ns) => {
                self.slice(
                    event.mono_ns.saturating_sub(ns),
                    of_thread,
                    SLICE_BEGIN,
                    name,
                    annotations,
                );
                self.slice(event.mono_ns, of_thread, SLICE_END, None, Vec::new());
            }
            None => self.slice(event.mono_ns, of_thread, INSTANT, name, annotations),
        }
    }

    /// What the event changes of its region.
    fn live(&mut self, event: &Event, region: &EventRegion) {
        let now = event.mono_ns;
        let uuid = REGION | region.id;
        let mut known = self
            .regions
            .remove(&region.id)
            .unwrap_or_else(|| Track { since: now, ..Track::default() });
        let failed = event.outcome.errno().is_some();
        let old = known.life.state().size;
        known.life.take_size(event);
        let size = known.life.state().size;
        if size != old {
            self.total = self.total - old + size;
            self.counter(now, TOTAL, self.total);
        }
        // Before its first mapping its name and its size may change yet.
        let ends = matches!(event.operation, Operation::Release {});
        if !known.is_told && (ends || !(failed || is_setting_up(&event.operation))) {
            known.is_told = true;
            let name = region
                .name
                .as_ref()
                .map_or_else(|| "without a name".to_owned(), ToString::to_string);
            self.track(TrackDescriptor {
                uuid: Some(uuid),
                name: Some(format!("#{} {name}", region.id)),
                parent_uuid: Some(GROUP),
                ..track()
            });
            let mut annotations = vec![number("size", size)];
            annotations.extend(region.inode.map(|inode| number("inode", inode)));
            let label = format!("{name} {}", ExactBytes(size));
            self.slice(known.since, uuid, SLICE_BEGIN, Some(label), annotations);
        }
        let before = known.life.state();
        known.life.take_pins(event);
        self.change(now, uuid, before, known.life.state());
        if ends {
            self.slice(now, uuid, SLICE_END, None, Vec::new());
            self.total -= size;
            self.counter(now, TOTAL, self.total);
        } else {
            self.regions.insert(region.id, known);
        }
    }

    /// What of a region is unpinned and purged has changed.
    fn change(&mut self, now: u64, uuid: u64, before: RegionBytes, after: RegionBytes) {
        if before == after {
            return;
        }
        let is_whole = |state: RegionBytes| (state.unpinned, state.purged) == (0, 0);
        if !is_whole(before) {
            self.slice(now, uuid, SLICE_END, None, Vec::new());
        }
        let RegionBytes { unpinned, purged, .. } = after;
        if !is_whole(after) {
            let label = match (unpinned, purged) {
                (unpinned, 0) => format!("{} unpinned", ExactBytes(unpinned)),
                (0, purged) => format!("{} purged", ExactBytes(purged)),
                both => format!("{} unpinned, {} purged", ExactBytes(both.0), ExactBytes(both.1)),
            };
            let annotations = vec![number("unpinned", unpinned), number("purged", purged)];
            self.slice(now, uuid, SLICE_BEGIN, Some(label), annotations);
        }
        self.unpinned = self.unpinned - before.unpinned + unpinned;
        self.purged = self.purged - before.purged + purged;
        self.counter(now, UNPINNED, self.unpinned);
        self.counter(now, PURGED, self.purged);
    }

    /// Tells of a track, once.
    fn track(&mut self, descriptor: TrackDescriptor) {
        if self.told.insert(descriptor.uuid.unwrap_or_default()) {
            self.put(TracePacket { track_descriptor: Some(descriptor), ..packet() });
        }
    }

    fn slice(
        &mut self,
        at: u64,
        uuid: u64,
        kind: i32,
        name: Option<String>,
        debug_annotations: Vec<DebugAnnotation>,
    ) {
        let categories = if kind == SLICE_END { Vec::new() } else { vec!["ashmem".to_owned()] };
        let (r#type, track_uuid) = (Some(kind), Some(uuid));
        let event = TrackEvent {
            debug_annotations,
            r#type,
            track_uuid,
            categories,
            name,
            counter_value: None,
        };
        self.put(TracePacket { timestamp: Some(at), track_event: Some(event), ..packet() });
    }

    fn counter(&mut self, at: u64, uuid: u64, value: u64) {
        let event = TrackEvent {
            r#type: Some(COUNTER),
            track_uuid: Some(uuid),
            counter_value: Some(i64::try_from(value).unwrap_or(i64::MAX)),
            ..TrackEvent::default()
        };
        self.put(TracePacket { timestamp: Some(at), track_event: Some(event), ..packet() });
    }

    fn put(&mut self, packet: TracePacket) {
        /// Field 1 of the message `Trace`, with its length before it.
        const PACKET: u8 = 1 << 3 | 2;
        self.packets.push(PACKET);
        packet.encode_length_delimited(&mut self.packets).unwrap_or_default();
    }
}

/// Whether a region's name and size may change after this, or are only asked for.
fn is_setting_up(operation: &Operation) -> bool {
    !matches!(
        operation,
        Operation::Mmap { .. }
            | Operation::Munmap { .. }
            | Operation::Pin(_)
            | Operation::Unpin(_)
            | Operation::Purge { .. }
            | Operation::Close { .. }
            | Operation::Release {}
    )
}

fn packet() -> TracePacket {
    TracePacket {
        timestamp_clock_id: Some(schema::MONOTONIC),
        trusted_packet_sequence_id: Some(SEQUENCE),
        ..TracePacket::default()
    }
}

fn track() -> TrackDescriptor {
    TrackDescriptor::default()
}

fn annotation() -> DebugAnnotation {
    DebugAnnotation::default()
}

fn number(name: &str, value: u64) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.into()), uint_value: Some(value), ..annotation() }
}

fn text(name: &str, value: String) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.into()), string_value: Some(value), ..annotation() }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::Perfetto;
    use super::schema::{SLICE_BEGIN, SLICE_END, TracePacket};
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::{Operation, PinRange};
    use crate::text::Text;

    fn event(mono_ns: u64, name: Option<&str>, operation: Operation) -> Event {
        Event {
            mono_ns,
            source: Source::Agent,
            process: EventProcess { pid: 7, tid: 7, ..EventProcess::default() },
            operation,
            region: Some(EventRegion {
                id: 1,
                inode: Some(9),
                name: name.map(Text::from),
                size: Some(16384),
            }),
            outcome: CallOutcome::of_return(0),
            duration_ns: None,
        }
    }

    fn packets(mut bytes: &[u8]) -> Vec<TracePacket> {
        let mut found = Vec::new();
        while let Some((10, rest)) = bytes.split_first() {
            bytes = rest;
            found.push(TracePacket::decode_length_delimited(&mut bytes).expect("a packet"));
        }
        assert!(bytes.is_empty(), "packets, and nothing between them");
        found
    }

    #[test]
    fn a_regions_track_has_the_name_it_was_mapped_with_and_every_slice_ends() {
        let mut perfetto = Perfetto::default();
        let mmap = Operation::Mmap { address: 0, len: 16384, prot: 3, shared: true, offset: 0 };
        let mut bytes = Vec::new();
        for event in [
            event(1, None, Operation::Open {}),
            event(2, Some("cache"), Operation::SetName { name: Some(Text::from("cache")) }),
            event(3, Some("cache"), mmap),
            event(4, Some("cache"), Operation::Unpin(PinRange::new(0, 0))),
            event(5, Some("cache"), Operation::Purge { offset: 0, len: 4096 }),
            event(6, Some("cache"), Operation::Pin(PinRange::new(0, 4096))),
            event(7, Some("cache"), Operation::Release {}),
        ] {
            bytes.extend(perfetto.event(&event));
        }
        let packets = packets(&bytes);
        let names: Vec<_> = packets
            .iter()
            .filter_map(|packet| packet.track_descriptor.as_ref()?.name.clone())
            .collect();
        assert_eq!(names, ["#1 cache"]);
        let of_region = |kind| {
            let events = packets.iter().filter_map(|packet| packet.track_event.as_ref());
            events.filter(move |event| {
                event.r#type == Some(kind) && event.track_uuid == Some(super::REGION | 1)
            })
        };
        let labels: Vec<_> =
            of_region(SLICE_BEGIN).filter_map(|event| event.name.clone()).collect();
        assert_eq!(
            labels,
            ["cache 16384", "16384 unpinned", "12288 unpinned, 4096 purged", "12288 unpinned"]
        );
        assert_eq!(of_region(SLICE_END).count(), labels.len());
        assert_eq!((perfetto.total, perfetto.unpinned, perfetto.purged), (0, 0, 0));
    }
}
