// SPDX-License-Identifier: MIT OR Apache-2.0
//! SET_NAME. A memfd's name is fixed when it is made, so a new one takes the old one's place,
//! unless somebody else holds the old one too.
//!
//! Whether somebody does, flock(2) tells: a lock belongs to the open file. It is taken through the
//! program's number, a second open of the memfd is made, and the number is given to the new memfd.
//! If the lock is free then, the open file has ended, so nobody had a copy of it.
//!
//! That takes two descriptors more for a while. So it happens only where nobody can notice: in a
//! process of one thread, with signals held back. In others the supervisor sets names.

use ashmem_core::abi::{NAME_LEN, NAME_PREFIX};

use crate::calls::{self, O_CLOEXEC, O_RDWR, Region};
use crate::kernel::{self, Returned};
use crate::processor::{O_LARGEFILE, untagged};

/// The longest name that the kernel takes.
const LONGEST: usize = 249;
const ROOM: usize = NAME_PREFIX.len() + NAME_LEN;
const EFAULT: Returned = -14;
const EINVAL: Returned = -22;

/// SET_NAME of the string at this address.
pub(crate) fn set(fd: u64, at: u64) -> Option<Returned> {
    let region = Region::of(fd)?;
    // Read before anything is decided (NAME-08).
    let mut name = [0_u8; ROOM];
    let Some(len) = read(&mut name, at) else { return Some(EFAULT) };
    if region.facts.is_mapped() {
        return Some(EINVAL);
    }
    if len > LONGEST || kernel::status_flags(fd) & !O_LARGEFILE != O_RDWR as Returned {
        return None;
    }
    if !kernel::has_one_thread() {
        return None;
    }
    let signals = kernel::block_signals()?;
    let answer = replace(fd, &region, &name);
    kernel::restore_signals(signals);
    answer
}

/// Reads the name behind its prefix, and answers the length of both; an empty name is none.
/// `None`: the memory cannot be read up to the string's end.
fn read(name: &mut [u8; ROOM], at: u64) -> Option<usize> {
    let (prefix, room) = name.split_at_mut(NAME_PREFIX.len());
    prefix.iter_mut().zip(NAME_PREFIX).for_each(|(to, from)| *to = *from);
    let room = room.get_mut(..NAME_LEN - 1)?;
    let (me, at) = (kernel::process(), untagged(at));
    let mut done = 0;
    // A page at a time: a string may end just before memory that is not there (NAME-05).
    while done < room.len() {
        let from = at.checked_add(done as u64)?;
        let in_page = 4096 - (from & 4095) as usize;
        let part = room.get_mut(done..)?;
        let wanted = part.len().min(in_page);
        let part = part.get_mut(..wanted)?;
        if kernel::read_memory(me, part, from) != wanted as Returned {
            return None;
        }
        if let Some(end) = part.iter().position(|byte| *byte == 0) {
            done += end;
            room.get_mut(done..)?.iter_mut().for_each(|byte| *byte = 0);
            break;
        }
        done += wanted;
    }
    if done == 0 {
        // Without the slash this is the name of a region that has none.
        *prefix.last_mut()? = 0;
    }
    Some(NAME_PREFIX.len() + done)
}

fn replace(fd: u64, region: &Region, name: &[u8; ROOM]) -> Option<Returned> {
    if kernel::lock(fd) != 0 {
        return None;
    }
    let Some(second) = kernel::open_again(fd, O_RDWR | O_CLOEXEC) else {
        kernel::unlock(fd);
        return None;
    };
    let answer = replace_if_alone(fd, second, region, name);
    kernel::close(second);
    answer
}

fn replace_if_alone(fd: u64, second: u64, region: &Region, name: &[u8; ROOM]) -> Option<Returned> {
    let is_same = kernel::fstat(second)
        .is_ok_and(|stat| stat.ino == region.stat.ino && stat.dev == region.stat.dev);
    let close_on_exec = match kernel::descriptor_flags(fd) {
        0 => 0,
        _ => O_CLOEXEC,
    };
    let fresh = if is_same { alike(region, name) } else { None };
    let Some(fresh) = fresh else {
        kernel::unlock(fd);
        return None;
    };
    let replaced = kernel::dup3(fresh, fd, close_on_exec);
    kernel::close(fresh);
    if replaced < 0 {
        return None;
    }
    let is_alone = kernel::lock(second) == 0;
    let is_as_it_was = Region::of(second).is_some_and(|now| {
        now.stat.size == region.stat.size
            && now.stat.mode == region.stat.mode
            && now.seals == region.seals
    });
    if is_alone && is_as_it_was {
        return Some(0);
    }
    // The old one comes back; the supervisor keeps the name, or says that it is too late for one.
    kernel::unlock(second);
    kernel::dup3(second, fd, close_on_exec);
    None
}

/// A new memfd like the region's, with this name.
fn alike(region: &Region, name: &[u8; ROOM]) -> Option<u64> {
    let fresh = calls::create(name.as_ptr(), region.stat.mode, O_CLOEXEC)?;
    // What was written to one without a size does not come along.
    let size = region.facts.size();
    let is_alike = (size == 0 || kernel::ftruncate(fresh, size) == 0)
        && (region.seals == kernel::seals(fresh) as u32
            || kernel::add_seals(fresh, region.seals) == 0);
    if !is_alike {
        kernel::close(fresh);
        return None;
    }
    Some(fresh)
}
