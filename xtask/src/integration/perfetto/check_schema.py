# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holds a trace of the browser step's small program to Perfetto's published schema, and to what
that program does."""

import collections
import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    BuiltinClock, CounterDescriptor, Trace, TrackEvent,
)

UNPINNED = 512 << 10
PARTS = {f"dalvik-part {number}": 4096 * (number + 1) for number in range(12)}
REGIONS = {
    "picture-cache": 1 << 20,
    "CursorWindow: forgotten": 2 << 20,
    "MemoryFile: never mapped": 512 << 10,
    "</script><img src=x onerror='document.title=String(6*7)'>": 64 << 10,
} | PARTS


def same(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, and should be {wanted!r}")


data = open(sys.argv[1], "rb").read()
trace = Trace.FromString(data)
# What the schema does not know would be kept beside it.
trace.DiscardUnknownFields()
same("bytes that the schema knows", trace.ByteSize(), len(data))

tracks, events, clocks = {}, [], []
for packet in trace.packet:
    if packet.HasField("clock_snapshot"):
        clocks.append(packet)
    elif packet.HasField("track_descriptor"):
        track = packet.track_descriptor
        if track.uuid in tracks:
            sys.exit(f"the track {track.name!r} is described twice")
        if track.HasField("parent_uuid") and track.parent_uuid not in tracks:
            sys.exit(f"the track {track.name!r} stands before its parent")
        tracks[track.uuid] = track
    elif packet.HasField("track_event"):
        if packet.track_event.track_uuid not in tracks:
            sys.exit(f"on a track that nothing describes: {packet}")
        same("an event's clock", packet.timestamp_clock_id, BuiltinClock.BUILTIN_CLOCK_MONOTONIC)
        events.append((packet.timestamp, packet.track_event))
    else:
        sys.exit(f"neither clock, track nor event: {packet}")
same("snapshots of the clocks", len(clocks), 1)
if any(time < clocks[0].timestamp for time, _ in events):
    sys.exit("an event is older than the trace")
# As the reader has it: by time, and at one time as they stand.
events.sort(key=lambda event: event[0])


def on(uuid):
    return [event for _, event in events if event.track_uuid == uuid]


counters = {}
for uuid, track in tracks.items():
    if track.HasField("counter"):
        same(f"{track.name}: its unit", track.counter.unit, CounterDescriptor.UNIT_SIZE_BYTES)
        counters[track.name] = [event.counter_value for event in on(uuid)]
        continue
    depth = 0
    for event in on(uuid):
        depth += {TrackEvent.TYPE_SLICE_BEGIN: 1, TrackEvent.TYPE_SLICE_END: -1}.get(event.type, 0)
        if depth < 0:
            sys.exit(f"{track.name}: a slice ends that has not begun")
    same(f"{track.name}: slices that do not end", depth, 0)
peaks = {name: (max(values), values[-1]) for name, values in counters.items()}
wanted = {"all regions": sum(REGIONS.values()), "unpinned": UNPINNED, "purged": UNPINNED}
ends = {f"ashmem: {name}": (peak, 0) for name, peak in wanted.items()}
families = {
    "picture": 1 << 20,
    "CursorWindow": 2 << 20,
    "MemoryFile": 512 << 10,
    "</script><img src=x onerror='document.title=String(6*7)'>": 64 << 10,
    "dalvik-": sum(PARTS.values()),
}
ends |= {f"ashmem names: {name}": (peak, 0) for name, peak in families.items()}
same("counters, their peaks and their ends", peaks, ends)

group = next(uuid for uuid, track in tracks.items() if track.name == "ashmem regions")
lives = {}
for uuid, track in tracks.items():
    if track.parent_uuid == group:
        number, name = track.name.split(" ", 1)
        life = on(uuid)[0]
        sizes = [note.uint_value for note in life.debug_annotations if note.name == "size"]
        same(f"{name}: a track's number and its size", (number[0], len(sizes)), ("#", 1))
        lives[name] = sizes[0]
same("the regions' tracks and sizes", lives, REGIONS)
cache = next(uuid for uuid, track in tracks.items() if track.name.endswith(" picture-cache"))
states = [event.name for event in on(cache) if event.type == TrackEvent.TYPE_SLICE_BEGIN]
same("the cache's states", states[1:], ["512K unpinned", "512K purged"])

processes = [track.process for track in tracks.values() if track.HasField("process")]
threads = {uuid: track.thread for uuid, track in tracks.items() if track.HasField("thread")}
same("processes", [process.process_name for process in processes], ["python3"])
same("threads", [(t.pid, t.tid) for t in threads.values()], [(processes[0].pid, processes[0].pid)])
calls = [event for event in on(next(iter(threads))) if event.HasField("name")]
count = collections.Counter(call.name.split(" ")[0] for call in calls)
many = len(REGIONS)
wanted = {"open": many, "SET_NAME": many, "SET_SIZE": many + 1, "UNPIN": 1, "PIN": 1}
for name, times in wanted.items():
    same(f"calls of {name}", count[name], times)
arrows = [list(call.flow_ids) for call in calls if call.name == "open"]
same("opens with an arrow of their own", len({tuple(arrow) for arrow in arrows}), many)
same("arrows of an open", {len(arrow) for arrow in arrows}, {1})
failed = [call for call in calls if any(note.name == "errno" for note in call.debug_annotations)]
notes = [
    [(note.string_value, note.int_value) for note in call.debug_annotations][-2:] for call in failed
]
same("the call that failed", [call.name for call in failed], ["SET_SIZE 4096"])
same("how it failed", notes, [[("", -22), ("EINVAL", 0)]])
print(f"{len(tracks)} tracks, {len(events)} events")
