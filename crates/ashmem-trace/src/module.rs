// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module's own tracepoints, `ashmem:*`.
//!
//! Where processes are followed, the kernel records the calls of these alone; of all processes it
//! records beginnings, names and ends, and of all regions opens, purges and ends: others may bring
//! them about, and a region that a followed process got from another is new if its open was seen.
//! These are a second instance, whose buffers are read with the first one's.
//!
//! A request's own event comes first, with the arguments from the caller's memory; the `ioctl`
//! event at its end has the result and the duration. The trace makes one event of the two.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ashmem_core::abi::{Caller, Request};
use ashmem_proc::{fdinfo, process};

use crate::event::{CallOutcome, Event, EventRegion, Source};
use crate::json::Lost;
use crate::operation::{Operation, PinRange};
use crate::processes::Processes;
use crate::regions::{Regions, name};
use crate::source::{EventSource, SourceItem};
use crate::text::Text;
use crate::tracefs::format::{RecordField, RecordFormat};
use crate::tracefs::instance::Instance;
use crate::tracefs::reader::{Item, Reader};
use crate::tracefs::{Error, Tracefs};

/// The module's events, and births, names and ends of processes.
pub struct ModuleSource {
    reader: Reader,
    decoder: ModuleDecoder,
    // Dropped after the reader, whose files keep them from being removed.
    instances: Vec<Instance>,
}

impl ModuleSource {
    /// Whether this kernel has the module's events.
    pub fn is_here(tracefs: &Tracefs) -> bool {
        tracefs.has("ashmem")
    }

    /// Begins to record, with this many KiB of buffer for each processor: the calls of these
    /// threads and all they start, or of all.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(
        tracefs: &Tracefs,
        processes: Processes,
        threads: Option<&[i32]>,
        buffer_kib: usize,
    ) -> Result<Self, Error> {
        let mut instances = vec![Instance::new(tracefs, buffer_kib)?];
        if let Some(threads) = threads {
            instances.push(Instance::new(tracefs, buffer_kib)?);
            instances[1].follow(threads)?;
        }
        let mut forms = HashMap::new();
        let page = rustix::param::page_size() as u64;
        for (event, kind) in EVENTS {
            let place = if kind.is_of_followed() { instances.len() - 1 } else { 0 };
            let format = instances[place].enable(event, None)?;
            forms.insert(format.id(), ModuleForm::of(*kind, &format));
        }
        let reader = Reader::new(&instances)?;
        let decoder = ModuleDecoder {
            forms,
            processes,
            regions: Regions::default(),
            begun: HashMap::new(),
            strangers: HashSet::new(),
            has_lost: false,
            page,
        };
        Ok(Self { reader, decoder, instances })
    }
}

