// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases, one file a section.

mod applications;
mod binder;
mod clients;
mod compat;
mod fdinfo;
mod locks;
mod memory;
mod memory_tags;
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
        locks::CASES,
        name::CASES,
        size::CASES,
        protection::CASES,
        mmap::CASES,
        memory::CASES,
        memory_tags::CASES,
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

#[cfg(test)]
mod tests {
    use super::all;
    use crate::case::Provider;

    #[test]
    fn every_difference_is_told_to_people() {
        let page = include_str!("../../../../docs/deviations.md");
        let words: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
        let globs = words.iter().filter_map(|word| globset::Glob::new(word).ok());
        let globs: Vec<_> = globs.map(|glob| glob.compile_matcher()).collect();
        let is_named = |id: &str| globs.iter().any(|glob| glob.is_match(id));
        for case in all() {
            if Provider::OURS.iter().any(|provider| case.difference(*provider).is_some()) {
                assert!(is_named(case.id), "docs/deviations.md does not name {}", case.id);
            }
        }
    }
}
