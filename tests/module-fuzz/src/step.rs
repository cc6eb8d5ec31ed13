// SPDX-License-Identifier: MIT OR Apache-2.0
//! One step of an input.

/// Bytes of a step.
pub(crate) const WIDTH: usize = 6;
/// Places for descriptors, and for mappings.
pub(crate) const PLACES: usize = 6;

/// The bit that gives a step to the second thread.
pub(crate) const SECOND: u8 = 0x80;

/// One step, decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// The operation's place in the list of them.
    pub(crate) code: usize,
    pub(crate) second: bool,
    pub(crate) file: usize,
    pub(crate) map: usize,
    pub(crate) a: u8,
    pub(crate) b: u8,
    pub(crate) c: u8,
    pub(crate) d: u8,
}

impl Step {
    /// A step of these bytes, where there are so many operations.
    pub(crate) fn decode([code, places, a, b, c, d]: [u8; WIDTH], operations: usize) -> Self {
        Self {
            code: usize::from(code & !SECOND) % operations,
            second: code & SECOND != 0,
            file: usize::from(places & 0xf) % PLACES,
            map: usize::from(places >> 4) % PLACES,
            a,
            b,
            c,
            d,
        }
    }
}