impl EventSource for ModuleSource {
    fn source(&self) -> Source {
        Source::Module
    }

    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
        self.reader.wait(other.as_fd(), time)
    }

    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool> {
        self.reader.poll_batch(|item| self.decoder.decode(item, sink))
    }

    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()> {
        self.instances.iter().for_each(Instance::stop);
        self.reader.finish(|item| self.decoder.decode(item, sink))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracepoint {
    Open,
    Release,
    Ioctl,
    SetName,
    SetSize,
    SetProtMask,
    Mmap,
    Pin,
    Unpin,
    Purge,
    Forked,
    Renamed,
    Ended,
}

impl Tracepoint {
    /// Whether it is recorded of followed processes alone, where some are followed.
    fn is_of_followed(self) -> bool {
        let of_all =
            [Self::Open, Self::Release, Self::Purge, Self::Forked, Self::Renamed, Self::Ended];
        !of_all.contains(&self)
    }
}

/// Process events first: they happen before the events that they lead to.
const EVENTS: &[(&str, Tracepoint)] = &[
    ("sched/sched_process_fork", Tracepoint::Forked),
    ("task/task_rename", Tracepoint::Renamed),
    ("sched/sched_process_exit", Tracepoint::Ended),
    ("ashmem/open", Tracepoint::Open),
    ("ashmem/release", Tracepoint::Release),
    ("ashmem/ioctl", Tracepoint::Ioctl),
    ("ashmem/set_name", Tracepoint::SetName),
    ("ashmem/set_size", Tracepoint::SetSize),
    ("ashmem/set_prot_mask", Tracepoint::SetProtMask),
    ("ashmem/mmap", Tracepoint::Mmap),
    ("ashmem/pin", Tracepoint::Pin),
    ("ashmem/unpin", Tracepoint::Unpin),
    ("ashmem/purge", Tracepoint::Purge),
];

/// Where an event's fields lie: what all have, then up to four of its own.
struct ModuleForm {
    kind: Tracepoint,
    thread: RecordField,
    region: RecordField,
    inode: RecordField,
    pid: RecordField,
    vpid: RecordField,
    ns: RecordField,
    result: RecordField,
    own: [RecordField; 5],
}

impl ModuleForm {
    fn of(kind: Tracepoint, format: &RecordFormat) -> Self {
        let own: &[&str] = match kind {
            Tracepoint::Ioctl => &["cmd", "arg"],
            Tracepoint::SetName => &["name"],
            Tracepoint::SetSize => &["size"],
            Tracepoint::SetProtMask => &["mask"],
            Tracepoint::Mmap => &["address", "len", "offset", "prot", "shared"],
            Tracepoint::Pin | Tracepoint::Unpin => &["offset", "len"],
            Tracepoint::Purge => &["first", "pages"],
            Tracepoint::Forked => &["child_pid", "child_comm"],
            Tracepoint::Renamed => &["newcomm"],
            Tracepoint::Open | Tracepoint::Release | Tracepoint::Ended => &[],
        };
        let field = |name: &str| format.field(name);
        let mut fields = [field(""); 5];
        fields.iter_mut().zip(own).for_each(|(place, name)| *place = field(name));
        Self {
            kind,
            thread: field("common_pid"),
            region: field("region"),
            inode: field("inode"),
            pid: field("pid"),
            vpid: field("vpid"),
            ns: field("ns"),
            result: field("result"),
            own: fields,
        }
    }
}

/// Turns records into events.
struct ModuleDecoder {
    forms: HashMap<u16, ModuleForm>,
    processes: Processes,
    regions: Regions,
    /// The arguments of a thread's current request.
    begun: HashMap<i32, Operation>,
    /// Regions that others made since the trace began, and that no followed process has used yet.
    strangers: HashSet<u64>,
    /// Whether something was lost: a region's open, perhaps.
    has_lost: bool,
    /// Bytes of a page.
    page: u64,
}

impl ModuleDecoder {
    fn decode(&mut self, item: Item<'_>, sink: &mut dyn FnMut(SourceItem)) {
        let (time, record) = match item {
            Item::Record(time, record) => (time, record),
            Item::Lost(mono_ns, events) => {
                // A request whose end is missing is not to be taken for the next one.
                self.begun.clear();
                // Nor a region whose end is missing for another one at its address.
                self.strangers.clear();
                self.has_lost = true;
                return sink(SourceItem::Lost(Lost { mono_ns, source: Source::Module, events }));
            }
        };
        let Some(id) = record.first_chunk().map(|id| u16::from_ne_bytes(*id)) else { return };
        let Some(form) = self.forms.get(&id) else { return };
        let thread = form.thread.signed(record) as i32;
        let own = |place: usize| form.own[place].unsigned(record);
        let bytes = |place: usize| form.own[place].string(record);
        let kind = form.kind;
        let operation = match kind {
            Tracepoint::Forked => return self.processes.forked(thread, own(0) as i32, bytes(1)),
            Tracepoint::Renamed => return self.processes.renamed(thread, bytes(0)),
            Tracepoint::Ended => return self.processes.ended(thread),
            Tracepoint::SetName => {
                return self
                    .begin(thread, Operation::SetName { name: Some(Text::from_record(bytes(0))) });
            }
            Tracepoint::SetSize => return self.begin(thread, Operation::SetSize { bytes: own(0) }),
            Tracepoint::SetProtMask => {
                return self.begin(thread, Operation::SetProtMask { mask: own(0) });
            }
            Tracepoint::Pin => {
                return self
                    .begin(thread, Operation::Pin(PinRange::new(own(0) as u32, own(1) as u32)));
            }
            Tracepoint::Unpin => {
                return self
                    .begin(thread, Operation::Unpin(PinRange::new(own(0) as u32, own(1) as u32)));
            }
            Tracepoint::Ioctl => {
                self.begun.remove(&thread).unwrap_or_else(|| request(own(0) as u32, own(1)))
            }
            Tracepoint::Open => Operation::Open {},
            Tracepoint::Release => Operation::Release {},
            Tracepoint::Mmap => Operation::Mmap {
                address: own(0),
                len: own(1),
                offset: own(2),
                prot: own(3) as u32,
                shared: own(4) != 0,
            },
            Tracepoint::Purge => {
                Operation::Purge { offset: own(0) * self.page, len: own(1) * self.page }
            }
        };
        let pid = form.pid.signed(record) as i32;
        let (region, inode) = (form.region.unsigned(record), form.inode.unsigned(record));
        let outcome = match (&operation, form.result.signed(record)) {
            (Operation::Release {}, _) => CallOutcome::UNSEEN,
            (Operation::Purge { len, .. }, _) => CallOutcome::of_return(*len as i64),
            (Operation::Mmap { address, .. }, 0) => CallOutcome::of_return(*address as i64),
            (_, result) => CallOutcome::of_return(result),
        };
        let duration_ns = match kind {
            Tracepoint::Release | Tracepoint::Purge => None,
            _ => Some(form.ns.unsigned(record)),
        };
        let vpid = form.vpid.signed(record) as i32;
        let follows = self.processes.follows(pid, thread);
        let region = self.region(region, inode, &operation, outcome, follows);
        if follows || region.as_ref().is_some_and(|(_, followed)| *followed) {
            sink(SourceItem::Event(Event {
                mono_ns: time,
                source: Source::Module,
                process: self.processes.meet(pid, thread, Some(vpid)),
                operation,
                region: region.map(|(region, _)| region),
                outcome,
                duration_ns,
            }));
        }
    }

    fn begin(&mut self, thread: i32, operation: Operation) {
        self.begun.insert(thread, operation);
    }

    /// The region as it is after this, and whether a process that is followed has used it.
    fn region(
        &mut self,
        key: u64,
        inode: u64,
        operation: &Operation,
        outcome: CallOutcome,
        follows: bool,
    ) -> Option<(EventRegion, bool)> {
        if key == 0 {
            return None;
        }
        let opens = matches!(operation, Operation::Open {});
        if !follows && self.regions.find(key).is_none() {
            // A stranger's, which no followed process has used: /proc is not searched for it.
            match operation {
                Operation::Open {} if outcome.errno().is_none() => self.strangers.insert(key),
                Operation::Release {} => self.strangers.remove(&key),
                _ => false,
            };
            return None;
        }
        if opens {
            // An address that was another region's, whose end was lost.
            self.regions.forget(key);
        }
        let is_new = self.strangers.remove(&key) || opens;
        let made_in_trace = if is_new { Some(true) } else { (!self.has_lost).then_some(false) };
        let known = self.regions.meet(key, || {
            let found = if inode == 0 { EventRegion::default() } else { look(inode) };
            EventRegion { made_in_trace, ..found }
        });
        known.followed |= follows;
        if inode != 0 {
            known.region.inode = Some(inode);
        }
        if outcome.result == Some(0) {
            match operation {
                Operation::SetName { name: Some(given) } => {
                    known.region.name = name(given.as_bytes())
                }
                Operation::SetSize { bytes } => known.region.size = Some(*bytes),
                _ => {}
            }
        }
        let found = (known.region.clone(), known.followed);
        if matches!(operation, Operation::Release {}) {
            self.regions.forget(key);
        }
        Some(found)
    }
}

/// A request of which nothing but its registers is known.
pub(crate) fn request(command: u32, argument: u64) -> Operation {
    // The 64-bit numbers first: a 32-bit caller may use both.
    let decoded = Request::decode(Caller::Bits64, command, argument)
        .or_else(|| Request::decode(Caller::Bits32, command, argument));
    match decoded {
        Some(Request::SetName(_)) => Operation::SetName { name: None },
        Some(Request::GetName(_)) => Operation::GetName {},
        Some(Request::SetSize(bytes)) => Operation::SetSize { bytes },
        Some(Request::GetSize) => Operation::GetSize {},
        Some(Request::SetProtMask(mask)) => Operation::SetProtMask { mask },
        Some(Request::GetProtMask) => Operation::GetProtMask {},
        Some(Request::Pin(_)) => Operation::Pin(PinRange::UNKNOWN),
        Some(Request::Unpin(_)) => Operation::Unpin(PinRange::UNKNOWN),
        Some(Request::GetPinStatus(_)) => Operation::GetPinStatus(PinRange::UNKNOWN),
        Some(Request::PurgeAllCaches) => Operation::PurgeAllCaches {},
        Some(Request::GetFileId { .. }) => Operation::GetFileId {},
        None => Operation::Ioctl { command },
    }
}

/// Reads fdinfo for a region that existed before the trace began.
fn look(inode: u64) -> EventRegion {
    let unknown = EventRegion { inode: Some(inode), ..EventRegion::default() };
    for pid in process::processes() {
        for number in process::descriptors(pid) {
            if !process::descriptor_link(pid, number)
                .is_some_and(|link| link.starts_with(b"/dev/ashmem"))
            {
                continue;
            }
            let Ok(text) = fs::read(format!("/proc/{pid}/fdinfo/{number}")) else { continue };
            let info = fdinfo::of_device(&text);
            if info.inode == Some(inode) {
                return EventRegion { name: name(&info.name), size: info.size, ..unknown };
            }
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::{ModuleDecoder, ModuleForm, Tracepoint};
    use crate::processes::Processes;
    use crate::regions::Regions;
    use crate::source::SourceItem;
    use crate::tracefs::format::RecordFormat;
    use crate::tracefs::reader::Item;

    /// The fields that every event here has: the numbers of tests, one after another.
    const FORM: &str = "name: any\nID: 1\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
        \tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\
        \tfield:const void * region;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:int pid;\toffset:16;\tsize:4;\tsigned:1;\n\n\
        print fmt: \"\"\n";
    const KINDS: [Tracepoint; 3] = [Tracepoint::Open, Tracepoint::Ioctl, Tracepoint::Release];
    const FOLLOWED: i32 = 1 << 29;
    const STRANGER: i32 = FOLLOWED + 1;

    fn decoder() -> ModuleDecoder {
        let format = RecordFormat::parse(FORM).expect("a form");
        let forms: HashMap<u16, ModuleForm> =
            (0..).zip(KINDS).map(|(id, kind)| (id, ModuleForm::of(kind, &format))).collect();
        ModuleDecoder {
            forms,
            processes: Processes::following([FOLLOWED]),
            regions: Regions::default(),
            begun: HashMap::new(),
            strangers: HashSet::new(),
            has_lost: false,
            page: 4096,
        }
    }

    /// What is told of these events, by kind, process and region: whether the region is new.
    fn told(decoder: &mut ModuleDecoder, events: &[(u16, i32, u64)]) -> Vec<Option<bool>> {
        let mut told = Vec::new();
        for (id, pid, region) in events {
            let mut record = [0; 24];
            record[..2].copy_from_slice(&id.to_ne_bytes());
            record[4..8].copy_from_slice(&pid.to_ne_bytes());
            record[8..16].copy_from_slice(&region.to_ne_bytes());
            record[16..20].copy_from_slice(&pid.to_ne_bytes());
            decoder.decode(Item::Record(0, &record), &mut |item| {
                if let SourceItem::Event(event) = item {
                    told.push(event.region.and_then(|region| region.made_in_trace));
                }
            });
        }
        told
    }

    #[test]
    fn a_region_that_a_stranger_made_meanwhile_is_new_to_whoever_gets_it() {
        let mut decoder = decoder();
        let new = told(&mut decoder, &[(0, STRANGER, 7), (1, FOLLOWED, 7), (2, STRANGER, 7)]);
        assert_eq!(new, [Some(true), Some(true)], "a use, and its end");
        assert_eq!(told(&mut decoder, &[(0, FOLLOWED, 8)]), [Some(true)]);
        assert_eq!(told(&mut decoder, &[(1, FOLLOWED, 9)]), [Some(false)], "it was there before");
        // What ended unused is not taken for what comes later at its address.
        told(&mut decoder, &[(0, STRANGER, 10), (2, STRANGER, 10)]);
        assert!(decoder.strangers.is_empty(), "what ended needs no memory");
    }

    #[test]
    fn after_a_loss_nobody_knows_what_was_there_before() {
        let mut decoder = decoder();
        told(&mut decoder, &[(0, STRANGER, 7)]);
        decoder.decode(Item::Lost(0, Some(1)), &mut |_| {});
        assert_eq!(told(&mut decoder, &[(1, FOLLOWED, 7), (0, FOLLOWED, 8)]), [None, Some(true)]);
    }

    #[test]
    fn of_strangers_too_are_recorded_what_makes_and_ends_regions() {
        let of_all = [Tracepoint::Open, Tracepoint::Release, Tracepoint::Purge];
        assert!(!of_all.iter().any(|kind| kind.is_of_followed()));
        assert!(Tracepoint::Ioctl.is_of_followed() && Tracepoint::Mmap.is_of_followed());
    }
}
