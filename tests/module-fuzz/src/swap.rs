// SPDX-License-Identifier: MIT OR Apache-2.0
//! Swap, without which no page of a region is ever written out and read back: compressed memory,
//! where the kernel has that.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use crate::value::PAGE;

/// Where the kernel is told how much (Documentation/admin-guide/blockdev/zram.rst), and the device.
const SIZE: &str = "/sys/block/zram0/disksize";
const DEVICE: &str = "/dev/zram0";
/// Pages of it: as much as some inputs use, not as much as all of the machine's memory.
const PAGES: u32 = 1 << 15;

/// Switches it on; it may be on already. An error says that there is none.
pub(crate) fn switch_on() -> io::Result<()> {
    fs::write(SIZE, (u64::from(PAGES) * PAGE).to_string())?;
    let mut device = OpenOptions::new().write(true).open(DEVICE)?;
    device.write_all(&header())?;
    device.sync_all()?;
    let path = CString::new(DEVICE)?;
    // SAFETY: a NUL-terminated path and flags.
    if unsafe { libc::syscall(libc::SYS_swapon, path.as_ptr(), 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// What mkswap(8) writes on the first page: `union swap_header`.
fn header() -> Vec<u8> {
    const BOOT_BITS: usize = 1024;
    const VERSION: u32 = 1;
    const MAGIC: &[u8] = b"SWAPSPACE2";
    let mut page = vec![0; BOOT_BITS];
    page.extend_from_slice(&VERSION.to_ne_bytes());
    page.extend_from_slice(&(PAGES - 1).to_ne_bytes());
    page.resize(PAGE as usize - MAGIC.len(), 0);
    page.extend_from_slice(MAGIC);
    page
}
