// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the measuring program says and what reads it: the words both sides share.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The names of the figures. Times are nanoseconds for one, memory is bytes for one.
pub mod figure {
    /// Open, name, size, map, touch, unmap, close of a region of one page.
    pub const LIFECYCLE: &str = "lifecycle";
    /// The same without ashmem: memfd_create, ftruncate, map, touch, unmap, close.
    pub const LIFECYCLE_MEMFD: &str = "lifecycle.memfd";
    /// Open and close of the device, nothing else.
    pub const OPEN_CLOSE: &str = "open-close";
    /// The same on `/dev/null`: what the kernel takes for any device, whoever drives it.
    pub const OPEN_CLOSE_NULL: &str = "open-close.null";
    /// GET_SIZE.
    pub const GET_SIZE: &str = "get-size";
    /// First store to a page of a shared mapping of a region.
    pub const TOUCH: &str = "touch";
    /// First store to a page of a shared mapping of a memfd.
    pub const TOUCH_MEMFD: &str = "touch.memfd";
    /// Work done by two threads in the time one needs for half of it: 2 where neither waits for the
    /// other.
    pub const THREADS: &str = "threads";
    /// UNPIN and PIN of one page by one thread of those.
    pub const THREADS_ALONE: &str = "threads.alone";
    /// The same as [`THREADS`] for a system call that shares nothing: what the machine itself has
    /// to give.
    pub const THREADS_MACHINE: &str = "threads.machine";
    /// Kernel memory of one open, sized, named region.
    pub const MEMORY_REGION: &str = "memory.region";
    /// Kernel memory of one unpinned range.
    pub const MEMORY_RANGE: &str = "memory.range";

    /// A function of the C library, on the device; `memfd.` before it where it makes a memfd.
    pub fn library(call: &str) -> String {
        format!("library.{call}")
    }

    /// The calls that a program without the library makes instead.
    pub fn bare(call: &str) -> String {
        format!("bare.{call}")
    }

    /// UNPIN and PIN of one page where the region has so many other unpinned ranges.
    pub fn pins(ranges: u32) -> String {
        format!("pins.{ranges}")
    }

    /// The longest that somebody waits for the processor while this is done to
    /// [`MANY_RANGES`](super::MANY_RANGES).
    pub fn wait_for_processor(what: &str) -> String {
        format!("wait.processor.{what}")
    }

    /// The longest that somebody waits for the region meanwhile, the processor included.
    pub fn wait_for_region(what: &str) -> String {
        format!("wait.region.{what}")
    }

    /// From the first stall until others have had most of an unpinned region, unpinned as so many
    /// ranges.
    pub fn given_back(ranges: u32) -> String {
        format!("given-back.{ranges}")
    }

    /// One call out of the lifecycle.
    pub fn piece(call: &str) -> String {
        format!("piece.{call}")
    }
}

/// How many unpinned ranges a region has beside the measured one.
pub const RANGES: [u32; 8] = [0, 1, 16, 256, 1024, 4096, 8192, 16384];

/// How many ranges of one region are pinned, unpinned and closed while others wait.
pub const MANY_RANGES: u32 = 1 << 19;

/// What others wait for, the first for comparison; closing has no region to wait for.
pub const WAITS: [&str; 4] = ["nothing", "pin", "unpin", "close"];

/// As how many ranges a region is unpinned whose pages are wanted back.
pub const PRESSED_RANGES: [u32; 3] = [1, 64, 1024];

/// The calls of a region's life that are measured one by one.
pub const PIECES: [&str; 9] = [
    "open",
    "set-name",
    "set-size",
    "first-mmap",
    "touch",
    "munmap",
    "later-mmap",
    "later-munmap",
    "close",
];

/// The same of a memfd's life.
pub const MEMFD_PIECES: [&str; 6] =
    ["memfd.create", "memfd.ftruncate", "memfd.mmap", "memfd.touch", "memfd.munmap", "memfd.close"];

/// Everything one run of the program measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What `uname -r` says.
    pub kernel: String,
    /// Processors this program may run on.
    pub processors: usize,
    /// Nanoseconds of one tick of the clock used; 1 where an instruction counts as one nanosecond.
    pub nanoseconds_per_tick: f64,
    /// The figures by name.
    pub figures: BTreeMap<String, f64>,
}
