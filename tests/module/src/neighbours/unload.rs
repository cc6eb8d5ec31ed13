// SPDX-License-Identifier: MIT OR Apache-2.0
//! Root unloads the module while others are at it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::part::{Part, SKIPPED, USER};
use super::ranges::endless_unpinners;
use crate::module::{self, NAME};
use crate::region::{PAGE, Region};

const DEATH: Duration = Duration::from_secs(30);

pub(crate) fn against_all() -> Result<String> {
    const ATTEMPTS: usize = 300;
    let Some(file) = std::env::var_os("ASHMEM_MODULE").map(PathBuf::from) else {
        return Ok(format!("{SKIPPED}ASHMEM_MODULE does not name the module's file"));
    };
    let mut parts = endless_unpinners()?;
    parts.push(Part::start(0, || {
        loop {
            Region::open()?.purge()?;
        }
    })?);
    parts.push(Part::start(0, || {
        loop {
            fs::write("/proc/sys/vm/drop_caches", "2")?;
        }
    })?);
    for attempt in 0..ATTEMPTS {
        let answer = module::unload(NAME);
        ensure!(
            answer.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EWOULDBLOCK)),
            "unloading it in use (attempt {attempt}): expected EWOULDBLOCK, got {answer:?}"
        );
    }
    for part in parts {
        ensure!(!part.is_at_end()?, "one who uses the device has ended: {:?}", part.end(DEATH)?);
        part.put_down(DEATH)?;
    }
    module::unload_soon(NAME)?;
    module::load(&file, "").context("loading it again")?;
    let gone = against_openers(&file)?;
    Ok(format!("{ATTEMPTS} refusals while in use; unloaded {gone} times between two openings"))
}

/// Unloads it again and again while others open, use and close it.
fn against_openers(file: &std::path::Path) -> Result<usize> {
    const OPENERS: usize = 2;
    const ATTEMPTS: usize = 20_000;
    const ENOUGH: usize = 10;
    let openers =
        (0..OPENERS).map(|_| Part::start(USER, open_and_close)).collect::<Result<Vec<_>>>()?;
    let mut gone = 0;
    for _ in 0..ATTEMPTS {
        match module::unload(NAME) {
            Ok(()) => {
                gone += 1;
                module::load(file, "").context("loading it again")?;
                if gone == ENOUGH {
                    break;
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::EWOULDBLOCK) => {
                std::thread::yield_now()
            }
            Err(error) => return Err(error).context("unloading it between two openings"),
        }
    }
    for opener in openers {
        ensure!(
            !opener.is_at_end()?,
            "one who opens the device has ended: {:?}",
            opener.end(DEATH)?
        );
        opener.put_down(DEATH)?;
    }
    ensure!(gone > 0, "in {ATTEMPTS} attempts it could not be unloaded between two openings");
    module::unload_soon(NAME)?;
    module::load(file, "").context("loading it again")?;
    Ok(gone)
}

fn open_and_close() -> Result<String> {
    let mut turn = 0;
    loop {
        let region = match Region::open() {
            Ok(region) => region,
            // Nobody answers the node, or it is gone, or it is not yet opened up to all.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENOENT | libc::ENODEV | libc::ENXIO | libc::EACCES)
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error).context("opening the device"),
        };
        region.set_size(4 * PAGE)?;
        let mapping = region.map(4, libc::MAP_SHARED)?;
        mapping.fill();
        region.pinning(abi::UNPIN, 0, 4)?;
        region.pinning(abi::PIN, 1, 2)?;
        drop(region);
        drop(mapping);
        // Leaves a gap, each time another one.
        turn = turn % 7 + 1;
        std::thread::sleep(Duration::from_micros(100 * turn));
    }
}
