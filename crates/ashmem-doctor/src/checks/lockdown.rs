// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the kernel would refuse our module for want of a signature.

use super::module;
use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::keys::{self, SecureBoot, SigningKey};
use crate::module_file::{self, ModuleFile, NAME};
use crate::way::Way;

/// Lockdown, enforced signatures, and the module's own.
pub(super) struct LockdownCheck;

impl Check for LockdownCheck {
    fn name(&self) -> &'static str {
        "signature"
    }

    fn looks_at(&self) -> &'static str {
        "kernel lockdown and enforced module signatures, against the signature of the module's file"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Module]
    }

    fn examine(&self, host: &Host) -> Finding {
        if module::is_registered(host) {
            return Finding::ok("the driver is running already");
        }
        let release = host.kernel();
        let file = module_file::find(host, &release, NAME)
            .and_then(|path| ModuleFile::read(host, &path).ok());
        let Some(by) = enforced_by(host) else {
            return Finding::ok("modules need none here");
        };
        let Some(file) = file else {
            return Finding::absent(format!("{by}: modules must be signed; none is built yet"));
        };
        if !file.is_signed {
            let finding = Finding::fault("the module is not signed, and the kernel will refuse it")
                .why(format!(
                    "{by} (\"Operation not permitted\", \"Key was rejected\", \"Required key not \
                     available\")"
                ));
            return with_steps(host, finding).next(module::rebuild(host, &release));
        }
        match keys::key(host) {
            SigningKey::Enrolled(path) => Finding::ok(format!("signed, and {path} is enrolled")),
            // Without firmware there is no MOK: the key may be in the kernel itself.
            _ if keys::secure_boot(host) == SecureBoot::NoFirmware => {
                Finding::warning("signed; whether the kernel knows the key, only loading tells")
                    .why(by)
                    .next(format!("sudo modprobe {NAME}"))
            }
            _ => with_steps(
                host,
                Finding::fault("signed with a key that the firmware does not know"),
            )
            .why(format!("{by} (\"Key was rejected by service\", \"Required key not available\")")),
        }
    }
}

fn with_steps(host: &Host, finding: Finding) -> Finding {
    keys::steps(host, &keys::key(host)).into_iter().fold(finding, Finding::next)
}

/// What makes the kernel refuse unsigned modules, if anything does.
fn enforced_by(host: &Host) -> Option<String> {
    let lockdown = host.text("/sys/kernel/security/lockdown");
    let level = lockdown.as_deref().and_then(|text| text.split('[').nth(1)?.split(']').next());
    match level {
        Some("none") => {}
        Some(level) => return Some(format!("the kernel is locked down ({level})")),
        // securityfs is not mounted, or there is no such thing in this kernel.
        None if keys::secure_boot(host) == SecureBoot::On => {
            return Some("Secure Boot is on".to_owned());
        }
        None => {}
    }
    let is_enforced =
        host.text("/sys/module/module/parameters/sig_enforce").as_deref() == Some("Y");
    is_enforced.then(|| "the kernel enforces signatures (module.sig_enforce)".to_owned())
}
