// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's system call tracepoints, for hosts with neither the module nor an agent: ashmem
//! ioctls and memfd.
//!
//! They contain registers only. What a call points to in its caller's memory, and which file a
//! descriptor is, is read a moment later: if the process has continued, or has ended, the trace
//! says that it does not know. Calls of 32-bit programs on a 64-bit kernel are not traced.
//!
//! Every process of a host makes some of these calls all the time, and the end of a call shows
//! nothing that the kernel could sort it out by. So of the whole host only those are recorded that
//! are rare or that the kernel itself can sort out at their beginning, and with them the ends of
//! all calls of these names: see [`calls::Scope`].

pub mod calls;
mod memory;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ashmem_proc::process;
use ashmem_proc::status::ProcessStatus;

use crate::event::{CallOutcome, Event, EventRegion, Source};
use crate::json::Lost;
use crate::operation::Operation;
use crate::processes::Processes;
use crate::regions::{Regions, name};
use crate::source::{EventSource, SourceItem};
use crate::tracefs::format::RecordField;
use crate::tracefs::instance::Instance;
use crate::tracefs::reader::{Item, Reader};
use crate::tracefs::{Error, Tracefs};
use calls::{CALLS, Scope, SyscallForm, TracedCall, enable, is_device};
use memory::{argued, look, read_string};

/// How long the whole host's events gather at least: on a busy host one wake-up for each would cost
/// more than all else.
const PACE: Duration = Duration::from_millis(5);

/// Regions remembered at most: nothing tells when one ends. Those that are met again afterwards
/// have new numbers.
const MOST_REGIONS: usize = 65_536;

/// CLONE_FILES and CLONE_THREAD.
const SHARES_FILES: u64 = 0x400;
const IS_THREAD: u64 = 0x1_0000;

/// The kernel's system calls.
pub struct SyscallSource {
    /// Whether the kernel sorts out opens by their path, or nobody asked for it.
    knows_paths: bool,
    reader: Reader,
    decoder: SyscallDecoder,
    // Dropped after the reader, whose files keep it from being removed.
    instances: Vec<Instance>,
}

impl SyscallSource {
    /// Begins to record, with this many KiB of buffer for each processor.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(
        tracefs: &Tracefs,
        processes: Processes,
        scope: Scope<'_>,
        buffer_kib: usize,
    ) -> Result<Self, Error> {
        let instance = Instance::new(tracefs, buffer_kib)?;
        // At once: what a call points to changes soon.
        instance.set("buffer_percent", "0")?;
        if let Some(threads) = scope.threads {
            instance.follow(threads)?;
        }
        let mut forms = HashMap::new();
        let forked = instance.enable("task/task_newtask", None)?;
        let (child, command, flags) =
            (forked.field("pid"), forked.field("comm"), forked.field("clone_flags"));
        forms.insert(forked.id(), SyscallForm::Forked { child, command, flags });
        let renamed = instance.enable("task/task_rename", None)?;
        forms.insert(renamed.id(), SyscallForm::Renamed { command: renamed.field("newcomm") });
        forms.insert(instance.enable("sched/sched_process_exit", None)?.id(), SyscallForm::Ended);
        let mut knows_paths = true;
        for spec in CALLS {
            knows_paths &= enable(&instance, spec, scope, &mut forms)?;
        }
        let thread = renamed.field("common_pid");
        let instances = vec![instance];
        let reader = Reader::new(&instances)?;
        let sees_close = scope.threads.is_some();
        let decoder =
            SyscallDecoder { forms, thread, processes, sees_close, ..SyscallDecoder::default() };
        Ok(Self { knows_paths, reader, decoder, instances })
    }

    /// Whether refused opens of the device are recorded by their paths, where
    /// [`Scope::fail_only`] asks for that. Before Linux 5.17 they are not: then those of the
    /// scope's threads are told where their paths can be read in time, and of the whole host none.
    pub fn knows_paths(&self) -> bool {
        self.knows_paths
    }
}

impl EventSource for SyscallSource {
    fn source(&self) -> Source {
        Source::Syscalls
    }

    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
        if !self.decoder.sees_close && self.reader.wait_for_other(other, PACE)? {
            return Ok(true);
        }
        self.reader.wait(other, time)
    }

    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool> {
        self.reader.poll_batch(|item| self.decoder.decode(item, sink))
    }

    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()> {
        self.instances.iter().for_each(Instance::stop);
        self.reader.finish(|item| self.decoder.decode(item, sink))
    }
}

