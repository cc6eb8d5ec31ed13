// SPDX-License-Identifier: MIT OR Apache-2.0
//! What may happen next: an operation and its arguments, drawn without looking at what came before.

use crate::random::Random;
use ashmem_test_client::map::page_size;

/// Descriptors a process may hold at once.
pub(super) const REGIONS: usize = 5;
/// Mappings a process may hold at once.
pub(super) const MAPS: usize = 6;
/// Most pages of a region that is mapped.
const PAGES: usize = 12;

/// One operation. Its `Debug` form is what the transcript shows.
#[derive(Debug)]
pub(super) enum Operation {
    Open { slot: usize, flags: i32 },
    Close { slot: usize },
    Dup { from: usize, to: usize },
    Send { from: usize, to: usize },
    SetName { slot: usize, len: usize, byte: u8 },
    SetNameAt { slot: usize, address: u64 },
    GetName { slot: usize },
    GetNameAt { slot: usize, address: u64 },
    SetSize { slot: usize, size: u64 },
    GetSize { slot: usize },
    SetMask { slot: usize, mask: u64 },
    GetMask { slot: usize },
    Unknown { slot: usize, cmd: u32 },
    Pin { slot: usize, command: PinCommand, offset: u32, len: u32 },
    PinAt { slot: usize, command: PinCommand, address: u64 },
    Purge { slot: usize },
    Map { slot: usize, map: usize, len: usize, prot: i32, private: bool, offset: u64 },
    Unmap { map: usize },
    Protect { map: usize, prot: i32 },
    Resize { map: usize, len: usize },
    Advise { map: usize, advice: i32 },
    Load { map: usize, at: usize },
    Store { map: usize, at: usize, value: u8 },
    Fill { map: usize, value: u8 },
    Line { map: usize },
    Read { slot: usize, count: usize },
    Pread { slot: usize, count: usize, offset: i64 },
    Seek { slot: usize, offset: i64, whence: i32 },
    Write { slot: usize },
    Fdinfo { slot: usize },
}

/// The three commands with one argument structure.
#[derive(Clone, Copy, Debug)]
pub(super) enum PinCommand {
    Pin,
    Unpin,
    Status,
}

impl Operation {
    /// The next operation. The weights keep most regions sized and mapped, so that the rest has
    /// something to work on.
    pub(super) fn draw(random: &mut Random) -> Self {
        let slot = random.below(REGIONS);
        let map = random.below(MAPS);
        match random.below(100) {
            0..=2 => Self::Open { slot, flags: flags(random) },
            3 if random.one_in(2) => Self::Close { slot },
            3..=4 => Self::Dup { from: slot, to: random.below(REGIONS) },
            5 => Self::Send { from: slot, to: random.below(REGIONS) },
            6..=8 => Self::SetName { slot, len: length_of_name(random), byte: random.next() as u8 },
            9 => Self::SetNameAt { slot, address: bad_address(random) },
            10..=11 => Self::GetName { slot },
            12 => Self::GetNameAt { slot, address: bad_address(random) },
            13..=18 => Self::SetSize { slot, size: size(random) },
            19..=21 => Self::GetSize { slot },
            22 => Self::SetMask { slot, mask: mask(random) },
            23..=24 => Self::GetMask { slot },
            25 => Self::Unknown {
                slot,
                cmd: random.pick(&[0x7700, 0x770c, 0x4004_7703, 0x4004_7705, 0x5401, 0x4008_7709]),
            },
            26..=45 => {
                let command = random.pick(&[
                    PinCommand::Pin,
                    PinCommand::Unpin,
                    PinCommand::Unpin,
                    PinCommand::Status,
                ]);
                Self::Pin { slot, command, offset: start(random) as u32, len: place(random) as u32 }
            }
            46 => {
                let command =
                    random.pick(&[PinCommand::Pin, PinCommand::Unpin, PinCommand::Status]);
                Self::PinAt { slot, command, address: bad_address(random) }
            }
            47..=48 => Self::Purge { slot },
            49..=60 => Self::Map {
                slot,
                map,
                len: length_of_map(random),
                prot: random.pick(&[3, 3, 3, 3, 1, 1, 0, 2, 5, 7]),
                private: random.one_in(4),
                offset: if random.one_in(3) { place(random) as u64 } else { 0 },
            },
            61 => Self::Unmap { map },
            62 => Self::Protect { map, prot: random.pick(&[3, 3, 3, 1, 0, 7]) },
            63 => Self::Resize { map, len: (random.below(PAGES) + 1) * page_size() },
            64 => {
                Self::Advise { map, advice: random.pick(&[libc::MADV_REMOVE, libc::MADV_DONTNEED]) }
            }
            65..=70 => Self::Load { map, at: random.below(PAGES * page_size()) },
            71..=75 => Self::Store {
                map,
                at: random.below(PAGES * page_size()),
                value: random.next() as u8,
            },
            76..=77 => Self::Fill { map, value: random.next() as u8 },
            78..=79 => Self::Line { map },
            80..=85 => Self::Read { slot, count: random.below(3 * page_size()) },
            86..=89 => {
                Self::Pread { slot, count: random.below(3 * page_size()), offset: offset(random) }
            }
            90..=96 => Self::Seek {
                slot,
                offset: offset(random),
                whence: random.pick(&[0, 0, 1, 1, 2, 3, 3, 4, 4, 5, -1]),
            },
            97 => Self::Write { slot },
            _ => Self::Fdinfo { slot },
        }
    }
}

