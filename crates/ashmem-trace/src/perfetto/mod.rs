// SPDX-License-Identifier: MIT OR Apache-2.0
//! A trace that ui.perfetto.dev opens.
//!
//! - a track a thread, under its process: its calls, each as long as it took;
//! - a track a region, under "ashmem regions": its life, and on it what is pinned, unpinned and
//!   purged;
//! - an arrow from the call that made a region to the first call on it of each other process: those
//!   that got its descriptor;
//! - counters: bytes of all regions, of them what is unpinned and what is purged, and, of sources
//!   that show the ends of regions, of the regions of each family of names.
//!
//! Each event becomes packets that stand by themselves: a trace that was cut off opens as well.

mod packet_writer;
mod schema;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::clock::TraceClock;
use crate::event::{Event, EventRegion};
use crate::family_totals::FamilyTotals;
use crate::json::Lost;
use crate::life::{Life, RegionBytes};
use crate::operation::{ExactBytes, Operation};
use packet_writer::{PacketWriter, packet, track};
use schema::{
    ClockSnapshot, DebugAnnotation, INSTANT, ProcessDescriptor, SLICE_BEGIN, SLICE_END,
    ThreadDescriptor, TracePacket, TrackDescriptor,
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
const FAMILY: u64 = 6 << 60;
/// Families that have no counter of their own.
const OTHER_FAMILIES: u64 = FAMILY | MOST_FAMILIES as u64;

/// Families that have a counter of their own: names are the programs' to choose.
const MOST_FAMILIES: usize = 64;
/// Regions that are kept of a source that shows no ends of them.
const MOST_UNENDED: usize = 65_536;
/// Processes that a region's arrow reaches.
const MOST_SHARERS: usize = 256;

/// What the trace contains so far.
#[derive(Debug, Default)]
pub struct Perfetto {
    out: PacketWriter,
    regions: HashMap<u64, Track>,
    totals: FamilyTotals,
    /// The counters of families, and the bytes of those that share one.
    families: HashMap<Arc<str>, u64>,
    other_families: i128,
    total: i128,
    unpinned: i128,
    purged: i128,
}

/// A region and its track.
#[derive(Debug, Default)]
struct Track {
    /// When it was first met, in nanoseconds.
    since: u64,
    /// Whether its track is written: its name cannot change any more.
    is_told: bool,
    life: Life,
    /// The processes whose first call on it is an end of its arrow.
    sharers: HashSet<i32>,
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
        self.out.put(TracePacket {
            clock_snapshot: Some(ClockSnapshot { clocks, primary_trace_clock }),
            timestamp: Some(mono_ns),
            ..packet()
        });
        self.out.track(TrackDescriptor {
            uuid: Some(GROUP),
            name: Some("ashmem regions".into()),
            ..track()
        });
        for (uuid, name) in [
            (TOTAL, "ashmem: all regions"),
            (UNPINNED, "ashmem: unpinned"),
            (PURGED, "ashmem: purged"),
        ] {
            self.out.bytes_track(uuid, name.to_owned());
            self.out.counter(mono_ns, uuid, 0);
        }
        self.out.take()
    }

    /// An event's packets.
    pub fn event(&mut self, event: &Event) -> Vec<u8> {
        if !event.source.sees_ends() && self.regions.len() >= MOST_UNENDED {
            self.forget_all(event.mono_ns);
        }
        // An event without a caller has no thread.
        let shares = self.shares(event);
        if event.process.pid != 0 {
            self.call(event, shares);
        }
        if let Some(region) = &event.region {
            self.live(event, region);
        }
        self.count_families(event);
        self.out.take()
    }

    /// Of a source that shows no ends: all regions go, and what they came to.
    fn forget_all(&mut self, now: u64) {
        self.regions.keys().for_each(|id| self.out.forget(REGION | id));
        self.regions.clear();
        (self.total, self.unpinned, self.purged) = (0, 0, 0);
        [TOTAL, UNPINNED, PURGED].iter().for_each(|uuid| self.out.counter(now, *uuid, 0));
    }

    /// Tells of a loss.
    pub fn lost(&mut self, lost: Lost) -> Vec<u8> {
        self.out.track(TrackDescriptor {
            uuid: Some(LOSSES),
            name: Some("ashmem: lost events".into()),
            ..track()
        });
        let many =
            lost.events.map_or("an unknown number of".to_owned(), |events| events.to_string());
        self.out.slice(
            lost.mono_ns,
            LOSSES,
            INSTANT,
            Some(format!("{many} events were lost")),
            Vec::new(),
        );
        self.out.take()
    }

    /// The arrow that this call belongs to: the region's, if it is its process's first one on it.
    fn shares(&mut self, event: &Event) -> Option<u64> {
        let (region, pid) = (event.region.as_ref()?, event.process.pid);
        let is_use = event.outcome.errno().is_none()
            && !matches!(event.operation, Operation::Release {} | Operation::Purge { .. });
        if pid == 0 || !is_use {
            return None;
        }
        let now = event.mono_ns;
        let track = self
            .regions
            .entry(region.id)
            .or_insert_with(|| Track { since: now, ..Track::default() });
        let is_new = track.sharers.len() < MOST_SHARERS && track.sharers.insert(pid);
        is_new.then_some(REGION | region.id)
    }

    /// The counters of the families that the event changed.
    fn count_families(&mut self, event: &Event) {
        if !event.source.sees_ends() {
            // They would only ever rise.
            return;
        }
        for change in self.totals.take(event) {
            let (before, after) = (change.before.size, change.after.size);
            if before == after {
                continue;
            }
            let own = match self.families.get(&change.family) {
                Some(uuid) => Some(*uuid),
                None if self.families.len() < MOST_FAMILIES => {
                    let uuid = FAMILY | self.families.len() as u64;
                    self.families.insert(Arc::clone(&change.family), uuid);
                    Some(uuid)
                }
                None => None,
            };
            let (uuid, name, value) = match own {
                Some(uuid) => (uuid, change.family.to_string(), after),
                None => {
                    self.other_families += after - before;
                    (OTHER_FAMILIES, "other names".to_owned(), self.other_families)
                }
            };
            self.out.bytes_track(uuid, format!("ashmem names: {name}"));
            self.out.counter(event.mono_ns, uuid, value);
        }
    }

    /// The call on its thread's track.
    fn call(&mut self, event: &Event, shares: Option<u64>) {
        let process = &event.process;
        let inside =
            process.container_pid.map(|pid| format!(" ({pid} inside)")).unwrap_or_default();
        let container =
            process.container.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        let tid = if process.tid == 0 { process.pid } else { process.tid };
        let of_process = PROCESS | process.pid as u32 as u64;
        let of_thread = THREAD | tid as u32 as u64;
        self.out.track(TrackDescriptor {
            uuid: Some(of_process),
            process: Some(ProcessDescriptor {
                pid: Some(process.pid),
                process_name: Some(format!("{}{inside}{container}", process.command)),
            }),
            ..track()
        });
        let thread_name = (tid == process.pid).then(|| process.command.to_string());
        self.out.track(TrackDescriptor {
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
        let begin = match event.duration_ns {
            Some(ns) => (event.mono_ns.saturating_sub(ns), SLICE_BEGIN),
            None => (event.mono_ns, INSTANT),
        };
        self.out.arrow_slice(begin, of_thread, name, annotations, shares);
        if event.duration_ns.is_some() {
            self.out.slice(event.mono_ns, of_thread, SLICE_END, None, Vec::new());
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
            self.total += i128::from(size) - i128::from(old);
            self.out.counter(now, TOTAL, self.total);
        }
        // Before its first mapping its name and its size may change yet.
        let ends = matches!(event.operation, Operation::Release {});
        if !known.is_told && (ends || !(failed || is_setting_up(&event.operation))) {
            known.is_told = true;
            let name = region
                .name
                .as_ref()
                .map_or_else(|| "without a name".to_owned(), ToString::to_string);
            self.out.track(TrackDescriptor {
                uuid: Some(uuid),
                name: Some(format!("#{} {name}", region.id)),
                parent_uuid: Some(GROUP),
                ..track()
            });
            let mut annotations = vec![number("size", size)];
            annotations.extend(region.inode.map(|inode| number("inode", inode)));
            let label = format!("{name} {}", ExactBytes(size));
            self.out.slice(known.since, uuid, SLICE_BEGIN, Some(label), annotations);
        }
        let before = known.life.state();
        known.life.take_pins(event);
        self.change(now, uuid, before, known.life.state());
        if ends {
            self.out.slice(now, uuid, SLICE_END, None, Vec::new());
            self.out.forget(uuid);
            self.total -= i128::from(size);
            self.out.counter(now, TOTAL, self.total);
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
            self.out.slice(now, uuid, SLICE_END, None, Vec::new());
        }
        let RegionBytes { unpinned, purged, .. } = after;
        if !is_whole(after) {
            let label = match (unpinned, purged) {
                (unpinned, 0) => format!("{} unpinned", ExactBytes(unpinned)),
                (0, purged) => format!("{} purged", ExactBytes(purged)),
                both => format!("{} unpinned, {} purged", ExactBytes(both.0), ExactBytes(both.1)),
            };
            let annotations = vec![number("unpinned", unpinned), number("purged", purged)];
            self.out.slice(now, uuid, SLICE_BEGIN, Some(label), annotations);
        }
        self.unpinned += i128::from(unpinned) - i128::from(before.unpinned);
        self.purged += i128::from(purged) - i128::from(before.purged);
        self.out.counter(now, UNPINNED, self.unpinned);
        self.out.counter(now, PURGED, self.purged);
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
                ..EventRegion::default()
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
            .filter(|name| name.starts_with('#'))
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

    #[test]
    fn an_arrow_goes_to_each_process_that_got_the_region_and_families_have_counters() {
        let mut perfetto = Perfetto::default();
        let by = |pid: i32, mut event: Event| {
            (event.process.pid, event.process.tid) = (pid, pid);
            event
        };
        let mut bytes = Vec::new();
        for event in [
            by(7, event(1, None, Operation::Open {})),
            by(7, event(2, Some("dalvik-1"), Operation::SetSize { bytes: 16384 })),
            by(8, event(3, Some("dalvik-1"), Operation::GetSize {})),
            by(8, event(4, Some("dalvik-1"), Operation::GetSize {})),
            by(9, event(5, Some("dalvik-1"), Operation::Pin(PinRange::new(0, 0)))),
            by(0, event(6, Some("dalvik-1"), Operation::Release {})),
        ] {
            bytes.extend(perfetto.event(&event));
        }
        let packets = packets(&bytes);
        let events = || packets.iter().filter_map(|packet| packet.track_event.as_ref());
        let arrows: Vec<_> = events()
            .filter(|event| !event.flow_ids.is_empty())
            .map(|event| (event.track_uuid.unwrap_or(0) & 0xff, event.flow_ids.clone()))
            .collect();
        let id = super::REGION | 1;
        assert_eq!(arrows, [(7, vec![id]), (8, vec![id]), (9, vec![id])]);
        let counter = packets
            .iter()
            .filter_map(|packet| packet.track_descriptor.as_ref())
            .find(|track| track.name.as_deref() == Some("ashmem names: dalvik-"))
            .expect("a counter of the family");
        let values: Vec<_> = events()
            .filter(|event| event.track_uuid == counter.uuid)
            .filter_map(|event| event.counter_value)
            .collect();
        assert_eq!(values, [16384, 0]);
    }

    #[test]
    fn a_source_that_shows_no_ends_has_no_counters_of_families_and_bounded_memory() {
        let mut perfetto = Perfetto::default();
        let mut bytes = Vec::new();
        for id in 0..=super::MOST_UNENDED as u64 {
            let mut event = event(1, Some("dalvik-1"), Operation::GetSize {});
            event.source = Source::Syscalls;
            event.region.as_mut().expect("a region").id = id;
            bytes.extend(perfetto.event(&event));
        }
        assert_eq!((perfetto.regions.len(), perfetto.total), (1, 16384));
        let packets = packets(&bytes);
        let names =
            packets.iter().filter_map(|packet| packet.track_descriptor.as_ref()?.name.as_deref());
        assert_eq!(names.filter(|name| name.starts_with("ashmem names: ")).count(), 0);
    }

    #[test]
    fn names_that_a_program_makes_up_do_not_make_tracks_without_end() {
        let mut perfetto = Perfetto::default();
        let mut bytes = Vec::new();
        for id in 0..1000 {
            let mut event = event(1, Some(&format!("{id}")), Operation::GetSize {});
            event.region.as_mut().expect("a region").id = id;
            bytes.extend(perfetto.event(&event));
        }
        let packets = packets(&bytes);
        let names = packets
            .iter()
            .filter_map(|packet| packet.track_descriptor.as_ref()?.name.clone())
            .filter(|name| name.starts_with("ashmem names: "));
        assert_eq!(names.count(), super::MOST_FAMILIES + 1);
        let last = packets.iter().rev().find_map(|packet| {
            let event = packet.track_event.as_ref()?;
            (event.track_uuid == Some(super::OTHER_FAMILIES)).then_some(event.counter_value?)
        });
        assert_eq!(last, Some((1000 - super::MOST_FAMILIES as i64) * 16384));
    }
}
