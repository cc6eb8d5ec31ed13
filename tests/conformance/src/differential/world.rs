// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one process holds, and how it performs an operation on it.

use std::ffi::CString;

use ashmem_core::abi;

use super::operation::{MAPS, Operation, PinCommand, REGIONS};
use crate::case::{Env, Stop};
use crate::process::Link;
use ashmem_test_client::errno::Answer;
use ashmem_test_client::fault::Signal;
use ashmem_test_client::map::{Map, page_size};
use ashmem_test_client::region::{Region, UNTOUCHED};

/// The result of a descriptor sent, which the other process then takes.
pub(super) const SENT: &str = "sent";

/// What an operation on an empty place prints.
const EMPTY: &str = "-";

/// Above every offset that is drawn, below every address.
const HIGHEST_OFFSET: u64 = 1 << 40;

/// The regions and mappings of one process.
pub(super) struct World<'a> {
    env: &'a Env,
    regions: [Option<Region>; REGIONS],
    maps: [Option<Map>; MAPS],
}

impl<'a> World<'a> {
    /// Nothing yet.
    pub(super) fn new(env: &'a Env) -> Self {
        Self { env, regions: Default::default(), maps: Default::default() }
    }

    /// Takes a descriptor the other process sent.
    pub(super) fn accept(&mut self, slot: usize, region: Region) {
        self.regions[slot] = Some(region);
    }

    /// Performs one operation and says what came of it.
    pub(super) fn perform(
        &mut self,
        operation: &Operation,
        descriptors: &Link,
    ) -> Result<String, Stop> {
        Ok(match *operation {
            Operation::Open { slot, flags } => {
                let opened = self.env.open_with(flags);
                let text = show(opened.as_ref().map(|_| "opened").map_err(|refused| *refused));
                self.regions[slot] = opened.ok();
                text
            }
            Operation::Close { slot } => {
                self.regions[slot].take().map_or(EMPTY, |_| "closed").into()
            }
            Operation::Dup { from, to } => {
                let Some(twin) = self.regions[from].as_ref().map(Region::dup) else {
                    return Ok(EMPTY.into());
                };
                self.regions[to] = Some(twin?);
                "dupped".into()
            }
            Operation::Send { from, .. } => {
                let Some(region) = &self.regions[from] else { return Ok(EMPTY.into()) };
                descriptors.send_fd(region.fd())?;
                SENT.into()
            }
            Operation::Map { slot, map, len, prot, private, offset } => {
                let Some(region) = &self.regions[slot] else { return Ok(EMPTY.into()) };
                let flags = if private { libc::MAP_PRIVATE } else { libc::MAP_SHARED };
                match region.map(len, prot, flags, offset) {
                    Ok(made) => {
                        self.maps[map] = Some(made);
                        "mapped".into()
                    }
                    Err(refused) => format!("{refused:?}"),
                }
            }
            Operation::Unmap { map } => self.maps[map].take().map_or(EMPTY, |_| "unmapped").into(),
            Operation::Resize { map, len } => {
                let Some(old) = self.maps[map].take() else { return Ok(EMPTY.into()) };
                match old.resize(len) {
                    Ok(new) => {
                        self.maps[map] = Some(new);
                        "resized".into()
                    }
                    Err(refused) => format!("{refused:?}"),
                }
            }
            Operation::Protect { map, .. }
            | Operation::Advise { map, .. }
            | Operation::Load { map, .. }
            | Operation::Store { map, .. }
            | Operation::Fill { map, .. }
            | Operation::Line { map } => match &self.maps[map] {
                Some(map) => on_map(map, operation)?,
                None => EMPTY.into(),
            },
            Operation::SetName { slot, .. }
            | Operation::SetNameAt { slot, .. }
            | Operation::GetName { slot }
            | Operation::GetNameAt { slot, .. }
            | Operation::SetSize { slot, .. }
            | Operation::GetSize { slot }
            | Operation::SetMask { slot, .. }
            | Operation::GetMask { slot }
            | Operation::Unknown { slot, .. }
            | Operation::Pin { slot, .. }
            | Operation::PinAt { slot, .. }
            | Operation::Purge { slot }
            | Operation::Read { slot, .. }
            | Operation::Pread { slot, .. }
            | Operation::Seek { slot, .. }
            | Operation::Write { slot }
            | Operation::Fdinfo { slot } => match &self.regions[slot] {
                Some(region) => on_region(region, operation)?,
                None => EMPTY.into(),
            },
        })
    }
}

