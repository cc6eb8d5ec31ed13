// SPDX-License-Identifier: MIT OR Apache-2.0
//! The version of what `--json` prints.

/// The version of what `--json` prints, which docs/schemas describes.
pub const VERSION: u32 = 1;
