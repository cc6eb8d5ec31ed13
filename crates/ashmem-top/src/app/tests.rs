// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, on regions made up here.

use std::sync::Arc;
use std::time::Duration;

use ashmem_inspect::census::Census;
use ashmem_inspect::growth::Grower;
use ashmem_inspect::observer::Observer;
use ashmem_inspect::process::Process;
use ashmem_inspect::query::{RegionFilter, SortOrder};
use ashmem_inspect::region::{CensusRegion, Holder, PageCounts, RegionKind, RegionMapping};
use ashmem_trace::text::Text;

use super::{App, TopOptions, Wish};
use crate::keys::{KeyPress, Keys};
use crate::view::{TopView, View};
use ashmem_inspect::which::Which;

/// A region of the device, 16 KiB, mapped by one process.
pub(crate) fn region(id: u64, name: &str, resident: u64) -> CensusRegion {
    let process = Process {
        pid: 100 + id as i32,
        inner_pid: 100 + id as i32,
        user: Some(0),
        command: Text::from(&format!("holder{id}")),
        container: None,
    };
    let mapping = RegionMapping { start: 0x1000, end: 0x5000, offset: 0, rights: *b"rw-s" };
    let holder = Holder {
        process: Arc::new(process),
        descriptors: vec![3],
        mappings: vec![mapping],
        share: resident / 2,
    };
    CensusRegion {
        id: Some(id),
        kind: RegionKind::Device,
        name: Arc::new(Text::from(name)),
        size: Some(16384),
        resident: Some(resident),
        mask: None,
        pages: Some(PageCounts { pinned: 4, ..PageCounts::default() }),
        created: None,
        supervisor: None,
        holders: vec![holder],
    }
}

/// With these regions.
pub(crate) fn app(regions: Vec<CensusRegion>) -> App {
    let census = Census {
        taken: 1000.0,
        seconds: 1000.0,
        page_size: 4096,
        regions,
        processes: 3,
        unseen_processes: 0,
        unread: None,
    };
    let options = TopOptions {
        filter: RegionFilter::default(),
        order: SortOrder::Resident,
        every: Some(Duration::from_secs(1)),
        view: TopView::Regions,
        in_colour: false,
        with_mouse: false,
    };
    let mut app = App::of(Observer::new(), census, options);
    app.take_in();
    app
}

fn three() -> App {
    app(vec![
        region(1, "alpha", 4096),
        region(2, "Beta\u{1b}[31m", 16384),
        region(3, "gamma", 8192),
    ])
}

fn press(app: &mut App, keys: &str) {
    let keys: Keys = keys.parse().expect("keys");
    for key in keys.0 {
        assert_eq!(app.press(key), Wish::Show, "{key:?}");
    }
}

fn ids(app: &App) -> Vec<u64> {
    app.rows.iter().filter_map(|row| app.census.regions[*row].id).collect()
}

#[test]
fn most_memory_first_then_as_keys_say() {
    let mut app = three();
    assert_eq!(ids(&app), [2, 3, 1]);
    press(&mut app, "r");
    assert_eq!(ids(&app), [1, 3, 2]);
    press(&mut app, "rSS");
    assert_eq!((app.order, ids(&app)), (SortOrder::Id, vec![1, 2, 3]));
}

#[test]
fn what_is_selected_stays_so_in_another_order() {
    let mut app = three();
    press(&mut app, "j");
    assert_eq!((app.at(), &app.selected), (1, &Some(Grower::Region(Which::Memory(3)))));
    press(&mut app, "SS");
    assert_eq!(app.at(), 2);
    press(&mut app, "jjj<pagedown>");
    assert_eq!(app.at(), 2, "the last");
    press(&mut app, "g");
    assert_eq!(app.at(), 0);
}

#[test]
fn a_search_is_of_names_and_of_holders_and_escape_ends_it() {
    let mut app = three();
    press(&mut app, "/beTA");
    assert_eq!(ids(&app), [2]);
    press(&mut app, "<esc>/holder3<enter>");
    assert_eq!((ids(&app), app.is_typing), (vec![3], false));
    press(&mut app, "<esc>/q?<backspace><backspace>\\x1b");
    assert_eq!(ids(&app), [2], "it is found as it is shown");
    assert_eq!(app.press(KeyPress::Interrupt), Wish::Quit);
}

#[test]
fn one_region_and_back() {
    let mut app = three();
    press(&mut app, "j<enter>");
    assert_eq!(app.view, View::Region(Which::Memory(3)));
    assert!(
        app.region.as_ref().is_some_and(|(region, _, is_gone)| region.id == Some(3) && !is_gone)
    );
    app.census.regions.clear();
    app.take_in();
    assert!(
        app.region.as_ref().is_some_and(|(_, _, is_gone)| *is_gone),
        "it is shown as it was last"
    );
    press(&mut app, "<esc>");
    assert_eq!(
        (app.view, app.region.is_none(), app.at()),
        (View::Table(TopView::Regions), true, 0)
    );
    press(&mut app, "<enter>j");
    assert_eq!(app.view, View::Table(TopView::Regions), "there is nothing to go into");
}

