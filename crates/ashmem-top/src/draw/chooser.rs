// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which columns are shown, to be chosen.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::fit::cut;
use crate::app::App;
use crate::places::Places;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, at: usize) {
    let (heads, hidden, theme) = (app.view.table().heads(), app.hidden(), app.theme);
    let text = "columns of this table: [x] is shown where there is room for it";
    let mut lines = vec![Line::from(Span::styled(cut(text, area.width.into()), theme.head()))];
    for (number, head) in heads.iter().enumerate() {
        let mark = if hidden.contains(head) { " " } else { "x" };
        let line = Line::from(format!(" [{mark}] {head} "));
        lines.push(if number == at { line.style(theme.selected()) } else { line });
    }
    // Low screens show those around the one that a key would act on.
    let room = usize::from(area.height).max(1);
    app.room = room;
    app.places = Places { top: area.y, ..Places::default() };
    let first = (at + 2).saturating_sub(room);
    for (line, row) in lines.into_iter().skip(first).zip(area.rows()) {
        frame.render_widget(line, row);
    }
}
