// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the screen looks: a title, what was, what is, and the keys.

mod charts;
mod chooser;
mod fit;
mod foot;
mod help;
mod region;
mod strip;
mod table;
mod title;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::Line;

use crate::app::App;
use crate::view::View;

/// Nothing can be read on less.
const LEAST: (u16, u16) = (24, 6);

/// From so many lines on there are charts above the table.
const WITH_CHARTS: u16 = 18;

/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        frame.render_widget(Line::from("too small"), area);
        return;
    }
    let charts = if matches!(app.view, View::Table(_)) && area.height >= WITH_CHARTS {
        charts::HEIGHT
    } else {
        0
    };
    let heights = [
        Constraint::Length(1),
        Constraint::Length(charts),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ];
    let [title, above, body, message, keys] = Layout::vertical(heights).areas(area);
    title::draw(frame, title, app);
    if app.shows_help {
        help::draw(frame, above.union(body), app);
    } else if let Some(at) = app.chooser {
        chooser::draw(frame, above.union(body), app, at);
    } else {
        match app.view {
            View::Table(_) => {
                if charts > 0 {
                    charts::draw(frame, above, app);
                }
                table::draw(frame, body, app);
            }
            View::Region(_) => region::draw(frame, body, app),
        }
    }
    foot::message(frame, message, app);
    foot::keys(frame, keys, app);
}

#[cfg(test)]
mod pictures;
#[cfg(test)]
mod tests;
