// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pictures as SVG. Each is drawn twice, for wide and for narrow windows, of which a reader's shows
//! one: letters keep their size.

use std::fmt::Write;

use ashmem_inspect::amount::Bytes;
use maud::{Markup, html};

use crate::chart::{Chart, Series};
use crate::flame::{Flame, PlacedBar};
use crate::sheet::Map;
use crate::treemap::{Area, Placed, place};

/// A picture's kind of window, and its width there.
const VIEWS: [(&str, f64); 2] = [("on-wide", 1000.0), ("on-narrow", 380.0)];
const MAP_HEIGHT: f64 = 380.0;
const CHART_HEIGHT: f64 = 200.0;
const BAR_HEIGHT: f64 = 26.0;
/// Beside and below a chart, for its scales.
const LEFT: f64 = 56.0;
const BELOW: f64 = 24.0;
/// Colours of groups.
const COLOURS: usize = 8;

/// A letter's width in pictures, about.
const LETTER: f64 = 6.8;

/// What the pictures' tooltips show of a name at most, in characters.
const LONGEST: usize = 80;

pub(crate) fn map(map: &Map) -> Markup {
    let area = |width| Area { x: 0.0, y: 0.0, width, height: MAP_HEIGHT };
    let views = VIEWS.map(|(class, width)| (class, width, place(&map.groups, area(width))));
    html! {
        section aria-label=(map.title) {
            h2 { (map.title) }
            @if views[0].2.is_empty() {
                p { "There is nothing to draw: no memory is known." }
            } @else {
                p.soft { (map.about) }
                @for (class, width, placed) in &views {
                    svg
                        class=(class)
                        viewBox={ "0 0 " (width) " " (MAP_HEIGHT) }
                        role="img"
                        aria-label={ (map.title) ": " (spoken(placed)) }
                    {
                        @for (number, group) in placed.iter().enumerate() {
                            (group_of(group, number % COLOURS))
                        }
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

pub(crate) fn flame(flame: &Flame) -> Markup {
    let placed = flame.placed();
    let deepest = placed.iter().map(|one| one.depth).max().unwrap_or_default();
    let height = (deepest + 1) as f64 * BAR_HEIGHT;
    html! {
        @if !placed.is_empty() {
            section aria-label=(flame.title) {
                h2 { (flame.title) }
                p.soft { (flame.about) }
                @for (class, width) in VIEWS {
                    svg
                        class=(class)
                        viewBox={ "0 0 " (width) " " (height) }
                        role="img"
                        aria-label={ (flame.title) ": " (spoken_bars(&placed)) }
                    {
                        @for one in &placed { (bar(one, width)) }
                    }
                }
            }
        }
    }
}

/// The picture in words: its largest processes.
fn spoken_bars(placed: &[PlacedBar<'_>]) -> String {
    let processes = placed
        .iter()
        .filter(|one| one.depth == 1)
        .take(8)
        .map(|one| format!("{} {}", shortened(&one.bar.name, LONGEST), Bytes(one.bar.weight)));
    processes.collect::<Vec<_>>().join(", ")
}

fn bar(one: &PlacedBar<'_>, width: f64) -> Markup {
    let (x, y) = (one.start * width, one.depth as f64 * BAR_HEIGHT);
    let wide = (one.width * width - 1.0).max(0.5);
    let label = format!("{} {}", one.bar.name, Bytes(one.bar.weight));
    let colour =
        if one.depth == 0 { "root".to_owned() } else { format!("c{}", one.branch % COLOURS) };
    html! {
        rect class={ (colour) @if one.bar.is_leak { " hatch" } @else { "" } }
            stroke-dasharray=[one.bar.is_leak.then_some("5 3")]
            x=(round(x)) y=(round(y)) width=(round(wide)) height=(BAR_HEIGHT - 1.0) {
            title { (shortened(&one.bar.name, LONGEST)) ", " (Bytes(one.bar.weight)) }
        }
        @if wide > 34.0 {
            text x=(round(x + 4.0)) y=(round(y + 17.0)) pointer-events="none" {
                (fitting(&label, wide - 6.0))
            }
        }
    }
}

pub(crate) fn chart(chart: &Chart) -> Markup {
    let most = chart.most();
    html! {
        section aria-label=(chart.title) {
            h2 { (chart.title) }
            @if most <= 0.0 && chart.least() >= 0.0 {
                p { "Nothing in " (format!("{:.3}", chart.seconds)) " s." }
            } @else {
                p.soft { (chart.about) }
                @for (class, width) in VIEWS { (time_lines(chart, class, width)) }
                @if chart.series.len() > 1 { (legend(chart)) }
            }
        }
    }
}

fn time_lines(chart: &Chart, class: &str, whole: f64) -> Markup {
    let (most, least) = (chart.most(), chart.least());
    let amount = |value| amount(chart, value);
    // Where something is less than nothing, the line of nothing is shown too, if it has room.
    let scale = |part: f64| least + (most - least) * part;
    let middle = if least < 0.0 { -least / (most - least) } else { 0.5 };
    let levels: &[f64] =
        if (0.1..0.9).contains(&middle) { &[0.0, middle, 1.0] } else { &[0.0, 1.0] };
    let (width, height) = (whole - LEFT - 10.0, CHART_HEIGHT - BELOW - 10.0);
    let seconds = chart.seconds.max(1e-9);
    let x = |at: f64| round(LEFT + at / seconds * width);
    let y = |value: f64| round(10.0 + (most - value) / (most - least) * height);
    let marks: &[f64] = if whole < 500.0 { &[0.0, 1.0] } else { &[0.0, 0.25, 0.5, 0.75, 1.0] };
    html! {
        svg class=(class) viewBox={ "0 0 " (whole) " " (CHART_HEIGHT) } role="img"
            aria-label={
                (chart.title) " over " (format!("{:.3}", chart.seconds))
                " s, at most " (amount(most))
            } {
            @for level in levels.iter().map(|part| scale(*part)) {
                line.grid x1=(LEFT) x2=(whole - 10.0) y1=(y(level)) y2=(y(level)) {}
                text.soft x=(LEFT - 6.0) y=(y(level) + 4.0) text-anchor="end" { (amount(level)) }
            }
            @for part in marks {
                text.soft x=(x(seconds * part)) y=(CHART_HEIGHT - 6.0)
                    text-anchor=(anchor(*part)) {
                    (format!("{:.3} s", seconds * part))
                }
            }
            @for (number, (name, series)) in chart.series.iter().enumerate() {
                @match series {
                    Series::Line(line) => {
                        @let points = steps(&line.points, seconds, x, y);
                        polyline class={ "l" (number) } points=(points) {
                            title { (shortened(name, LONGEST)) }
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
    }
}

fn amount(chart: &Chart, value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    if chart.is_bytes {
        format!("{sign}{}", Bytes(value as u64))
    } else {
        format!("{sign}{value:.0}")
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
        ul.legend {
            @for (number, (name, series)) in chart.series.iter().enumerate() {
                @let is_bar = matches!(series, Series::Counts(_));
                li {
                    svg.key viewBox="0 0 12 12" aria-hidden="true" {
                        rect class={ @if is_bar { "b" } @else { "k" } (number) }
                            width="12" height="12" {}
                    }
                    (shortened(name, LONGEST))
                }
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
