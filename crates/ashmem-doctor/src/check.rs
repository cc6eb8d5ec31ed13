// SPDX-License-Identifier: MIT OR Apache-2.0
//! A check: what each of them says of itself, and how it is asked.

use crate::Host;
use crate::finding::Finding;
use crate::way::Way;

/// One thing looked at.
pub trait Check: Sync {
    /// What it is called on the screen: a word or two.
    fn name(&self) -> &'static str;

    /// What it looks at, in half a sentence.
    fn looks_at(&self) -> &'static str;

    /// The ways that do not work while this is at fault.
    fn ways(&self) -> &'static [Way];

    /// Looks.
    fn examine(&self, host: &Host) -> Finding;
}
