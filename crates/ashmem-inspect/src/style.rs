// SPDX-License-Identifier: MIT OR Apache-2.0
//! Escape sequences by which a terminal marks what stands out.

/// Heads and totals.
pub(crate) const BOLD: &str = "\u{1b}[1m";
/// What should be looked into.
pub(crate) const WARN: &str = "\u{1b}[33m";
/// As before.
pub(crate) const PLAIN: &str = "\u{1b}[0m";
