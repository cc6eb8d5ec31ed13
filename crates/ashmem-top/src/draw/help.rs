// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the keys, the columns and the colours are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::fit::cut;
use super::table::{GROWS, LEAK};
use crate::app::App;

const TEXT: &str = "\
KEYS
  1 2 3, v tab       regions, groups, processes; the next table
  ↑ ↓ k j            select a row; page up, page down, home g, end G
  enter              a group's or a process's regions; a region's pages and holders   esc   back
  /                  search names, ids, commands, pids, containers; enter keeps it, esc ends it
  s S                sort by the next column, the one before; r   the other way round
  f                  leaks first, or not; l   only leaks
  z                  tell growth from now on
  c                  choose the columns
  p                  pause                                   space refresh now
  + -                faster, slower
  q ctrl-c           quit                                    ctrl-z suspend
  mouse              click selects, and once more steps in; a head sorts; with shift the terminal's

LEGEND
  ! red              possible leak: held by descriptors, mapped nowhere
  + yellow           more regions than when growth began to be told
  green              memory; in the page map also where it is

GROUPS
  regions of the same holders whose names differ in numbers alone; # stands for each number

COLUMNS
  ID        inode of the memory; - before a device region's first mmap
  RESIDENT  memory it has, in a cache or swapped out included
  SHARE PSS of that, what processes have mapped, each page divided by its mappings
  PINNED UNPINNED PURGED   pages; purged: taken away, and not pinned since
  HOLDERS   processes that hold or map it
  AGE OLDEST   since its memory was made
  GREW BY, AND BY   regions, and bytes of memory, since growth is told
  LEAKS     regions that nobody maps
  ?         what could not be seen; the last line but one says why

purges: pages that became purged between two refreshes, a second
every: without --every, top looks as seldom as keeps it below 1 % of a processor";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let room = usize::from(area.height).max(1);
    app.room = room;
    app.first_line = app.first_line.min(TEXT.lines().count().saturating_sub(room));
    let theme = app.theme;
    for (text, row) in TEXT.lines().skip(app.first_line).zip(area.rows()) {
        let is_head = !text.is_empty() && text.chars().all(char::is_uppercase);
        let style = match text.trim_start() {
            _ if is_head => theme.head(),
            text if text.starts_with(LEAK) => theme.leak(),
            text if text.starts_with(GROWS) && text.contains("yellow") => theme.growing(),
            text if text.starts_with("green") => theme.memory(),
            _ => theme.quiet(),
        };
        frame.render_widget(Line::from(Span::styled(cut(text, row.width.into()), style)), row);
    }
}
