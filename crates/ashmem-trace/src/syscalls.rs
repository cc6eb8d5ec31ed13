// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's system call tracepoints, for hosts with neither the module nor an agent: ashmem
//! ioctls and memfd.
//!
//! They contain registers only. What a call points to in its caller's memory, and which file a
//! descriptor is, is read a moment later: if the process has continued, or has ended, the trace
//! says that it does not know. Calls of 32-bit programs on a 64-bit kernel are not traced.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ashmem_core::abi;
use ashmem_proc::process;
use ashmem_proc::status::ProcessStatus;

use crate::event::{CallOutcome, Event, EventRegion, Source};
use crate::json::Lost;
use crate::module::request;
use crate::operation::{Operation, PinRange};
use crate::processes::Processes;
use crate::regions::{Regions, name};
use crate::source::{EventSource, SourceItem};
use crate::text::Text;
use crate::tracefs::format::RecordField;
use crate::tracefs::instance::Instance;
use crate::tracefs::reader::{Item, Reader};
use crate::tracefs::{Error, Tracefs};

/// The calls that concern regions, with the kernel's filters for them.
const CALLS: &[(&str, TracedCall, &[&str], Option<&str>)] = &[
    ("openat", TracedCall::Open, &["flags"], Some("flags & 2")),
    ("memfd_create", TracedCall::MemfdCreate, &["uname"], None),
    ("ftruncate", TracedCall::Ftruncate, &["fd", "length"], None),
    (
        "mmap",
        TracedCall::Mmap,
        &["addr", "len", "prot", "flags", "fd", "off"],
        Some("fd < 2147483648"),
    ),
    ("munmap", TracedCall::Munmap, &["addr", "len"], None),
    ("ioctl", TracedCall::Ioctl, &["fd", "cmd", "arg"], None),
    ("fcntl", TracedCall::AddSeals, &["fd", "arg"], Some("cmd == 1033")),
    ("close", TracedCall::Close, &["fd"], None),
];

/// CLONE_FILES and CLONE_THREAD.
const SHARES_FILES: u64 = 0x400;
const IS_THREAD: u64 = 0x1_0000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TracedCall {
    Open,
    MemfdCreate,
    Ftruncate,
    Mmap,
    Munmap,
    Ioctl,
    AddSeals,
    Close,
}

/// What a record is.
enum SyscallForm {
    Enter(TracedCall, [RecordField; 6]),
    Exit(TracedCall, RecordField),
    Forked { child: RecordField, command: RecordField, flags: RecordField },
    Renamed { command: RecordField },
    Ended,
}

/// The kernel's system calls.
pub struct SyscallSource {
    reader: Reader,
    decoder: SyscallDecoder,
    // Dropped after the reader, whose files keep it from being removed.
    instance: Instance,
}

impl SyscallSource {
    /// Begins to record, with this many KiB of buffer for each processor: of these threads and all
    /// they start, or of all.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(
        tracefs: &Tracefs,
        processes: Processes,
        threads: Option<Vec<i32>>,
        buffer_kib: usize,
    ) -> Result<Self, Error> {
        let instance = Instance::new(tracefs, buffer_kib)?;
        // At once: what a call points to changes soon.
        instance.set("buffer_percent", "0")?;
        if let Some(threads) = &threads {
            // The kernel follows what they start.
            instance.set("options/event-fork", "1")?;
            let numbers: Vec<String> = threads.iter().map(ToString::to_string).collect();
            instance.set("set_event_pid", &numbers.join(" "))?;
        }
        let mut forms = HashMap::new();
        let forked = instance.enable("task/task_newtask", None)?;
        let (child, command, flags) =
            (forked.field("pid"), forked.field("comm"), forked.field("clone_flags"));
        forms.insert(forked.id(), SyscallForm::Forked { child, command, flags });
        let renamed = instance.enable("task/task_rename", None)?;
        forms.insert(renamed.id(), SyscallForm::Renamed { command: renamed.field("newcomm") });
        forms.insert(instance.enable("sched/sched_process_exit", None)?.id(), SyscallForm::Ended);
        for (call, kind, fields, filter) in CALLS {
            // Of the whole machine's ioctls the kernel itself sorts out those that are not the
            // device's.
            let of_device = ioctls();
            let filter =
                if *kind == TracedCall::Ioctl { Some(of_device.as_str()) } else { *filter };
            let exit = instance.enable(&format!("syscalls/sys_exit_{call}"), None)?;
            let enter = instance.enable(&format!("syscalls/sys_enter_{call}"), filter)?;
            let mut places = [enter.field(""); 6];
            places.iter_mut().zip(*fields).for_each(|(place, name)| *place = enter.field(name));
            forms.insert(enter.id(), SyscallForm::Enter(*kind, places));
            forms.insert(exit.id(), SyscallForm::Exit(*kind, exit.field("ret")));
        }
        let thread = renamed.field("common_pid");
        let reader = Reader::new(&instance)?;
        let decoder = SyscallDecoder { forms, thread, processes, ..SyscallDecoder::default() };
        Ok(Self { reader, decoder, instance })
    }
}

