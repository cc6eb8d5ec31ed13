// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packets of a trace as bytes: tracks told of once, slices, counters.

use std::collections::HashSet;

use prost::Message;

use crate::amount::saturated;

use super::schema::{
    self, COUNTER, CounterDescriptor, DebugAnnotation, SLICE_END, TracePacket, TrackDescriptor,
    TrackEvent,
};

/// All our packets are of one sequence.
const SEQUENCE: u32 = 1;

/// Packets that are not taken yet, and the tracks that were told of.
#[derive(Debug, Default)]
pub(super) struct PacketWriter {
    packets: Vec<u8>,
    told: HashSet<u64>,
}

impl PacketWriter {
    /// What was written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.packets)
    }

    /// Tells of a track, once.
    pub(super) fn track(&mut self, descriptor: TrackDescriptor) {
        if self.told.insert(descriptor.uuid.unwrap_or_default()) {
            self.put(TracePacket { track_descriptor: Some(descriptor), ..packet() });
        }
    }

    /// Nothing more will be told of a track: it needs no memory.
    pub(super) fn forget(&mut self, uuid: u64) {
        self.told.remove(&uuid);
    }

    pub(super) fn slice(
        &mut self,
        at: u64,
        uuid: u64,
        kind: i32,
        name: Option<String>,
        annotations: Vec<DebugAnnotation>,
    ) {
        self.arrow_slice((at, kind), uuid, name, annotations, None);
    }

    /// A slice that an arrow may begin, pass or end at.
    pub(super) fn arrow_slice(
        &mut self,
        (at, kind): (u64, i32),
        uuid: u64,
        name: Option<String>,
        debug_annotations: Vec<DebugAnnotation>,
        arrow: Option<u64>,
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
            flow_ids: arrow.into_iter().collect(),
        };
        self.put(TracePacket { timestamp: Some(at), track_event: Some(event), ..packet() });
    }

    pub(super) fn counter(&mut self, at: u64, uuid: u64, value: i128) {
        let event = TrackEvent {
            r#type: Some(COUNTER),
            track_uuid: Some(uuid),
            counter_value: Some(saturated(value)),
            ..TrackEvent::default()
        };
        self.put(TracePacket { timestamp: Some(at), track_event: Some(event), ..packet() });
    }

    pub(super) fn put(&mut self, packet: TracePacket) {
        /// Field 1 of the message `Trace`, with its length before it.
        const PACKET: u8 = 1 << 3 | 2;
        self.packets.push(PACKET);
        packet.encode_length_delimited(&mut self.packets).unwrap_or_default();
    }

    /// Tells of a counter of bytes, once.
    pub(super) fn bytes_track(&mut self, uuid: u64, name: String) {
        let counter = Some(CounterDescriptor { unit: Some(schema::SIZE_BYTES) });
        let (uuid, name) = (Some(uuid), Some(name));
        self.track(TrackDescriptor { uuid, name, counter, ..track() });
    }
}

pub(super) fn packet() -> TracePacket {
    TracePacket {
        timestamp_clock_id: Some(schema::MONOTONIC),
        trusted_packet_sequence_id: Some(SEQUENCE),
        ..TracePacket::default()
    }
}

pub(super) fn track() -> TrackDescriptor {
    TrackDescriptor::default()
}
