// SPDX-License-Identifier: MIT OR Apache-2.0
//! The screen at sizes from none to large.

use ashmem_inspect::page_map::PageMap;
use ashmem_inspect::region::{CensusRegion, PageCounts};
use ratatui::style::Color;

use crate::app::App;
use crate::app::tests::{app, region};
use crate::keys::Keys;
use crate::snapshot::{Size, Snapshot};
use crate::view::View;

fn screen(app: &mut App, width: u16, height: u16) -> Snapshot {
    Snapshot::of(app, Size { width, height })
}

fn press(app: &mut App, keys: &str) {
    for key in keys.parse::<Keys>().expect("keys").0 {
        app.press(key);
    }
}

fn many() -> Vec<CensusRegion> {
    let mut regions: Vec<CensusRegion> =
        (1..=50).map(|id| region(id, &format!("region {id}"), id * 4096)).collect();
    regions[49].name =
        std::sync::Arc::new(ashmem_trace::text::Text::from("evil\u{1b}[2J\n日本語 name"));
    regions[48].holders[0].mappings.clear();
    regions
}

#[test]
fn every_size_is_drawn_and_every_line_fits() {
    for keys in
        ["", "<enter>", "?", "?G", "/x", "<esc>/region", "l", "G", "2", "3", "3<enter>", "cG"]
    {
        let mut app = app(many());
        press(&mut app, keys);
        for width in (1..=130).step_by(7) {
            for height in (1..=40).step_by(5) {
                let text = screen(&mut app, width, height).text();
                assert_eq!(text.lines().count(), usize::from(height), "{width}x{height} {keys}");
                assert!(!text.contains('\u{1b}'), "{width}x{height} {keys}");
            }
        }
    }
}

#[test]
fn what_is_unknown_of_all_is_no_zero() {
    let mut regions = many();
    for region in &mut regions {
        (region.pages, region.resident) = (None, None);
    }
    let text = screen(&mut app(regions.clone()), 120, 24).text();
    assert!(text.contains("? resident") && text.contains("unpinned ? pages"), "{text}");
    assert!(text.contains("purges ? pages/s") && !text.contains("most"), "{text}");
    regions[0].pages = Some(PageCounts { pinned: 1, unpinned: 3, purged: 0 });
    let text = screen(&mut app(regions), 120, 24).text();
    assert!(text.contains("unpinned ≥3 pages") && text.contains("purges ≥0.0"), "{text}");
}

#[test]
fn a_region_of_unknown_memory_has_no_bars_of_nothing() {
    let mut regions = vec![region(1, "blind", 4096)];
    regions[0].resident = None;
    let mut app = app(regions);
    press(&mut app, "<enter>");
    let text = screen(&mut app, 80, 24).text();
    assert!(text.contains("resident ?, most ?"), "{text}");
    assert!(text.lines().any(|line| line.trim() == "?"), "{text}");
}

#[test]
fn an_ordinary_terminal_shows_names_memory_and_keys() {
    let text = screen(&mut app(many()), 80, 24).text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("ashmem top  50 regions, 5.0M resident, 1 mapped nowhere"),
        "{text}"
    );
    assert!(lines[6].contains("RESIDENT▼") && lines[6].trim_end().ends_with("NAME"), "{text}");
    assert!(lines[7].contains("! region 49"), "leaks first:\n{text}");
    assert!(lines[8].contains("evil\\x1b[2J\\n"), "{text}");
    assert!(lines[23].starts_with("q quit  ? help"), "{text}");
}

#[test]
fn a_wide_one_shows_every_column() {
    let text = screen(&mut app(many()), 130, 24).text();
    for head in [
        "ID", "KIND", "SIZE", "SHARE", "MASK", "PINNED", "UNPINNED", "PURGED", "HOLDERS",
        "HELD BY", "NAME",
    ] {
        assert!(text.contains(head), "{head} is not in\n{text}");
    }
}

#[test]
fn the_selected_row_is_on_the_screen_wherever_it_is() {
    let mut app = app(many());
    press(&mut app, "G");
    let text = screen(&mut app, 80, 24).text();
    assert!(text.lines().any(|line| line.ends_with(" region 1")), "{text}");
    press(&mut app, "g");
    assert!(screen(&mut app, 40, 10).text().contains("! region 49"));
}

#[test]
fn help_fits_an_ordinary_terminal() {
    let mut app = app(many());
    press(&mut app, "?");
    let text = screen(&mut app, 100, 24).text();
    assert!(text.contains("KEYS") && text.contains("LEGEND"), "{text}");
    press(&mut app, "G");
    let text = screen(&mut app, 100, 24).text();
    assert!(text.contains("COLUMNS") && text.contains("every         without --every"), "{text}");
    press(&mut app, "<esc>");
    assert!(!app.shows_help);
}

