// SPDX-License-Identifier: MIT OR Apache-2.0
//! The host's shared memory regions, live on a terminal.
//!
//! - [`app`]: what is shown and what a key does to it, nothing of terminals; [`view`]: which
//!   screens there are; [`history`]: what was before; [`order`], `columns`: what is in a table, and
//!   sorting; `process_row`: a process with what it has; `places`: what a click meets;
//! - `draw`: how it looks, one part of the screen a file; [`theme`]: with colours and without;
//! - [`live`]: the same on a terminal, until somebody quits; `terminal`: the terminal, left as it
//!   was found; `keeper`: by whomever, even when this process is killed;
//! - [`snapshot`]: the same as text or as a picture; [`keys`]: keys by their names.

pub mod app;
mod columns;
mod draw;
pub mod history;
pub mod keys;
pub mod live;
pub mod order;
mod places;
mod process_row;
pub mod snapshot;
mod svg;
mod terminal;
mod terminal_guard;
pub mod theme;
pub mod view;
