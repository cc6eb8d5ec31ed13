// SPDX-License-Identifier: MIT OR Apache-2.0
//! New inputs, from nothing and from others.

use fastrand::Rng;

use crate::input::{Input, LONGEST};
use crate::operation::OPERATIONS;
use crate::step::{SECOND, WIDTH};

type Bytes = [u8; WIDTH];

/// A step of an operation drawn by weight.
fn step(random: &mut Rng) -> Bytes {
    let whole: u32 = OPERATIONS.iter().map(|operation| operation.weight).sum();
    let mut left = random.u32(..whole);
    let mut code = 0;
    for (place, operation) in OPERATIONS.iter().enumerate() {
        code = place as u8;
        match left.checked_sub(operation.weight) {
            Some(less) => left = less,
            None => break,
        }
    }
    let second = if random.u8(..4) == 0 { SECOND } else { 0 };
    // Few places, so that steps meet.
    let places = place(random) | place(random) << 4;
    [code | second, places, random.u8(..), random.u8(..), random.u8(..), random.u8(..)]
}

fn place(random: &mut Rng) -> u8 {
    if random.bool() { 0 } else { random.u8(..6) }
}

/// The step of an operation by its name on the first file and mapping, with these operands.
fn named(name: &str, operands: [u8; 4]) -> Bytes {
    let code =
        OPERATIONS.iter().position(|operation| operation.name == name).unwrap_or_default() as u8;
    let [a, b, c, d] = operands;
    [code, 0, a, b, c, d]
}

/// As [`named`], on the second file.
fn named_on_second(name: &str, operands: [u8; 4]) -> Bytes {
    let mut step = named(name, operands);
    step[1] = 1;
    step
}

/// What is done to a backing file first.
const ON_BACKING_FILES: &[&str] =
    &["write", "pwrite", "mmap", "fallocate", "ftruncate", "fchmod", "fsetxattr", "splice"];

/// An input from nothing: mostly a region that is mapped, touched and unpinned, then whatever
/// comes.
pub(crate) fn fresh(random: &mut Rng) -> Input {
    let mut steps = Vec::new();
    if random.u8(..8) != 0 {
        let pages = random.u8(1..64);
        steps.push(named("open", [0; 4]));
        steps.push(named("SET_SIZE", [pages, 0, 0, 0]));
        steps.push(named("mmap", [pages - 1, 0, 0, 0]));
        steps.push(named("touch", [0; 4]));
        if random.bool() {
            steps.push(named("UNPIN", [0; 4]));
        }
        if random.u8(..4) == 0 {
            // The backing file, and something done to it.
            steps.push(named_on_second("open in map_files", [random.u8(..2), 0, 0, 0]));
            let what = random.choice(ON_BACKING_FILES).copied().unwrap_or("write");
            steps.push(named_on_second(what, [random.u8(..), random.u8(..), random.u8(..), 0]));
        }
        if random.u8(..8) == 0 {
            steps.insert(0, named("tracepoints", [0; 4]));
        }
        if random.u8(..4) == 0 {
            purged_meanwhile(random, &mut steps);
        }
    }
    let more = random.usize(1..12);
    steps.extend((0..more).map(|_| step(random)));
    Input::new(steps)
}

/// An input like this one, with something changed, and maybe something of another in it.
pub(crate) fn like(random: &mut Rng, base: &Input, other: &Input) -> Input {
    let mut steps = base.bytes().to_vec();
    for _ in 0..=random.usize(..4) {
        change(random, &mut steps, other.bytes());
    }
    if steps.is_empty() {
        steps.push(step(random));
    }
    Input::new(steps)
}

/// The second thread has everything purged, time and again, while the first pins and unpins.
fn purged_meanwhile(random: &mut Rng, steps: &mut Vec<Bytes>) {
    for _ in 0..random.u8(2..6) {
        let purge = random
            .choice(["PURGE_ALL_CACHES", "shrinker's scan", "drop caches"])
            .unwrap_or("PURGE_ALL_CACHES");
        let mut step = named(purge, [6, 0, 0, 0]);
        step[0] |= SECOND;
        steps.push(step);
        let pin = random.choice(["PIN", "GET_PIN_STATUS", "many pinned again"]).unwrap_or("PIN");
        steps.push(named(pin, [random.u8(..4), random.u8(..8), 0, 0]));
        steps.push(named("UNPIN", [0; 4]));
    }
}

fn change(random: &mut Rng, steps: &mut Vec<Bytes>, other: &[Bytes]) {
    if steps.is_empty() {
        steps.push(step(random));
        return;
    }
    let place = random.usize(..steps.len());
    match random.u8(..16) {
        0..4 => steps.insert(random.usize(..=steps.len()), step(random)),
        4 => {
            steps.remove(place);
        }
        5..8 => steps[place][random.usize(2..WIDTH)] = byte(random),
        8 => steps[place][1] = random.u8(..),
        9 => steps[place][0] ^= SECOND,
        10 => {
            // The same once more, by the other thread now and then: what a race needs.
            let twin = steps[place];
            steps.insert(place, twin);
            steps[place][0] ^= if random.bool() { SECOND } else { 0 };
        }
        11 => {
            let with = random.usize(..steps.len());
            steps.swap(place, with);
        }
        12 => steps.insert(place, named("make the next fail", [random.u8(..24), 0, 0, 0])),
        13 => {
            // One's beginning, the other's end.
            steps.truncate(place + 1);
            steps.extend_from_slice(&other[random.usize(..=other.len())..]);
        }
        14 => {
            // A few of the other's in between.
            let from = random.usize(..=other.len());
            let until = (from + random.usize(1..6)).min(other.len());
            steps.splice(place..place, other[from..until].iter().copied());
        }
        _ => {
            // From here on the second thread does it.
            for step in &mut steps[place..] {
                step[0] |= SECOND;
            }
        }
    }
    steps.truncate(LONGEST);
}

/// A byte: any, or one at an end.
fn byte(random: &mut Rng) -> u8 {
    if random.bool() {
        random.u8(..)
    } else {
        *random.choice(&[0, 1, 127, 128, 192, 208, 255]).unwrap_or(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::{ON_BACKING_FILES, fresh, like};
    use crate::input::{Input, LONGEST};
    use crate::operation::OPERATIONS;

    #[test]
    fn changed_inputs_differ_and_stay_short() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut input, mut same) = (fresh(&mut random), 0);
        for _ in 0..2000 {
            let other = fresh(&mut random);
            let next = like(&mut random, &input, &other);
            same += usize::from(next == input);
            assert!(next.len() <= LONGEST);
            assert_eq!(Input::from_hex(&next.to_string()).unwrap(), next);
            input = next;
        }
        assert!(same < 200, "{same} of 2000 changes changed nothing");
    }

    #[test]
    fn fresh_inputs_come_to_use_every_operation() {
        let mut random = fastrand::Rng::with_seed(2);
        let inputs: Vec<_> = (0..3000).map(|_| fresh(&mut random)).collect();
        for operation in OPERATIONS {
            assert!(inputs.iter().any(|input| input.does(&[operation.name])), "{}", operation.name);
        }
    }

    #[test]
    fn the_beginnings_are_made_of_known_operations() {
        let others = [
            "open",
            "SET_SIZE",
            "mmap",
            "touch",
            "UNPIN",
            "open in map_files",
            "tracepoints",
            "make the next fail",
        ];
        for name in others.iter().chain(ON_BACKING_FILES) {
            assert!(OPERATIONS.iter().any(|operation| operation.name == *name), "{name}");
        }
    }
}
