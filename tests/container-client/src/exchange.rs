//! What is passed between processes, and what each finds in it.

use crate::region::{PAGE, Region};
use anyhow::{Result, ensure};

/// The device's short name.
pub(crate) const DEVICE: &str = "/dev/ashmem";
pub(crate) const NAME: &str = "client";
pub(crate) const SIZE: usize = 4 * PAGE;
pub(crate) const WORDS: &[u8] = b"what one process wrote";
pub(crate) const REPLY: &[u8] = b"what the other answered";

/// Names and sizes a region.
pub(crate) fn prepare(region: Region) -> Result<Region> {
    region.set_name(NAME)?;
    region.set_size(SIZE)?;
    ensure!(region.size()? == SIZE, "GET_SIZE answers {}", region.size()?);
    Ok(region)
}
