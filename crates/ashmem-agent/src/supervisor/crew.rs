// SPDX-License-Identifier: MIT OR Apache-2.0
//! The crew: the loops that serve a supervisor's channels, and which of them receives.
//!
//! One loop at a time receives requests: it has the *turn*. While requests come one after the
//! other, it keeps the turn as it works, which costs nothing. Where several callers ask at once
//! ([`Load`] finds out), it passes the turn on first, and another loop receives meanwhile; there
//! are as many as processors.
//!
//! Two things hold whatever the number of loops:
//!
//! - A caller decides how long a read of its memory takes (userfaultfd, FUSE). Where no request was
//!   received for [`PATIENCE`] because every loop is at work, the turn is taken from the one that
//!   has kept it, or another loop is started ([`Crew::relieve`]). So a caller blocks only itself.
//! - After its answer a loop has some work left: it closes its copy of the caller's descriptor. The
//!   next request of that caller is not begun before this is done: it finds no copies of ours, and
//!   nothing half done.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::supervisor::load::Load;
use crate::sys::lock;

/// How long no request may be received before another loop is put in: at least this long, at most
/// twice as long.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);
/// Loops at most, those that are held up included. A tenant that holds up more holds up only
/// itself.
const MOST: usize = 64;
/// Loops at most that no caller holds up: on more processors than this, programs and kernel have
/// the others.
const WORKING: usize = 4;

/// The loops of one supervisor.
pub(crate) struct Crew {
    state: Mutex<CrewState>,
    /// Signalled when the turn is free.
    turn: Condvar,
    /// Signalled when a loop has finished a request.
    finished: Condvar,
    /// Loops that are started without need of relief.
    size: usize,
}

#[derive(Default)]
struct CrewState {
    /// The loop that has the turn.
    holder: Option<u64>,
    /// The request that it works at, with the turn kept.
    kept: Option<CrewWork>,
    /// The requests that are worked at without the turn.
    passed: Vec<CrewWork>,
    /// Requests that were begun.
    begun: u64,
    /// Loops in all, and those of them that wait for the turn.
    loops: usize,
    waiting: usize,
    /// Of those that wait, so many shall leave.
    dismissed: usize,
    /// Requests that wait for the end of their caller's previous one.
    followers: usize,
    load: Load,
    next: u64,
    has_ended: bool,
}

/// A request that a loop works at.
struct CrewWork {
    worker: u64,
    id: u64,
    tid: i32,
    /// How many requests had begun by then.
    since: u64,
    /// Its answer is being sent, or was: nothing is left to do that the caller can hold up.
    is_answered: bool,
}

/// What became of the turn when a request was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestBegun {
    /// It is kept: no other request is begun meanwhile.
    Kept,
    /// It was passed on.
    Passed,
    /// The same, and nobody is there to take it: one loop more may be started, with
    /// [`Crew::member`].
    WantsLoop,
}

/// What [`Crew::relieve`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relief {
    /// Somebody receives.
    NotNeeded,
    /// A loop that waited has got the turn.
    Given,
    /// A loop is to be started, with [`Crew::member`].
    WantsLoop,
}

impl CrewState {
    fn is_receiving(&self) -> bool {
        self.holder.is_some() && self.kept.is_none()
    }
}

impl Default for Crew {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::of(processors.min(WORKING))
    }
}

impl Crew {
    fn of(size: usize) -> Self {
        Self { state: Mutex::default(), turn: Condvar::new(), finished: Condvar::new(), size }
    }

    /// One loop more; it leaves when this is dropped.
    pub(super) fn member(&self) -> CrewMember<'_> {
        let mut state = self.state();
        state.loops += 1;
        state.next += 1;
        CrewMember { crew: self, number: state.next }
    }

    /// No loop more could be started: none is wanted for a while.
    pub(super) fn cannot_grow(&self) {
        self.state().load.rest();
    }

    /// How many requests were begun.
    pub(super) fn begun(&self) -> u64 {
        self.state().begun
    }

    /// Whether a loop receives.
    pub(super) fn is_receiving(&self) -> bool {
        self.state().is_receiving()
    }

    /// The answer to this request is about to be sent: what is left to do after it is up to us
    /// alone.
    pub(super) fn answers(&self, id: u64) {
        let mut state = self.state();
        let CrewState { kept, passed, .. } = &mut *state;
        for work in kept.iter_mut().chain(passed).filter(|work| work.id == id) {
            work.is_answered = true;
        }
    }

    /// Sees to it that somebody receives, if no request was begun since there were `begun`.
    pub(super) fn relieve(&self, begun: u64) -> Relief {
        let mut state = self.state();
        let is_given = state.holder.is_none() && state.waiting > 0;
        let is_at_work = state.kept.is_some() || !state.passed.is_empty();
        if state.begun != begun
            || state.has_ended
            || state.is_receiving()
            || is_given
            || !is_at_work
        {
            return Relief::NotNeeded;
        }
        if state.waiting == 0 && state.loops >= MOST {
            return Relief::NotNeeded;
        }
        // The loop that has kept the turn finishes as if it had passed it on.
        let kept = state.kept.take();
        state.passed.extend(kept);
        state.holder = None;
        if state.waiting == 0 {
            return Relief::WantsLoop;
        }
        self.turn.notify_one();
        Relief::Given
    }

    /// Has the loops leave that wait for the turn.
    pub(super) fn dismiss(&self) {
        let mut state = self.state();
        state.dismissed = state.waiting;
        self.turn.notify_all();
    }

    /// Has every loop leave, once it has finished its request.
    pub(super) fn end(&self) {
        self.state().has_ended = true;
        self.turn.notify_all();
    }

    /// Lets loops serve again after an end, which all have left at.
    pub(super) fn begin_anew(&self) {
        self.state().has_ended = false;
    }

    fn state(&self) -> MutexGuard<'_, CrewState> {
        lock(&self.state)
    }
}

