// SPDX-License-Identifier: MIT OR Apache-2.0
//! The filter as rules in a container runtime's own seccomp policy: [`oci`] for profiles in JSON,
//! [`lxc`] for LXC's.
//!
//! Runtimes make their filters with libseccomp, where a rule names a call and compares arguments.
//! Two things follow. A call that the policy allows as a whole must be split, because libseccomp
//! drops a narrower rule beside a broader one: it is notified where the bits of the test match, and
//! stays allowed in every way in which one of them differs. And a call that the policy denies stays
//! denied: an answer of ours must not grant what the policy withholds.
//!
//! A rule holds for all architectures at once, so one name has one test: that of the 64-bit call.

pub mod lxc;
pub mod oci;

use crate::seccomp::filter::{Fidelity, Filter, NodeLookup, Test};
use crate::seccomp::syscalls::TABLES;

/// A call by name, and when it is notified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The call.
    pub name: &'static str,
    /// It is notified if every test of one of these holds.
    pub conditions: Vec<Vec<Test>>,
}

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be parsed.
    #[error("this is no {what}: {why}")]
    Malformed {
        /// What was expected.
        what: &'static str,
        /// What was found.
        why: String,
    },
    /// Runtimes refuse it.
    #[error("{0}")]
    Refused(&'static str),
    /// Another supervisor listens already.
    #[error(
        "the policy already notifies another supervisor ({0}), and a container can have only one: \
         remove its rules first"
    )]
    Taken(String),
    /// The device cannot work under it.
    #[error(
        "the policy denies {0}, which stays denied; without that call there is no /dev/ashmem: \
         allow it first"
    )]
    Denied(&'static str),
}

const NOTIFY_BY_DEFAULT: &str = "the policy's default action is notify, which every runtime \
                                 refuses: the handing over of the listener itself would wait for \
                                 an answer; give it another default";
const NOTIFY_ON_WRITE: &str = "the policy notifies write, which every runtime refuses: the handing \
                               over of the listener itself would wait for an answer; take that \
                               rule out";

/// The calls without which the device cannot work: one name of each group must be notified.
const NEEDED: [&[&str]; 2] = [&["ioctl"], &["mmap", "mmap2"]];

/// The rules for a container in which a node lies at `/dev/ashmem`.
pub fn rules(fidelity: Fidelity) -> Vec<Rule> {
    let filter = Filter { fidelity, node: NodeLookup::Present };
    let mut rules: Vec<Rule> = Vec::new();
    for (_, name, kind) in TABLES.iter().flat_map(|table| table.calls) {
        let conditions = filter.conditions(*kind);
        if !conditions.is_empty() && !rules.iter().any(|rule| rule.name == *name) {
            rules.push(Rule { name, conditions });
        }
    }
    rules
}

/// The complement of a rule's conditions: conditions of which at least one holds for every call for
/// which none of the rule's does, and none for any other.
fn complement(conditions: &[Vec<Test>]) -> Vec<Vec<Test>> {
    let mut all: Vec<Vec<Test>> = vec![Vec::new()];
    for condition in conditions {
        let bits: Vec<Test> = condition.iter().flat_map(|test| differing(*test)).collect();
        let merged = all.iter().flat_map(|tests| bits.iter().filter_map(|bit| with(tests, *bit)));
        all = merged.collect();
        // What is narrower than another adds nothing.
        let mut widest: Vec<Vec<Test>> = Vec::new();
        for tests in &all {
            let is_added = |other: &Vec<Test>| other != tests && implies(tests, other);
            if !all.iter().any(is_added) && !widest.contains(tests) {
                widest.push(tests.clone());
            }
        }
        all = widest;
    }
    all
}

/// Tests of one bit each, of which at least one holds wherever this test does not.
fn differing(test: Test) -> impl Iterator<Item = Test> {
    (0..u32::BITS)
        .map(|bit| 1 << bit)
        .filter(move |bit| test.mask & bit != 0)
        .map(move |bit| Test { arg: test.arg, mask: bit, value: !test.value & bit })
}

/// These tests and one more; `None` if they cannot hold at once. An argument has one test.
fn with(tests: &[Test], more: Test) -> Option<Vec<Test>> {
    let mut tests = tests.to_vec();
    match tests.iter_mut().find(|test| test.arg == more.arg) {
        Some(test) if (test.value ^ more.value) & test.mask & more.mask != 0 => return None,
        Some(test) => (test.mask, test.value) = (test.mask | more.mask, test.value | more.value),
        None => tests.push(more),
    }
    tests.sort_unstable_by_key(|test| test.arg);
    Some(tests)
}

/// Whether the second tests hold wherever the first ones do.
fn implies(narrow: &[Test], wide: &[Test]) -> bool {
    wide.iter().all(|wide| {
        narrow.iter().any(|narrow| {
            let same = (narrow.value ^ wide.value) & wide.mask == 0;
            narrow.arg == wide.arg && narrow.mask & wide.mask == wide.mask && same
        })
    })
}

/// Checks that every needed call was given a rule.
fn check_needed(noted: impl Fn(&str) -> bool) -> Result<(), Error> {
    match NEEDED.iter().find(|names| !names.iter().any(|name| noted(name))) {
        Some(names) => Err(Error::Denied(names[0])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_notified_or_left_alone_and_never_both() {
        let values = [
            0_u32,
            1,
            2,
            3,
            0x10,
            0x20,
            0x42,
            0x802,
            0x811,
            0x812,
            0x822,
            0x7704,
            0x7801,
            0x4008_7703,
            1031,
            1032,
            1034,
            1036,
            !0,
        ];
        for rule in rules(Fidelity::Full) {
            for (second, third) in
                values.iter().flat_map(|value| [0, 1, 2, 3, !0].map(|other| (*value, other)))
            {
                // What mmap's third argument is to its fourth, every other call's is too.
                let arg = |test: &Test| if test.arg == 2 { third } else { second };
                let holds = |test: &Test| arg(test) & test.mask == test.value;
                let any = |conditions: &[Vec<Test>]| {
                    conditions.iter().any(|tests| tests.iter().all(holds))
                };
                assert_ne!(
                    any(&rule.conditions),
                    any(&complement(&rule.conditions)),
                    "{rule:?} {second:#x} {third:#x}"
                );
            }
        }
    }

    #[test]
    fn an_argument_is_compared_once_in_each_condition() {
        for rule in rules(Fidelity::Full) {
            let complement = complement(&rule.conditions);
            assert!(rule.name != "mmap" || complement.len() <= 4, "{complement:?}");
            for tests in rule.conditions.iter().chain(&complement) {
                let mut args: Vec<u32> = tests.iter().map(|test| test.arg).collect();
                args.dedup();
                assert_eq!(args.len(), tests.len(), "{tests:?}");
            }
        }
    }

    #[test]
    fn a_name_has_one_rule() {
        for fidelity in [Fidelity::Fast, Fidelity::Full] {
            let mut names: Vec<_> = rules(fidelity).iter().map(|rule| rule.name).collect();
            assert!(["ioctl", "mmap", "mmap2"].iter().all(|name| names.contains(name)));
            // At `fast` an open ends at the node and becomes a region with its first ioctl.
            let opens = ["open", "openat"].iter().filter(|name| names.contains(name)).count();
            assert_eq!(opens, if fidelity == Fidelity::Full { 2 } else { 0 });
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }
}
