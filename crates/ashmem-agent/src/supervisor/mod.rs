// SPDX-License-Identifier: MIT OR Apache-2.0
//! The request loops: take requests from a tenant's channels, have them decided, and answer them.
//! There are several where several callers ask at once (`crew`).
//!
//! A request takes four steps: what it points to in the caller's memory is read, once; the tenant
//! decides (`Decision`); the result is written into the caller's memory and the answer sent; the
//! copied descriptor is closed. The tenant's lock is held within the second step only, and never
//! while something is done that a caller can make wait ([`crate::emulation`] says what that is).
//! The other locks here are held to copy, add or remove an entry of a list: of channels, of
//! tracers, of cached handles. Traced or not is no difference.

mod apart;
mod channels;
mod crew;
mod decide;
mod housekeeping;
mod load;
mod observe;
mod pressure;
mod purges;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, Scope};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, Result};

use self::apart::Apart;
use self::channels::{Channels, NextRequest};
use self::crew::{Crew, CrewMember, RequestBegun};
use self::purges::Purges;
use crate::asked::Tenants;
use crate::emulation::Tenant;
use crate::emulation::decision::Decision;
use crate::emulation::outcome::Outcome;
use crate::inside::{Due, Inside};
use crate::line_budget;
use crate::notification::{Answer, Channel, Notification};
use crate::regions::memfd_pool::MemfdPool;
use crate::seccomp::listener::filters_wait_killable;
use crate::seccomp::syscalls::Call;
use crate::sys::lock;
use crate::target_thread::Target;
use crate::target_thread::fd_budget::FdBudget;
use crate::target_thread::inject_mmap;
use ashmem_trace_wire::pipe::RecordWriter;
use ashmem_trace_wire::record::Record;

use crate::trace::{self, TraceSink};

/// One tenant's supervisor.
pub struct Supervisor {
    tenant: Tenant,
    channels: Channels,
    inode_events: OwnedFd,
    crew: Crew,
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
            channels: Channels::new()?,
            inode_events,
            crew: Crew::default(),
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

