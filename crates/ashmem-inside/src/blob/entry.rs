// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program's call as the code of the processor hands it over, and its answer.

use crate::calls;

/// The program's call.
#[repr(C)]
pub(crate) struct Frame {
    /// Its arguments.
    pub(crate) args: [u64; 6],
    /// The number.
    pub(crate) number: u64,
}

/// What became of it, in the two registers in which a function returns it.
#[repr(C)]
pub(crate) struct Answer {
    /// What the program's call returns.
    pub(crate) value: i64,
    /// 0: the program makes its call itself.
    pub(crate) is_answered: u64,
}

#[unsafe(no_mangle)]
pub(crate) extern "C" fn ashmem_answer(frame: &Frame) -> Answer {
    match calls::answer(frame) {
        Some(value) => Answer { value, is_answered: 1 },
        None => Answer { value: 0, is_answered: 0 },
    }
}
