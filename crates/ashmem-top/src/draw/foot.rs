// SPDX-License-Identifier: MIT OR Apache-2.0
//! The last two lines: what is typed or could not be seen, and the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::fit::cut;
use crate::app::{App, View};

/// A key and what it does; the first ones are shown wherever there is room for anything.
type KeyHelp = &'static [(&'static str, &'static str)];

const IN_TABLE: KeyHelp = &[
    ("q", "quit"),
    ("?", "help"),
    ("↑↓", "select"),
    ("enter", "region"),
    ("/", "search"),
    ("s", "sort"),
    ("r", "reverse"),
    ("l", "leaks"),
    ("p", "pause"),
    ("+-", "pace"),
];
const IN_REGION: KeyHelp = &[
    ("q", "quit"),
    ("?", "help"),
    ("esc", "back"),
    ("↑↓", "holders"),
    ("p", "pause"),
    ("+-", "pace"),
];
const IN_SEARCH: KeyHelp = &[("enter", "keep"), ("esc", "all regions again")];
const IN_HELP: KeyHelp = &[("any key", "back")];

/// What is being looked for, or else what the census could not see.
pub(super) fn message(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let width = usize::from(area.width);
    let theme = app.theme;
    let line = if app.is_typing || !app.search.is_empty() {
        let cursor = if app.is_typing { "▏" } else { "" };
        Line::from(Span::styled(
            cut(&format!("search: {}{cursor}", app.search), width),
            theme.head(),
        ))
    } else {
        Line::from(Span::styled(cut(&app.limits.join("; "), width), theme.warning()))
    };
    frame.render_widget(line, area);
}

pub(super) fn keys(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let keys = match app.view {
        _ if app.shows_help => IN_HELP,
        _ if app.is_typing => IN_SEARCH,
        View::Regions => IN_TABLE,
        View::Region(_) => IN_REGION,
    };
    let mut room = usize::from(area.width);
    let mut spans = Vec::new();
    for (key, what) in keys {
        let needed = key.width() + what.width() + 3;
        if needed > room + 2 {
            break;
        }
        room = room.saturating_sub(needed);
        spans.push(Span::styled(*key, app.theme.head()));
        spans.push(Span::styled(format!(" {what}  "), app.theme.quiet()));
    }
    frame.render_widget(Line::from(spans), area);
}
