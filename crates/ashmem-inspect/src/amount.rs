// SPDX-License-Identifier: MIT OR Apache-2.0
//! Amounts of memory, for people.

use std::fmt;

pub use ashmem_trace::amount::{Bytes, Change, counted};

/// A time in seconds, shown with its largest unit: `45s`, `12m`, `3h`, `2d`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Age(pub f64);

impl fmt::Display for Age {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.max(0.0) as u64;
        let text = match seconds {
            0..100 => format!("{seconds}s"),
            100..6000 => format!("{}m", seconds / 60),
            6000..172_800 => format!("{}h", seconds / 3600),
            _ => format!("{}d", seconds / 86_400),
        };
        formatter.pad(&text)
    }
}

/// An amount that may be unknown, shown as `?` then.
pub fn or_unknown(amount: Option<impl fmt::Display>) -> String {
    amount.map_or_else(|| "?".to_owned(), |amount| amount.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Age, Bytes, Change};

    #[test]
    fn changes_have_signs_and_times_one_unit() {
        let change = |bytes| Change(bytes, Bytes).to_string();
        assert_eq!([change(49152), change(0), change(-20480)], ["+48K", "0", "-20K"]);
        assert_eq!(Change(i64::MIN, Bytes).to_string(), "-8E");
        let ages = [0.4, 99.9, 100.0, 5999.0, 6000.0, 172_800.0, f64::NAN];
        assert_eq!(
            ages.map(|age| Age(age).to_string()),
            ["0s", "99s", "1m", "99m", "1h", "2d", "0s"]
        );
    }
}
