// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is shown. What a key or a click does to it is `press`'s.

mod press;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ashmem_inspect::census::Census;
use ashmem_inspect::growth::{Baseline, Grower, Growth, Stock};
use ashmem_inspect::holder_name::HolderIdentity;
use ashmem_inspect::holding::Holding;
use ashmem_inspect::observer::{Error, Observer};
use ashmem_inspect::page_map::PageMap;
use ashmem_inspect::query::{RegionFilter, SortOrder};
use ashmem_inspect::region::CensusRegion;
use ashmem_inspect::which::Which;

use crate::columns::groups::GroupRow;
use crate::columns::regions::RegionRow;
use crate::columns::{self, groups, processes};
use crate::history::History;
use crate::places::Places;
use crate::process_row::ProcessRow;
use crate::theme::Theme;
use crate::view::{TopView, View};

/// How often, at the fastest and at the slowest.
const FASTEST: Duration = Duration::from_millis(125);
const SLOWEST: Duration = Duration::from_secs(60);

/// Of a processor's time, a census and its picture take one part in so many where nobody has asked
/// for another pace.
const SPARING: u32 = 100;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct TopOptions {
    /// Which regions.
    pub filter: RegionFilter,
    /// Which come first.
    pub order: SortOrder,
    /// From one census to the next; `None`: once a second, or as seldom as keeps the cost at one
    /// hundredth of a processor.
    pub every: Option<Duration>,
    /// Which table comes first.
    pub view: TopView,
    /// Whether colours may be used.
    pub in_colour: bool,
    /// Whether the terminal is asked for what the mouse does.
    pub with_mouse: bool,
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

/// What is shown.
#[derive(Debug)]
pub struct App {
    observer: Observer,
    filter: RegionFilter,
    pub(crate) census: Census,
    /// What the census could not see.
    pub(crate) limits: Vec<String>,
    pub(crate) history: History,
    /// What growth is told from; there from the first census on.
    baseline: Option<Baseline>,
    /// Of the regions.
    pub(crate) order: SortOrder,
    /// The heads of the columns that groups and processes are sorted by.
    pub(crate) heads: [&'static str; 2],
    pub(crate) is_reversed: bool,
    pub(crate) leaks_first: bool,
    pub(crate) every: Duration,
    /// Whether the pace follows the cost, and what the last census took of a processor.
    pub(crate) is_sparing: bool,
    cost: Duration,
    pub(crate) only_leaks: bool,
    pub(crate) is_paused: bool,
    pub(crate) shows_help: bool,
    /// The line of the column chooser that a key would act on, while it is shown.
    pub(crate) chooser: Option<usize>,
    /// The columns that are not wanted.
    hidden: BTreeMap<TopView, BTreeSet<&'static str>>,
    /// What is looked for, and whether it is still being typed.
    pub(crate) search: String,
    pub(crate) is_typing: bool,
    pub(crate) view: View,
    /// Whose regions are shown, and the table it was chosen in.
    pub(crate) scope: Option<(Grower, TopView)>,
    /// The region of [`View::Region`] as it was last seen, its page map, and whether it is gone.
    pub(crate) region: Option<(CensusRegion, PageMap, bool)>,
    /// Places in the census of what is shown, in order.
    pub(crate) rows: Vec<usize>,
    pub(crate) groups: Vec<GroupRow>,
    pub(crate) processes: Vec<ProcessRow>,
    selected: Option<Grower>,
    /// The first row on the screen, of the table and of what has lines instead.
    pub(crate) first: usize,
    pub(crate) first_line: usize,
    /// Rows that the screen has, and where they are, as it was last drawn.
    pub(crate) room: usize,
    pub(crate) places: Places,
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
        let TopOptions { mut filter, order, every, view, in_colour, with_mouse: _ } = options;
        // A key takes it back.
        let only_leaks = std::mem::take(&mut filter.leaks);
        Self {
            observer,
            only_leaks,
            filter,
            census,
            limits: Vec::new(),
            history: History::default(),
            baseline: None,
            order,
            heads: ["RESIDENT", "PSS"],
            is_reversed: false,
            leaks_first: true,
            every: every.unwrap_or(Duration::from_secs(1)).clamp(FASTEST, SLOWEST),
            is_sparing: every.is_none(),
            cost: Duration::ZERO,
            is_paused: false,
            shows_help: false,
            chooser: None,
            hidden: BTreeMap::new(),
            search: String::new(),
            is_typing: false,
            view: View::Table(view),
            scope: None,
            region: None,
            rows: Vec::new(),
            groups: Vec::new(),
            processes: Vec::new(),
            selected: None,
            first: 0,
            first_line: 0,
            room: 1,
            places: Places::default(),
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
        let sparing = if self.is_sparing { self.cost.saturating_mul(SPARING) } else { self.every };
        (!self.is_paused).then(|| self.every.max(sparing).min(SLOWEST))
    }

    /// What a census and its picture took of a processor, for a pace that spares it.
    pub fn took(&mut self, cost: Duration) {
        self.cost = cost;
    }

    pub(crate) fn take_in(&mut self) {
        let filter = &self.filter;
        self.census.regions.retain(|region| filter.wants(region));
        self.limits = self.census.limits(&self.census.regions.iter().collect::<Vec<_>>());
        self.history.add(self.census.regions.iter(), self.census.seconds);
        if self.baseline.is_none() {
            self.baseline = Some(self.now());
        }
        self.arrange();
        self.look();
    }

    /// This moment, to tell growth from.
    fn now(&self) -> Baseline {
        let regions: Vec<&CensusRegion> = self.census.regions.iter().collect();
        Baseline::of(&regions, self.census.seconds, HolderIdentity::Process)
    }

    /// How long growth has been told, in seconds.
    pub(crate) fn watched(&self) -> f64 {
        self.baseline.as_ref().map_or(0.0, |baseline| baseline.seconds(self.census.seconds))
    }

    /// Finds what is searched for, and puts it into order.
    fn arrange(&mut self) {
        match self.view.table() {
            TopView::Regions => self.arrange_regions(),
            TopView::Groups => self.arrange_groups(),
            TopView::Processes => self.arrange_processes(),
        }
    }

    /// The regions that are searched for, by their places.
    fn found(&self) -> impl Iterator<Item = usize> + '_ {
        let search = self.search.to_lowercase();
        let regions = self.census.regions.iter().enumerate();
        regions
            .filter(move |(_, region)| search.is_empty() || found(region, &search))
            .map(|(at, _)| at)
    }

    fn arrange_regions(&mut self) {
        let regions = &self.census.regions;
        let is_meant = |at: &usize| {
            let region = &regions[*at];
            (!self.only_leaks || region.is_unmapped())
                && self.scope.as_ref().is_none_or(|(scope, _)| scope.takes_in(region))
        };
        let mut rows: Vec<usize> = self.found().filter(is_meant).collect();
        rows.sort_by(|one, other| {
            let (one, other) = (&regions[*one], &regions[*other]);
            let order = self.order.compare(one, other);
            let order = if self.is_reversed { order.reverse() } else { order };
            let leaks_first = other.is_unmapped().cmp(&one.is_unmapped());
            if self.leaks_first { leaks_first.then(order) } else { order }
        });
        self.rows = rows;
    }

    fn arrange_groups(&mut self) {
        let regions: Vec<&CensusRegion> = self.found().map(|at| &self.census.regions[at]).collect();
        let holdings = Holding::all_of(&regions, self.baseline.as_ref(), self.census.seconds);
        let taken = self.census.taken;
        let row = |holding: Holding| {
            let age = holding.totals.oldest.map(|oldest| taken - oldest);
            GroupRow { age: age.filter(|age| *age >= 0.0), holding }
        };
        let is_leak = |row: &GroupRow| row.holding.is_leak();
        let mut rows: Vec<GroupRow> = holdings.into_iter().map(row).collect();
        rows.retain(|row| !self.only_leaks || is_leak(row));
        let urgency =
            |row: &GroupRow| self.urgency(row.holding.is_unmapped, row.holding.grew() > 0);
        columns::sort(&mut rows, &groups::columns(), self.heads[0], self.is_reversed, urgency);
        self.groups = rows;
    }

    fn arrange_processes(&mut self) {
        let Some(baseline) = &self.baseline else { return };
        let regions = self.found().map(|at| &self.census.regions[at]);
        let mut rows = ProcessRow::all_of(regions, baseline, self.census.seconds);
        rows.retain(|row| !self.only_leaks || row.is_leak());
        let urgency = |row: &ProcessRow| self.urgency(row.unmapped > 0, row.growth.regions > 0);
        columns::sort(&mut rows, &processes::columns(), self.heads[1], self.is_reversed, urgency);
        self.processes = rows;
    }

    /// What stands first, where leaks do: what is mapped nowhere, then what grew.
    fn urgency(&self, is_unmapped: bool, grew: bool) -> u8 {
        match (self.leaks_first, is_unmapped, grew) {
            (false, ..) | (true, false, false) => 0,
            (true, false, true) => 1,
            (true, true, _) => 2,
        }
    }

    /// A region as a row of a table.
    pub(crate) fn region_row(&self, at: usize) -> RegionRow<'_> {
        let region = &self.census.regions[at];
        let nothing = Growth { regions: 0, size: None, resident: None, seconds: 0.0 };
        let growth = self.baseline.as_ref().map_or(nothing, |baseline| {
            let grower = Grower::Region(Which::of(region));
            baseline.growth(&grower, &Stock::of([region]), self.census.seconds)
        });
        RegionRow { region, growth, age: region.age(self.census.taken) }
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

    /// How many rows the table has.
    pub(crate) fn count(&self) -> usize {
        match self.view.table() {
            TopView::Regions => self.rows.len(),
            TopView::Groups => self.groups.len(),
            TopView::Processes => self.processes.len(),
        }
    }

    /// What a row of the table is recognised by.
    fn grower(&self, row: usize) -> Option<Grower> {
        match self.view.table() {
            TopView::Regions => {
                let region = &self.census.regions[*self.rows.get(row)?];
                Some(Grower::Region(Which::of(region)))
            }
            TopView::Groups => Some(self.groups.get(row)?.holding.grower()),
            TopView::Processes => Some(self.processes.get(row)?.grower()),
        }
    }

    /// The row that is selected.
    pub(crate) fn at(&self) -> usize {
        let Some(selected) = &self.selected else { return 0 };
        (0..self.count()).find(|row| self.grower(*row).as_ref() == Some(selected)).unwrap_or(0)
    }

    fn select(&mut self, row: usize) {
        self.selected = self.grower(row.min(self.count().saturating_sub(1)));
    }

    /// The columns of this table that are not wanted.
    pub(crate) fn hidden(&self) -> BTreeSet<&'static str> {
        self.hidden.get(&self.view.table()).cloned().unwrap_or_default()
    }
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