#[test]
fn leaks_alone() {
    let mut leak = region(4, "leak", 4096);
    leak.holders[0].mappings.clear();
    let mut app = app(vec![region(1, "alpha", 8192), leak]);
    press(&mut app, "l");
    assert_eq!(ids(&app), [4]);
    press(&mut app, "l");
    assert_eq!(ids(&app), [4, 1], "first");
    press(&mut app, "f");
    assert_eq!(ids(&app), [1, 4]);
}

#[test]
fn the_pace_has_bounds_and_can_stop() {
    let mut app = three();
    press(&mut app, "++++++++");
    assert_eq!(app.every(), Some(super::FASTEST));
    press(&mut app, "--------------");
    assert_eq!(app.every(), Some(super::SLOWEST));
    press(&mut app, "p");
    assert_eq!(app.every(), None);
    assert_eq!(app.press(KeyPress::Character(' ')), Wish::Refresh);
    assert_eq!(app.press(KeyPress::Character('q')), Wish::Quit);
}

#[test]
fn help_goes_at_any_key() {
    let mut app = three();
    press(&mut app, "?");
    assert!(app.shows_help);
    press(&mut app, "q");
    assert!(!app.shows_help);
}

/// Forty windows of one program and a cache of another; a while later seven windows more, one of
/// them mapped nowhere.
fn growing() -> App {
    let window = |id: u64| {
        let mut window = region(id, &format!("window {id}"), 4096);
        window.holders[0].process = region(1, "", 0).holders[0].process.clone();
        window
    };
    let mut regions: Vec<CensusRegion> = (1..=40).map(window).collect();
    regions.push(region(90, "cache", 16384));
    let mut app = app(regions);
    app.census.seconds += 30.0;
    app.census.regions.extend((41..=47).map(window));
    app.census.regions.last_mut().expect("one").holders[0].mappings.clear();
    app.take_in();
    app
}

#[test]
fn groups_tell_what_grows_leaks_first() {
    let mut app = growing();
    press(&mut app, "2");
    let rows = |app: &App| -> Vec<(String, usize, i64)> {
        let row = |row: &crate::columns::groups::GroupRow| {
            let holding = &row.holding;
            (holding.pattern.to_string(), holding.totals.regions, holding.grew())
        };
        app.groups.iter().map(row).collect()
    };
    let (windows, leak) = (("window #".to_owned(), 46, 6), ("window #".to_owned(), 1, 1));
    let cache = ("cache".to_owned(), 1, 0);
    assert_eq!(rows(&app), [leak.clone(), windows.clone(), cache.clone()]);
    press(&mut app, "l");
    assert_eq!(rows(&app), [leak.clone(), windows.clone()]);
    press(&mut app, "lr");
    assert_eq!(rows(&app), [leak.clone(), windows.clone(), cache.clone()], "leaks stay first");
    press(&mut app, "rf");
    assert_eq!(rows(&app), [windows.clone(), cache, leak.clone()], "by memory alone");
    press(&mut app, "fsssssss<enter>");
    assert_eq!((app.view, ids(&app)), (View::Table(TopView::Regions), vec![47]));
    press(&mut app, "<esc>");
    assert_eq!((app.view, app.at()), (View::Table(TopView::Groups), 0), "back where it was");
    assert_eq!(app.sorted_by(), "RESIDENT", "once round");
    press(&mut app, "z");
    assert!(app.groups.iter().all(|row| row.holding.grew() == 0), "growth is told from now on");
}

#[test]
fn processes_have_regions_shares_and_growth() {
    let mut app = growing();
    press(&mut app, "<tab><tab>");
    let rows: Vec<_> = app
        .processes
        .iter()
        .map(|row| (row.process.pid, row.regions, row.unmapped, row.growth.regions, row.share))
        .collect();
    assert_eq!(rows, [(101, 47, 1, 7, 47 * 2048), (190, 1, 0, 0, 8192)]);
    press(&mut app, "/holder90<enter>");
    assert_eq!(app.processes.len(), 1);
    press(&mut app, "<enter>");
    assert_eq!(ids(&app), [90], "the search still holds");
    press(&mut app, "<esc><esc>");
    assert_eq!((app.view, app.processes.len()), (View::Table(TopView::Processes), 2));
    press(&mut app, "v");
    assert_eq!(app.view, View::Table(TopView::Regions));
}

#[test]
fn a_costly_census_is_taken_seldom_unless_somebody_asked() {
    let mut app = growing();
    app.is_sparing = true;
    app.took(Duration::from_millis(5));
    assert_eq!(app.every(), Some(Duration::from_secs(1)));
    app.took(Duration::from_millis(60));
    assert_eq!(app.every(), Some(Duration::from_secs(6)));
    app.took(Duration::from_secs(60));
    assert_eq!(app.every(), Some(super::SLOWEST));
    press(&mut app, "+");
    assert_eq!(app.every(), Some(Duration::from_millis(500)));
}
