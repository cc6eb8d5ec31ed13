// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was: memory, unpinned pages, purges a second; the newest at the right.

use ashmem_inspect::amount::Bytes;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{RenderDirection, Sparkline};

use crate::app::App;
use crate::history::Moment;

/// A line that says what, and the bars.
pub(super) const HEIGHT: u16 = 5;

/// Columns between two charts.
const GAP: u16 = 2;

/// Narrower charts say nothing.
const LEAST: u16 = 24;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let now = app.history.moments().next().copied().unwrap_or_default();
    let values = |of: fn(&Moment) -> u64| -> Vec<u64> { app.history.moments().map(of).collect() };
    let most = |values: &[u64]| values.iter().copied().max().unwrap_or(0);
    let resident = values(|moment| moment.resident);
    let unpinned = values(|moment| moment.unpinned);
    // Tenths, for a bar has whole numbers.
    let purges = values(|moment| (moment.purges * 10.0) as u64);
    let theme = app.theme;
    let charts = [
        (
            format!("resident {}, most {}", Bytes(now.resident), Bytes(most(&resident))),
            theme.memory(),
            resident,
        ),
        (
            format!("unpinned {} pages, most {}", now.unpinned, most(&unpinned)),
            theme.unpinned(),
            unpinned,
        ),
        (
            format!("purges {:.1} pages/s, most {:.1}", now.purges, most(&purges) as f64 / 10.0),
            theme.purged(),
            purges,
        ),
    ];
    let shown = usize::from((area.width + GAP) / (LEAST + GAP)).clamp(1, charts.len());
    let columns = Layout::horizontal(vec![Constraint::Fill(1); shown]).spacing(GAP).split(area);
    for ((label, style, values), area) in charts.iter().zip(columns.iter()) {
        chart(frame, *area, label, *style, values);
    }
}

/// A label and bars below it, with a line to spare.
pub(super) fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    label: &str,
    style: Style,
    newest_first: &[u64],
) {
    let [head, bars, _] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .areas(area);
    frame.render_widget(
        Line::from(Span::styled(super::fit::cut(label, head.width.into()), style)),
        head,
    );
    let most = newest_first.iter().copied().max().unwrap_or(0).max(1);
    let bar = Sparkline::default()
        .data(newest_first)
        .max(most)
        .style(style)
        .direction(RenderDirection::RightToLeft);
    frame.render_widget(bar, bars);
}
