// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel lost: a kernel with kmemleak searches its memory for what nothing points to any
//! more.

use anyhow::{Context, Result};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Where it is asked and where it answers. Stock kernels have none, and lose no time here.
const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// The kernel takes nothing for lost that is younger, for its pointer may still be in a register.
const AGE: Duration = Duration::from_secs(6);

/// Has the kernel search, and puts what it found on its console, where any word of it fails the
/// run.
pub(crate) fn look() -> Result<()> {
    if !Path::new(KMEMLEAK).exists() {
        return Ok(());
    }
    sleep(AGE);
    // The first search only notes what each object holds: one that changes until the next is in
    // use.
    for _ in 0..2 {
        fs::write(KMEMLEAK, "scan").with_context(|| format!("asking {KMEMLEAK} for a search"))?;
    }
    let found = fs::read_to_string(KMEMLEAK).with_context(|| format!("reading {KMEMLEAK}"))?;
    // The kernel itself has told how many there are. Without this it takes ten records and drops
    // the rest. A write is a record of its own there.
    fs::write("/proc/sys/kernel/printk_devkmsg", "on\n")
        .context("opening the kernel's log to all records")?;
    let mut console =
        fs::OpenOptions::new().write(true).open("/dev/kmsg").context("opening /dev/kmsg")?;
    for line in found.lines() {
        console
            .write_all(format!("kmemleak: {line}\n").as_bytes())
            .context("writing to /dev/kmsg")?;
    }
    Ok(())
}
