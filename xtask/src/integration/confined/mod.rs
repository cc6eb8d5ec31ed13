// SPDX-License-Identifier: MIT OR Apache-2.0
//! SELinux and AppArmor: the policy in `packaging/selinux` and the profile in `packaging/apparmor`,
//! compiled with the distribution's own tools, and in force in a machine where the agent serves
//! containers.

mod apparmor;
mod selinux;

use crate::util::steps::Step;

/// The steps that compile.
pub(crate) fn here() -> Vec<Step> {
    vec![apparmor::compiled(), selinux::linked()]
}

/// The steps that boot a kernel of Debian's with each of them.
pub(crate) fn booted() -> Vec<Step> {
    vec![apparmor::enforced(), selinux::enforced()]
}
