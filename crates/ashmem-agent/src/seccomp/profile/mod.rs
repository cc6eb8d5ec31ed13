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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The call.
    pub name: &'static str,
    /// The test of its arguments.
    pub test: Test,
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
        "the policy already notifies another supervisor ({0}), and a container can have only one: remove its rules first"
    )]
    Taken(String),
    /// The device cannot work under it.
    #[error(
        "the policy denies {0}, which stays denied; without that call there is no /dev/ashmem: allow it first"
    )]
    Denied(&'static str),
}

const NOTIFY_BY_DEFAULT: &str = "the policy's default action is notify, which every runtime refuses: the handing over of the listener itself would wait for an answer; give it another default";
const NOTIFY_ON_WRITE: &str = "the policy notifies write, which every runtime refuses: the handing over of the listener itself would wait for an answer; take that rule out";

/// The calls without which the device cannot work: one name of each group must be notified.
const NEEDED: [&[&str]; 2] = [&["ioctl"], &["mmap", "mmap2"]];

/// The rules for a container in which a node lies at `/dev/ashmem`.
pub fn rules(fidelity: Fidelity) -> Vec<Rule> {
    let filter = Filter { fidelity, node: NodeLookup::Present };
    let mut rules: Vec<Rule> = Vec::new();
    for (_, name, kind) in TABLES.iter().flat_map(|table| table.calls) {
        if let Some(test) = filter.test(*kind)
            && !rules.iter().any(|rule| rule.name == *name)
        {
            rules.push(Rule { name, test });
        }
    }
    rules
}

/// The complement of a test: tests of one bit each, of which at least one holds for every call that
/// does not pass it.
fn complement(test: Test) -> impl Iterator<Item = Test> {
    (0..u32::BITS)
        .map(|bit| 1 << bit)
        .filter(move |bit| test.mask & bit != 0)
        .map(move |bit| Test { arg: test.arg, mask: bit, value: !test.value & bit })
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
        for rule in rules(Fidelity::Full) {
            for value in [
                0_u32,
                1,
                2,
                3,
                0x20,
                0x42,
                0x802,
                0x7704,
                0x7801,
                0x4008_7703,
                1031,
                1032,
                1034,
                1036,
                !0,
            ] {
                let holds = |test: Test| value & test.mask == test.value;
                assert_ne!(
                    holds(rule.test),
                    complement(rule.test).any(holds),
                    "{rule:?} {value:#x}"
                );
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
