// SPDX-License-Identifier: MIT OR Apache-2.0
//! The page as HTML: one file that asks for no other, whose only script is its own.

use std::fmt::Write;

use ashmem_inspect::amount::Bytes;
use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::chart::{Chart, Series};
use crate::sheet::{ColumnKind, Map, Sheet, Table};
use crate::treemap::{Area, Placed, place};

const STYLE: &str = include_str!("style.css");
const SORT: &str = include_str!("sort.js");

/// The pictures' width; a reader's window scales them.
const WIDTH: f64 = 1000.0;
const MAP_HEIGHT: f64 = 380.0;
const CHART_HEIGHT: f64 = 200.0;
/// Beside and below a chart, for its scales.
const LEFT: f64 = 56.0;
const BELOW: f64 = 24.0;

/// A letter's width in pictures, about.
const LETTER: f64 = 6.8;

/// What the pictures' tooltips show of a name at most, in characters.
const LONGEST: usize = 80;

impl Sheet {
    /// The page.
    pub fn html(&self) -> String {
        // Nothing is loaded, and of scripts and styles only these run, whatever a name smuggled in.
        let policy = format!(
            "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SORT)
        );
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(policy);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) ": " (self.about.first().map_or("", String::as_str)) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        p.about { (self.about.join(" · ")) }
                        @if !self.limits.is_empty() {
                            ul.limits { @for limit in &self.limits { li { (limit) } } }
                        }
                        dl {
                            @for figure in &self.figures {
                                div class=[figure.is_bad.then_some("bad")] {
                                    dt { (figure.label) }
                                    dd { (figure.value) }
                                }
                            }
                        }
                    }
                    main {
                        (table(&self.leaks))
                        @for picture in &self.maps { (map(picture)) }
                        @for picture in &self.charts { (chart(picture)) }
                        @for one in &self.tables { (table(one)) }
                    }
                    footer {
                        p {
                            "Made by ashmem report " (env!("CARGO_PKG_VERSION"))
                            ". Names are shown escaped, as `ashmem list` does."
                        }
                    }
                    script { (PreEscaped(SORT)) }
                }
            }
        };
        page.into_string()
    }
}

fn hash(text: &str) -> String {
    format!(
        "'sha256-{}'",
        base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()))
    )
}

