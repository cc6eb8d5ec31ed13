// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is shown, and what a key does to it.

use std::time::Duration;

use ashmem_inspect::census::Census;
use ashmem_inspect::observer::{Error, Observer};
use ashmem_inspect::page_map::PageMap;
use ashmem_inspect::query::{RegionFilter, SortOrder};
use ashmem_inspect::region::CensusRegion;

use crate::history::History;
use crate::keys::KeyPress;
use crate::order;
use crate::theme::Theme;
use crate::which::Which;

/// How often, at the fastest and at the slowest.
const FASTEST: Duration = Duration::from_millis(125);
const SLOWEST: Duration = Duration::from_secs(60);

/// What is wanted.
#[derive(Clone, Debug)]
pub struct TopOptions {
    /// Which regions.
    pub filter: RegionFilter,
    /// Which come first.
    pub order: SortOrder,
    /// From one census to the next.
    pub every: Duration,
    /// Whether colours may be used.
    pub in_colour: bool,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Show what changed.
    Show,
    /// Take a census now.
    Refresh,
    /// Leave the terminal to the shell for a while.
    Suspend,
    /// End.
    Quit,
}

/// Which screen is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// All regions.
    Regions,
    /// One of them.
    Region(Which),
}

/// What is shown.
#[derive(Debug)]
pub struct App {
    observer: Observer,
    filter: RegionFilter,
    pub(crate) census: Census,
    /// What the census could not see.
    pub(crate) limits: Vec<String>,
    pub(crate) history: History,
    pub(crate) order: SortOrder,
    pub(crate) is_reversed: bool,
    pub(crate) every: Duration,
    pub(crate) only_leaks: bool,
    pub(crate) is_paused: bool,
    pub(crate) shows_help: bool,
    /// What is looked for, and whether it is still being typed.
    pub(crate) search: String,
    pub(crate) is_typing: bool,
    pub(crate) view: View,
    /// The region of [`View::Region`] as it was last seen, its page map, and whether it is gone.
    pub(crate) region: Option<(CensusRegion, PageMap, bool)>,
    /// Places in the census of what is shown, in order.
    pub(crate) rows: Vec<usize>,
    selected: Option<Which>,
    /// The first row on the screen, of the table and of one region's holders.
    pub(crate) first: usize,
    pub(crate) first_line: usize,
    /// Rows that the screen has, as it was last drawn.
    pub(crate) room: usize,
    pub(crate) theme: Theme,
}

