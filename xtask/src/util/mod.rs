// SPDX-License-Identifier: MIT OR Apache-2.0
//! What everything here stands on: other programs, the workspace and its cache, named steps.

pub(crate) mod arch;
pub(crate) mod links;
pub(crate) mod process;
pub(crate) mod pypi;
pub(crate) mod steps;
pub(crate) mod tools;
pub(crate) mod workspace;