/// A call that has begun.
struct Begun {
    time: u64,
    call: TracedCall,
    arguments: [u64; 6],
}

/// Turns records into events.
#[derive(Default)]
struct SyscallDecoder {
    forms: HashMap<u16, SyscallForm>,
    thread: RecordField,
    processes: Processes,
    regions: Regions,
    begun: HashMap<i32, Begun>,
    /// Each thread's process.
    leaders: HashMap<i32, i32>,
    /// Each process's descriptors of regions, by the regions' keys.
    descriptors: HashMap<i32, HashMap<i32, u64>>,
    /// Each process's mappings of regions: from where, how long, of which.
    mappings: HashMap<i32, BTreeMap<u64, (u64, u64)>>,
    /// Memfds that were gone before they could be looked at.
    unseen: u64,
    /// Whether closes are recorded, so that what a descriptor was it still is.
    sees_close: bool,
}

impl SyscallDecoder {
    fn decode(&mut self, item: Item<'_>, sink: &mut dyn FnMut(SourceItem)) {
        let (time, record) = match item {
            Item::Record(time, record) => (time, record),
            Item::Lost(mono_ns, events) => {
                // An end whose begin is missing, or the other way, is not to be paired with
                // another.
                self.begun.clear();
                return sink(SourceItem::Lost(Lost { mono_ns, source: Source::Syscalls, events }));
            }
        };
        let Some(form) =
            record.first_chunk().and_then(|id| self.forms.get(&u16::from_ne_bytes(*id)))
        else {
            return;
        };
        let thread = self.thread.signed(record) as i32;
        match form {
            SyscallForm::Forked { child, command, flags } => {
                let (child, flags) = (child.signed(record) as i32, flags.unsigned(record));
                self.processes.forked(thread, child, command.string(record));
                let parent = self.leader(thread);
                if flags & IS_THREAD != 0 {
                    self.leaders.insert(child, parent);
                } else {
                    self.leaders.insert(child, child);
                    if flags & SHARES_FILES == 0 {
                        let inherited = self.descriptors.get(&parent).cloned().unwrap_or_default();
                        self.descriptors.insert(child, inherited);
                    }
                    let inherited = self.mappings.get(&parent).cloned().unwrap_or_default();
                    self.mappings.insert(child, inherited);
                }
            }
            SyscallForm::Renamed { command } => {
                self.processes.renamed(thread, command.string(record))
            }
            SyscallForm::Ended => {
                self.processes.ended(thread);
                self.begun.remove(&thread);
                if self.leaders.remove(&thread) == Some(thread) {
                    self.descriptors.remove(&thread);
                    self.mappings.remove(&thread);
                }
            }
            SyscallForm::Enter(call, fields) => {
                let arguments = fields.map(|field| field.unsigned(record));
                self.begun.insert(thread, Begun { time, call: *call, arguments });
            }
            SyscallForm::Begin(call, fields) => {
                let arguments = fields.map(|field| field.unsigned(record));
                let begun = Begun { time, call: *call, arguments };
                self.ended(time, thread, &begun, None, sink);
            }
            SyscallForm::Exit(call, result) => {
                let result = result.signed(record);
                if let Some(begun) = self.begun.remove(&thread)
                    && begun.call == *call
                {
                    self.ended(time, thread, &begun, Some(result), sink);
                }
            }
        }
    }

    /// A thread's process.
    fn leader(&mut self, thread: i32) -> i32 {
        *self.leaders.entry(thread).or_insert_with(|| {
            ProcessStatus::read(thread).and_then(|status| status.process()).unwrap_or(thread)
        })
    }

