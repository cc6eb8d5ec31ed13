// SPDX-License-Identifier: MIT OR Apache-2.0
//! When programs get the code that answers inside them.

/// When programs get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsideMode {
    /// Once they use the device.
    Auto,
    /// With their first notified call.
    AtOnce,
    /// Never: every call is notified.
    Never,
}
