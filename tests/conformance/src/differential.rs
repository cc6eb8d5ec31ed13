// SPDX-License-Identifier: MIT OR Apache-2.0
//! One random sequence of operations, played by two processes in lock-step, each result printed on
//! a line of its own.
//!
//! Two providers that behave alike print the same bytes for the same seed, so nothing that differs
//! between runs is printed: no address, inode number, process id or time. Two things are avoided
//! because they are declared to differ: UNPIN of the empty interval at a region's end, and regions
//! of 4 GiB and more that are mapped (their sizes here always fail at mmap). GET_FILE_ID is never
//! asked, and of fdinfo only the lines every provider has are printed.

use std::process::ExitCode;

use crate::case::{Env, Stop, Verdict, failed};
use crate::process::{Child, Link};
use crate::random::Random;
use ashmem_test_client::fault;

use self::operation::Operation;
use self::world::{SENT, World};

mod operation;
mod world;

/// The process that performs an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Player {
    A,
    B,
}

/// Plays the sequence and prints the transcript.
pub(crate) fn play(env: &Env, seed: u64, operations: u64) -> ExitCode {
    fault::install();
    let sequence = Random::new(seed);
    let played = Link::pair().map_err(Stop::from).and_then(|(descriptors, others)| {
        let other = Child::start(|link| {
            perform(Player::B, env, sequence.clone(), operations, link, &others)
        })?;
        perform(Player::A, env, sequence.clone(), operations, &other.link, &descriptors)?;
        other.join()
    });
    match played {
        Ok(()) => {
            println!("differential: seed {seed}, {operations} operations");
            ExitCode::SUCCESS
        }
        Err(Stop::Failed(why) | Stop::Skipped(why)) => {
            println!("differential: stopped: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Both processes draw the same operations; each performs its own and waits for the other's result.
fn perform(
    me: Player,
    env: &Env,
    mut random: Random,
    operations: u64,
    link: &Link,
    descriptors: &Link,
) -> Verdict {
    let mut world = World::new(env);
    for number in 0..operations {
        let player = if random.one_in(3) { Player::B } else { Player::A };
        let operation = Operation::draw(&mut random);
        let result = if player == me {
            let result = world.perform(&operation, descriptors)?;
            link.send(result.as_bytes())?;
            if result == SENT {
                // What the other process releases for it must be gone before anything else happens.
                descriptors.wait()?;
            }
            result
        } else {
            let result = link.receive()?;
            if result.is_empty() {
                return failed("the other process ended early");
            }
            let result = String::from_utf8_lossy(&result).into_owned();
            if let (Operation::Send { to, .. }, SENT) = (&operation, result.as_str()) {
                world.accept(*to, descriptors.receive_fd()?);
                descriptors.go()?;
            }
            result
        };
        if me == Player::A {
            println!("{number} {player:?} {operation:?} = {result}");
        }
    }
    Ok(())
}
