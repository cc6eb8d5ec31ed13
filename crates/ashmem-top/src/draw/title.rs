// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first line: what is shown, how much of it, how often.

use ashmem_inspect::amount::{Age, Bytes};
use ashmem_inspect::growth::Grower;
use ashmem_inspect::holder_name::HolderName;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::app::App;
use crate::view::TopView;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (shown, all) = (app.count(), app.census.regions.len());
    let totals = app.census.totals();
    let mut text = match app.view.table() {
        TopView::Regions if shown == all => format!("  {all} regions"),
        TopView::Regions => format!("  {shown} of {all} regions"),
        TopView::Groups => format!("  {shown} groups of {all} regions"),
        TopView::Processes => format!("  {shown} processes with {all} regions"),
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
    let pace = match app.every() {
        None => "  paused".to_owned(),
        Some(every) if app.is_sparing && every > app.every => {
            format!("  every {:.1} s, to spare the processor", every.as_secs_f64())
        }
        Some(every) => format!("  every {} s", every.as_secs_f64()),
    };
    let theme = app.theme;
    let pace = Span::styled(pace, if app.is_paused { theme.warning() } else { theme.quiet() });
    frame.render_widget(
        Line::from(vec![Span::styled("ashmem top", theme.title()), Span::raw(text), pace]),
        area,
    );
}