    /// A call is over, or its end is not recorded: then it has no result.
    fn ended(
        &mut self,
        time: u64,
        thread: i32,
        begun: &Begun,
        result: Option<i64>,
        sink: &mut dyn FnMut(SourceItem),
    ) {
        let pid = self.leader(thread);
        let Some((operation, key)) = self.found(pid, begun, result) else { return };
        let outcome = CallOutcome { result };
        let region = key.and_then(|key| self.changed(pid, key, &operation, outcome));
        if !self.processes.follows(pid, thread) {
            return;
        }
        sink(SourceItem::Event(Event {
            mono_ns: time,
            source: Source::Syscalls,
            process: self.processes.meet(pid, thread, None),
            operation,
            region,
            outcome,
            duration_ns: result.map(|_| time.saturating_sub(begun.time)),
        }));
    }

    /// What a call was, and of which region, if it concerns one.
    fn found(
        &mut self,
        pid: i32,
        begun: &Begun,
        result: Option<i64>,
    ) -> Option<(Operation, Option<u64>)> {
        let [a, b, c, d, e, f] = begun.arguments;
        let fails = result.is_some_and(|result| result < 0);
        let fd = result.unwrap_or(-1);
        let (operation, key) = match begun.call {
            TracedCall::DeviceOpen if fails => return Some((Operation::Open {}, None)),
            // What it asked for may be gone from its caller's memory: then it is not told.
            TracedCall::Open if fails => {
                let path = read_string(pid, b)?;
                return is_device(path.as_bytes()).then_some((Operation::Open {}, None));
            }
            TracedCall::Open | TracedCall::DeviceOpen => {
                (Operation::Open {}, self.opened(pid, fd)?)
            }
            TracedCall::MemfdCreate => self.created(pid, a, fd),
            TracedCall::Ftruncate => {
                (Operation::Ftruncate { bytes: b }, self.region(pid, a as i32)?)
            }
            // A private mapping of a descriptor not met before is a library, whose number may be a
            // memfd's by now.
            TracedCall::Mmap
                if d & libc::MAP_TYPE as u64 == libc::MAP_PRIVATE as u64
                    && !self.has(pid, e as i32) =>
            {
                return None;
            }
            TracedCall::Mmap => {
                let key = self.region(pid, e as i32)?;
                let len = b.next_multiple_of(rustix::param::page_size() as u64);
                let address = match result {
                    Some(address) if !fails => address as u64,
                    _ => a,
                };
                let shared = d & libc::MAP_TYPE as u64 != libc::MAP_PRIVATE as u64;
                (Operation::Mmap { address, len, prot: c as u32, shared, offset: f }, key)
            }
            TracedCall::Munmap => {
                (Operation::Munmap { address: a, len: b }, self.unmapped(pid, a)?)
            }
            TracedCall::Ioctl => {
                let key = self.region(pid, a as i32)?;
                (argued(pid, b as u32, c), key)
            }
            TracedCall::AddSeals => {
                (Operation::AddSeals { seals: b as u32 }, self.region(pid, a as i32)?)
            }
            TracedCall::Close => {
                let key = self.descriptors.get_mut(&pid)?.remove(&(a as i32))?;
                (Operation::Close { fd: a as i32 }, key)
            }
        };
        Some((operation, Some(key)))
    }

    /// Applies the effect of a call to its region and its owners.
    fn changed(
        &mut self,
        pid: i32,
        key: u64,
        operation: &Operation,
        outcome: CallOutcome,
    ) -> Option<EventRegion> {
        let known = self.regions.find(key)?;
        if outcome.result.is_some() && outcome.errno().is_none() {
            match operation {
                Operation::SetName { name: Some(given) } => {
                    known.region.name = name(given.as_bytes())
                }
                Operation::SetSize { bytes } | Operation::Ftruncate { bytes } => {
                    known.region.size = Some(*bytes)
                }
                Operation::Mmap { address, len, .. } => {
                    self.mappings.entry(pid).or_default().insert(*address, (*len, key));
                }
                _ => {}
            }
        }
        Some(known.region.clone())
    }

    /// Whether a descriptor was met before.
    fn has(&self, pid: i32, fd: i32) -> bool {
        self.descriptors.get(&pid).is_some_and(|fds| fds.contains_key(&fd))
    }