impl App {
    /// With a first census.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn new(options: TopOptions) -> Result<Self, Error> {
        let mut observer = Observer::new();
        let census = observer.census()?;
        let mut app = Self::of(observer, census, options);
        app.take_in();
        Ok(app)
    }

    fn of(observer: Observer, census: Census, options: TopOptions) -> Self {
        let TopOptions { mut filter, order, every, in_colour } = options;
        // A key takes it back.
        let only_leaks = std::mem::take(&mut filter.leaks);
        Self {
            observer,
            only_leaks,
            filter,
            census,
            limits: Vec::new(),
            history: History::default(),
            order,
            is_reversed: false,
            every: every.clamp(FASTEST, SLOWEST),
            is_paused: false,
            shows_help: false,
            search: String::new(),
            is_typing: false,
            view: View::Regions,
            region: None,
            rows: Vec::new(),
            selected: None,
            first: 0,
            first_line: 0,
            room: 1,
            theme: Theme { in_colour },
        }
    }

    /// Takes a census.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn refresh(&mut self) -> Result<(), Error> {
        self.census = self.observer.census()?;
        self.take_in();
        Ok(())
    }

    /// How long until the next census; `None` while nothing is to change.
    pub fn every(&self) -> Option<Duration> {
        (!self.is_paused).then_some(self.every)
    }

    fn take_in(&mut self) {
        let filter = &self.filter;
        self.census.regions.retain(|region| filter.wants(region));
        self.limits = self.census.limits(&self.census.regions.iter().collect::<Vec<_>>());
        self.history.add(self.census.regions.iter(), self.census.seconds);
        self.arrange();
        self.look();
    }

    /// Finds what is searched for, and puts it into order.
    fn arrange(&mut self) {
        let regions = &self.census.regions;
        let search = self.search.to_lowercase();
        let is_meant = |region: &CensusRegion| !self.only_leaks || region.is_unmapped();
        let is_found = |at: &usize| {
            is_meant(&regions[*at]) && (search.is_empty() || found(&regions[*at], &search))
        };
        self.rows = (0..regions.len()).filter(is_found).collect();
        let order = self.order;
        self.rows.sort_by(|one, other| order.compare(&regions[*one], &regions[*other]));
        if self.is_reversed {
            self.rows.reverse();
        }
    }

    /// Looks at the pages of the region that is shown by itself.
    fn look(&mut self) {
        let View::Region(which) = self.view else { return };
        match self.census.regions.iter().find(|region| Which::of(region) == which) {
            Some(region) => {
                self.region =
                    Some((region.clone(), PageMap::of(region, self.census.page_size), false));
            }
            None => {
                if let Some((_, _, is_gone)) = &mut self.region {
                    *is_gone = true;
                }
            }
        }
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        let is_selected =
            |row: &usize| Some(Which::of(&self.census.regions[*row])) == self.selected;
        self.rows.iter().position(is_selected).unwrap_or(0)
    }

    fn select(&mut self, row: usize) {
        let row = row.min(self.rows.len().saturating_sub(1));
        self.selected = self.rows.get(row).map(|at| Which::of(&self.census.regions[*at]));
    }

    /// Does what a key says.
    pub fn press(&mut self, key: KeyPress) -> Wish {
        match key {
            KeyPress::Interrupt => return Wish::Quit,
            KeyPress::Suspend => return Wish::Suspend,
            _ if self.shows_help => self.shows_help = false,
            key if self.is_typing => self.type_in(key),
            KeyPress::Character('q') => return Wish::Quit,
            KeyPress::Character('?' | 'h') => self.shows_help = true,
            KeyPress::Character('p') => self.is_paused = !self.is_paused,
            KeyPress::Character('+') => self.every = (self.every / 2).max(FASTEST),
            KeyPress::Character('-') => self.every = (self.every * 2).min(SLOWEST),
            KeyPress::Character(' ') => return Wish::Refresh,
            key => match self.view {
                View::Regions => self.press_in_table(key),
                View::Region(_) => self.press_in_region(key),
            },
        }
        Wish::Show
    }

    fn press_in_table(&mut self, key: KeyPress) {
        match key {
            KeyPress::Character('s' | '>') => self.sort_by(order::further(self.order, 1)),
            KeyPress::Character('S' | '<') => self.sort_by(order::further(self.order, -1)),
            KeyPress::Character('r') => {
                self.is_reversed = !self.is_reversed;
                self.arrange();
            }
            KeyPress::Character('l') => {
                self.only_leaks = !self.only_leaks;
                self.arrange();
            }
            KeyPress::Character('/') => self.is_typing = true,
            KeyPress::Escape => self.look_for(String::new()),
            KeyPress::Enter => {
                if let Some(row) = self.rows.get(self.at()) {
                    let which = Which::of(&self.census.regions[*row]);
                    self.selected = Some(which);
                    self.view = View::Region(which);
                    self.first_line = 0;
                    self.look();
                }
            }
            key => {
                if let Some(row) = moved(key, self.at(), self.rows.len(), self.room) {
                    self.select(row);
                }
            }
        }
    }

    fn press_in_region(&mut self, key: KeyPress) {
        match key {
            KeyPress::Escape | KeyPress::Backspace => {
                self.view = View::Regions;
                self.region = None;
            }
            // How far down it can go is known when it is drawn.
            key => {
                self.first_line =
                    moved(key, self.first_line, usize::MAX, self.room).unwrap_or(self.first_line)
            }
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

    fn sort_by(&mut self, order: SortOrder) {
        self.order = order;
        self.arrange();
    }
}

/// Where a key moves to among so many lines, `room` of which are shown.
fn moved(key: KeyPress, at: usize, lines: usize, room: usize) -> Option<usize> {
    let last = lines.saturating_sub(1);
    Some(match key {
        KeyPress::Up | KeyPress::Character('k') => at.saturating_sub(1),
        KeyPress::Down | KeyPress::Character('j') => at.saturating_add(1).min(last),
        KeyPress::PageUp => at.saturating_sub(room),
        KeyPress::PageDown => at.saturating_add(room).min(last),
        KeyPress::Home | KeyPress::Character('g') => 0,
        KeyPress::End | KeyPress::Character('G') => last,
        _ => return None,
    })
}

/// Whether a region's name or id has this in it, or one of its holders' commands, containers or
/// numbers.
fn found(region: &CensusRegion, search: &str) -> bool {
    let is_in = |text: &dyn ToString| text.to_string().to_lowercase().contains(search);
    is_in(&*region.name)
        || region.id.is_some_and(|id| is_in(&id))
        || region.holders.iter().any(|holder| {
            let process = &holder.process;
            is_in(&process.command)
                || is_in(&process.pid)
                || process.container.as_ref().is_some_and(|container| is_in(container))
        })
}

#[cfg(test)]
pub(crate) mod tests;
