// SPDX-License-Identifier: MIT OR Apache-2.0
//! The operation that forks.

use crate::actor::Actor;
use crate::kcov::recorded;
use crate::step::Step;

/// Forks a process that does the next few steps, with the parent doing them as well or going on
/// behind them.
pub(crate) fn fork(actor: &Actor<'_>, step: &Step) -> i64 {
    let steps = actor.rest.get();
    let (taken, rest) = steps.split_at((usize::from(step.a % 6) + 1).min(steps.len()));
    if !actor.world.may_fork() {
        return -1;
    }
    // SAFETY: the child performs steps and ends, without anything that a lock of another thread
    // could hold up for good: the allocator, which it uses, is made for a fork by the C library.
    let child = unsafe { libc::fork() };
    if child == 0 {
        actor.world.set_forked();
        recorded(actor.forked, || {
            actor.rest.set(taken);
            actor.play();
        });
        // SAFETY: ends the process without running the parent's exit handlers.
        unsafe { libc::_exit(0) };
    }
    if step.c & 1 == 0 {
        actor.rest.set(rest);
    }
    if child > 0 {
        if step.b & 1 == 0 {
            // SAFETY: waits for the child just made.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        } else {
            actor.world.add_child(child);
        }
    }
    i64::from(child.min(0))
}
