// SPDX-License-Identifier: MIT OR Apache-2.0
//! Secure Boot.

use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::keys::{self, SecureBoot};
use crate::way::Way;

/// On or off; what follows from it, [`super::lockdown`] says.
pub(super) struct SecureBootCheck;

impl Check for SecureBootCheck {
    fn name(&self) -> &'static str {
        "Secure Boot"
    }

    fn looks_at(&self) -> &'static str {
        "the firmware's SecureBoot variable, and whether shim was told not to check"
    }

    fn ways(&self) -> &'static [Way] {
        &[]
    }

    fn examine(&self, host: &Host) -> Finding {
        match keys::secure_boot(host) {
            SecureBoot::NoFirmware => Finding::ok("off: no UEFI firmware is seen"),
            SecureBoot::Off => Finding::ok("off"),
            SecureBoot::NotValidated => {
                Finding::ok("on, but shim does not check (mokutil --disable-validation)")
            }
            SecureBoot::On => Finding::ok("on: the kernel takes signed modules only"),
            SecureBoot::Unknown => Finding::warning("the firmware's variable cannot be read")
                .why("whether modules must be signed is not known to this user")
                .next("sudo ashmem doctor"),
        }
    }
}
