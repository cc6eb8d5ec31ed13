//! The cases, one file a section.

mod name;
mod numbers;
mod open;
mod protection;
mod size;

use crate::case::Case;

/// Every case, in the order of the specification.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [numbers::CASES, open::CASES, name::CASES, size::CASES, protection::CASES].into_iter().flatten()
}
