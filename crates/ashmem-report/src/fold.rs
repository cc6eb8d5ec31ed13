// SPDX-License-Identifier: MIT OR Apache-2.0
//! Groups that are folded: what regions of one name come to, and in each who has them.

use crate::cell::{Cell, ColumnKind};

/// Groups, and members of one, that a page has at most: the rest is counted.
const MOST_GROUPS: usize = 200;
const MOST_MEMBERS: usize = 50;

/// Folded groups.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    /// Of the members' tables.
    pub(crate) columns: Vec<(&'static str, ColumnKind)>,
    pub(crate) groups: Vec<FoldedGroup>,
    /// Groups there are besides.
    pub(crate) left_out: usize,
}

/// One group.
#[derive(Debug)]
pub(crate) struct FoldedGroup {
    pub(crate) name: String,
    /// What it comes to, in words: `12 regions`.
    pub(crate) figures: Vec<String>,
    /// Why somebody should look at it.
    pub(crate) warning: Option<String>,
    pub(crate) members: Vec<Vec<Cell>>,
    /// Members there are besides.
    pub(crate) left_out: usize,
}

impl Fold {
    /// The groups that have room, made one by one.
    pub(crate) fn fill<T>(mut self, of: &[T], group: impl FnMut(&T) -> FoldedGroup) -> Self {
        self.groups = of.iter().take(MOST_GROUPS).map(group).collect();
        self.left_out = of.len() - self.groups.len();
        self
    }
}

impl FoldedGroup {
    /// The members that have room, made one by one.
    pub(crate) fn fill<T>(mut self, of: &[T], row: impl FnMut(&T) -> Vec<Cell>) -> Self {
        self.members = of.iter().take(MOST_MEMBERS).map(row).collect();
        self.left_out = of.len() - self.members.len();
        self
    }
}

/// `1 region`, `2 regions`.
pub(crate) fn counted(many: usize, what: &str) -> String {
    if many == 1 { format!("1 {what}") } else { format!("{many} {what}s") }
}
