// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who performs steps.

use std::cell::Cell;

use crate::kcov::Kcov;
use crate::knob::set_fail;
use crate::step::Step;
use crate::world::World;

/// One kind of step.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How often it is drawn, compared with the others: what takes long is drawn seldom.
    pub(crate) weight: u32,
    pub(crate) act: fn(&Actor<'_>, &Step) -> i64,
}

/// Operations that are no call of the device's at all, in which a made failure finds what the
/// kernel itself cannot bear (6.12: a WARNING of the scheduler's tracepoints).
const UNFAILING: &[&str] = &["tracepoints", "perf event", "limit memory", "fork"];

/// A thread that performs steps.
pub(crate) struct Actor<'a> {
    /// What steps name by its place.
    pub(crate) operations: &'static [Operation],
    pub(crate) world: &'a World,
    /// Whether it is the only one: nobody then answers a user fault it waits for.
    pub(crate) alone: bool,
    /// Which fallible call of the next step is to fail, 0 for none.
    pub(crate) fail_next: Cell<u32>,
    /// What it has still to do.
    pub(crate) rest: Cell<&'a [Step]>,
    /// The record of a forked process.
    pub(crate) forked: Option<&'a Kcov>,
}

impl<'a> Actor<'a> {
    /// Performs all that it has still to do.
    pub(crate) fn play(&self) {
        while let Some((step, rest)) = self.rest.get().split_first() {
            self.rest.set(rest);
            self.perform(step);
        }
    }

    /// Performs one step, and tells what came of it: what the call returned, -1 for its errors.
    fn perform(&self, step: &Step) -> i64 {
        let operation = &self.operations[step.code];
        let fails = if UNFAILING.contains(&operation.name) { 0 } else { self.fail_next.take() };
        if fails != 0 {
            set_fail(fails);
        }
        let result = (operation.act)(self, step);
        if fails != 0 {
            set_fail(0);
        }
        result
    }

    /// The descriptor the step is about.
    pub(crate) fn file(&self, step: &Step) -> i32 {
        self.world.file(step.file)
    }
}
