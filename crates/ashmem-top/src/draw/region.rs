// SPDX-License-Identifier: MIT OR Apache-2.0
//! One region: what it is, its memory over time, its pages, who holds it.

use ashmem_inspect::amount::{Bytes, or_unknown};
use ashmem_inspect::listing;
use ashmem_inspect::page_map::PageMap;
use ashmem_inspect::region::CensusRegion;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

use super::fit::cut;
use super::{charts, strip};
use crate::app::App;
use crate::theme::Theme;
use ashmem_inspect::which::Which;

/// From so many lines on memory over time is shown.
const WITH_CHART: u16 = 18;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let Some((region, map, is_gone)) = &app.region else { return };
    let theme = app.theme;
    let width = usize::from(area.width);
    let mut lines = facts(region, theme);
    if *is_gone {
        lines
            .push(Line::from(Span::styled("it is gone: this is how it was last", theme.warning())));
    } else if region.is_unmapped() {
        let text = "possible leak: open but not mapped by any process";
        lines.push(Line::from(Span::styled(text, theme.warning())));
    }
    let above = lines.len() as u16;
    let chart = if area.height >= WITH_CHART { charts::HEIGHT } else { 0 };
    let pages =
        pages(map, app.census.page_size, width, usize::from(area.height / 4).clamp(1, 8), theme);
    let heights = [
        Constraint::Length(above),
        Constraint::Length(chart),
        Constraint::Length(pages.len() as u16),
        Constraint::Min(1),
    ];
    let [top, middle, strip, bottom] = Layout::vertical(heights).areas(area);
    put(frame, top, &lines);
    if chart > 0 {
        let past = app.history.resident(Which::of(region));
        let most = past.iter().copied().flatten().max();
        let now = or_unknown(region.resident.map(Bytes));
        let label = format!("resident {now}, most {}", or_unknown(most.map(Bytes)));
        charts::chart(frame, middle, &label, theme.memory(), &past);
    }
    put(frame, strip, &pages);
    let holders = holders(region, width, theme);
    app.room = usize::from(bottom.height).max(1);
    app.first_line = app.first_line.min(holders.len().saturating_sub(app.room));
    put(frame, bottom, &holders[app.first_line..]);
}

fn put(frame: &mut Frame<'_>, area: Rect, lines: &[Line<'_>]) {
    for (line, row) in lines.iter().zip(area.rows()) {
        frame.render_widget(line, row);
    }
}

fn facts(region: &CensusRegion, theme: Theme) -> Vec<Line<'static>> {
    let name =
        if region.name.is_empty() { "(no name)".to_owned() } else { region.name.to_string() };
    let id =
        region.id.map_or_else(|| "no id before its first mmap".to_owned(), |id| format!("id {id}"));
    let pages = |of: fn(&ashmem_inspect::region::PageCounts) -> u64| {
        or_unknown(region.pages.as_ref().map(of))
    };
    let amounts = format!(
        "{}, {id}, size {}, resident {}, share {}, mask {}",
        region.kind.word(),
        listing::size(region),
        or_unknown(region.resident.map(Bytes)),
        Bytes(region.share()),
        or_unknown(region.mask),
    );
    let states = format!(
        "pages: {} pinned, {} unpinned, {} purged",
        pages(|pages| pages.pinned),
        pages(|pages| pages.unpinned),
        pages(|pages| pages.purged)
    );
    vec![Line::from(Span::styled(name, theme.head())), Line::from(amounts), Line::from(states)]
}

/// The strip with what its blocks are.
fn pages(
    map: &PageMap,
    page_size: u64,
    width: usize,
    most: usize,
    theme: Theme,
) -> Vec<Line<'static>> {
    let each = strip::pages_each(map.pages, width, most);
    let plural = if each == 1 { "" } else { "s" };
    let head = format!("page map, each block {each} page{plural} ({})", Bytes(each * page_size));
    let mut lines = vec![Line::from(Span::styled(head, theme.head()))];
    lines.extend(strip::rows(map, page_size, width, most, theme));
    let shown: String = lines[1..].iter().map(ToString::to_string).collect();
    let legend: Vec<String> = strip::LEGEND
        .iter()
        .filter(|(glyph, _)| shown.contains(*glyph))
        .map(|(glyph, meaning)| format!("{glyph} {meaning}"))
        .collect();
    lines.push(Line::from(Span::styled(cut(&legend.join("   "), width), theme.quiet())));
    lines.extend(
        map.limits.iter().map(|limit| Line::from(Span::styled(cut(limit, width), theme.warning()))),
    );
    lines
}

/// Who holds it, and where they map it.
fn holders(region: &CensusRegion, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let count = region.holders.len();
    let head = format!("{count} holder{}", if count == 1 { "" } else { "s" });
    let mut lines = vec![Line::from(Span::styled(head, theme.head()))];
    for holder in &region.holders {
        lines.push(Line::from(cut(&listing::who(holder), width)));
        for mapping in &holder.mappings {
            let length = Bytes(mapping.end - mapping.start);
            let text = format!(
                "  {:x}-{:x} {} {length} from {}",
                mapping.start,
                mapping.end,
                mapping.rights(),
                Bytes(mapping.offset)
            );
            lines.push(Line::from(Span::styled(cut(&text, width), theme.quiet())));
        }
    }
    lines
}
