// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decision on one notification.

use crate::emulation::argument::Argument;
use crate::emulation::descriptor::InspectedFd;
use crate::emulation::outcome::Outcome;
use crate::seccomp::syscalls::Call;

/// What was decided on one notification. What it points to in the caller's memory was read once,
/// its descriptor was looked at once; the answer, the journal's entries and a tracer's record are
/// all made from this, so that none can say what another does not.
pub(crate) struct Decision {
    /// The call, with arguments that lie in memory as they were read.
    pub(crate) call: Call,
    /// The descriptor it is about, if it was copied. It is closed once the answer is sent: the
    /// caller does not wait for that.
    pub(crate) descriptor: Option<InspectedFd>,
    /// What an ioctl's argument points to.
    pub(crate) argument: Argument,
    /// What is to be done.
    pub(crate) outcome: Outcome,
}

impl Decision {
    /// A decision on a call that needed neither descriptor nor argument.
    pub(crate) fn of(call: Call, outcome: Outcome) -> Self {
        Self { call, descriptor: None, argument: Argument::None, outcome }
    }
}
