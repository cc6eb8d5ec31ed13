// SPDX-License-Identifier: MIT OR Apache-2.0
//! One page that shows a host's shared memory at a moment, or what a trace saw: a file that stands
//! by itself and can be attached to a report of a fault.
//!
//! - [`moment`]: from censuses; [`comparison`]: what grew between two that were written down, which
//!   [`census_file`] reads; [`trace_file`], [`past`]: from a file that `ashmem trace --json`
//!   wrote;
//! - [`sheet`]: what a page says, wherever it came from, and how much of it;
//! - `holders`, `history`: who has regions, or made them; `treemap`, `flame`, `chart`,
//!   `family_lines`: what is drawn; `picture`: drawn as SVG, here, so that the page needs no
//!   program for it; `fold`: what belongs together, folded; `cell`: a table's cells;
//! - `data`: the rows of tables as the page's script reads them; `page`: the page as HTML;
//!   [`mod@file`]: into a file, whole or not at all.

mod cell;
pub mod census_file;
mod chart;
pub mod comparison;
mod data;
mod family_lines;
pub mod file;
mod flame;
mod fold;
mod history;
mod holders;
pub mod moment;
mod page;
pub mod past;
mod picture;
pub mod sheet;
pub mod trace_file;
mod treemap;
