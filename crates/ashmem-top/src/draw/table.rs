// SPDX-License-Identifier: MIT OR Apache-2.0
//! A table, one row a line, in as many columns as there is room for.

use std::borrow::Borrow;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::fit::cut;
use crate::app::App;
use crate::columns::groups::GroupRow;
use crate::columns::regions::RegionRow;
use crate::columns::{Column, fitting, groups, processes, regions};
use crate::places::Places;
use crate::process_row::ProcessRow;
use crate::theme::Theme;
use crate::view::TopView;

/// The name has at least so much.
const NAME: usize = 20;

/// What a name stands behind where nobody maps what it is of, and where that grew in number.
pub(super) const LEAK: &str = "! ";
pub(super) const GROWS: &str = "+ ";

/// Draws the rows around the selected one.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    app.room = usize::from(area.height).saturating_sub(1).max(1);
    let (at, count) = (app.at(), app.count());
    // As little as is needed to keep the selected row on the screen, and no room left over while
    // there are more rows.
    app.first =
        app.first.min(count.saturating_sub(app.room)).clamp((at + 1).saturating_sub(app.room), at);
    let shown = app.first..count.min(app.first + app.room);
    let sheet = match app.view.table() {
        TopView::Regions => {
            let rows = shown.map(|row| app.region_row(app.rows[row]));
            TableSheet { app, columns: regions::columns(), last: "NAME", name: region }
                .lines(area, rows)
        }
        TopView::Groups => {
            let rows = app.groups[shown].iter();
            TableSheet { app, columns: groups::columns(), last: "NAMES", name: group }
                .lines(area, rows)
        }
        TopView::Processes => {
            let rows = app.processes[shown].iter();
            let columns = processes::columns();
            TableSheet { app, columns, last: "PROCESS", name: process }.lines(area, rows)
        }
    };
    let (places, lines) = sheet;
    app.places = places;
    for (number, (line, row)) in lines.into_iter().zip(area.rows()).enumerate() {
        let is_selected = count > 0 && number > 0 && app.first + number - 1 == at;
        let line = if is_selected { line.style(app.theme.selected()) } else { line };
        frame.render_widget(line, row);
    }
}

/// A name with its mark, and how both look.
type RowName = (&'static str, String, Style);

fn region(row: &RegionRow<'_>, theme: Theme) -> RowName {
    let name = &row.region.name;
    let name = if name.is_empty() { "-".to_owned() } else { name.to_string() };
    marked(row.region.is_unmapped(), false, name, theme)
}

fn group(row: &GroupRow, theme: Theme) -> RowName {
    let holding = &row.holding;
    marked(holding.is_unmapped, holding.grew() > 0, holding.name(), theme)
}

fn process(row: &ProcessRow, theme: Theme) -> RowName {
    let app = row.app.as_ref().map_or_else(String::new, |app| format!(" of {app}"));
    let name = format!("{}{app}", row.process.command);
    marked(row.unmapped > 0, row.growth.regions > 0, name, theme)
}

fn marked(is_leak: bool, grows: bool, name: String, theme: Theme) -> RowName {
    match (is_leak, grows) {
        (true, _) => (LEAK, name, theme.leak()),
        (false, true) => (GROWS, name, theme.growing()),
        (false, false) => ("", name, Style::new()),
    }
}

/// A table to be drawn.
struct TableSheet<'a, R> {
    app: &'a App,
    columns: Vec<Column<R>>,
    /// The head above the names.
    last: &'static str,
    name: fn(&R, Theme) -> RowName,
}

impl<R> TableSheet<'_, R> {
    /// The heads and the rows, and where they will be.
    fn lines<B: Borrow<R>>(
        self,
        area: Rect,
        rows: impl Iterator<Item = B>,
    ) -> (Places, Vec<Line<'static>>) {
        let Self { app, columns, last, name } = self;
        let width = usize::from(area.width);
        let columns = fitting(columns, &app.hidden(), width, NAME);
        let mut lines = vec![head(&columns, last, width, app)];
        lines.extend(rows.map(|row| {
            let row = row.borrow();
            line(&columns, width, row, name(row, app.theme), app.theme)
        }));
        let places = places(&columns, last, area, lines.len() as u16 - 1);
        if lines.len() == 1 {
            let text = "no region of shared memory that is asked for";
            lines.push(Line::from(Span::styled(text, app.theme.quiet())));
        }
        (places, lines)
    }
}

fn places<R>(columns: &[Column<R>], last: &'static str, area: Rect, rows: u16) -> Places {
    let mut at = area.x;
    let mut heads = Vec::new();
    for column in columns {
        let end = at + column.width as u16 + 1;
        heads.push((column.head, at, end));
        at = end;
    }
    heads.push((last, at, area.right()));
    Places { top: area.y, rows, heads }
}

fn head<R>(columns: &[Column<R>], last: &str, width: usize, app: &App) -> Line<'static> {
    let sorted = app.sorted_by();
    let mark = if app.is_reversed { '▲' } else { '▼' };
    let head = |head: &str, width: usize| {
        let marked = format!("{head}{mark}");
        if head == sorted && marked.width() <= width { marked } else { head.to_owned() }
    };
    let mut spans = Vec::new();
    for column in columns {
        spans.push(Span::raw(aligned(&head(column.head, column.width), column)));
    }
    spans.push(Span::raw(format!(" {}", head(last, last.width() + 1))));
    Line::from(padded(spans, width)).style(app.theme.head())
}

fn line<R>(
    columns: &[Column<R>],
    width: usize,
    row: &R,
    (mark, name, style): RowName,
    theme: Theme,
) -> Line<'static> {
    let mut spans: Vec<Span<'static>> = columns
        .iter()
        .map(|column| {
            Span::styled(aligned(&(column.text)(row), column), (column.style)(theme, row))
        })
        .collect();
    let used: usize = columns.iter().map(|column| column.width + 1).sum::<usize>() + 1;
    let name = cut(&format!("{mark}{name}"), width.saturating_sub(used));
    spans.push(Span::styled(format!(" {name}"), style));
    Line::from(padded(spans, width))
}

fn aligned<R>(text: &str, column: &Column<R>) -> String {
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
