// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first line: what is shown, how much of it, how often.

use ashmem_inspect::amount::Bytes;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::App;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let shown = app.rows.len();
    let all = app.census.regions.len();
    let totals = app.census.totals();
    let mut text = match shown == all {
        true => format!("  {all} regions"),
        false => format!("  {shown} of {all} regions"),
    };
    text.push_str(&format!(", {} resident", totals.resident.shown(Bytes)));
    if app.only_leaks {
        text.push_str(", leaks only");
    }
    if totals.unmapped > 0 && !app.only_leaks {
        text.push_str(&format!(", {} mapped nowhere", totals.unmapped));
    }
    let pace = if app.is_paused {
        "  paused".to_owned()
    } else {
        format!("  every {} s", app.every.as_secs_f64())
    };
    let theme = app.theme;
    let pace = Span::styled(pace, if app.is_paused { theme.warning() } else { theme.quiet() });
    frame.render_widget(
        Line::from(vec![Span::styled("ashmem top", theme.title()), Span::raw(text), pace]),
        area,
    );
}
