// SPDX-License-Identifier: MIT OR Apache-2.0
//! Amounts of memory, for people.

use std::fmt;

pub use ashmem_trace::amount::Bytes;

/// An amount that may be unknown, shown as `?` then.
pub fn or_unknown(amount: Option<impl fmt::Display>) -> String {
    amount.map_or_else(|| "?".to_owned(), |amount| amount.to_string())
}
