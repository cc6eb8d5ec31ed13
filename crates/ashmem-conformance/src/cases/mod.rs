//! The cases, one file a section.

mod applications;
mod binder;
mod clients;
mod compat;
mod fdinfo;
mod memory;
mod mmap;
mod name;
mod numbers;
mod open;
mod pins;
mod pressure;
pub(crate) mod processes;
mod protection;
mod purge;
mod purged;
mod read_seek;
mod run;
mod security;
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
        pins::CASES,
        purge::CASES,
        purged::CASES,
        fdinfo::CASES,
        compat::CASES,
        processes::CASES,
        binder::CASES,
        clients::CASES,
        applications::CASES,
        security::CASES,
        pressure::CASES,
    ]
    .into_iter()
    .flatten()
}
