// SPDX-License-Identifier: MIT OR Apache-2.0
//! Events of the supervisor of `ashmem run`, or of those of `ashmem agent`, one for each container.
//!
//! A supervisor answers before the kernel acts: what the kernel made of a mapping it sees only of a
//! program that it may stop for that, and otherwise tells no result. A region has ended when no
//! descriptor and no mapping of it is left; descriptors that are closed before are not traced.

use std::collections::HashSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ashmem_trace_wire::attach::{AttachError, attach};
use ashmem_trace_wire::pipe::RecordReader;
use ashmem_trace_wire::record::{self, EventKind, Record};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::monotonic;
use crate::container::Container;
use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
use crate::json::Lost;
use crate::module::request;
use crate::operation::{Operation, PinRange};
use crate::processes::Followed;
use crate::regions::{Regions, name};
use crate::source::{EventSource, SourceItem};
use crate::text::Text;

/// How long nothing may arrive after the program's end, before the trace leaves a supervisor that
/// lives on for other processes.
const SILENCE: Duration = Duration::from_millis(500);

/// How often to look for an agent that is gone: its service starts another, which takes the
/// containers over.
const AGAIN: Duration = Duration::from_secs(1);
/// Reads at the end of a trace of containers, which may never be silent: more than the pipe holds.
const LAST_READS: usize = 64;

/// A supervisor's events.
pub struct AgentSource {
    reader: RecordReader,
    regions: Regions,
    /// Whether something was lost: a region's beginning, perhaps.
    has_lost: bool,
    has_ended: bool,
    /// The agent, if it serves containers.
    attached: Option<Attached>,
}

/// The connection to an agent that serves containers.
struct Attached {
    socket: PathBuf,
    followed: Followed,
    /// When the last attempt to reach it failed.
    missed: Option<Instant>,
}

impl AgentSource {
    /// Reads the records that a supervisor writes into the other end of a pipe.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(pipe: std::os::fd::OwnedFd) -> io::Result<Self> {
        Ok(Self {
            reader: RecordReader::new(pipe)?,
            regions: Regions::default(),
            has_lost: false,
            has_ended: false,
            attached: None,
        })
    }

    /// Traces the agent at this socket from now on: these processes and all their descendants, or
    /// all of its containers.
    ///
    /// # Errors
    /// See [`AttachError`].
    pub fn attached(socket: &Path, roots: Option<HashSet<i32>>) -> Result<Self, AttachError> {
        let mut agent = Self::new(attach(socket)?)?;
        let followed = Followed::of(roots);
        agent.attached = Some(Attached { socket: socket.to_owned(), followed, missed: None });
        Ok(agent)
    }

    /// Reconnects to an agent that is gone; what its containers did meanwhile is lost.
    fn look_again(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()> {
        let Some(attached) = &mut self.attached else { return Ok(()) };
        let missed = attached.missed.get_or_insert_with(Instant::now);
        if missed.elapsed() < AGAIN {
            return Ok(());
        }
        attached.missed = Some(Instant::now());
        if let Ok(pipe) = attach(&attached.socket) {
            (self.reader, self.has_ended, attached.missed) =
                (RecordReader::new(pipe)?, false, None);
            // Its numbers count from 0 again.
            self.regions.forget_all();
            self.has_lost = true;
            sink(SourceItem::Lost(Lost {
                mono_ns: monotonic(),
                source: Source::Agent,
                events: None,
            }));
        }
        Ok(())
    }

    fn wait_for(&self, other: Option<BorrowedFd<'_>>, time: Duration) -> io::Result<[bool; 2]> {
        let mut polled: Vec<PollFd<'_>> =
            other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).into_iter().collect();
        if !self.has_ended {
            polled.push(PollFd::from_borrowed_fd(self.reader.as_fd(), PollFlags::IN));
        }
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        poll(&mut polled, Some(&time))?;
        let is_ready =
            |polled: Option<&PollFd<'_>>| polled.is_some_and(|polled| !polled.revents().is_empty());
        let first = usize::from(other.is_some());
        Ok([other.is_some() && is_ready(polled.first()), is_ready(polled.get(first))])
    }

    fn tell(&mut self, record: Record, sink: &mut dyn FnMut(SourceItem)) {
        let Record { mono_ns, tenant, duration_ns, caller, kind, region, result, lost } = record;
        if lost != 0 {
            self.has_lost = true;
            sink(SourceItem::Lost(Lost { mono_ns, source: Source::Agent, events: Some(lost) }));
        }
        let is_followed = match (&mut self.attached, &caller) {
            (None, _) => true,
            (Some(attached), Some(caller)) => attached.followed.has(caller.pid),
            (Some(attached), None) => attached.followed.are_all(),
        };
        let (region, is_of_followed) = self.meet(tenant, region, is_followed, &kind);
        // An event without a caller concerns every process that has used the region.
        if !is_followed && (caller.is_some() || !is_of_followed) {
            return;
        }
        let operation = match kind {
            EventKind::Open => Operation::Open {},
            EventKind::Release => Operation::Release {},
            EventKind::Ioctl { command, argument, name, pin } => {
                let range =
                    pin.map_or(PinRange::UNKNOWN, |(offset, len)| PinRange::new(offset, len));
                match request(command, argument) {
                    Operation::SetName { .. } => Operation::SetName { name: name.map(Text::from) },
                    Operation::Pin(_) => Operation::Pin(range),
                    Operation::Unpin(_) => Operation::Unpin(range),
                    Operation::GetPinStatus(_) => Operation::GetPinStatus(range),
                    other => other,
                }
            }
            EventKind::Mmap { len, prot, flags, offset } => Operation::Mmap {
                address: result.map_or(0, |address| address.max(0) as u64),
                len: len.next_multiple_of(rustix::param::page_size() as u64),
                prot,
                shared: flags & libc::MAP_TYPE as u32 != libc::MAP_PRIVATE as u32,
                offset,
            },
            EventKind::Purge { offset, len } => Operation::Purge { offset, len },
            EventKind::Nothing => return,
        };
        let outcome = match (&operation, result) {
            (Operation::Purge { len, .. }, _) => CallOutcome::of_return(*len as i64),
            (_, Some(result)) => CallOutcome::of_return(result),
            (_, None) => CallOutcome::UNSEEN,
        };
        let process = caller.map_or_else(EventProcess::default, |caller| {
            let container_pid = (caller.inner_pid != caller.pid).then_some(caller.inner_pid);
            let container = Container::of_cgroups(&caller.groups)
                .or_else(|| container_pid.map(|_| Container::of_namespace(&caller.groups)));
            EventProcess {
                pid: caller.pid,
                tid: caller.tid,
                container_pid,
                container: container.map(|container| Text::from(container.to_string().as_bytes())),
                command: Text::from(caller.command),
            }
        });
        sink(SourceItem::Event(Event {
            mono_ns,
            source: Source::Agent,
            process,
            operation,
            region,
            outcome,
            duration_ns,
        }));
    }
}

