// SPDX-License-Identifier: MIT OR Apache-2.0
//! Columns of a table: what stands in them, by what they sort, and which of them a screen shows.

pub(crate) mod groups;
pub(crate) mod processes;
pub(crate) mod regions;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use ratatui::style::Style;

use crate::theme::Theme;

/// A column of rows of this kind.
pub(crate) struct Column<R> {
    pub(crate) head: &'static str,
    pub(crate) width: usize,
    pub(crate) text: fn(&R) -> String,
    pub(crate) style: fn(Theme, &R) -> Style,
    /// By what rows are sorted by it; `None` where they cannot be.
    pub(crate) key: Option<fn(&R) -> SortKey>,
    /// Which go first where there is little room: those with the highest number.
    pub(crate) rank: u8,
    pub(crate) is_left: bool,
}

/// What a row is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SortKey {
    /// The largest first, what is unknown last.
    Most(Option<f64>),
    /// In alphabetical order.
    Words(String),
}

impl SortKey {
    /// Which of two comes first.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Most(one), Self::Most(other)) => {
                let order = |figure: &Option<f64>| figure.unwrap_or(f64::NEG_INFINITY);
                order(other).total_cmp(&order(one))
            }
            (Self::Words(one), Self::Words(other)) => one.cmp(other),
            (Self::Most(_), Self::Words(_)) => Ordering::Less,
            (Self::Words(_), Self::Most(_)) => Ordering::Greater,
        }
    }
}

impl<R> Column<R> {
    /// One of figures, set to the right.
    pub(crate) fn right(
        head: &'static str,
        width: usize,
        rank: u8,
        text: fn(&R) -> String,
    ) -> Self {
        let style = |_: Theme, _: &R| Style::new();
        Self { head, width, text, style, key: None, rank, is_left: false }
    }

    /// One of words.
    pub(crate) fn left(head: &'static str, width: usize, rank: u8, text: fn(&R) -> String) -> Self {
        Self { is_left: true, ..Self::right(head, width, rank, text) }
    }

    /// It stands out so.
    pub(crate) fn styled(self, style: fn(Theme, &R) -> Style) -> Self {
        Self { style, ..self }
    }

    /// It sorts so.
    pub(crate) fn by(self, key: fn(&R) -> SortKey) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// Puts rows into the order of the column of this head, those of the highest urgency first; equal
/// ones stay as they are.
pub(crate) fn sort<R>(
    rows: &mut [R],
    columns: &[Column<R>],
    head: &str,
    is_reversed: bool,
    urgency: impl Fn(&R) -> u8,
) {
    let key = columns.iter().find(|column| column.head == head).and_then(|column| column.key);
    rows.sort_by(|one, other| {
        let order = key.map_or(Ordering::Equal, |key| key(one).compare(&key(other)));
        let order = if is_reversed { order.reverse() } else { order };
        urgency(other).cmp(&urgency(one)).then(order)
    });
}

/// The head of the column that can be sorted by, so many steps further on, round and round.
pub(crate) fn further<R>(columns: &[Column<R>], head: &'static str, steps: isize) -> &'static str {
    let heads: Vec<&'static str> =
        columns.iter().filter(|column| column.key.is_some()).map(|column| column.head).collect();
    let at = heads.iter().position(|one| *one == head).unwrap_or(0);
    match heads.len() {
        0 => head,
        count => heads[(at as isize + steps).rem_euclid(count as isize) as usize],
    }
}

/// Whether the column of this head can be sorted by.
pub(crate) fn sorts<R>(columns: &[Column<R>], head: &str) -> bool {
    columns.iter().any(|column| column.head == head && column.key.is_some())
}

/// The columns that are wanted and have room beside a name of this width.
pub(crate) fn fitting<R>(
    mut columns: Vec<Column<R>>,
    hidden: &BTreeSet<&'static str>,
    width: usize,
    name: usize,
) -> Vec<Column<R>> {
    columns.retain(|column| !hidden.contains(column.head));
    let used = |columns: &[Column<R>]| {
        columns.iter().map(|column| column.width + 1).sum::<usize>() + 1 + name
    };
    while used(&columns) > width {
        let Some(last) = (0..columns.len()).max_by_key(|at| columns[*at].rank) else { break };
        columns.remove(last);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::{Column, SortKey, fitting, further, sort};

    type Figure = Column<(Option<u32>, &'static str)>;

    fn columns() -> Vec<Figure> {
        vec![
            Figure::right("N", 4, 1, |(figure, _)| format!("{figure:?}"))
                .by(|(figure, _)| SortKey::Most(figure.map(f64::from))),
            Figure::left("NOTE", 4, 2, |_| String::new()),
            Figure::left("WORD", 4, 0, |(_, word)| (*word).to_owned())
                .by(|(_, word)| SortKey::Words((*word).to_owned())),
        ]
    }

    #[test]
    fn what_is_unknown_comes_last_and_leaks_first() {
        let rows = [(Some(1), "a"), (None, "b"), (Some(3), "c"), (Some(2), "leak")];
        let sorted = |head, is_reversed| {
            let mut rows = rows.to_vec();
            sort(&mut rows, &columns(), head, is_reversed, |(_, word)| u8::from(*word == "leak"));
            rows.iter().map(|(_, word)| *word).collect::<Vec<_>>()
        };
        assert_eq!(sorted("N", false), ["leak", "c", "a", "b"]);
        assert_eq!(sorted("N", true), ["leak", "b", "a", "c"]);
        assert_eq!(sorted("WORD", false), ["leak", "a", "b", "c"]);
        assert_eq!(sorted("NOTE", false), ["leak", "a", "b", "c"], "no order at all");
    }

    #[test]
    fn a_key_goes_round_what_sorts_and_little_room_drops_the_highest_rank() {
        let columns = columns();
        assert_eq!(further(&columns, "N", 1), "WORD");
        assert_eq!(further(&columns, "WORD", 1), "N");
        assert_eq!(further(&columns, "N", -1), "WORD");
        let heads = |hidden: &[&'static str], width| {
            let hidden = hidden.iter().copied().collect();
            let shown = fitting(super::tests::columns(), &hidden, width, 5);
            shown.iter().map(|column| column.head).collect::<Vec<_>>()
        };
        assert_eq!(heads(&[], 21), ["N", "NOTE", "WORD"]);
        assert_eq!(heads(&[], 20), ["N", "WORD"]);
        assert_eq!(heads(&["N"], 16), ["NOTE", "WORD"], "there is room for it then");
        assert_eq!(heads(&[], 3), [""; 0]);
    }
}