/// One loop.
pub(super) struct CrewMember<'a> {
    crew: &'a Crew,
    number: u64,
}

impl CrewMember<'_> {
    /// Waits for the turn. Returns whether this loop serves on.
    pub(super) fn takes_turn(&self) -> bool {
        let mut state = self.crew.state();
        while !state.has_ended && state.holder.is_some_and(|holder| holder != self.number) {
            state.waiting += 1;
            state = self.crew.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            if state.dismissed > 0 && state.holder.is_some() {
                state.dismissed -= 1;
                return false;
            }
        }
        if !state.has_ended {
            state.holder = Some(self.number);
        }
        !state.has_ended
    }

    /// Begins the request with this id that a thread has made, and keeps the turn or passes it on.
    pub(super) fn begins(&self, id: u64, tid: i32) -> RequestBegun {
        let mut state = self.crew.state();
        state.begun += 1;
        let since = state.begun;
        let work = CrewWork { worker: self.number, id, tid, since, is_answered: false };
        // What is held up says nothing of how many ask at once.
        let overlaps = state.passed.iter().any(|work| since - work.since <= 2 * WORKING as u64);
        let passes = self.crew.size > 1 && state.load.passes(tid, overlaps);
        let mut begun = RequestBegun::Kept;
        if passes {
            begun = RequestBegun::Passed;
            state.holder = None;
            state.passed.push(work);
            if state.waiting > 0 {
                self.crew.turn.notify_one();
            } else if state.loops < self.crew.size {
                begun = RequestBegun::WantsLoop;
            }
        } else {
            state.kept = Some(work);
        }
        while state.passed.iter().any(|work| work.precedes(tid, self.number)) {
            state.followers += 1;
            state = self.crew.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.followers -= 1;
        }
        begun
    }

    /// Ends that request. Returns whether this loop serves on.
    pub(super) fn ends(&self) -> bool {
        let mut state = self.crew.state();
        if state.holder == Some(self.number) {
            state.kept = None;
            return true;
        }
        state.passed.retain(|work| work.worker != self.number);
        if state.followers > 0 {
            self.crew.finished.notify_all();
        }
        // One that was started for relief is not needed any more, if there are others.
        state.loops <= self.crew.size || (state.waiting == 0 && state.holder.is_none())
    }
}

impl Drop for CrewMember<'_> {
    fn drop(&mut self) {
        let mut state = self.crew.state();
        state.loops -= 1;
        state.passed.retain(|work| work.worker != self.number);
        if state.holder == Some(self.number) {
            (state.holder, state.kept) = (None, None);
            self.crew.turn.notify_one();
        }
        if state.followers > 0 {
            self.crew.finished.notify_all();
        }
    }
}

impl CrewWork {
    /// Whether a request of this thread that this loop has begun comes after it.
    fn precedes(&self, tid: i32, worker: u64) -> bool {
        // 0: a thread that cannot be seen, and there may be several.
        self.is_answered && self.tid == tid && tid != 0 && self.worker != worker
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    /// Begins requests of threads in turn until one passes the turn on; that one's id and thread.
    fn pass<'a>(member: &'a CrewMember<'a>) -> (u64, i32) {
        for number in 0..i32::MAX {
            let tid = 10 + number % 2;
            assert!(member.takes_turn());
            member.begins(number as u64, tid);
            if member.crew.state().holder.is_none() {
                return (number as u64, tid);
            }
            assert!(member.ends());
        }
        panic!("it never passes the turn on")
    }

