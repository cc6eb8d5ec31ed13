// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a key or a click does.

use ashmem_inspect::growth::Grower;

use super::{App, FASTEST, SLOWEST, Wish};
use crate::columns::{self, groups, processes};
use crate::keys::KeyPress;
use crate::order;
use crate::places::ClickPlace;
use crate::view::{TopView, View};

/// Lines that a turn of the wheel moves.
const WHEEL: usize = 3;

impl App {
    /// Does what a key says.
    pub fn press(&mut self, key: KeyPress) -> Wish {
        match key {
            KeyPress::Interrupt => return Wish::Quit,
            KeyPress::Suspend => return Wish::Suspend,
            key if self.shows_help => self.press_in_help(key),
            key if self.chooser.is_some() => self.press_in_chooser(key),
            key if self.is_typing => self.type_in(key),
            KeyPress::Character('q') => return Wish::Quit,
            KeyPress::Character('?' | 'h') => (self.shows_help, self.first_line) = (true, 0),
            KeyPress::Character('p') => self.is_paused = !self.is_paused,
            KeyPress::Character('+') => self.pace((self.every / 2).max(FASTEST)),
            KeyPress::Character('-') => self.pace((self.every * 2).min(SLOWEST)),
            KeyPress::Character(' ') => return Wish::Refresh,
            key => match self.view {
                View::Table(table) => self.press_in_table(table, key),
                View::Region(_) => self.press_in_region(key),
            },
        }
        Wish::Show
    }

    /// The pace that somebody asked for is kept.
    fn pace(&mut self, every: std::time::Duration) {
        (self.every, self.is_sparing) = (every, false);
    }

    fn press_in_table(&mut self, table: TopView, key: KeyPress) {
        match key {
            KeyPress::Character('s' | '>') => self.sort_further(table, 1),
            KeyPress::Character('S' | '<') => self.sort_further(table, -1),
            KeyPress::Character('r') => {
                self.is_reversed = !self.is_reversed;
                self.arrange();
            }
            KeyPress::Character('l') => {
                self.only_leaks = !self.only_leaks;
                self.arrange();
            }
            KeyPress::Character('f') => {
                self.leaks_first = !self.leaks_first;
                self.arrange();
            }
            KeyPress::Character('z') => {
                self.baseline = Some(self.now());
                self.arrange();
            }
            KeyPress::Character('c') => self.chooser = Some(0),
            KeyPress::Character('v') | KeyPress::Tab => self.show(table.next()),
            KeyPress::Character('1') => self.show(TopView::Regions),
            KeyPress::Character('2') => self.show(TopView::Groups),
            KeyPress::Character('3') => self.show(TopView::Processes),
            KeyPress::Character('/') => self.is_typing = true,
            KeyPress::Escape | KeyPress::Backspace => self.step_back(),
            KeyPress::Enter => self.step_in(table),
            KeyPress::Click { column, row } => match self.places.at(column, row) {
                Some(ClickPlace::Head(head)) => self.sort_by_head(table, head),
                Some(ClickPlace::Row(row)) if self.first + row < self.count() => {
                    let row = self.first + row;
                    if self.selected.is_some() && self.selected == self.grower(row) {
                        self.step_in(table);
                    } else {
                        self.select(row);
                    }
                }
                _ => {}
            },
            key => {
                if let Some(row) = moved(key, self.at(), self.count(), self.room) {
                    self.select(row);
                }
            }
        }
    }

    /// Shows a table, with all that is in it.
    fn show(&mut self, table: TopView) {
        (self.view, self.scope, self.selected) = (View::Table(table), None, None);
        self.first = 0;
        self.arrange();
    }

    /// Into what is selected: of a group or a process its regions, of a region its pages.
    fn step_in(&mut self, table: TopView) {
        let Some(grower) = self.grower(self.at()) else { return };
        match grower {
            Grower::Region(which) => {
                self.selected = Some(Grower::Region(which));
                self.view = View::Region(which);
                self.first_line = 0;
                self.look();
            }
            grower => {
                self.show(TopView::Regions);
                self.scope = Some((grower, table));
                self.arrange();
            }
        }
    }

    /// To all that was there before the search, or before the step in.
    fn step_back(&mut self) {
        if !self.search.is_empty() {
            self.look_for(String::new());
        } else if let Some((grower, table)) = self.scope.take() {
            self.show(table);
            self.selected = Some(grower);
        }
    }

