// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the keys and the columns are.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::fit::cut;
use crate::theme::Theme;

const TEXT: &str = "\
KEYS
  ↑ ↓ k j            select a region; page up, page down, home g, end G
  enter              one region: its pages and holders       esc   back
  /                  search names, ids, commands, pids, containers; enter keeps it, esc ends it
  s S                sort by the next column, the one before; r   the other way round
  l                  only leaks: held by descriptors, mapped nowhere (marked !)
  p                  pause                                   space refresh now
  + -                faster, slower
  q ctrl-c           quit                                    ctrl-z suspend

COLUMNS
  ID        inode of the memory; - before a device region's first mmap
  RESIDENT  memory it has, in a cache or swapped out included
  SHARE     of that, what processes have mapped, each page divided by its mappings (PSS)
  PINNED UNPINNED PURGED   pages; purged: taken away, and not pinned since
  HOLDERS   processes that hold or map it
  ?         what could not be seen; the last line but one says why

purges: pages that became purged between two refreshes, a second";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, theme: Theme) {
    for (text, row) in TEXT.lines().zip(area.rows()) {
        let text = cut(text, row.width.into());
        let is_head = !text.is_empty() && text.chars().all(char::is_uppercase);
        frame.render_widget(
            Line::from(Span::styled(text, if is_head { theme.head() } else { theme.quiet() })),
            row,
        );
    }
}