    #[test]
    fn one_caller_is_served_by_the_loop_that_has_the_turn() {
        let crew = Crew::of(4);
        let member = crew.member();
        for _ in 0..10_000 {
            assert!(member.takes_turn());
            assert_eq!(member.begins(1, 1), RequestBegun::Kept);
            assert_eq!(crew.state().holder, Some(member.number), "it is kept");
            assert!(member.ends());
        }
    }

    #[test]
    fn several_callers_have_another_loop_receive() {
        let crew = Crew::of(2);
        let first = crew.member();
        pass(&first);
        let second = crew.member();
        assert!(second.takes_turn());
        assert_eq!(second.begins(1, 20), RequestBegun::Passed, "there are two already");
        assert!(first.ends());
        assert!(first.takes_turn() && second.ends());
        crew.end();
        assert!(!second.takes_turn(), "others leave at the end");
    }

    #[test]
    fn who_is_held_up_has_no_others_pass_the_turn_on() {
        let crew = Crew::of(4);
        let stuck = crew.member();
        pass(&stuck);
        let other = crew.member();
        let mut kept = 0;
        for _ in 0..1000 {
            assert!(other.takes_turn());
            other.begins(1, 1);
            kept += u32::from(crew.state().kept.is_some());
            assert!(other.ends());
        }
        assert!(kept > 800, "{kept}");
    }

    #[test]
    fn on_one_processor_nobody_passes_the_turn_on() {
        let crew = Crew::of(1);
        let member = crew.member();
        for tid in 0..1000 {
            assert!(member.takes_turn());
            assert_eq!(member.begins(1, tid), RequestBegun::Kept);
            assert!(member.ends());
        }
        assert_eq!(crew.state().passed.len(), 0);
    }

    #[test]
    fn a_loop_that_is_held_up_is_relieved_once() {
        let crew = Crew::of(2);
        let stuck = crew.member();
        assert_eq!(crew.relieve(0), Relief::NotNeeded, "nobody works");
        assert!(stuck.takes_turn());
        assert_eq!(crew.relieve(0), Relief::NotNeeded, "it receives");
        stuck.begins(1, 1);
        assert_eq!(crew.relieve(0), Relief::NotNeeded, "it has just begun");
        assert_eq!(crew.relieve(1), Relief::WantsLoop);
        let other = crew.member();
        assert!(other.takes_turn());
        assert_eq!(crew.relieve(1), Relief::NotNeeded, "once");
        other.begins(2, 2);
        assert!(other.ends() && stuck.ends(), "there is work for both");
        drop((stuck, other));
        assert_eq!(crew.state().loops, 0);
    }

    #[test]
    fn all_loops_that_are_held_up_are_relieved() {
        let crew = Crew::of(2);
        let first = crew.member();
        pass(&first);
        let second = crew.member();
        assert!(second.takes_turn());
        second.begins(1, 20);
        // Whether it has kept the turn or not.
        let begun = crew.begun();
        assert_eq!(crew.relieve(begun), Relief::WantsLoop);
        let third = crew.member();
        assert!(third.takes_turn());
        assert_eq!(crew.relieve(begun), Relief::NotNeeded);
        assert!(!first.ends(), "there are enough without it");
        drop(first);
        assert!(second.ends());
    }

    #[test]
    fn no_more_than_the_most_are_held_up() {
        let crew = Crew::of(2);
        let members: Vec<_> = (0..MOST)
            .map(|number| {
                let member = crew.member();
                assert!(member.takes_turn());
                member.begins(1, number as i32);
                let relief = crew.relieve(crew.begun());
                assert_eq!(relief == Relief::WantsLoop, number + 1 < MOST, "{number}");
                member
            })
            .collect();
        drop(members);
    }

    #[test]
    fn a_callers_next_request_waits_until_its_last_one_is_finished() {
        let crew = Crew::of(2);
        let (first, second) = (crew.member(), crew.member());
        let (id, tid) = pass(&first);
        // Not while the caller could hold it up: it may have been interrupted, and ask again.
        assert!(second.takes_turn());
        second.begins(1001, tid);
        crew.answers(1001);
        assert!(second.ends());
        crew.answers(id);
        let is_finished = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                assert!(second.takes_turn());
                second.begins(1002, tid);
                assert!(is_finished.load(Ordering::SeqCst));
                second.ends();
            });
            while crew.state().followers == 0 {
                thread::yield_now();
            }
            is_finished.store(true, Ordering::SeqCst);
            first.ends();
        });
    }

    #[test]
    fn at_rest_only_who_has_the_turn_stays() {
        let crew = Crew::of(2);
        let (first, second) = (crew.member(), crew.member());
        assert!(first.takes_turn());
        thread::scope(|scope| {
            let waits = scope.spawn(|| second.takes_turn());
            while crew.state().waiting == 0 {
                thread::yield_now();
            }
            crew.dismiss();
            assert!(!waits.join().expect("it leaves"));
        });
    }
}
