// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cells of tables.

use ashmem_inspect::amount::{Bytes, Change};
use ashmem_inspect::group::Sum;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    Words,
    Number,
}

/// One cell: what is shown, and by what it is sorted where that is a number.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) shown: String,
    pub(crate) value: Option<f64>,
}

impl Cell {
    pub(crate) fn words(shown: impl ToString) -> Self {
        Self { shown: shown.to_string(), value: None }
    }

    pub(crate) fn count(value: u64) -> Self {
        Self { shown: value.to_string(), value: Some(value as f64) }
    }

    pub(crate) fn bytes(value: u64) -> Self {
        Self { shown: Bytes(value).to_string(), value: Some(value as f64) }
    }

    pub(crate) fn change(value: i64) -> Self {
        let shown = Change(value, |value| value).to_string();
        Self { shown, value: Some(value as f64) }
    }

    pub(crate) fn change_of_bytes(value: i64) -> Self {
        Self { shown: Change(value, Bytes).to_string(), value: Some(value as f64) }
    }

    /// A sum of bytes, as far as it is known.
    pub(crate) fn sum(sum: Sum) -> Self {
        let value = sum.known().map_or(-1.0, |known| known as f64);
        Self { shown: sum.shown(Bytes), value: Some(value) }
    }

    pub(crate) fn seconds(value: f64) -> Self {
        Self { shown: format!("{value:.3}"), value: Some(value) }
    }

    /// What is not known sorts below everything.
    pub(crate) fn unknown() -> Self {
        Self { shown: "?".to_owned(), value: Some(-1.0) }
    }

    pub(crate) fn none() -> Self {
        Self { shown: "-".to_owned(), value: Some(-1.0) }
    }
}
