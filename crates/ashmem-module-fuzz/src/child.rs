//! The process that plays one input, by one thread or two, and ends.

use std::cell::Cell;
use std::sync::Barrier;
use std::thread;

use crate::input::{Input, PLACES, Step};
use crate::kcov::Kcov;
use crate::machine::{self, CGROUP};
use crate::operation::Actor;
use crate::world::World;

/// Operations for which an input runs in a memory cgroup of its own. Going there takes long.
pub(crate) const IN_CGROUP: &[&str] = &["limit memory", "reclaim memory"];

/// A record for each thread, and one for what they fork.
pub(crate) type Records = [Kcov; 3];

/// Plays the input and ends the process.
pub(crate) fn play(input: &Input, records: Option<&Records>) -> ! {
    // SAFETY: these touch no memory of ours.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // Where memory is gone, this process has it, and not the one that watches.
    machine::put("/proc/self/oom_score_adj", "1000");
    if input.does(IN_CGROUP) {
        machine::put(&format!("{CGROUP}/cgroup.procs"), "0");
    }
    let world = World::new();
    let (second, first): (Vec<Step>, Vec<Step>) = input.steps().into_iter().partition(|step| step.second);
    let record = |place: usize| records.map(|records| &records[place]);
    if second.is_empty() || first.is_empty() {
        recorded(record(0), || act(&world, if second.is_empty() { &first } else { &second }, true, record(2)));
    } else {
        let together = Barrier::new(2);
        let actor = |steps: &[Step], own, forked| {
            recorded(own, || {
                together.wait();
                act(&world, steps, false, forked);
            });
        };
        thread::scope(|scope| {
            scope.spawn(|| actor(&second, record(1), None));
            actor(&first, record(0), record(2));
        });
    }
    // Done by hand while it is recorded; what a process leaves to its end is not.
    recorded(record(0), || leave(&world));
    // SAFETY: ends the process without running the parent's exit handlers.
    unsafe { libc::_exit(0) };
}

fn recorded(record: Option<&Kcov>, work: impl FnOnce()) {
    if let Some(record) = record {
        record.enable();
    }
    work();
    if let Some(record) = record {
        record.disable();
    }
}

fn act(world: &World, steps: &[Step], alone: bool, forked: Option<&Kcov>) {
    Actor { world, alone, fail_next: Cell::new(0), rest: Cell::new(steps), forked }.play();
    // The other thread may wait for an answer that nobody gives any more.
    world.set_userfault(-1);
}

fn leave(world: &World) {
    for place in 0..PLACES {
        let (start, length) = world.map(place);
        // SAFETY: the world's mappings hold no Rust object, and this is the only thread.
        unsafe { libc::munmap(start as *mut _, length) };
        world.close(place);
    }
}

/// Forks a process that does the next few steps, with the parent doing them as well or going on behind them.
pub(crate) fn fork(actor: &Actor<'_>, step: &Step) -> i64 {
    let steps = actor.rest.get();
    let (taken, rest) = steps.split_at((usize::from(step.a % 6) + 1).min(steps.len()));
    // SAFETY: the child performs steps and ends, without anything that a lock of another thread could hold up for good:
    // the allocator, which it uses, is made for a fork by the C library.
    let child = unsafe { libc::fork() };
    if child == 0 {
        recorded(actor.forked, || {
            actor.rest.set(taken);
            actor.play();
        });
        // SAFETY: as in `play`.
        unsafe { libc::_exit(0) };
    }
    if step.c & 1 == 0 {
        actor.rest.set(rest);
    }
    if child > 0 && step.b & 1 == 0 {
        // SAFETY: waits for the child just made.
        unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    }
    i64::from(child.min(0))
}
