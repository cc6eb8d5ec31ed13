//! Who called ashmem, with what, and what came of it.
//!
//! One [`event::Event`] is one call, one purge or one end of a region, whatever saw it. It is written as a line for people
//! ([`line`]) or as a line of JSON ([`json`]), whose form is fixed.
//!
//! - [`event`], [`operation`]: what happened; [`text`]: names from outside, made harmless;
//! - [`line`], [`json`]: how it is written down; [`clock`]: what time it was.

pub mod clock;
pub mod event;
pub mod json;
pub mod line;
pub mod operation;
pub mod text;
