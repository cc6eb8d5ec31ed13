// SPDX-License-Identifier: MIT OR Apache-2.0
//! memfd, as Android takes it for shared memory.

use crate::Host;
use crate::check::Check;
use crate::finding::Finding;
use crate::trial::{self, Failure};
use crate::way::Way;

/// Made, sealed, and asked for its size by ashmem's ioctl.
pub(super) struct MemfdCheck;

impl Check for MemfdCheck {
    fn name(&self) -> &'static str {
        "memfd"
    }

    fn looks_at(&self) -> &'static str {
        "memfd_create, F_SEAL_FUTURE_WRITE, and ashmem's GET_SIZE on a memfd, which Android 16's \
         libcutils asks for"
    }

    fn ways(&self) -> &'static [Way] {
        // Regions of both are memfds.
        &[Way::Agent, Way::Run]
    }

    fn examine(&self, host: &Host) -> Finding {
        match trial::memfd() {
            Ok(()) => Finding::ok("works, and answers ashmem's ioctls: Android 16 takes it"),
            Err(Failure { step: "GET_SIZE", .. }) => without_ioctls(host),
            Err(failure) => Finding::fault(format!("{failure}"))
                .why(
                    "Linux has had memfd since 3.17 and this seal since 5.1; a sandbox around this \
                     program may forbid them",
                )
                .next("grep Seccomp /proc/self/status   # 2: a filter is in force"),
        }
    }
}

fn without_ioctls(host: &Host) -> Finding {
    let what = "works, without ashmem's ioctls";
    let name = host.boot_id().map(|id| format!("/dev/ashmem{id}")).unwrap_or_default();
    if trial::device(host, &name).is_ok() {
        return Finding::ok(format!("{what}: Android 16 uses the boot id name"));
    }
    Finding::warning(format!("{what}: Android 16 refuses it"))
        .why(
            "\"no ashmem-memfd compat support\": only Google's kernels answer; Android 16 then \
             wants the boot id name, or the agent, which answers on memfds",
        )
        .next("ashmem doctor --mode module")
        .next("ashmem doctor --mode agent")
}
