//! The cases, one file a section.

mod memory;
mod mmap;
mod name;
mod numbers;
mod open;
mod protection;
mod read_seek;
mod size;
mod unsupported;

use crate::case::Case;

/// Every case, in the order of the specification.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [
        numbers::CASES,
        open::CASES,
        name::CASES,
        size::CASES,
        protection::CASES,
        mmap::CASES,
        memory::CASES,
        read_seek::CASES,
        unsupported::CASES,
    ]
    .into_iter()
    .flatten()
}