impl AgentSource {
    /// The region of a record as events carry it, and whether a followed process has used it.
    fn meet(
        &mut self,
        tenant: u64,
        region: Option<record::RegionInfo>,
        is_followed: bool,
        kind: &EventKind,
    ) -> (Option<EventRegion>, bool) {
        let Some(region) = region else { return (None, false) };
        // Keys belong to their container, inodes to the host.
        let key = region.key.map_or(region.inode << 1 | 1, |key| (tenant << 40) ^ (key << 1));
        // Every open is told, also of processes that are not followed. Not of a memfd that a
        // program made itself, which has no key.
        let made_in_trace = match kind {
            EventKind::Open => Some(true),
            _ => (region.key.is_some() && !self.has_lost).then_some(false),
        };
        let met = || EventRegion { made_in_trace, ..EventRegion::default() };
        let known = self.regions.meet(key, met);
        known.region.inode = (region.inode != 0).then_some(region.inode);
        known.region.name = name(&region.name);
        known.region.size = Some(region.size);
        known.followed |= is_followed;
        let (found, is_of_followed) = (known.region.clone(), known.followed);
        if *kind == EventKind::Release {
            self.regions.forget(key);
        }
        (Some(found), is_of_followed)
    }
}

impl EventSource for AgentSource {
    fn source(&self) -> Source {
        Source::Agent
    }

    fn wait(&self, other: BorrowedFd<'_>, time: Duration) -> io::Result<bool> {
        self.wait_for(Some(other), time).map(|[other, _]| other)
    }

    fn poll_batch(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<bool> {
        if self.has_ended {
            self.look_again(sink)?;
            return Ok(false);
        }
        match self.reader.read()? {
            None => self.has_ended = true,
            Some(records) => {
                let more = !records.is_empty();
                records.into_iter().for_each(|record| self.tell(record, sink));
                return Ok(more);
            }
        }
        Ok(false)
    }

    fn finish(&mut self, sink: &mut dyn FnMut(SourceItem)) -> io::Result<()> {
        if self.attached.is_some() {
            for _ in 0..LAST_READS {
                if self.has_ended || !self.poll_batch(sink)? {
                    break;
                }
            }
            return Ok(());
        }
        while !self.has_ended {
            match self.wait_for(None, SILENCE) {
                Ok([_, true]) => drop(self.poll_batch(sink)?),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
