// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first line: what is shown, how much of it, how often.

use ashmem_inspect::amount::{Age, Bytes, counted};
use ashmem_inspect::growth::Grower;
use ashmem_inspect::holder_name::HolderName;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::fit::cut;
use crate::app::App;
use crate::view::TopView;

/// What every title begins with.
const NAME: &str = "ashmem top";

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (shown, all) = (app.count(), app.census.regions.len());
    let regions = counted(all, "region");
    let totals = app.census.totals();
    let mut text = match app.view.table() {
        TopView::Regions if shown == all => format!("  {regions}"),
        TopView::Regions => format!("  {shown} of {regions}"),
        TopView::Groups => format!("  {} of {regions}", counted(shown, "group")),
        TopView::Processes => format!("  {} with {regions}", counted(shown, "process")),
    };
    match &app.scope {
        Some((Grower::Holding(pattern, holders, _), _)) => {
            text.push_str(&format!(" {pattern} of {}", HolderName::line(holders)));
        }
        Some((Grower::Holder(holder), _)) => text.push_str(&format!(" of {holder}")),
        _ => {}
    }
    text.push_str(&format!(", {} resident", totals.resident.shown(Bytes)));
    if app.only_leaks {
        text.push_str(", leaks only");
    }
    if totals.unmapped > 0 && !app.only_leaks {
        text.push_str(&format!(", {} mapped nowhere", totals.unmapped));
    }
    if app.view.table() != TopView::Regions {
        text.push_str(&format!(", growth of {}", Age(app.watched())));
    }
    let every = app.every();
    let is_spared = app.is_sparing && every.is_some_and(|every| every > app.every);
    let pace = match every {
        None => "  paused".to_owned(),
        Some(every) if is_spared => {
            format!("  every {:.1} s, to spare the processor", every.as_secs_f64())
        }
        Some(every) => format!("  every {} s", every.as_secs_f64()),
    };
    let theme = app.theme;
    // What is shown comes before how often, unless that is not as it was asked for.
    let left = usize::from(area.width).saturating_sub(NAME.width());
    let is_usual = !app.is_paused && !is_spared;
    let pace = if is_usual && text.width() + pace.width() > left { String::new() } else { pace };
    let text = cut(&text, left.saturating_sub(pace.width()));
    let pace = Span::styled(pace, if app.is_paused { theme.warning() } else { theme.quiet() });
    frame.render_widget(
        Line::from(vec![Span::styled(NAME, theme.title()), Span::raw(text), pace]),
        area,
    );
}
