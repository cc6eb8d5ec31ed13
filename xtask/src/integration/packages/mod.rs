//! The Debian packages' life in real Debian systems.

pub(crate) mod faults;
mod machine;
mod readme;
pub(crate) mod release;
pub(crate) mod service;
pub(crate) mod signing;
pub(crate) mod trial;
