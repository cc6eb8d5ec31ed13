// SPDX-License-Identifier: MIT OR Apache-2.0
//! SELinux and AppArmor: the policy in `packaging/selinux` and the profile in `packaging/apparmor`,
//! compiled with the distribution's own tools, and in force in a machine where the agent serves
//! containers.

mod apparmor;
pub(crate) mod selinux;

use crate::util::steps::Step;

/// The step that takes a moment.
pub(crate) fn here() -> Step {
    apparmor::compiled()
}

/// The steps that link a whole policy, or boot a kernel of Debian's.
pub(crate) fn long() -> Vec<Step> {
    vec![selinux::linked(), apparmor::enforced(), selinux::enforced()]
}
