// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a page says, wherever it came from.

use crate::cell::{Cell, ColumnKind};
use crate::chart::Chart;
use crate::flame::Flame;
use crate::fold::Fold;
use crate::treemap::Group;

/// Rows that a table has at most, and letters that its words have together: a page is read on any
/// machine, whatever names a program made up.
pub(crate) const MOST_ROWS: usize = 200_000;
const MOST_LETTERS: usize = 12 << 20;

/// A page. Everything in it is text: what came from outside has been escaped as `ashmem list` does,
/// and HTML is made of it by [`Sheet::html`] alone.
#[derive(Debug)]
pub struct Sheet {
    /// What it shows.
    pub(crate) title: String,
    /// Of which host, when, how.
    pub(crate) about: Vec<String>,
    /// What could not be seen, a sentence each.
    pub(crate) limits: Vec<String>,
    /// The figures that stand on top.
    pub(crate) figures: Vec<Figure>,
    /// Where memory is.
    pub(crate) maps: Vec<Map>,
    /// Whose it is.
    pub(crate) flames: Vec<Flame>,
    /// How it went.
    pub(crate) charts: Vec<Chart>,
    /// What is held and used by nobody.
    pub(crate) leaks: Table,
    /// What belongs together, folded.
    pub(crate) folds: Vec<Fold>,
    /// Everything, row by row.
    pub(crate) tables: Vec<Table>,
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// Whether somebody should look at it.
    pub(crate) is_bad: bool,
}

impl Sheet {
    /// What could not be seen, a sentence each; the page says it too.
    pub fn limits(&self) -> &[String] {
        &self.limits
    }
}

impl Figure {
    pub(crate) fn new(label: &'static str, value: impl ToString) -> Self {
        Self { label, value: value.to_string(), is_bad: false }
    }

    pub(crate) fn bad_if(self, is_bad: bool) -> Self {
        Self { is_bad, ..self }
    }
}

/// A treemap.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) groups: Vec<Group>,
}

/// A table that can be searched, and sorted by each of its columns.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name in links: `#sort=regions:3` sorts it by its third column, `#search=regions:cache`
    /// searches it.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: String,
    /// What is said where it has no row.
    pub(crate) if_empty: &'static str,
    /// Titles; numbers are set to the right.
    pub(crate) columns: Vec<(&'static str, ColumnKind)>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Rows there are besides.
    pub(crate) left_out: usize,
}

impl Table {
    /// The rows that have room, made one by one; the others are counted.
    pub(crate) fn fill<T>(mut self, of: &[T], mut row: impl FnMut(&T) -> Vec<Cell>) -> Self {
        let mut letters = 0;
        for one in of.iter().take(MOST_ROWS) {
            let cells = row(one);
            let words = cells.iter().filter(|cell| cell.value.is_none());
            letters += words.map(|cell| cell.shown.len()).sum::<usize>();
            if letters > MOST_LETTERS {
                break;
            }
            self.rows.push(cells);
        }
        self.left_out = of.len() - self.rows.len();
        self
    }

    /// How many rows there are, those that have no room among them.
    pub(crate) fn all(&self) -> usize {
        self.rows.len() + self.left_out
    }
}

/// A name, or `-` where there is none.
pub(crate) fn name_of(name: impl ToString) -> String {
    let shown = name.to_string();
    if shown.is_empty() { "-".to_owned() } else { shown }
}

/// A moment, as people write it.
pub(crate) fn date(seconds: f64) -> String {
    let time =
        chrono::DateTime::from_timestamp_millis((seconds * 1000.0) as i64).unwrap_or_default();
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}
