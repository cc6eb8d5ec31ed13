// SPDX-License-Identifier: MIT OR Apache-2.0
//! In-flight notifications, in memory that survives the agent.
//!
//! They lie at the beginning of a container's journal, and the kernel writes them there itself: at
//! no moment is a notification taken from its listener and not stored. There can be several,
//! because several loops serve where several callers ask at once, or hold them up.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard};

use rustix::io::Result;
use rustix::mm::{MapFlags, ProtFlags};

use crate::seccomp::listener::{ROOM, Room};
use crate::sys::lock;

/// Where the log behind them starts; what lies before it is mapped.
pub(crate) const LOG: u64 = 40 << 10;
/// Notifications that can be in flight at once: one for each loop that there can be, those that are
/// held up included.
const SLOTS: usize = 66;
/// A slot: the number of the listener, and at [`ROOM_OFFSET`] the notification.
const SLOT: usize = 64 + ROOM;
const ROOM_OFFSET: usize = 64;
/// Where the first slot lies.
const FIRST_SLOT: usize = 64;
/// Offset of the id of the request that is being answered through LXC's monitor; it lies behind the
/// journal's header.
const ANSWERING: usize = 56;
/// Offset of the end of the log, in the journal's header.
pub(crate) const END: usize = 16;

/// The beginning of a journal, where the kernel puts notifications.
pub(crate) struct InFlight {
    start: *mut u8,
    taken: Mutex<[bool; SLOTS]>,
}

// SAFETY: only the thread that has taken a slot touches it; the pointer itself may move between
// threads.
unsafe impl Send for InFlight {}
// SAFETY: as above.
unsafe impl Sync for InFlight {}

impl InFlight {
    /// Maps it. Slots that hold a notification are taken: it is answered first.
    pub(crate) fn map(memory: &OwnedFd) -> Result<Self> {
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, where the kernel finds room.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), LOG as usize, prot, MapFlags::SHARED, memory, 0)?
        };
        let in_flight = Self { start: start.cast(), taken: Mutex::new([false; SLOTS]) };
        for number in 0..SLOTS {
            in_flight.taken()[number] = in_flight.read(number).1[0] != 0;
        }
        Ok(in_flight)
    }

    /// Receives the next notification of this listener with `receive`, which gets a zeroed room and
    /// returns whether there was one. If no slot is free, the notification is in flight without
    /// being stored.
    pub(crate) fn take<R>(
        &self,
        listener: u64,
        receive: impl FnOnce(&mut Room) -> Result<Option<R>>,
    ) -> Result<Option<R>> {
        let free = {
            let mut taken = self.taken();
            let free = taken.iter().position(|taken| !taken);
            free.inspect(|number| taken[*number] = true)
        };
        let Some(number) = free else { return receive(&mut [0; ROOM / 8]) };
        let (from, room) = self.at(number);
        // SAFETY: both lie within the mapping and are aligned, and the slot is this thread's until
        // it is given back.
        let (from, room) = unsafe { (&mut *from, &mut *room) };
        room.fill(0);
        *from = listener;
        let received = receive(room);
        if !matches!(received, Ok(Some(_))) {
            self.taken()[number] = false;
        }
        received
    }

    /// Frees the slot of a notification that was answered.
    pub(crate) fn give_back(&self, listener: u64, id: u64) {
        let mut taken = self.taken();
        for number in (0..SLOTS).filter(|number| taken[*number]).collect::<Vec<_>>() {
            let (from, room) = self.at(number);
            // SAFETY: both lie within the mapping and are aligned; the words are only compared, and
            // a slot that is being received into belongs to another id.
            unsafe {
                if from.read_volatile() == listener && room.cast::<u64>().read_volatile() == id {
                    room.cast::<u64>().write_volatile(0);
                    taken[number] = false;
                }
            }
        }
    }

    /// The notifications that the previous agent left, each with the number of its listener.
    pub(crate) fn left_over(&self) -> Vec<(u64, Room)> {
        (0..SLOTS).map(|number| self.read(number)).filter(|(_, room)| room[0] != 0).collect()
    }

    /// Writes the end of the log: one store, which cannot be torn when this process is killed.
    pub(crate) fn set_end(&self, end: u64) {
        // SAFETY: the word lies within the mapping and is aligned.
        unsafe { self.start.add(END).cast::<u64>().write_volatile(end) };
    }

    /// Marks the request whose answer is being sent to LXC's monitor; 0: none.
    pub(crate) fn set_answering(&self, id: u64) {
        // SAFETY: the word lies within the mapping and is aligned.
        unsafe { self.start.add(ANSWERING).cast::<u64>().write_volatile(id) };
    }

    /// The marked request.
    pub(crate) fn answering(&self) -> u64 {
        // SAFETY: as above.
        unsafe { self.start.add(ANSWERING).cast::<u64>().read_volatile() }
    }

    /// The ids of all in-flight notifications.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let ids = (0..SLOTS).map(|number| {
            let (_, room) = self.at(number);
            // SAFETY: it lies within the mapping and is aligned; another thread, or the kernel, may
            // be writing it.
            unsafe { room.cast::<u64>().read_volatile() }
        });
        ids.filter(|id| *id != 0).collect()
    }

    fn at(&self, number: usize) -> (*mut u64, *mut Room) {
        let at = FIRST_SLOT + number * SLOT;
        // SAFETY: every slot lies within the mapping.
        unsafe { (self.start.add(at).cast(), self.start.add(at + ROOM_OFFSET).cast()) }
    }

    fn read(&self, number: usize) -> (u64, Room) {
        let (from, room) = self.at(number);
        // SAFETY: both lie within the mapping and are aligned; this is called while nothing is
        // being received.
        unsafe { (from.read(), room.read()) }
    }

    fn taken(&self) -> MutexGuard<'_, [bool; SLOTS]> {
        lock(&self.taken)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's own, and nobody has a reference into it any more.
        let _ = unsafe { rustix::mm::munmap(self.start.cast(), LOG as usize) };
    }
}

const _: () = assert!(FIRST_SLOT + SLOTS * SLOT <= LOG as usize && SLOT.is_multiple_of(64));

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> OwnedFd {
        let memory = rustix::fs::memfd_create("in-flight", rustix::fs::MemfdFlags::CLOEXEC)
            .expect("a memfd");
        rustix::fs::ftruncate(&memory, LOG).expect("room");
        memory
    }

    #[test]
    fn notifications_in_hand_come_back() {
        let memory = memory();
        let in_flight = InFlight::map(&memory).expect("a mapping");
        let receive = |id| {
            move |room: &mut Room| {
                room[0] = id;
                Ok(Some(()))
            }
        };
        for id in 1..=SLOTS as u64 + 1 {
            assert_eq!(
                in_flight.take(id % 2, receive(id)),
                Ok(Some(())),
                "without a free slot it is received all the same"
            );
        }
        in_flight.give_back(0, 1);
        in_flight.give_back(1, 1);
        assert_eq!(in_flight.take(5, |_| Ok(None::<()>)), Ok(None));
        let in_flight = InFlight::map(&memory).expect("a mapping");
        let in_flight: Vec<u64> = in_flight.left_over().iter().map(|(_, room)| room[0]).collect();
        assert_eq!(in_flight, (2..=SLOTS as u64).collect::<Vec<_>>());
    }
}