#[test]
fn help_is_whole_on_a_narrow_terminal() {
    for (width, height) in [(40, 10), (60, 20), (80, 24)] {
        let mut app = app(many());
        press(&mut app, "?");
        let mut told = String::new();
        for _ in 0..100 {
            let text = screen(&mut app, width, height).text();
            let lines: Vec<&str> = text.lines().collect();
            // Between the title and the two last lines.
            let body = &lines[1..lines.len() - 2];
            assert!(body.iter().all(|line| !line.contains('…')), "{width}x{height}:\n{text}");
            told.push_str(&body.join(" "));
            press(&mut app, "<down>");
        }
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains("1 % of a processor") && told.contains("suspend"), "{told}");
    }
}

#[test]
fn what_does_not_fit_is_left_out_or_says_so() {
    let mut app = app(many());
    let text = screen(&mut app, 80, 24).text();
    let charts = text.lines().nth(1).expect("a line");
    assert!(charts.contains("purges ") && !charts.contains('…'), "{text}");
    press(&mut app, "2");
    let text = screen(&mut app, 50, 24).text();
    assert!(text.lines().next().is_some_and(|title| title.ends_with('…')), "{text}");
    press(&mut app, "p");
    let text = screen(&mut app, 50, 24).text();
    assert!(text.lines().next().is_some_and(|title| title.ends_with("…  paused")), "{text}");
}

#[test]
fn one_is_no_plural() {
    let mut app = app(vec![region(1, "alone", 4096)]);
    for (key, title) in [("1", "  1 region, "), ("2", "  1 group of 1 region, ")] {
        press(&mut app, key);
        let text = screen(&mut app, 100, 24).text();
        assert!(text.contains(title), "{text}");
    }
    press(&mut app, "3");
    let text = screen(&mut app, 100, 24).text();
    assert!(text.contains("1 process with 1 region"), "{text}");
}

#[test]
fn a_click_selects_steps_in_and_sorts() {
    let mut app = app(many());
    screen(&mut app, 130, 24);
    press(&mut app, "<click:80,9>");
    assert_eq!(app.at(), 2, "two below the first");
    press(&mut app, "<wheeldown>");
    assert_eq!(app.at(), 5);
    press(&mut app, "<click:80,9><click:80,9>");
    assert!(matches!(app.view, View::Region(_)), "{:?}", app.view);
    press(&mut app, "<esc>");
    let head = screen(&mut app, 130, 24).text();
    let at = head.lines().nth(6).and_then(|line| line.find("SIZE")).expect("a head");
    press(&mut app, &format!("<click:{at},6>"));
    assert!(screen(&mut app, 130, 24).text().contains("SIZE▼"));
    press(&mut app, &format!("<click:{at},6>"));
    assert!(screen(&mut app, 130, 24).text().contains("SIZE▲"));
    press(&mut app, "<click:12,6>");
    assert!(screen(&mut app, 130, 24).text().contains("SIZE▲"), "nothing sorts by its kind");
    press(&mut app, "<click:0,0><click:0,23><click:500,500>");
}

#[test]
fn columns_are_chosen() {
    let mut app = app(many());
    press(&mut app, "cjjj");
    let text = screen(&mut app, 130, 24).text();
    assert!(text.contains("[x] RESIDENT") && text.contains("[x] AGE"), "{text}");
    press(&mut app, " ");
    assert!(screen(&mut app, 130, 24).text().contains("[ ] RESIDENT"));
    press(&mut app, "<esc>");
    let heads = |app: &mut App| {
        let text = screen(app, 130, 24).text();
        text.lines().nth(6).map(str::to_owned).expect("the heads")
    };
    let shown = heads(&mut app);
    assert!(!shown.contains("RESIDENT") && shown.contains("AGE"), "there is room: {shown}");
    press(&mut app, "2");
    assert!(heads(&mut app).contains("RESIDENT"), "each table has its own");
    press(&mut app, "1ca<esc>");
    assert!(heads(&mut app).contains("RESIDENT"));
}

#[test]
fn one_region_shows_its_pages_and_its_holders() {
    let mut app = app(many());
    press(&mut app, "/region 7<enter><enter>");
    let (_, map, _) = app.region.as_mut().expect("a region is shown");
    *map = PageMap {
        pages: 4,
        resident: Some(std::iter::once(0..2).collect()),
        unpinned: Some(std::iter::once(1..3).collect()),
        limits: Vec::new(),
    };
    let text = screen(&mut app, 80, 24).text();
    assert!(text.contains("page map, each block 1 page (4K)"), "{text}");
    assert!(text.contains("     0  █▒·░"), "{text}");
    assert!(text.contains("pid 107 holder7, fd 3, mapped rw-s"), "{text}");
    assert!(text.contains("1000-5000 rw-s 16K from 0"), "{text}");
}

#[test]
fn without_colours_there_are_none() {
    let mut app = app(many());
    let is_coloured = |snapshot: &Snapshot| snapshot.cells().any(|cell| cell.fg != Color::Reset);
    assert!(!is_coloured(&screen(&mut app, 80, 24)));
    app.theme.in_colour = true;
    assert!(is_coloured(&screen(&mut app, 80, 24)));
}
