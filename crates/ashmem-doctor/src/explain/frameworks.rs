// SPDX-License-Identifier: MIT OR Apache-2.0
//! What parts of Android say that use regions, and name neither the device nor a call: cursors,
//! pictures, sound, ART.

use super::region::{DESCRIPTORS, LOOK, NAMED};
use crate::advice::NextStep::Do;
use crate::log_source::LogSource;
use crate::message::Message;

const M: Message = Message::PLAIN;

pub(super) static MESSAGES: &[Message] = &[
    Message {
        id: "too-many-descriptors",
        about: &[],
        says: concat!(
            r"\b(Parcel|Binder|ParcelFileDescriptor|BlobCache|Blob)\b.*too many open files|",
            r"CursorWindow.*error -24\b|",
            r"too many open files.*\b(parcel|gralloc|GraphicBuffer|native_handle|InputChannel)|",
            r"(dequeueBuffer|gralloc|GraphicBuffer\w*|native_handle|InputChannel).*too many open|",
            // Android's Bitmap: it duplicates the region's descriptor.
            r"could not allocate dup blob fd",
        ),
        cause: "the process has no descriptor left: each region, cursor window and buffer takes \
                one. The device is there and has no part in it",
        next: DESCRIPTORS,
        ..M
    },
    Message {
        id: "cursor-window-leak",
        about: &[],
        says: r"# Open Cursors=\d\d",
        cause: "an app has too many cursors open at once: each has a region of 2 MiB and a \
                descriptor. The device has no part in it",
        next: DESCRIPTORS,
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: r"Cursor ?window allocation of \d+.* failed",
        errno: &[0],
        cause: "a cursor's window could not be made, and the line does not say why: with few or no \
                open cursors on record it is no leak of cursors. The device is missing or refuses, \
                memory is short, or descriptors are",
        next: &[
            Do("# the line of CursorWindow or ashmem before it names the error: logcat -d | \
                 ashmem doctor explain"),
            LOOK,
            Do("# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`"),
        ],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: r"\bno memory in memobj\b",
        cause: "an old Android (2.x) could not make or map a cursor's window, and does not say \
                why: cursors that nobody closes use up descriptors and addresses, memory is short, \
                or the device is missing",
        next: &[
            Do("# a line of ashmem or MemoryHeapBase before it may name the error"),
            Do("# close cursors; descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`"),
            LOOK,
        ],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: r"^gralloc failed err=",
        cause: "gralloc's plain driver, which keeps pictures in shared memory, could not make a \
                region; the line `couldn't create ashmem` before it names the error",
        next: &[LOOK, Do("logcat -d | ashmem doctor explain")],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: r"could not (copy|read|write|map) (\w+ )?bitmap\b.*\b(blob|parcel)",
        errno: &[0],
        cause: "a picture was to be handed to another process, and the region for it could not be \
                made or mapped; the line does not say why: the device is missing or refuses, \
                memory is short, or descriptors are",
        next: &[
            Do("# a line of ashmem or Parcel before it may name the error: logcat -d | ashmem \
                doctor explain"),
            LOOK,
            Do("# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`"),
        ],
        ..M
    },
    Message {
        id: "no-memory-for-region",
        says: r"\bnot enough memory for Audio(Track|Record)\b",
        cause: "Android's sound gives each app a small share of one region, and it is used up: an \
                app has more players open than there is room for. The device is there",
        next: &[Do("# the app must release its AudioTrack and AudioRecord objects")],
        ..M
    },
    Message {
        id: "thread-table-not-made",
        says: r"could not allocate JNI Env",
        follows: NAMED,
        cause: "ART could not make the tables of a new thread. Up to Android 9 they are regions of \
                ashmem, a descriptor and a mapping each: threads, descriptors or addresses have \
                run out, as leaks of an app make them; or the device is missing or refuses",
        next: &[
            Do(
                "# a line of art or ashmem before it may name the error: logcat -d | ashmem doctor \
                explain",
            ),
            Do("sudo ls /proc/PID/fd | wc -l; ls /proc/PID/task | wc -l; wc -l /proc/PID/maps"),
            LOOK,
        ],
        ..M
    },
    Message {
        id: "descriptors-not-passed-on",
        says: r"not allowed to write file descriptors here",
        cause: "an app put a region, a picture or a file into something that may carry no \
                descriptors (an Intent that is kept, saved state). The device has no part in it",
        next: &[Do("# the app must pass it by a Binder call or a provider")],
        ..M
    },
    Message {
        id: "cursor-row-too-big",
        says: r"row too big to fit into CursorWindow",
        cause: "a row of an app's database is larger than a cursor's window, which is a region of \
                2 MiB: the app's fault. The device has no part in it",
        next: &[Do("# the app must read the column in parts, or keep it in a file")],
        ..M
    },
    Message {
        id: "cursor-window-full-harmless",
        says: r"window is full: requested allocation",
        is_harmless: true,
        cause: "harmless by itself: a cursor's window is full, and the rest is read into it later. \
                A single row that does not fit is told by a line of its own",
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: concat!(
            r"could not get control block|MemoryDealer.*fail|",
            r"(allocate|map\w*) shared memory for (track|record|audio|client)"
        ),
        from: &[LogSource::Logcat],
        errno: &[0],
        cause: "a part of Android's sound could not make or map the memory that it shares with an \
                app, and does not say why: the device is missing or refuses, memory is short, or \
                descriptors are",
        next: &[
            Do("# a line of ashmem, MemoryHeapBase or IMemory before it may name the error"),
            LOOK,
        ],
        ..M
    },
    Message {
        id: "region-not-made",
        follows: NAMED,
        says: r"(fail\w* to|could ?n[o']t|cannot|unable to) (allocate|create|map) shared memory\b",
        from: &[LogSource::Logcat],
        errno: &[0],
        cause: "a part of Android could not make a region, and does not say why: the device is \
                missing or refuses, or the process has too many descriptors open",
        next: &[LOOK, Do("# descriptors: ls /proc/PID/fd | wc -l, and `ulimit -n`")],
        ..M
    },
];
