// SPDX-License-Identifier: MIT OR Apache-2.0
//! What stands in an installation's way, and what is put back: over folders in a machine's place.
//! Builds by DKMS and kbuild in real systems are tried by `cargo xtask`.

mod journal;
mod obstacles;
mod root;
