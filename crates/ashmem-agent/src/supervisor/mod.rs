// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request loop: takes requests from a tenant's channels, has them decided, and answers them.
//!
//! A request takes four steps: what it points to in the caller's memory is read, once; the tenant
//! decides (`Decision`); the result is written into the caller's memory and the answer sent; the
//! copied descriptor is closed. The tenant's lock is held within the second step only, and never
//! while something is done that a caller can make wait ([`crate::emulation`] says what that is).
//! The other locks here are held to copy, add or remove an entry of a list: of channels, of
//! tracers, of cached handles. Traced or not is no difference.

mod apart;
mod housekeeping;
mod observe;
mod pressure;
mod purges;
mod takeover;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, Result};

use ashmem_core::abi::{self, Caller};

use self::apart::Apart;
use self::purges::Purges;
use self::takeover::Takeover;
use crate::emulation::Tenant;
use crate::emulation::argument::Argument;
use crate::emulation::decision::Decision;
use crate::emulation::outcome::Outcome;
use crate::inside::{Due, Inside};
use crate::notification::{Answer, Channel, Notification, ReceiveError};
use crate::regions::memfd_pool::MemfdPool;
use crate::seccomp::listener::filters_wait_killable;
use crate::seccomp::syscalls::{Call, Mmap};
use crate::sys::lock;
use crate::target_thread::Target;
use crate::target_thread::inject_mmap;
use ashmem_trace_wire::pipe::RecordWriter;
use ashmem_trace_wire::record::Record;

use crate::trace::{self, TraceSink};

/// Longest path that is read. The device's own is less than a quarter of it.
const PATH_LIMIT: usize = 256;
const F_ADD_SEALS: u32 = libc::F_ADD_SEALS as u32;
const F_GET_SEALS: u32 = libc::F_GET_SEALS as u32;

/// One tenant's supervisor.
pub struct Supervisor {
    tenant: Tenant,
    channels: Mutex<Vec<Arc<dyn Channel>>>,
    /// No channel is added after the present ones.
    complete: AtomicBool,
    inode_events: OwnedFd,
    wake: OwnedFd,
    takeover: Takeover,
    /// Signalled when a request arrives while housekeeping sleeps, and when the loop ends.
    activity: OwnedFd,
    resting: AtomicBool,
    ended: Mutex<Option<Result<()>>>,
    /// Where answers are traced.
    trace_sink: Arc<TraceSink>,
    /// Memfds for future opens; housekeeping fills it.
    pool: Option<Arc<MemfdPool>>,
    purges: Purges,
    /// Whether a caller may be stopped as it leaves a call, so that a tracer is told what came of
    /// it: where that does not take the caller out of its wait for the answer.
    shows_results: bool,
    /// Puts answers into the programs themselves.
    inside: Option<Inside>,
    /// The threads that do what a caller can hold up for long.
    apart: Apart,
}

/// A request that is decided and not answered yet.
struct Decided {
    decision: Decision,
    record: Option<Record>,
    /// Its call site is patched at its end.
    due: Option<Due>,
}

