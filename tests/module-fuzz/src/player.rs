// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process that plays inputs, each by one thread or two. One plays many, for to make a process
//! takes longer than most inputs do; it gives back all that an input took before the next.

use std::cell::Cell;
use std::io;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use crate::actor::Actor;
use crate::input::{Input, LONGEST};
use crate::kcov::{Kcov, recorded};
use crate::knob;
use crate::machine::CGROUP;
use crate::operation::OPERATIONS;
use crate::step::{PLACES, Step, WIDTH};
use crate::world::World;

/// Operations for which a player goes into the memory cgroup, and stays there.
const IN_CGROUP: &[&str] = &["limit memory", "reclaim memory"];
/// Operations after which a player has had its last input: it is in the cgroup, or may have
/// mappings nobody knows of.
const LAST: &[&str] = &["limit memory", "reclaim memory", "mremap"];
/// The most inputs for a player.
const MOST: u32 = 32;

/// A record for each thread, and one for what they fork.
pub(crate) type Records = [Kcov; 3];

/// A player, as its parent has it.
pub(crate) struct Player {
    pub(crate) process: libc::pid_t,
    socket: i32,
    played: u32,
}

/// What came of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Played {
    /// It was played to its end, and the player can play another.
    Whole,
    /// It was played to its end, and the player is to be ended.
    Last,
    /// The player died of it.
    Died,
    /// It was not over in time.
    Late,
}

impl Player {
    /// Starts a player.
    pub(crate) fn start(records: Option<&Records>) -> io::Result<Self> {
        let mut sockets = [-1; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for two descriptors.
        if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, sockets.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let [ours, theirs] = sockets;
        // SAFETY: this process has one thread, so the child may run any code; each side closes the
        // other's end.
        let process = unsafe {
            let process = libc::fork();
            libc::close(if process == 0 { ours } else { theirs });
            process
        };
        match process {
            0 => serve(theirs, records),
            ..0 => Err(io::Error::last_os_error()),
            _ => Ok(Self { process, socket: ours, played: 0 }),
        }
    }

    /// Has an input played, and waits for its end.
    pub(crate) fn play(&mut self, input: &Input, limit: Duration) -> Played {
        let bytes = input.bytes().as_flattened();
        self.played += 1;
        let mut poll = libc::pollfd { fd: self.socket, events: libc::POLLIN, revents: 0 };
        let mut answer = 0_u8;
        // SAFETY: each buffer is as long as said; one pollfd is passed as one.
        let answered = unsafe {
            libc::send(self.socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL);
            if libc::poll(&mut poll, 1, limit.as_millis() as i32) == 0 {
                return Played::Late;
            }
            libc::recv(self.socket, (&raw mut answer).cast(), 1, 0) == 1
        };
        match answered {
            false => Played::Died,
            true if self.played >= MOST || input.does(LAST) => Played::Last,
            true => Played::Whole,
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // Its end is the player's end; the process is still to be waited for.
        // SAFETY: made by `start`.
        unsafe { libc::close(self.socket) };
    }
}

/// Plays what comes, until nothing does.
fn serve(socket: i32, records: Option<&Records>) -> ! {
    // SAFETY: these touch no memory of ours.
    unsafe {
        libc::setpgid(0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // Where memory is gone, this process has it, and not the one that watches.
    knob::put("/proc/self/oom_score_adj", "1000");
    let world = World::new();
    loop {
        let mut steps = [[0_u8; WIDTH]; LONGEST];
        // SAFETY: the buffer is as long as said.
        let length =
            unsafe { libc::recv(socket, steps.as_mut_ptr().cast(), size_of_val(&steps), 0) };
        let Some(steps) = usize::try_from(length)
            .ok()
            .filter(|length| *length > 0)
            .map(|it| &steps[..it / WIDTH])
        else {
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(0) };
        };
        play(&Input::new(steps.to_vec()), &world, records);
        // A parent that is gone has killed this process.
        // SAFETY: one byte.
        unsafe { libc::send(socket, [0_u8].as_ptr().cast(), 1, libc::MSG_NOSIGNAL) };
    }
}

fn play(input: &Input, world: &World, records: Option<&Records>) {
    if input.does(IN_CGROUP) {
        knob::put(&format!("{CGROUP}/cgroup.procs"), "0");
    }
    let (second, first): (Vec<Step>, Vec<Step>) =
        input.steps().into_iter().partition(|step| step.second);
    let record = |place: usize| records.map(|records| &records[place]);
    let alone = first.is_empty() || second.is_empty();
    if alone && !input.does(&["become a user"]) {
        recorded(record(0), || {
            act(world, if first.is_empty() { &second } else { &first }, true, record(2))
        });
    } else {
        // Threads of their own: a thread that became another user stays one.
        let together = Barrier::new(2);
        let actor = |steps: &[Step], own, forked| {
            together.wait();
            recorded(own, || act(world, steps, alone, forked));
        };
        thread::scope(|scope| {
            scope.spawn(|| actor(&second, record(1), None));
            scope.spawn(|| actor(&first, record(0), record(2)));
        });
    }
    // Done by hand while it is recorded; what a process leaves to its end is not.
    recorded(record(0), || leave(world));
}

fn act(world: &World, steps: &[Step], alone: bool, forked: Option<&Kcov>) {
    let operations = OPERATIONS;
    Actor { operations, world, alone, fail_next: Cell::new(0), rest: Cell::new(steps), forked }
        .play();
    // The other thread may wait for an answer that nobody gives any more.
    world.set_userfault(-1);
}

/// Gives back all that the input took.
fn leave(world: &World) {
    world.end_children();
    for place in 0..PLACES {
        let (start, length) = world.map(place);
        // SAFETY: the world's mappings hold no Rust object, and this is the only thread.
        unsafe { libc::munmap(start as *mut _, length) };
        world.set_map(place, 0, 0);
        world.close(place);
    }
}
