// SPDX-License-Identifier: MIT OR Apache-2.0
//! The regions, one a line, in as many columns as there is room for.

use ashmem_inspect::amount::{Bytes, or_unknown};
use ashmem_inspect::listing;
use ashmem_inspect::region::CensusRegion;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::fit::cut;
use crate::app::App;
use crate::order;
use crate::theme::Theme;

/// A column.
struct Column {
    head: &'static str,
    width: usize,
    text: fn(&CensusRegion) -> String,
    style: fn(Theme, &CensusRegion) -> Style,
    /// Which go first where there is little room: those with the highest number.
    rank: u8,
    is_left: bool,
}

/// The name has at least so much.
const NAME: usize = 20;

/// What a name stands behind where the region is mapped nowhere.
const LEAK: &str = "! ";

fn plain(_: Theme, _: &CensusRegion) -> Style {
    Style::new()
}

fn right(head: &'static str, width: usize, rank: u8, text: fn(&CensusRegion) -> String) -> Column {
    Column { head, width, text, style: plain, rank, is_left: false }
}

fn columns() -> [Column; 11] {
    let pages = |head, width, rank, text| right(head, width, rank, text);
    let styled = |column: Column, style| Column { style, ..column };
    let left = |column: Column| Column { is_left: true, ..column };
    [
        right("ID", 10, 7, |region| region.id.map_or_else(|| "-".to_owned(), |id| id.to_string())),
        left(right("KIND", 6, 8, |region| region.kind.word().to_owned())),
        right("SIZE", 6, 3, listing::size),
        styled(
            right("RESIDENT", 9, 0, |region| or_unknown(region.resident.map(Bytes))),
            |theme, _| theme.memory(),
        ),
        right("SHARE", 6, 4, |region| Bytes(region.share()).to_string()),
        right("MASK", 4, 10, |region| or_unknown(region.mask)),
        pages("PINNED", 8, 9, |region| or_unknown(region.pages.map(|pages| pages.pinned))),
        styled(
            pages("UNPINNED", 9, 1, |region| or_unknown(region.pages.map(|pages| pages.unpinned))),
            |theme, region| {
                if region.pages.is_some_and(|pages| pages.unpinned > 0) {
                    theme.unpinned()
                } else {
                    plain(theme, region)
                }
            },
        ),
        styled(
            pages("PURGED", 7, 2, |region| or_unknown(region.pages.map(|pages| pages.purged))),
            |theme, region| {
                if region.pages.is_some_and(|pages| pages.purged > 0) {
                    theme.purged()
                } else {
                    plain(theme, region)
                }
            },
        ),
        right("HOLDERS", 8, 6, |region| region.holders.len().to_string()),
        left(right("HELD BY", 22, 11, who)),
    ]
}

/// The first holder, and how many more there are.
fn who(region: &CensusRegion) -> String {
    let Some(first) = region.holders.first() else { return String::new() };
    let more = match region.holders.len() - 1 {
        0 => String::new(),
        more => format!(" +{more}"),
    };
    let container = (first.process.container.as_ref())
        .map_or_else(String::new, |container| format!(" in {container}"));
    format!("{} {}{more}{container}", first.process.pid, first.process.command)
}

/// Draws the rows around the selected one.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let width = usize::from(area.width);
    let columns = fitting(width);
    app.room = usize::from(area.height).saturating_sub(1).max(1);
    let at = app.at();
    // As little as is needed to keep the selected row on the screen, and no room left over while
    // there are more rows.
    app.first = app
        .first
        .min(app.rows.len().saturating_sub(app.room))
        .clamp((at + 1).saturating_sub(app.room), at);
    let mut lines = vec![head(&columns, width, app)];
    let shown = app.rows.iter().enumerate().skip(app.first).take(app.room);
    lines.extend(shown.map(|(number, row)| {
        let line = line(&columns, width, &app.census.regions[*row], app.theme);
        if number == at { line.style(app.theme.selected()) } else { line }
    }));
    if app.rows.is_empty() {
        lines.push(Line::from(Span::styled(
            "no region of shared memory that is asked for",
            app.theme.quiet(),
        )));
    }
    for (line, row) in lines.iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn fitting(width: usize) -> Vec<Column> {
    let mut columns: Vec<Column> = columns().into();
    let used = |columns: &[Column]| {
        columns.iter().map(|column| column.width + 1).sum::<usize>() + 1 + NAME
    };
    while used(&columns) > width {
        let Some(last) = (0..columns.len()).max_by_key(|at| columns[*at].rank) else { break };
        columns.remove(last);
    }
    columns
}

fn head(columns: &[Column], width: usize, app: &App) -> Line<'static> {
    let sorted = order::head(app.order);
    let mark = if app.is_reversed { '▲' } else { '▼' };
    let head = |head: &str, width: usize| {
        let marked = format!("{head}{mark}");
        if head == sorted && marked.width() <= width { marked } else { head.to_owned() }
    };
    let mut spans = Vec::new();
    for column in columns {
        spans.push(Span::raw(aligned(&head(column.head, column.width), column)));
    }
    spans.push(Span::raw(format!(" {}", head("NAME", 5))));
    Line::from(padded(spans, width)).style(app.theme.head())
}

fn line(columns: &[Column], width: usize, region: &CensusRegion, theme: Theme) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = columns
        .iter()
        .map(|column| {
            Span::styled(aligned(&(column.text)(region), column), (column.style)(theme, region))
        })
        .collect();
    let name = if region.name.is_empty() { "-".to_owned() } else { region.name.to_string() };
    let used: usize = columns.iter().map(|column| column.width + 1).sum::<usize>() + 1;
    let (mark, style) =
        if region.is_unmapped() { (LEAK, theme.warning()) } else { ("", Style::new()) };
    spans.push(Span::styled(
        format!(" {}", cut(&format!("{mark}{name}"), width.saturating_sub(used))),
        style,
    ));
    Line::from(padded(spans, width))
}

fn aligned(text: &str, column: &Column) -> String {
    let text = cut(text, column.width);
    let space = " ".repeat(column.width - text.width());
    if column.is_left { format!(" {text}{space}") } else { format!("{space}{text} ") }
}

/// To the edge, so that a selected line is one from edge to edge.
fn padded(mut spans: Vec<Span<'static>>, width: usize) -> Vec<Span<'static>> {
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::raw(" ".repeat(width.saturating_sub(used))));
    spans
}
