// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is tried: a string of bytes, six a step, which always means something.
//!
//! | byte | meaning |
//! |---|---|
//! | 0 | the operation's place in [`OPERATIONS`]; the highest bit: the second thread does it |
//! | 1 | low half: which file; high half: which mapping |
//! | 2 to 5 | four operands, whose meaning is the operation's |
//!
//! Every byte counts modulo what there is of it, so that a changed byte is another input and never
//! an invalid one.

use std::fmt;

use anyhow::{Context, Result, ensure};

use crate::operation::OPERATIONS;
use crate::step::{Step, WIDTH};

/// The most steps of an input.
pub(crate) const LONGEST: usize = 40;
/// One input: whole steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Input(Vec<[u8; WIDTH]>);

impl Step {
    /// The operation's name.
    pub(crate) fn name(&self) -> &'static str {
        OPERATIONS[self.code].name
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { second, file, map, a, b, c, d, .. } = self;
        let thread = if *second { "second" } else { "first " };
        write!(
            formatter,
            "{thread}  {} file {file}, mapping {map}, operands {a} {b} {c} {d}",
            self.name()
        )
    }
}

impl Input {
    /// The input of these steps; what is too long is cut.
    pub(crate) fn new(mut steps: Vec<[u8; WIDTH]>) -> Self {
        steps.truncate(LONGEST);
        Self(steps)
    }

    /// Reads an input as it stands in a file or the journal.
    pub(crate) fn from_hex(text: &str) -> Result<Self> {
        let digits = text.trim();
        ensure!(digits.is_ascii(), "an input is written in hexadecimal digits: {digits}");
        ensure!(
            !digits.is_empty() && digits.len().is_multiple_of(2 * WIDTH),
            "an input has {} digits a step, this has {}",
            2 * WIDTH,
            digits.len()
        );
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|place| u8::from_str_radix(&digits[2 * place..2 * place + 2], 16))
            .collect::<Result<_, _>>()
            .with_context(|| format!("{digits} is no input"))?;
        Ok(Self::new(
            bytes.chunks_exact(WIDTH).map(|step| step.try_into().unwrap_or_default()).collect(),
        ))
    }

    /// The steps as bytes.
    pub(crate) fn bytes(&self) -> &[[u8; WIDTH]] {
        &self.0
    }

    /// The steps as meant.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.0.iter().map(|step| Step::decode(*step, OPERATIONS.len())).collect()
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The input without one of its steps.
    pub(crate) fn without(&self, step: usize) -> Self {
        let mut steps = self.0.clone();
        steps.remove(step);
        Self(steps)
    }

    /// Whether a step of it does one of these.
    pub(crate) fn does(&self, names: &[&str]) -> bool {
        self.steps().iter().any(|step| names.contains(&step.name()))
    }
}

impl fmt::Display for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_flattened().iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Input, LONGEST, WIDTH};

    #[test]
    fn an_input_is_read_as_it_was_written() {
        let input = Input::new(vec![[0, 1, 2, 3, 4, 5], [0x8a, 0xff, 0, 0, 0, 9]]);
        assert_eq!(input.to_string(), "0001020304058aff00000009");
        assert_eq!(Input::from_hex("0001020304058aff00000009\n").unwrap(), input);
        let steps = input.steps();
        assert!(!steps[0].second && steps[1].second);
        assert_eq!(steps[1].code, 10);
    }

    #[test]
    fn what_is_no_input_is_refused() {
        for text in ["", "00", "00010203040x", "0001020304050", "éééééé"] {
            assert!(Input::from_hex(text).is_err(), "{text}");
        }
    }

    #[test]
    fn too_many_steps_are_cut() {
        assert_eq!(Input::new(vec![[0; WIDTH]; LONGEST + 1]).len(), LONGEST);
    }
}
