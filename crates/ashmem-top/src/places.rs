// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where on the screen a table is, so that a click finds what it was meant for.

/// As it was last drawn, in columns and rows of the screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    /// The row of the heads.
    pub(crate) top: u16,
    /// Rows of the table that are shown, from the one below.
    pub(crate) rows: u16,
    /// Each head, and the columns it stands over: from the first to before the last.
    pub(crate) heads: Vec<(&'static str, u16, u16)>,
}

/// What was clicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClickPlace {
    /// A column's head.
    Head(&'static str),
    /// A row, counted from the first one shown.
    Row(usize),
}

impl Places {
    /// What is at a place of the screen; `None` outside of the table.
    pub(crate) fn at(&self, column: u16, row: u16) -> Option<ClickPlace> {
        if self.heads.is_empty() {
            return None;
        }
        if row == self.top {
            let is_under = |(_, from, to): &&(&str, u16, u16)| (*from..*to).contains(&column);
            return self.heads.iter().find(is_under).map(|(head, _, _)| ClickPlace::Head(head));
        }
        let number = row.checked_sub(self.top)?.checked_sub(1)?;
        (number < self.rows).then_some(ClickPlace::Row(number.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::{ClickPlace, Places};

    #[test]
    fn a_click_meets_a_head_a_row_or_nothing() {
        let places = Places { top: 6, rows: 3, heads: vec![("ID", 0, 11), ("NAME", 11, 80)] };
        assert_eq!(places.at(10, 6), Some(ClickPlace::Head("ID")));
        assert_eq!(places.at(11, 6), Some(ClickPlace::Head("NAME")));
        assert_eq!(places.at(80, 6), None);
        assert_eq!(places.at(5, 7), Some(ClickPlace::Row(0)));
        assert_eq!(places.at(500, 9), Some(ClickPlace::Row(2)));
        assert_eq!((places.at(5, 10), places.at(5, 5), places.at(5, 0)), (None, None, None));
        assert_eq!(Places::default().at(0, 1), None);
    }
}
