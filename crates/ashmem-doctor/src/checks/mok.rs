// SPDX-License-Identifier: MIT OR Apache-2.0
//! The machine owner's key, with which DKMS signs.

use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::keys::{self, SecureBoot, SigningKey};
use crate::way::Way;

/// Made, waiting, enrolled: what comes next on the way.
pub(super) struct MokCheck;

impl Check for MokCheck {
    fn name(&self) -> &'static str {
        "signing key"
    }

    fn looks_at(&self) -> &'static str {
        "the key that DKMS signs modules with: whether it was made, and enrolled in the firmware \
         (MOK)"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        let is_needed = keys::secure_boot(host) == SecureBoot::On;
        let key = keys::key(host);
        let (summary, why) = match &key {
            SigningKey::Enrolled(path) => return Finding::ok(format!("{path} is enrolled")),
            _ if !is_needed => return Finding::absent("not needed without Secure Boot"),
            SigningKey::None => {
                ("there is none".to_owned(), "DKMS makes it, and signs with it from then on")
            }
            SigningKey::Made(path) => (
                format!("{path} is not enrolled"),
                "the kernel refuses what is signed with it until the firmware knows it",
            ),
            SigningKey::Waiting(path) => (
                format!("{path} waits to be enrolled"),
                "the next boot stops at a blue screen (MOK management): Enroll MOK, Continue, Yes, \
                 then the password given to mokutil",
            ),
        };
        let mut finding = Finding::warning(summary).why(why);
        for step in keys::steps(host, &key) {
            finding = finding.next(step);
        }
        finding
    }
}
