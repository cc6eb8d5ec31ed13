// SPDX-License-Identifier: MIT OR Apache-2.0
//! Amounts of memory and their changes, for people.

use std::fmt;

/// Bytes, shown with at most three digits and a binary unit: `512`, `20K`, `1.5M`, `3.2G`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.0 as f64;
        let mut unit = "";
        for next in ["K", "M", "G", "T", "P", "E"] {
            if amount < 1000.0 {
                break;
            }
            amount /= 1024.0;
            unit = next;
        }
        let text = if unit.is_empty() || amount >= 9.95 || amount.fract() == 0.0 {
            format!("{amount:.0}{unit}")
        } else {
            format!("{amount:.1}{unit}")
        };
        formatter.pad(&text)
    }
}

/// A sum as a number that everybody's tools can read: at its ends it stays where it is.
pub fn saturated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

/// A change of an amount, with its sign: `+12`, `-48K`, `0`.
#[derive(Clone, Copy, Debug)]
pub struct Change<T>(pub i64, pub fn(u64) -> T);

impl<T: fmt::Display> fmt::Display for Change<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.0.signum() {
            1 => "+",
            -1 => "-",
            _ => "",
        };
        formatter.pad(&format!("{sign}{}", self.1(self.0.unsigned_abs())))
    }
}

/// A number of things, which may have a sign: `1 region`, `+2 regions`, `3 processes`.
pub fn counted(number: impl fmt::Display, thing: &str) -> String {
    let number = number.to_string();
    let ending = match number.trim_start_matches(['+', '-']) {
        "1" => "",
        _ if thing.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {thing}{ending}")
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Change, counted};

    #[test]
    fn one_thing_is_no_plural() {
        let told = [(0, "region"), (1, "region"), (2, "region"), (-1, "page"), (2, "process")];
        assert_eq!(
            told.map(|(number, thing)| counted(number, thing)),
            ["0 regions", "1 region", "2 regions", "-1 page", "2 processes"]
        );
        assert_eq!(counted(Change(1, |more| more), "region"), "+1 region");
    }

    #[test]
    fn three_digits_and_a_unit() {
        for (bytes, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.0K"),
            (1024, "1K"),
            (20480, "20K"),
            (1_572_864, "1.5M"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