impl Supervisor {
    /// A supervisor without channels.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub fn new(tenant: Tenant) -> Result<Self> {
        let trace_sink = Arc::clone(tenant.table().trace_sink());
        let inode_events = tenant.table().as_fd().try_clone_to_owned().map_err(|_| Errno::MFILE)?;
        Ok(Self {
            tenant,
            channels: Mutex::default(),
            complete: AtomicBool::new(false),
            inode_events,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            takeover: Takeover::default(),
            activity: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            resting: AtomicBool::new(false),
            ended: Mutex::new(None),
            trace_sink,
            pool: None,
            purges: Purges::default(),
            shows_results: false,
            inside: None,
            apart: Apart::default(),
        })
    }

    /// The supervisor of a program whose filter we made, with a pool of memfds: under many opens it
    /// holds some descriptors more.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub(crate) fn with_pool(tenant: Tenant) -> Result<Self> {
        let pool = tenant.table().enable_pool()?;
        let shows_results = filters_wait_killable();
        Ok(Self { pool: Some(pool), shows_results, ..Self::new(tenant)? })
    }

    /// Has calls answered in the programs themselves where that is possible.
    pub(crate) fn with_inside(self, inside: Inside) -> Self {
        Self { inside: Some(inside), ..self }
    }

    /// Adds a channel of the same tenant; [`Supervisor::run`] serves it at once.
    pub fn add(&self, channel: Arc<dyn Channel>) {
        lock(&self.channels).push(channel);
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Adds the last channel: none is added after it.
    pub fn add_last(&self, channel: Arc<dyn Channel>) {
        self.complete.store(true, Ordering::Relaxed);
        self.add(channel);
    }

    /// Traces each answer about a region into this pipe from now on.
    pub fn trace(&self, pipe: RecordWriter) {
        self.trace_sink.attach(pipe);
    }

    /// How many channels are left.
    pub(crate) fn channel_count(&self) -> usize {
        lock(&self.channels).len()
    }

    /// Whether no channel is left.
    pub fn is_idle(&self) -> bool {
        lock(&self.channels).is_empty()
    }

    /// The tenant.
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Serves until the last channel has hung up.
    ///
    /// # Errors
    /// Those of poll(2).
    pub fn run(&self) -> Result<()> {
        *lock(&self.ended) = None;
        std::thread::scope(|scope| {
            let housekeeping = || self.housekeep(scope);
            let thread = Builder::new().name("housekeeping".into());
            if let Err(error) = thread.spawn_scoped(scope, housekeeping) {
                tracing::warn!(%error, "no housekeeping: no thread can be started");
            }
            self.serve_turn(scope);
        });
        lock(&self.ended).take().unwrap_or(Ok(()))
    }

    pub(crate) fn takeover(&self) -> &Takeover {
        &self.takeover
    }

    pub(crate) fn activity(&self) -> BorrowedFd<'_> {
        self.activity.as_fd()
    }

    pub(crate) fn inode_events(&self) -> BorrowedFd<'_> {
        self.inode_events.as_fd()
    }

    pub(crate) fn pool(&self) -> Option<&MemfdPool> {
        self.pool.as_deref()
    }

    pub(crate) fn purges(&self) -> &Purges {
        &self.purges
    }

    pub(crate) fn has_ended(&self) -> bool {
        lock(&self.ended).is_some()
    }

    fn wake_housekeeping(&self) {
        let _ = rustix::io::write(&self.activity, &1_u64.to_ne_bytes());
    }

    /// Drops caches. Returns whether housekeeping may sleep until something happens: while pages
    /// can be purged it continues to watch memory. `epoch` is the last one that it saw.
    pub(crate) fn rest(&self, epoch: u64) -> bool {
        if let Some(pool) = &self.pool {
            pool.clear();
        }
        self.tenant.threads().clear();
        if let Some(inside) = &self.inside {
            inside.forget_ended();
        }
        let purgeable = self.tenant.purgeable();
        self.resting.store(purgeable == 0, Ordering::SeqCst);
        // A request that arrived meanwhile may not have seen it.
        purgeable == 0 && self.takeover.epoch() == epoch
    }

    /// Where answers are traced.
    pub(crate) fn trace_sink(&self) -> &TraceSink {
        &self.trace_sink
    }

    pub(crate) fn wake_up(&self) {
        let _ = rustix::io::read(&self.activity, &mut [0; 8]);
        self.resting.store(false, Ordering::SeqCst);
    }

    /// Serves until another loop takes over or no channel is left.
    pub(crate) fn serve_turn<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        loop {
            let channels = lock(&self.channels).clone();
            let served = match channels.as_slice() {
                [] => Err(None),
                [channel] if self.complete.load(Ordering::Relaxed) && channel.waits() => {
                    Ok(self.serve_only(scope, channel))
                }
                channels => self.serve(scope, channels).map_err(Some),
            };
            match served {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    *lock(&self.ended) = Some(error.map_or(Ok(()), Err));
                    return self.wake_housekeeping();
                }
            }
        }
    }

    /// Serves these channels until one hangs up or another is added. Returns whether this loop
    /// continues to serve.
    fn serve<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channels: &[Arc<dyn Channel>],
    ) -> Result<bool> {
        let mut polled = vec![PollFd::new(&self.wake, PollFlags::IN)];
        polled.extend(
            channels.iter().map(|channel| PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN)),
        );
        loop {
            match poll(&mut polled, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            if !polled[0].revents().is_empty() {
                let _ = rustix::io::read(&self.wake, &mut [0; 8]);
                return Ok(true);
            }
            for (channel, polled) in channels.iter().zip(&polled[1..]) {
                let events = polled.revents();
                if events.contains(PollFlags::IN) {
                    match channel.receive() {
                        Ok(Some(notification)) => {
                            if !self.take(scope, channel, notification) {
                                return Ok(false);
                            }
                        }
                        Ok(None) => {}
                        Err(error) => return Ok(self.drop_channel(channel, &error)),
                    }
                } else if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
                    return Ok(self.drop_channel(channel, &ReceiveError::HungUp));
                }
            }
        }
    }

    /// Serves the only channel there will be, which waits for its requests itself, until it hangs
    /// up. Returns whether this loop continues to serve.
    fn serve_only<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channel: &Arc<dyn Channel>,
    ) -> bool {
        loop {
            match channel.receive() {
                Ok(Some(notification)) => {
                    if !self.take(scope, channel, notification) {
                        return false;
                    }
                }
                Ok(None) if has_hung_up(channel.as_fd()) => {
                    return self.drop_channel(channel, &ReceiveError::HungUp);
                }
                Ok(None) => {}
                Err(error) => return self.drop_channel(channel, &error),
            }
        }
    }

    /// Answers a notification. Returns whether this loop continues to serve.
    fn take<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channel: &Arc<dyn Channel>,
        notification: Notification,
    ) -> bool {
        self.takeover.run(|| {
            if self.resting.load(Ordering::SeqCst) && self.resting.swap(false, Ordering::SeqCst) {
                self.wake_housekeeping();
            }
            self.handle_in(scope, channel, notification);
            if self.pool.as_ref().is_some_and(|pool| pool.refill_wanted()) {
                self.wake_housekeeping();
            }
        })
    }

    fn drop_channel(&self, gone: &Arc<dyn Channel>, why: &ReceiveError) -> bool {
        tracing::debug!(%why, "a channel is closed");
        lock(&self.channels).retain(|channel| !Arc::ptr_eq(channel, gone));
        true
    }

    /// Answers one notification, in a thread of its own if the caller can hold that up by more than
    /// its memory.
    fn handle_in<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channel: &Arc<dyn Channel>,
        notification: Notification,
    ) {
        if self.inside.as_ref().is_some_and(|inside| inside.may_end_with(&notification)) {
            let channel = Arc::clone(channel);
            return self.apart.run(scope, move |_| self.handle(channel.as_ref(), notification));
        }
        let Some(decided) = self.decided(channel.as_ref(), &notification) else { return };
        if decided.due.is_some() || self.stops_caller(&decided) {
            let channel = Arc::clone(channel);
            return self.apart.run(scope, move |is_apart| {
                self.finish(channel.as_ref(), notification, decided, is_apart);
            });
        }
        self.finish(channel.as_ref(), notification, decided, false);
    }

    /// Answers one notification.
    pub fn handle(&self, channel: &dyn Channel, notification: Notification) {
        if let Some(inside) = &self.inside
            && inside.may_end_with(&notification)
        {
            let target = Target::new(channel, notification.id, notification.tid);
            if let Err(error) = inside.withdraw_for(&notification, &target) {
                let sent = channel.answer(notification.id, Answer::Errno(error));
                return self.report(&notification, sent);
            }
        }
        if let Some(decided) = self.decided(channel, &notification) {
            self.finish(channel, notification, decided, false);
        }
    }

    /// Decides a request; `None`: it is answered already.
    fn decided(&self, channel: &dyn Channel, notification: &Notification) -> Option<Decided> {
        let target = Target::new(channel, notification.id, notification.tid);
        let began = self.trace_sink.is_on().then(trace::now);
        let Some((call, caller)) =
            Call::decode(notification.arch, notification.nr, &notification.args)
        else {
            self.report(notification, channel.answer(notification.id, Answer::Continue));
            return None;
        };
        let decision = self.decide(&target, call, caller);
        // The caller still waits, so it can be looked at.
        let record = began.and_then(|began| self.record(notification, &decision, began));
        tracing::trace!(request = ?notification, outcome = ?decision.outcome);
        let is_of_device = !matches!(decision.outcome, Outcome::Answer(Answer::Continue));
        // A private mapping has a stop of its own.
        let due = (self.inside.as_ref())
            .filter(|_| !matches!(decision.outcome, Outcome::MapAnonymous(_)))
            .and_then(|inside| inside.due(notification, &target, is_of_device));
        Some(Decided { decision, record, due })
    }

    /// Whether the caller is stopped as it leaves its call: that waits for all that can hold up a
    /// stop, such as an execve of another of its threads.
    fn stops_caller(&self, decided: &Decided) -> bool {
        match decided.decision.outcome {
            Outcome::MapAnonymous(_) => true,
            Outcome::Answer(Answer::Continue) => self.shows_result_of(decided),
            _ => false,
        }
    }

    /// Whether a tracer is told what the kernel made of this mapping, not what was meant.
    fn shows_result_of(&self, decided: &Decided) -> bool {
        let is_mapping = matches!(decided.decision.call, Call::Mmap(_));
        decided.record.is_some() && is_mapping && self.shows_results
    }

    /// Sends what was decided. In a thread that ends with this, patches the call's site where that
    /// is due.
    fn finish(
        &self,
        channel: &dyn Channel,
        notification: Notification,
        mut decided: Decided,
        is_apart: bool,
    ) {
        match (&self.inside, decided.due.take()) {
            (Some(inside), Some(due)) if is_apart => {
                let target = Target::new(channel, notification.id, notification.tid);
                inside.patch(&due, &target, || self.send(channel, &notification, decided));
            }
            _ => _ = self.send(channel, &notification, decided),
        }
    }

    /// Sends what was decided, and tells tracers. Returns whether the caller got it.
    fn send(&self, channel: &dyn Channel, notification: &Notification, decided: Decided) -> bool {
        let target = Target::new(channel, notification.id, notification.tid);
        let shows_result = self.shows_result_of(&decided);
        let Decided { mut decision, record, .. } = decided;
        let outcome = std::mem::replace(&mut decision.outcome, Outcome::CONTINUE);
        let (mut faulted, mut seen) = (false, None);
        let sent = match outcome {
            Outcome::Answer(Answer::Continue) if shows_result => {
                inject_mmap::let_run(channel, notification).map(|result| seen = result)
            }
            Outcome::Answer(answer) => channel.answer(notification.id, answer),
            Outcome::Write { address, bytes } => {
                let answer = match target.write(address, &bytes) {
                    Ok(()) => Answer::Value(0),
                    Err(_) => Answer::Errno(Errno::FAULT),
                };
                faulted = answer != Answer::Value(0);
                channel.answer(notification.id, answer)
            }
            Outcome::MapAnonymous(call) => {
                inject_mmap::map_anonymous(channel, notification, call).map(|result| seen = result)
            }
            Outcome::Open { fd, close_on_exec, key } => {
                channel.answer_with(notification.id, fd, close_on_exec).or_else(|error| match error
                {
                    Errno::NOENT => {
                        self.tenant.table().pending_opens.leave(notification.tid, key);
                        Err(error)
                    }
                    // The caller's table is full, or its limit reached.
                    error => channel.answer(notification.id, Answer::Errno(error)),
                })
            }
        };
        if let Some(mut record) = record {
            record.result = record.result.or(seen);
            self.trace_sink.answered(record, faulted);
        }
        self.report(notification, sent);
        // The copied descriptor is closed here, where nobody waits for that.
        drop(decision);
        sent.is_ok()
    }

    /// ENOENT: the caller was killed, or a signal interrupted the call, which it makes again.
    fn report(&self, notification: &Notification, sent: Result<()>) {
        if let Err(error) = sent
            && error != Errno::NOENT
        {
            tracing::warn!(%error, request = ?notification, "the kernel refused an answer");
        }
    }

    fn decide(&self, target: &Target<'_>, call: Call, caller: Caller) -> Decision {
        let tenant = &self.tenant;
        let outcome = match call {
            Call::Open { dir, path, flags } => {
                self.open(target, dir, path, OFlags::from_bits_retain(flags))
            }
            Call::OpenAt2 { dir, path, how, size } => {
                self.open_by_structure(target, dir, path, how, size)
            }
            Call::Ioctl { fd, cmd, arg } => {
                let request = abi::Request::decode(caller, cmd, arg);
                let argument = Argument::of(request, target);
                return tenant.ioctl(target, call, fd, request, argument);
            }
            Call::Mmap(call) => return tenant.mmap(target, call),
            Call::OldMmap(address) => {
                let mut bytes = [0; 24];
                if target.read(address, &mut bytes).is_err() {
                    return Decision::of(call, Outcome::CONTINUE);
                }
                let mut words = [0; 6];
                for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
                    *word = u32::from_ne_bytes(*bytes);
                }
                return tenant.mmap(target, Mmap::from_words(words));
            }
            Call::Fstat { fd, buffer, layout } => match tenant.is_region(target, fd) {
                true => tenant.stat(buffer, layout),
                false => Outcome::CONTINUE,
            },
            Call::Stat { dir, path, buffer, flags, layout } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.stat(buffer, layout),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Statx { dir, path, buffer, flags } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.statx(buffer),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Access { dir, path, mode, flags } => {
                match self.names_device(target, dir, path, flags) {
                    true => tenant.access(mode),
                    false => Outcome::CONTINUE,
                }
            }
            Call::Truncate(fd) | Call::Sync(fd) => tenant.refuse(target, &[fd], Errno::INVAL),
            Call::Allocate(fd) => tenant.refuse(target, &[fd], Errno::NODEV),
            Call::Fcntl { fd, cmd: F_ADD_SEALS | F_GET_SEALS } => {
                tenant.refuse(target, &[fd], Errno::INVAL)
            }
            Call::Fcntl { .. } => Outcome::CONTINUE,
            Call::Transfer { from, to } => tenant.refuse(target, &[from, to], Errno::INVAL),
            Call::Remap { address, len } => tenant.remap(target, address, len),
            Call::Protect { address, len, .. } => tenant.protect(target, address, len),
        };
        Decision::of(call, outcome)
    }

    /// Whether a call with a path means the device: by the path where no node lies there, or by the
    /// descriptor where the path is empty.
    fn names_device(&self, target: &Target<'_>, dir: i32, path: u64, flags: u32) -> bool {
        let by_descriptor =
            flags & libc::AT_EMPTY_PATH as u32 != 0 && self.tenant.is_region(target, dir);
        let device = self.tenant.device();
        let by_path = !device.has_node();
        if !by_descriptor && !by_path {
            return false;
        }
        // With AT_EMPTY_PATH kernels from 6.11 on take no path at all for an empty one.
        let read = if path == 0 { Ok(Vec::new()) } else { target.read_string(path, PATH_LIMIT) };
        match read {
            Ok(path) if path.is_empty() => by_descriptor,
            Ok(path) => {
                by_path && path.len() < PATH_LIMIT && device.is_at(target.tid(), dir, &path)
            }
            Err(_) => false,
        }
    }

    fn open(&self, target: &Target<'_>, dir: i32, path: u64, flags: OFlags) -> Outcome {
        match target.read_string(path, PATH_LIMIT) {
            Ok(path) if path.len() < PATH_LIMIT => self.tenant.open(target, dir, &path, flags),
            _ => Outcome::CONTINUE,
        }
    }

    fn open_by_structure(
        &self,
        target: &Target<'_>,
        dir: i32,
        path: u64,
        how: u64,
        size: u64,
    ) -> Outcome {
        /// `struct open_how`: flags, mode, resolve.
        const SIZE: usize = 24;
        let mut bytes = [0; SIZE];
        // A structure of another size, or one with RESOLVE_*, is left to the kernel: its open ends
        // at the node.
        if size != SIZE as u64 || target.read(how, &mut bytes).is_err() || bytes[8..] != [0; 16] {
            return Outcome::CONTINUE;
        }
        let flags = bytes.first_chunk().map_or(0, |flags| u64::from_ne_bytes(*flags));
        match u32::try_from(flags) {
            Ok(flags) => self.open(target, dir, path, OFlags::from_bits_retain(flags)),
            Err(_) => Outcome::CONTINUE,
        }
    }
}

/// Whether no request can come from a channel any more.
fn has_hung_up(channel: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::from_borrowed_fd(channel, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    poll(&mut polled, Some(&now)).is_ok() && {
        let events = polled[0].revents();
        events.intersects(gone) && !events.contains(PollFlags::IN)
    }
}
