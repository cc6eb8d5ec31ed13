// SPDX-License-Identifier: MIT OR Apache-2.0
//! One static program that measures what a `/dev/ashmem` costs, in time and in kernel memory.
//!
//! It prints one JSON document, [`Report`]. `cargo xtask bench` runs it on each driver and lays the
//! figures side by side.

mod clock;
mod library;
mod life;
mod memory;
mod pins;
mod pressure;
mod system;
mod wait;

use anyhow::{Context, Result};
use ashmem_bench::Report;
use clap::{Parser, ValueEnum};
use clock::Clock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use system::Device;

/// Measures what a /dev/ashmem costs, in time and in kernel memory
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The device node
    #[arg(long, default_value = "/dev/ashmem")]
    device: PathBuf,
    /// Measure only this; may be given more than once
    #[arg(long, value_name = "WHAT")]
    only: Vec<What>,
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// open to close of a region of one page, and of a memfd
    Lifecycle,
    /// the calls of a lifecycle one by one
    Pieces,
    /// open and close alone
    OpenClose,
    /// GET_SIZE
    GetSize,
    /// the first store to a page
    Touch,
    /// UNPIN and PIN of one page among 0 to 16,384 other unpinned ranges
    Pins,
    /// two threads on two regions against one (wants two processors)
    Threads,
    /// how long others wait while 2^19 ranges are pinned, unpinned, closed (wants one processor, as
    /// root)
    Wait,
    /// how soon 256 MiB of unpinned pages are memory for others (wants 512 MiB of memory)
    Pressure,
    /// kernel memory of an open, sized, named region (as root)
    MemoryRegion,
    /// kernel memory of an unpinned range (as root)
    MemoryRange,
    /// the C library's functions and the bare calls they stand for
    Library,
    /// of these, what makes a region of a memfd (wants ASHMEM_BACKEND=memfd)
    LibraryMemfd,
}

impl What {
    fn measure(self, clock: &Clock, device: &Device) -> Result<Vec<(String, f64)>> {
        let figures = match self {
            Self::Lifecycle => life::lifecycle(clock, device)?,
            Self::Pieces => life::pieces(clock, device)?,
            Self::OpenClose => life::open_close(clock, device)?,
            Self::GetSize => life::get_size(clock, device)?,
            Self::Touch => life::touch(clock, device)?,
            Self::Pins => pins::among_others(clock, device)?,
            Self::Threads => pins::threads(clock, device)?,
            Self::Wait => wait::over_many_ranges(device)?,
            Self::Pressure => pressure::given_back(clock, device)?,
            Self::MemoryRegion => memory::region(device)?,
            Self::MemoryRange => memory::range(device)?,
            Self::Library => library::both(clock)?,
            Self::LibraryMemfd => library::on_memfd(clock)?,
        };
        Ok(figures)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = Device::at(&arguments.device).context("the device's path")?;
    let of_one_process = |what: &&What| **what != What::LibraryMemfd;
    let wanted: Vec<_> = if arguments.only.is_empty() {
        What::value_variants().iter().filter(of_one_process).collect()
    } else {
        arguments.only.iter().collect()
    };
    let clock = Clock::calibrate();
    let mut figures = BTreeMap::new();
    for what in wanted {
        let found = what.measure(&clock, &device);
        figures.extend(
            found.with_context(|| format!("measuring {what:?} on {}", device.path().display()))?,
        );
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .context("reading the kernel's release")?;
    let processors = std::thread::available_parallelism().context("counting processors")?.get();
    let kernel = kernel.trim().to_owned();
    let report =
        Report { kernel, processors, nanoseconds_per_tick: clock.nanoseconds_per_tick(), figures };
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}