    /// A supervisor with a pool of memfds: under many opens it holds some descriptors more.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub(crate) fn with_pool(tenant: Tenant) -> Result<Self> {
        let pool = tenant.table().enable_pool()?;
        Ok(Self { pool: Some(pool), ..Self::new(tenant)? })
    }

    /// The supervisor of a program whose filter we made.
    pub(crate) fn of_own_filter(self) -> Self {
        Self { shows_results: filters_wait_killable(), ..self }
    }

    /// Has calls answered in the programs themselves where that is possible.
    pub(crate) fn with_inside(self, inside: Inside) -> Self {
        Self { inside: Some(inside), ..self }
    }

    /// Adds a channel of the same tenant; [`Supervisor::run`] serves it at once.
    pub fn add(&self, channel: Arc<dyn Channel>) {
        self.channels.add(channel);
    }

    /// Adds the last channel: none is added after it.
    pub fn add_last(&self, channel: Arc<dyn Channel>) {
        self.channels.add_last(channel);
    }

    /// Traces each answer about a region into this pipe from now on.
    pub fn trace(&self, pipe: RecordWriter) {
        self.trace_sink.attach(pipe);
    }

    /// How many channels are left.
    pub(crate) fn channel_count(&self) -> usize {
        self.channels.count()
    }

    /// Whether no channel is left.
    pub fn is_idle(&self) -> bool {
        self.channels.is_empty()
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
        self.crew.begin_anew();
        std::thread::scope(|scope| {
            let housekeeping = || self.housekeep(scope);
            let thread = Builder::new().name("housekeeping".into());
            if let Err(error) = thread.spawn_scoped(scope, housekeeping) {
                tracing::warn!(%error, "no housekeeping: no thread can be started");
            }
            self.serve(scope, &self.crew.member());
        });
        lock(&self.ended).take().unwrap_or(Ok(()))
    }

    fn crew(&self) -> &Crew {
        &self.crew
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
    /// can be purged it continues to watch memory. `begun` requests is what it saw last.
    pub(crate) fn rest(&self, begun: u64) -> bool {
        if let Some(pool) = &self.pool {
            pool.clear();
        }
        self.tenant.threads().clear();
        self.crew.dismiss();
        let purgeable = self.tenant.reclaimable();
        self.resting.store(purgeable == 0, Ordering::SeqCst);
        // A request that arrived meanwhile may not have seen it.
        purgeable == 0 && self.crew.begun() == begun
    }

    /// What becomes readable with the end of each process whose memory is held open, once what
    /// was held of those that have ended is closed.
    pub(crate) fn ends_of_patched(&self) -> Vec<Arc<OwnedFd>> {
        self.inside.as_ref().map(Inside::forget_ended).unwrap_or_default()
    }

    /// Where answers are traced.
    pub(crate) fn trace_sink(&self) -> &TraceSink {
        &self.trace_sink
    }

    pub(crate) fn wake_up(&self) {
        let _ = rustix::io::read(&self.activity, &mut [0; 8]);
        self.resting.store(false, Ordering::SeqCst);
    }

    /// Serves, as one of the crew's loops, until there are enough others or no channel is left.
    fn serve<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>, member: &CrewMember<'scope>) {
        while member.takes_turn() {
            match self.channels.receive() {
                Ok(NextRequest::Request(channel, notification)) => {
                    let begun = member.begins(notification.id, notification.tid);
                    if begun == RequestBegun::WantsLoop {
                        self.grow(scope);
                    }
                    self.attend(scope, &channel, notification);
                    if !member.ends() {
                        return;
                    }
                }
                Ok(NextRequest::Nothing) => {}
                Ok(NextRequest::End) => return self.end(Ok(())),
                Err(error) => return self.end(Err(error)),
            }
        }
    }

    /// Starts a loop more for those who ask at once, if descriptors and threads are left.
    fn grow<'scope>(&'scope self, scope: &'scope Scope<'scope, '_>) {
        /// Descriptors that a loop holds for a request: copies of the caller's, and new ones.
        const HELD: usize = 4;
        let Some(budget) = FdBudget::take_some(HELD) else { return self.crew.cannot_grow() };
        if let Err(error) = self.start_loop(scope, Some(budget)) {
            tracing::debug!(%error, "no other loop can be started");
            self.crew.cannot_grow();
        }
    }

    /// Starts a loop, which holds this budget for as long as it serves.
    pub(super) fn start_loop<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        budget: Option<FdBudget>,
    ) -> std::io::Result<()> {
        let member = self.crew.member();
        let serve = move || {
            let _budget = budget;
            self.serve(scope, &member);
        };
        Builder::new().name("loop".into()).spawn_scoped(scope, serve).map(drop)
    }

    /// Has every loop leave, and housekeeping end.
    fn end(&self, how: Result<()>) {
        *lock(&self.ended) = Some(how);
        self.crew.end();
        self.wake_housekeeping();
    }

    /// Answers the notification that this loop has begun.
    fn attend<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        channel: &Arc<dyn Channel>,
        notification: Notification,
    ) {
        if self.resting.load(Ordering::SeqCst) && self.resting.swap(false, Ordering::SeqCst) {
            self.wake_housekeeping();
        }
        self.handle_in(scope, channel, notification);
        if self.pool.as_ref().is_some_and(|pool| pool.refill_wanted()) {
            self.wake_housekeeping();
        }
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
        let decided = self.decided(channel.as_ref(), &notification);
        let Some(decided) = decided else { return };
        if decided.due.is_some() || self.stops_caller(&decided) {
            let channel = Arc::clone(channel);
            return self.apart.run(scope, move |is_apart| {
                self.finish(channel.as_ref(), notification, decided, is_apart);
            });
        }
        self.finish(channel.as_ref(), notification, decided, false);
    }

    /// Answers one notification, in a thread that is none of the loops.
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
        let mut decided = Decided { decision, record, due };
        // What follows can be held up, and changes nothing of the region.
        let touches_caller = matches!(decided.decision.outcome, Outcome::Write { .. });
        if (touches_caller || decided.due.is_some() || self.stops_caller(&decided))
            && let Some(descriptor) = &mut decided.decision.descriptor
        {
            descriptor.leave_region();
        }
        Some(decided)
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
                // Which asks for the process's end, even where it rests by now.
                self.wake_housekeeping();
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
        let answer = |answer| {
            self.crew.answers(notification.id);
            channel.answer(notification.id, answer).map(|()| result_of(answer))
        };
        // What the caller got, where that is known.
        let sent = match outcome {
            Outcome::Answer(Answer::Continue) if shows_result => {
                inject_mmap::let_run(channel, notification)
            }
            Outcome::Answer(decided) => answer(decided),
            Outcome::Write { address, bytes } => answer(match target.write(address, &bytes) {
                Ok(()) => Answer::Value(0),
                Err(_) => Answer::Errno(Errno::FAULT),
            }),
            Outcome::MapAnonymous(call) => inject_mmap::map_anonymous(channel, notification, call),
            Outcome::Open { fd, close_on_exec, key } => {
                self.crew.answers(notification.id);
                match channel.answer_with(notification.id, fd, close_on_exec) {
                    // As the driver's own open, whose caller alone knows the number.
                    Ok(Answer::Value(_)) => Ok(Some(0)),
                    Ok(refused) => Ok(result_of(refused)),
                    Err(Errno::NOENT) => {
                        self.tenant.table().pending_opens.leave(notification.tid, key);
                        Err(Errno::NOENT)
                    }
                    // The caller's table is full, or its limit reached.
                    Err(error) => answer(Answer::Errno(error)),
                }
            }
        };
        if let Some(mut record) = record {
            // A caller that was interrupted, or is gone, got nothing.
            record.result = sent.ok().flatten();
            self.trace_sink.answered(record);
        }
        let sent = sent.map(drop);
        self.report(notification, sent);
        // The copied descriptor is closed here, where nobody waits for that.
        drop(decision);
        sent.is_ok()
    }

    /// ENOENT: the caller was killed, or a signal interrupted the call, which it makes again.
    fn report(&self, notification: &Notification, sent: Result<()>) {
        if let Err(error) = sent
            && error != Errno::NOENT
            && line_budget::may_say()
        {
            tracing::warn!(%error, request = ?notification, "the kernel refused an answer");
        }
    }
}

impl Tenants for Supervisor {
    fn visit(&self, tell: &mut dyn FnMut(&Tenant) -> Result<()>) -> Result<()> {
        tell(&self.tenant)
    }
}

/// What a caller gets with an answer; `None`: the kernel decides that.
fn result_of(answer: Answer) -> Option<i64> {
    match answer {
        Answer::Value(value) => Some(value),
        Answer::Errno(errno) => Some(-i64::from(errno.raw_os_error())),
        Answer::Continue => None,
    }
}
