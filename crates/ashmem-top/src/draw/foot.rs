// SPDX-License-Identifier: MIT OR Apache-2.0
//! The last two lines: what is typed or could not be seen, and the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::fit::cut;
use super::table::{GROWS, LEAK};
use crate::app::App;
use crate::view::{TopView, View};

/// A key and what it does; the first ones are shown wherever there is room for anything.
type KeyHelp = &'static [(&'static str, &'static str)];

const IN_TABLE: KeyHelp = &[
    ("q", "quit"),
    ("?", "help"),
    ("↑↓", "select"),
    ("enter", "step in"),
    ("v", "next table"),
    ("/", "search"),
    ("s", "sort"),
    ("r", "reverse"),
    ("l", "leaks"),
    ("c", "columns"),
    ("z", "growth from now"),
    ("p", "pause"),
    ("+-", "pace"),
];
const IN_CHOOSER: KeyHelp =
    &[("esc", "back"), ("↑↓", "select"), ("space", "show or hide"), ("a", "all")];
const IN_REGION: KeyHelp = &[
    ("q", "quit"),
    ("?", "help"),
    ("esc", "back"),
    ("↑↓", "holders"),
    ("p", "pause"),
    ("+-", "pace"),
];
const IN_SEARCH: KeyHelp = &[("enter", "keep"), ("esc", "all regions again")];
const IN_HELP: KeyHelp = &[("↑↓", "more"), ("any other key", "back")];

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
    } else if app.limits.is_empty() && app.view.table() != TopView::Regions {
        legend(app)
    } else {
        Line::from(Span::styled(cut(&app.limits.join("; "), width), theme.warning()))
    };
    frame.render_widget(line, area);
}

/// What the marks before the names are.
fn legend(app: &App) -> Line<'static> {
    let theme = app.theme;
    Line::from(vec![
        Span::styled(format!("{LEAK}mapped nowhere  "), theme.leak()),
        Span::styled(format!("{GROWS}more regions than before"), theme.growing()),
    ])
}

pub(super) fn keys(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let keys = match app.view {
        _ if app.shows_help => IN_HELP,
        _ if app.chooser.is_some() => IN_CHOOSER,
        _ if app.is_typing => IN_SEARCH,
        View::Table(_) => IN_TABLE,
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