fn table(table: &Table) -> Markup {
    let heading = format!("{}-title", table.id);
    let class = |kind: ColumnKind| (kind == ColumnKind::Number).then_some("n");
    html! {
        section
            id={ (table.id) "-section" }
            class=[table.rows.is_empty().then_some("none")]
            aria-labelledby=(heading)
        {
            h2 id=(heading) { (table.title) }
            @if table.rows.is_empty() {
                p { (table.if_empty) }
            } @else {
                p.soft { (table.about) }
                @if table.left_out > 0 {
                    p {
                        (table.rows.len()) " of " (table.rows.len() + table.left_out)
                        " are shown, the first in this order."
                    }
                }
                div.wide {
                    table id=(table.id) aria-labelledby=(heading) {
                        thead { tr {
                            @for (title, kind) in &table.columns {
                                th scope="col" class=[class(*kind)] { (title) }
                            }
                        } }
                        tbody {
                            @for row in &table.rows {
                                tr {
                                    @for (cell, (_, kind)) in row.iter().zip(&table.columns) {
                                        td class=[class(*kind)] data-v=[cell.value] { (cell.shown) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn map(map: &Map) -> Markup {
    let picture = Area { x: 0.0, y: 0.0, width: WIDTH, height: MAP_HEIGHT };
    let placed = place(&map.groups, picture);
    html! {
        section aria-label=(map.title) {
            h2 { (map.title) }
            @if placed.is_empty() {
                p { "There is nothing to draw: no memory is known." }
            } @else {
                p.soft { (map.about) }
                svg
                    viewBox={ "0 0 " (WIDTH) " " (MAP_HEIGHT) }
                    role="img"
                    aria-label={ (map.title) ": " (spoken(&placed)) }
                {
                    @for (number, group) in placed.iter().enumerate() {
                        (group_of(group, number % 8))
                    }
                }
            }
        }
    }
}

/// The picture in words: its largest groups.
fn spoken(placed: &[Placed]) -> String {
    let groups = placed
        .iter()
        .take(8)
        .map(|group| format!("{} {}", shortened(&group.name, LONGEST), Bytes(group.weight)));
    groups.collect::<Vec<_>>().join(", ")
}

fn group_of(group: &Placed, colour: usize) -> Markup {
    let Area { x, y, width, .. } = group.area;
    html! {
        g {
            @if group.has_title {
                text.title x=(round(x + 2.0)) y=(round(y + 14.0)) {
                    (fitting(&format!("{} {}", group.name, Bytes(group.weight)), width))
                }
            }
            @for (area, member) in &group.members {
                rect class={ "c" (colour) @if member.is_leak { " hatch" } @else { "" } }
                    stroke-dasharray=[member.is_leak.then_some("5 3")]
                    x=(round(area.x)) y=(round(area.y))
                    width=(round(area.width)) height=(round(area.height)) {
                    title {
                        (shortened(&group.name, LONGEST)) ": " (shortened(&member.name, LONGEST))
                        ", " (Bytes(member.weight))
                    }
                }
                @if area.width > 48.0 && area.height > 20.0 {
                    text x=(round(area.x + 5.0)) y=(round(area.y + 15.0)) pointer-events="none" {
                        (fitting(&member.name, area.width - 8.0))
                    }
                    @if area.height > 38.0 {
                        text.soft
                            x=(round(area.x + 5.0))
                            y=(round(area.y + 31.0))
                            pointer-events="none"
                        { (Bytes(member.weight)) }
                    }
                }
            }
        }
    }
}

fn chart(chart: &Chart) -> Markup {
    let most = chart.most();
    let amount = |value: f64| {
        if chart.is_bytes { Bytes(value as u64).to_string() } else { format!("{value:.0}") }
    };
    let (width, height) = (WIDTH - LEFT - 10.0, CHART_HEIGHT - BELOW - 10.0);
    let seconds = chart.seconds.max(1e-9);
    let x = |at: f64| round(LEFT + at / seconds * width);
    let y = |value: f64| round(10.0 + (1.0 - value / most) * height);
    html! {
        section aria-label=(chart.title) {
            h2 { (chart.title) }
            @if most <= 0.0 {
                p { "Nothing in " (format!("{:.3}", chart.seconds)) " s." }
            } @else {
                p.soft { (chart.about) }
                svg viewBox={ "0 0 " (WIDTH) " " (CHART_HEIGHT) } role="img"
                    aria-label={
                        (chart.title) " over " (format!("{:.3}", chart.seconds))
                        " s, at most " (amount(most))
                    } {
                    @for part in [0.0, 0.5, 1.0] {
                        line.grid
                            x1=(LEFT)
                            x2=(WIDTH - 10.0)
                            y1=(y(most * part))
                            y2=(y(most * part)) {}
                        text.soft x=(LEFT - 6.0) y=(y(most * part) + 4.0) text-anchor="end" {
                            (amount(most * part))
                        }
                    }
                    @for part in [0.0, 0.25, 0.5, 0.75, 1.0] {
                        text.soft x=(x(seconds * part)) y=(CHART_HEIGHT - 6.0)
                            text-anchor=(anchor(part)) {
                            (format!("{:.3} s", seconds * part))
                        }
                    }
                    @for (number, (name, series)) in chart.series.iter().enumerate() {
                        @match series {
                            Series::Line(line) => {
                                @let points = steps(&line.points, seconds, x, y);
                                polyline class={ "l" (number) } points=(points) {
                                    title { (name) }
                                }
                            }
                            Series::Counts(counts) => {
                                @let spans = counts.spans.iter().enumerate();
                                @for (place, count) in spans.filter(|(_, count)| **count > 0.0) {
                                    @let at = place as f64 * counts.width;
                                    @let bar = (counts.width / seconds * width).clamp(2.0, width);
                                    rect class={ "b" (number) } x=(x(at)) y=(y(*count))
                                        width=(round(bar))
                                        height=(round(10.0 + height - y(*count))) {
                                        title {
                                            (name) ": " (amount(*count))
                                            " at " (format!("{at:.3}")) " s"
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
                @if chart.series.len() > 1 { (legend(chart)) }
            }
        }
    }
}

/// How the text below a time line's mark is placed to it, by the mark's part of the line.
fn anchor(part: f64) -> &'static str {
    if part == 0.0 {
        "start"
    } else if part == 1.0 {
        "end"
    } else {
        "middle"
    }
}

fn legend(chart: &Chart) -> Markup {
    html! {
        svg viewBox={ "0 0 " (WIDTH) " 18" } aria-hidden="true" {
            @for (number, (name, series)) in chart.series.iter().enumerate() {
                @let left = LEFT + number as f64 * 180.0;
                @let is_purge = matches!(series, Series::Counts(_)) && number == 1;
                @let colour = if is_purge { 2 } else { number };
                rect class={ "k" (colour) } x=(left) y="4" width="12" height="12" {}
                text x=(left + 18.0) y="14" { (name) }
            }
        }
    }
}

/// A line that stays where it is until the next value.
fn steps(
    points: &[(f64, f64)],
    end: f64,
    x: impl Fn(f64) -> f64,
    y: impl Fn(f64) -> f64,
) -> String {
    let mut text = String::new();
    let mut before = None;
    for (at, value) in points {
        // Writing to a string cannot fail.
        if let Some(before) = before {
            let _ = write!(text, "{},{} ", x(*at), y(before));
        }
        let _ = write!(text, "{},{} ", x(*at), y(*value));
        before = Some(*value);
    }
    if let Some(last) = before {
        let _ = write!(text, "{},{}", x(end), y(last));
    }
    text
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn fitting(text: &str, width: f64) -> String {
    shortened(text, (width / LETTER) as usize)
}

fn shortened(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(letters.saturating_sub(1)).collect();
    short.push('…');
    short
}