    fn press_in_region(&mut self, key: KeyPress) {
        match key {
            KeyPress::Escape | KeyPress::Backspace => {
                self.view = View::Table(TopView::Regions);
                self.region = None;
            }
            key => self.scroll(key),
        }
    }

    /// How far down it can go is known when it is drawn.
    fn scroll(&mut self, key: KeyPress) {
        self.first_line =
            moved(key, self.first_line, usize::MAX, self.room).unwrap_or(self.first_line);
    }

    fn press_in_help(&mut self, key: KeyPress) {
        match moved(key, 0, 1, 1) {
            Some(_) => self.scroll(key),
            None => (self.shows_help, self.first_line) = (false, 0),
        }
    }

    fn press_in_chooser(&mut self, key: KeyPress) {
        let (table, at) = (self.view.table(), self.chooser.unwrap_or(0));
        let heads = table.heads();
        match key {
            KeyPress::Character(' ' | 'x') | KeyPress::Enter => {
                let hidden = self.hidden.entry(table).or_default();
                if !hidden.remove(heads[at]) {
                    hidden.insert(heads[at]);
                }
            }
            KeyPress::Character('a') => drop(self.hidden.remove(&table)),
            // A line for each column, below the one that says what they are.
            KeyPress::Click { row, .. } => {
                let line = usize::from(row).checked_sub(usize::from(self.places.top) + 1);
                match line.filter(|line| *line < heads.len()) {
                    Some(line) if line == at => self.press_in_chooser(KeyPress::Enter),
                    Some(line) => self.chooser = Some(line),
                    None => {}
                }
            }
            key => self.chooser = moved(key, at, heads.len(), self.room),
        }
    }

    fn type_in(&mut self, key: KeyPress) {
        let mut search = std::mem::take(&mut self.search);
        match key {
            KeyPress::Character(character) => search.push(character),
            KeyPress::Backspace => drop(search.pop()),
            KeyPress::Enter => self.is_typing = false,
            KeyPress::Escape => {
                self.is_typing = false;
                search.clear();
            }
            _ => {}
        }
        self.look_for(search);
    }

    fn look_for(&mut self, search: String) {
        self.search = search;
        self.arrange();
    }

    fn sort_further(&mut self, table: TopView, steps: isize) {
        match table {
            TopView::Regions => self.order = order::further(self.order, steps),
            TopView::Groups => {
                self.heads[0] = columns::further(&groups::columns(), self.heads[0], steps);
            }
            TopView::Processes => {
                self.heads[1] = columns::further(&processes::columns(), self.heads[1], steps);
            }
        }
        self.arrange();
    }

    /// By the column of this head, if it can be; the second time the other way round.
    fn sort_by_head(&mut self, table: TopView, head: &'static str) {
        let before = self.sorted_by();
        match table {
            TopView::Regions => self.order = order::of_head(head).unwrap_or(self.order),
            TopView::Groups if columns::sorts(&groups::columns(), head) => self.heads[0] = head,
            TopView::Processes if columns::sorts(&processes::columns(), head) => {
                self.heads[1] = head;
            }
            TopView::Groups | TopView::Processes => {}
        }
        if self.sorted_by() == head {
            self.is_reversed = before == head && !self.is_reversed;
            self.arrange();
        }
    }

    /// The head of the column that the table is sorted by.
    pub(crate) fn sorted_by(&self) -> &'static str {
        match self.view.table() {
            TopView::Regions => order::head(self.order),
            TopView::Groups => self.heads[0],
            TopView::Processes => self.heads[1],
        }
    }
}

/// Where a key moves to among so many lines, `room` of which are shown.
fn moved(key: KeyPress, at: usize, lines: usize, room: usize) -> Option<usize> {
    let last = lines.saturating_sub(1);
    Some(match key {
        KeyPress::Up | KeyPress::Character('k') => at.saturating_sub(1),
        KeyPress::Down | KeyPress::Character('j') => at.saturating_add(1).min(last),
        KeyPress::WheelUp => at.saturating_sub(WHEEL),
        KeyPress::WheelDown => at.saturating_add(WHEEL).min(last),
        KeyPress::PageUp => at.saturating_sub(room),
        KeyPress::PageDown => at.saturating_add(room).min(last),
        KeyPress::Home | KeyPress::Character('g') => 0,
        KeyPress::End | KeyPress::Character('G') => last,
        _ => return None,
    })
}