fn flags(random: &mut Random) -> i32 {
    let mode = if random.one_in(8) {
        random.pick(&[libc::O_RDONLY, libc::O_WRONLY])
    } else {
        libc::O_RDWR
    };
    mode | random.pick(&[0, libc::O_CLOEXEC, libc::O_NONBLOCK, libc::O_APPEND])
}

fn length_of_name(random: &mut Random) -> usize {
    random.pick(&[0, 1, 7, 30, 254, 255, 256, 300, 4000])
}

fn size(random: &mut Random) -> u64 {
    match random.below(10) {
        0 => random.pick(&[0, 1, 1 << 46, 1 << 63, u64::MAX, u64::MAX - 4094, u64::MAX - 4096]),
        1..=2 => random.below(PAGES * page_size()) as u64,
        _ => ((random.below(PAGES - 3) + 4) * page_size()) as u64,
    }
}

fn mask(random: &mut Random) -> u64 {
    match random.below(12) {
        0 => random.pick(&[8, 15, 1 << 32, u64::MAX]),
        1 => random.below(8) as u64,
        _ => random.pick(&[7, 7, 7, 7, 7, 7, 3, 3, 3, 5, 1]),
    }
}

/// Mostly few enough pages to fit.
fn length_of_map(random: &mut Random) -> usize {
    if random.one_in(5) { place(random) } else { (random.below(5) + 1) * page_size() }
}

/// Where an interval begins: mostly low enough that something is behind it.
fn start(random: &mut Random) -> usize {
    if random.one_in(5) { place(random) } else { random.below(6) * page_size() }
}

/// An offset or a length: mostly whole pages, sometimes none, seldom nonsense.
fn place(random: &mut Random) -> usize {
    match random.below(16) {
        0 => random.below(PAGES * page_size()),
        1 => random.pick(&[0x8000_0000, 0xffff_f000, 0xffff_ffff, 0x1000_0000]),
        2..=4 => 0,
        _ => random.below(5) * page_size(),
    }
}

fn offset(random: &mut Random) -> i64 {
    match random.below(12) {
        0 => random.pick(&[-1, i64::MIN, i64::MAX, 1 << 40]),
        1..=2 => -(random.below(page_size()) as i64),
        _ => random.below(PAGES * page_size()) as i64,
    }
}

/// NULL, a kernel address, and the last one there is.
fn bad_address(random: &mut Random) -> u64 {
    random.pick(&[0, 0xffff_8000_0000_0000, u64::MAX])
}
