// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processors for which there is no code yet: nothing is patched, every call is notified.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Result;

use super::mode::InsideMode;
use crate::notification::Notification;
use crate::regions::node::Device;
use crate::seccomp::filter::{Fidelity, Gate};
use crate::target_thread::Target;

pub(crate) enum NoInside {}

pub(crate) enum NoDue {}

impl NoInside {
    pub(crate) fn gate() -> Option<Gate> {
        None
    }

    pub(crate) fn new(_: &Device, _: i32, _: Fidelity, _: InsideMode) -> Result<Self> {
        Err(rustix::io::Errno::NOSYS)
    }

    pub(crate) fn due(&self, _: &Notification, _: &Target<'_>, _: bool) -> Option<NoDue> {
        match *self {}
    }

    pub(crate) fn patch(&self, due: &NoDue, _: &Target<'_>, _: impl FnOnce() -> bool) {
        match *due {}
    }

    pub(crate) fn may_end_with(&self, _: &Notification) -> bool {
        match *self {}
    }

    pub(crate) fn withdraw_for(&self, _: &Notification, _: &Target<'_>) -> Result<()> {
        match *self {}
    }

    pub(crate) fn forget_ended(&self) -> Vec<Arc<OwnedFd>> {
        match *self {}
    }
}
