// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the keys, the columns and the colours are.

use ashmem_help::wrap::row;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::fit::cut;
use super::table::{GROWS, LEAK};
use crate::app::App;
use crate::theme::Theme;

/// A head, the column at which explanations begin, and what is explained.
struct HelpSection {
    head: &'static str,
    column: usize,
    rows: &'static [(&'static str, &'static str)],
}

const SECTIONS: &[HelpSection] = &[
    HelpSection {
        head: "KEYS",
        column: 16,
        rows: &[
            ("1 2 3, v tab", "regions, groups, processes; the next table"),
            ("↑ ↓ k j", "select a row; page up, page down, home g, end G"),
            ("enter", "a group's or a process's regions; a region's pages and holders"),
            ("esc", "back"),
            ("/", "search names, ids, commands, pids, containers; enter keeps it, esc ends it"),
            ("s S", "sort by the next column, the one before"),
            ("r", "the other way round"),
            ("f", "leaks first, or not"),
            ("l", "only leaks"),
            ("z", "tell growth from now on"),
            ("c", "choose the columns"),
            ("p", "pause"),
            ("space", "refresh now"),
            ("+ -", "faster, slower"),
            ("q ctrl-c", "quit"),
            ("ctrl-z", "suspend"),
            (
                "mouse",
                "click selects, and once more steps in; a head sorts; with shift the terminal's",
            ),
        ],
    },
    HelpSection {
        head: "LEGEND",
        column: 16,
        rows: &[
            ("! red", "possible leak: held by descriptors, mapped nowhere"),
            ("+ yellow", "more regions than when growth began to be told"),
            ("green", "memory; in the page map also where it is"),
        ],
    },
    HelpSection {
        head: "GROUPS",
        column: 2,
        rows: &[(
            "",
            "regions of the same holders whose names differ in numbers alone; # stands for each \
             number",
        )],
    },
    HelpSection {
        head: "COLUMNS",
        column: 16,
        rows: &[
            ("ID", "inode of the memory; - before a device region's first mmap"),
            ("RESIDENT", "memory it has, in a cache or swapped out included"),
            ("SHARE PSS", "of that, what processes have mapped, each page divided by its mappings"),
            ("PINNED", "pages that stay"),
            ("UNPINNED", "pages that may be purged"),
            ("PURGED", "pages that were taken away, and not pinned since"),
            ("HOLDERS", "processes that hold or map it"),
            ("AGE OLDEST", "since its memory was made"),
            ("GREW BY", "regions more than when growth began to be told"),
            ("AND BY", "bytes of memory, the same"),
            ("LEAKS", "regions that nobody maps"),
            ("?", "what could not be seen; the last line but one says why"),
        ],
    },
    HelpSection {
        head: "TITLE AND CHARTS",
        column: 16,
        rows: &[
            ("purges", "pages that became purged between two refreshes, a second"),
            ("every", "without --every, top looks as seldom as keeps it below 1 % of a processor"),
        ],
    },
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let lines = lines(usize::from(area.width), app.theme);
    let room = usize::from(area.height).max(1);
    app.room = room;
    app.first_line = app.first_line.min(lines.len().saturating_sub(room));
    for ((text, style), row) in lines.iter().skip(app.first_line).zip(area.rows()) {
        frame.render_widget(Line::from(Span::styled(cut(text, row.width.into()), *style)), row);
    }
}

/// All of it in lines of `width` columns.
fn lines(width: usize, theme: Theme) -> Vec<(String, Style)> {
    let mut lines = Vec::new();
    for (place, section) in SECTIONS.iter().enumerate() {
        if place != 0 {
            lines.push((String::new(), theme.quiet()));
        }
        lines.push((section.head.to_owned(), theme.head()));
        for (term, text) in section.rows {
            let style = match *term {
                term if term.starts_with(LEAK) => theme.leak(),
                term if term.starts_with(GROWS) && term.contains("yellow") => theme.growing(),
                "green" => theme.memory(),
                _ => theme.quiet(),
            };
            let wrapped = row(term, term.chars().count(), section.column, text, width);
            lines.extend(wrapped.lines().map(|line| (line.to_owned(), style)));
        }
    }
    lines
}
