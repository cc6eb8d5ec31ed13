// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was: memory, unpinned pages, purges a second; the newest at the right.

use ashmem_inspect::amount::Bytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{RenderDirection, Sparkline};
use unicode_width::UnicodeWidthStr;

use crate::app::App;
use crate::history::Moment;

/// A line that says what, and the bars.
pub(super) const HEIGHT: u16 = 5;

/// Columns between two charts.
const GAP: u16 = 2;

/// How many there are, where there is room.
const CHARTS: usize = 3;

/// Narrower charts say nothing.
const LEAST: u16 = 24;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let now = app.history.moments().next().copied().unwrap_or_default();
    let values = |of: fn(&Moment) -> Option<u64>| -> Vec<Option<u64>> {
        app.history.moments().map(of).collect()
    };
    let shown = usize::from((area.width + GAP) / (LEAST + GAP)).clamp(1, CHARTS);
    let columns = Layout::horizontal(vec![Constraint::Fill(1); shown]).spacing(GAP).split(area);
    let room = columns.iter().map(|column| column.width).min().unwrap_or_default();
    // With the most there was, if anything is known, and if there is room.
    let label = |now: String, values: &[Option<u64>], is_known, shown: &dyn Fn(u64) -> String| {
        let most = values.iter().copied().flatten().max().filter(|_| is_known);
        most.map(|most| format!("{now}, most {}", shown(most)))
            .filter(|label| label.width() <= room.into())
            .unwrap_or(now)
    };
    let resident = values(|moment| moment.resident.known());
    let unpinned = values(|moment| moment.unpinned.known());
    // Tenths, for a bar has whole numbers.
    let purges = values(|moment| moment.purges.map(|purges| (purges * 10.0) as u64));
    let purges_now = match (now.purges, now.lacks_purges) {
        (None, _) => "?".to_owned(),
        (Some(purges), true) => format!("≥{purges:.1}"),
        (Some(purges), false) => format!("{purges:.1}"),
    };
    let theme = app.theme;
    let charts: [_; CHARTS] = [
        (
            label(
                format!("resident {}", now.resident.shown(Bytes)),
                &resident,
                now.resident.known().is_some(),
                &|most| Bytes(most).to_string(),
            ),
            theme.memory(),
            resident,
        ),
        (
            label(
                format!("unpinned {} pages", now.unpinned.shown(|pages| pages)),
                &unpinned,
                now.unpinned.known().is_some(),
                &|most| most.to_string(),
            ),
            theme.unpinned(),
            unpinned,
        ),
        (
            label(format!("purges {purges_now} pages/s"), &purges, now.purges.is_some(), &|most| {
                format!("{:.1}", most as f64 / 10.0)
            }),
            theme.purged(),
            purges,
        ),
    ];
    for ((label, style, values), area) in charts.iter().zip(columns.iter()) {
        chart(frame, *area, label, *style, values);
    }
}

/// A label and bars below it, with a line to spare. What is unknown has a `?` in place of a bar.
pub(super) fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &str,
    style: Style,
    newest_first: &[Option<u64>],
) {
    let [head, bars, _] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(
        Line::from(Span::styled(super::fit::cut(label, head.width.into()), style)),
        head,
    );
    let most = newest_first.iter().copied().flatten().max().unwrap_or(1).max(1);
    let bar = Sparkline::default()
        .data(newest_first)
        .absent_value_symbol("?")
        .max(most)
        .style(style)
        .direction(RenderDirection::RightToLeft);
    frame.render_widget(bar, bars);
}