fn on_region(region: &Region, operation: &Operation) -> Result<String, Stop> {
    Ok(match *operation {
        Operation::SetName { len, byte, .. } => {
            // A NUL would end the name early, and a line feed is shown otherwise in fdinfo, on
            // purpose; every other byte is as good as another.
            let byte = if matches!(byte, 0 | b'\n') { 1 } else { byte };
            let name = CString::new(vec![byte; len]).unwrap_or_default();
            show(region.set_name(&name))
        }
        Operation::SetNameAt { address, .. } => show(region.set_name_at(address as usize)),
        Operation::GetName { .. } => match region.name_buffer() {
            Ok(buffer) => {
                let name = buffer.split(|byte| *byte == 0).next().unwrap_or_default();
                let rest = &buffer[(name.len() + 1).min(buffer.len())..];
                let kept = rest.iter().all(|byte| *byte == UNTOUCHED);
                format!(
                    "{:?} {}",
                    name.escape_ascii().to_string(),
                    if kept { "rest untouched" } else { "rest written" }
                )
            }
            Err(refused) => format!("{refused:?}"),
        },
        Operation::GetNameAt { address, .. } => show(region.name_to(address as usize)),
        Operation::SetSize { size, .. } => show(region.set_size(size)),
        Operation::GetSize { .. } => show(region.size()),
        Operation::SetMask { mask, .. } => show(region.set_mask(mask)),
        Operation::GetMask { .. } => show(region.mask()),
        Operation::Unknown { cmd, .. } => show(region.ioctl("unknown", cmd, 0)),
        Operation::Pin { command, offset, len, .. } => {
            let size = region.size().unwrap_or(0) as usize;
            if matches!(command, PinCommand::Unpin)
                && len == 0
                && offset as usize == size.next_multiple_of(page_size())
            {
                return Ok("avoided".into());
            }
            show(match command {
                PinCommand::Pin => region.pin(offset, len),
                PinCommand::Unpin => region.unpin(offset, len),
                PinCommand::Status => region.status(offset, len),
            })
        }
        Operation::PinAt { command, address, .. } => show(match command {
            PinCommand::Pin => region.ioctl("PIN", abi::PIN, address),
            PinCommand::Unpin => region.ioctl("UNPIN", abi::UNPIN, address),
            PinCommand::Status => region.ioctl("GET_PIN_STATUS", abi::GET_PIN_STATUS, address),
        }),
        Operation::Purge { .. } => show(region.purge()),
        Operation::Read { count, .. } => show_bytes(region.read(count)),
        Operation::Pread { count, offset, .. } => show_bytes(region.pread(count, offset)),
        Operation::Seek { offset, whence, .. } => show(region.seek(offset, whence)),
        Operation::Write { .. } => show(region.write(b"x")),
        Operation::Fdinfo { .. } => {
            let inode = region.fdinfo_value("inode")?.map_or("no inode", |_| "inode");
            format!("{inode}, name {:?}", region.fdinfo_value("name")?)
        }
        _ => unreachable!("not an operation on a region: {operation:?}"),
    })
}

fn on_map(map: &Map, operation: &Operation) -> Result<String, Stop> {
    let end = map.len().next_multiple_of(page_size());
    Ok(match *operation {
        Operation::Protect { prot, .. } => show(map.protect(prot)),
        Operation::Advise { advice, .. } => show(map.advise(advice)),
        Operation::Load { at, .. } => touched(map.load(at % end)),
        Operation::Store { at, value, .. } => touched(map.store(at % end, value)),
        // A page that cannot be touched ends it: the pages before it are filled, on every provider.
        Operation::Fill { value, .. } => touched(map.touch(value)),
        Operation::Line { .. } => {
            let line = map.line()?;
            // Memory without a file has no offset, and any neighbour may have joined its line.
            if line.path.is_empty() {
                return Ok(format!("{} no file", line.perms));
            }
            // Neighbours may have become one line: the offset is that of this mapping's first byte.
            // One without content, once moved, shows an address in its place, which differs from
            // run to run.
            let offset = line.offset.wrapping_add((map.address() - line.range.0) as u64);
            let offset =
                if offset < HIGHEST_OFFSET { format!("{offset:#x}") } else { "an address".into() };
            format!("{} {offset} {}", line.perms, line.path)
        }
        _ => unreachable!("not an operation on a mapping: {operation:?}"),
    })
}

fn show<T: std::fmt::Debug>(answer: Answer<T>) -> String {
    match answer {
        Ok(value) => format!("{value:?}"),
        Err(refused) => format!("{refused:?}"),
    }
}

fn touched<T: std::fmt::Debug>(access: Result<T, Signal>) -> String {
    match access {
        Ok(value) => format!("{value:?}"),
        Err(signal) => format!("{signal:?}"),
    }
}

/// How many bytes, and their FNV-1a sum.
fn show_bytes(answer: Answer<Vec<u8>>) -> String {
    match answer {
        Ok(bytes) => {
            let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
            format!("{} bytes {sum:016x}", bytes.len())
        }
        Err(refused) => format!("{refused:?}"),
    }
}