    /// The region that a descriptor is, if it is one.
    fn region(&mut self, pid: i32, fd: i32) -> Option<u64> {
        let known = self.descriptors.get(&pid).and_then(|fds| fds.get(&fd)).copied();
        if self.sees_close && known.is_some() {
            return known;
        }
        // Where closes are not recorded, a descriptor that cannot be looked at may be any file's by
        // now: nothing is told of it.
        let found = look(pid, fd)?;
        let key = found.inode?;
        // It was made too fast to be looked at, and is called as it was.
        if let Some(unseen) = known.filter(|known| known >> 63 != 0)
            && self.regions.find(unseen).is_some_and(|known| known.region.name == found.name)
        {
            return known;
        }
        self.make_room();
        self.regions.meet(key, || found);
        self.descriptors.entry(pid).or_default().insert(fd, key);
        Some(key)
    }

    /// The region of a new descriptor, if it is of the device.
    fn opened(&mut self, pid: i32, fd: i64) -> Option<u64> {
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        if !is_device(&process::descriptor_link(pid, fd)?) {
            return None;
        }
        let fresh = EventRegion { made_in_trace: Some(true), ..EventRegion::default() };
        Some(self.enter(pid, fd, None, fresh))
    }

    fn created(&mut self, pid: i32, at: u64, result: i64) -> (Operation, u64) {
        let found = i32::try_from(result).ok().filter(|fd| *fd >= 0).and_then(|fd| look(pid, fd));
        // The file knows its name; what the call pointed to may be something else by now.
        let given = match &found {
            Some(region) => Some(region.name.clone().unwrap_or_default()),
            None => read_string(pid, at),
        };
        let inode = found.and_then(|region| region.inode);
        let fresh = EventRegion {
            inode,
            name: given.as_ref().and_then(|given| name(given.as_bytes())),
            made_in_trace: Some(true),
            ..EventRegion::default()
        };
        let operation = Operation::MemfdCreate { name: given };
        (operation, self.enter(pid, result as i32, inode, fresh))
    }

    /// A new region, whatever was known by its number.
    fn enter(&mut self, pid: i32, fd: i32, inode: Option<u64>, fresh: EventRegion) -> u64 {
        let key = inode.unwrap_or_else(|| {
            self.unseen += 1;
            1 << 63 | self.unseen
        });
        self.make_room();
        self.regions.forget(key);
        self.regions.meet(key, || fresh);
        if fd >= 0 {
            self.descriptors.entry(pid).or_default().insert(fd, key);
        }
        key
    }

    /// Forgets all where there is too much.
    fn make_room(&mut self) {
        if self.regions.len() >= MOST_REGIONS {
            self.regions.forget_all();
            self.descriptors.clear();
            self.mappings.clear();
        }
    }

    /// The region whose mapping this address was in.
    fn unmapped(&mut self, pid: i32, address: u64) -> Option<u64> {
        let mappings = self.mappings.get_mut(&pid)?;
        let (start, (len, key)) =
            mappings.range(..=address).next_back().map(|(start, mapping)| (*start, *mapping))?;
        if address >= start + len {
            return None;
        }
        if address == start {
            mappings.remove(&start);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::os::fd::AsRawFd;

    use super::SyscallDecoder;
    use crate::event::EventRegion;
    use crate::regions::name;

    /// A process that is not there.
    const GONE: i32 = 1 << 29;

    #[test]
    fn without_closes_a_descriptor_is_not_what_it_was() {
        let mut decoder = SyscallDecoder::default();
        decoder.descriptors.insert(GONE, HashMap::from([(3, 7)]));
        assert_eq!(decoder.region(GONE, 3), None);
        decoder.sees_close = true;
        assert_eq!(decoder.region(GONE, 3), Some(7));
    }

    #[test]
    fn a_memfd_of_another_name_is_not_the_one_that_was_too_fast() {
        let memfd = rustix::fs::memfd_create("new", rustix::fs::MemfdFlags::CLOEXEC);
        let memfd = memfd.expect("a memfd");
        let (own, fd) = (std::process::id() as i32, memfd.as_raw_fd());
        let mut decoder = SyscallDecoder::default();
        let named = |text: &[u8]| EventRegion { name: name(text), ..EventRegion::default() };
        let old = decoder.enter(own, fd, None, named(b"old"));
        let key = decoder.region(own, fd).expect("it is a memfd");
        assert_ne!(key, old);
        assert_eq!(key >> 63, 0, "it is known by its inode");
        let same = decoder.enter(own, fd, None, named(b"new"));
        assert_eq!(decoder.region(own, fd), Some(same));
    }
}