/// A filter for the device's own numbers.
fn ioctls() -> String {
    let numbers = [
        abi::SET_NAME,
        abi::GET_NAME,
        abi::SET_SIZE,
        abi::GET_SIZE,
        abi::SET_PROT_MASK,
        abi::GET_PROT_MASK,
        abi::PIN,
        abi::UNPIN,
        abi::GET_PIN_STATUS,
        abi::PURGE_ALL_CACHES,
        abi::GET_FILE_ID,
    ];
    numbers.map(|number| format!("cmd == {number}")).join(" || ")
}

impl EventSource for SyscallSource {
    fn source(&self) -> Source {
        Source::Syscalls
    }

    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
        self.reader.wait(other, time)
    }

    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool> {
        self.reader.poll_batch(|item| self.decoder.decode(item, sink))
    }

    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()> {
        self.instance.stop();
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
            SyscallForm::Exit(call, result) => {
                let result = result.signed(record);
                if let Some(begun) = self.begun.remove(&thread)
                    && begun.call == *call
                {
                    self.ended(time, thread, &begun, result, sink);
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

    fn ended(
        &mut self,
        time: u64,
        thread: i32,
        begun: &Begun,
        result: i64,
        sink: &mut dyn FnMut(SourceItem),
    ) {
        let pid = self.leader(thread);
        let [a, b, c, d, e, f] = begun.arguments;
        let found = match begun.call {
            TracedCall::Open => self.opened(pid, result).map(|key| (Operation::Open {}, key)),
            TracedCall::MemfdCreate => Some(self.created(pid, a, result)),
            TracedCall::Ftruncate => {
                self.region(pid, a as i32).map(|key| (Operation::Ftruncate { bytes: b }, key))
            }
            // A private mapping of a descriptor not met before is a library, whose number may be a
            // memfd's by now.
            TracedCall::Mmap
                if d & libc::MAP_TYPE as u64 == libc::MAP_PRIVATE as u64
                    && !self.has(pid, e as i32) =>
            {
                None
            }
            TracedCall::Mmap => self.region(pid, e as i32).map(|key| {
                let len = b.next_multiple_of(rustix::param::page_size() as u64);
                let address = if CallOutcome::of_return(result).errno().is_none() {
                    result as u64
                } else {
                    a
                };
                let shared = d & libc::MAP_TYPE as u64 != libc::MAP_PRIVATE as u64;
                (Operation::Mmap { address, len, prot: c as u32, shared, offset: f }, key)
            }),
            TracedCall::Munmap => {
                self.unmapped(pid, a).map(|key| (Operation::Munmap { address: a, len: b }, key))
            }
            TracedCall::Ioctl => {
                self.region(pid, a as i32).map(|key| (argued(pid, b as u32, c), key))
            }
            TracedCall::AddSeals => {
                self.region(pid, a as i32).map(|key| (Operation::AddSeals { seals: b as u32 }, key))
            }
            TracedCall::Close => {
                let key = self.descriptors.get_mut(&pid).and_then(|fds| fds.remove(&(a as i32)));
                key.map(|key| (Operation::Close { fd: a as i32 }, key))
            }
        };
        let Some((operation, key)) = found else { return };
        let outcome = CallOutcome::of_return(result);
        let region = self.changed(pid, key, &operation, outcome);
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
            duration_ns: Some(time.saturating_sub(begun.time)),
        }));
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
        if outcome.errno().is_none() {
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
        if let Some(key) = self.descriptors.get(&pid).and_then(|fds| fds.get(&fd)) {
            return Some(*key);
        }
        let found = look(pid, fd)?;
        let key = found.inode?;
        self.regions.meet(key, || found);
        self.descriptors.entry(pid).or_default().insert(fd, key);
        Some(key)
    }

    /// The region of a new descriptor, if it is of the device.
    fn opened(&mut self, pid: i32, fd: i64) -> Option<u64> {
        let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        if !process::descriptor_link(pid, fd)?.starts_with(b"/dev/ashmem") {
            return None;
        }
        Some(self.enter(pid, fd, None, EventRegion::default()))
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
        self.regions.forget(key);
        self.regions.meet(key, || fresh);
        if fd >= 0 {
            self.descriptors.entry(pid).or_default().insert(fd, key);
        }
        key
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

/// What a descriptor is by /proc: a memfd, or a device of the old kind.
fn look(pid: i32, fd: i32) -> Option<EventRegion> {
    let link = process::descriptor_link(pid, fd)?;
    let given = link
        .strip_prefix(b"/memfd:".as_slice())
        .map(|rest| rest.strip_suffix(b" (deleted)").unwrap_or(rest));
    if given.is_none() && !link.starts_with(b"/dev/ashmem") {
        return None;
    }
    let inode = process::descriptor_stat(pid, fd)?.st_ino;
    Some(EventRegion { inode: Some(inode), name: given.and_then(name), ..EventRegion::default() })
}

/// An ioctl with what it points to.
fn argued(pid: i32, command: u32, argument: u64) -> Operation {
    let range = || {
        let mut bytes = [0; abi::PIN_BYTES];
        if read(pid, argument, &mut bytes) == bytes.len() {
            let pin = abi::Pin::from_bytes(bytes);
            PinRange::new(pin.offset, pin.len)
        } else {
            PinRange::UNKNOWN
        }
    };
    match request(command, argument) {
        Operation::SetName { .. } => Operation::SetName { name: read_string(pid, argument) },
        Operation::Pin(_) => Operation::Pin(range()),
        Operation::Unpin(_) => Operation::Unpin(range()),
        Operation::GetPinStatus(_) => Operation::GetPinStatus(range()),
        other => other,
    }
}

/// A string in a process's memory, to its NUL.
fn read_string(pid: i32, at: u64) -> Option<Text> {
    const PAGE: u64 = 4096;
    let mut bytes = [0; abi::NAME_LEN];
    // The rest may lie in a page that is not there.
    let first = usize::try_from(PAGE - at % PAGE).ok()?.min(bytes.len());
    let mut len = read(pid, at, &mut bytes[..first]);
    if len == first && first < bytes.len() && !bytes[..first].contains(&0) {
        len += read(pid, at + first as u64, &mut bytes[first..]);
    }
    let end = bytes[..len].iter().position(|byte| *byte == 0)?;
    Some(Text::from(&bytes[..end]))
}

/// Reads a process's memory; answers how much of it could be read.
fn read(pid: i32, at: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = libc::iovec { iov_base: at as usize as *mut libc::c_void, iov_len: into.len() };
    // SAFETY: the local vector is `into`; the remote address is looked at in the other process
    // alone.
    let len = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(len).unwrap_or(0)
}
