// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was measured of each driver.

use ashmem_bench::Report;

/// What was measured of each driver that was asked for.
#[derive(Debug, Default)]
pub(super) struct Results {
    pub(super) reference: Option<Report>,
    pub(super) module: Option<Report>,
}
