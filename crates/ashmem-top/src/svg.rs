// SPDX-License-Identifier: MIT OR Apache-2.0
//! A screen as an SVG picture. Blocks are drawn, not written, so that they join whatever font there
//! is.

use std::fmt::Write;

use ratatui::buffer::Cell;
use ratatui::style::{Color, Modifier};

/// A cell in pixels.
const WIDE: f64 = 8.4;
const HIGH: f64 = 18.0;
/// Around the screen.
const EDGE: f64 = 14.0;

const INK: &str = "#d7dae0";
const PAPER: &str = "#16191f";

/// Draws a screen of these rows.
pub(crate) fn picture<'a>(rows: impl Iterator<Item = &'a [Cell]>) -> String {
    let mut body = String::new();
    let (mut width, mut height) = (0, 0);
    for (y, row) in rows.enumerate() {
        (width, height) = (width.max(row.len()), y + 1);
        let mut x = 0;
        for run in row.chunk_by(|one, other| kind(one) == kind(other)) {
            // Writing to a string cannot fail.
            let _ = piece(&mut body, run, x, y);
            x += run.len();
        }
    }
    let (width, height) = (width as f64 * WIDE + 2.0 * EDGE, height as f64 * HIGH + 2.0 * EDGE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"ashmem top\">\n\
         <style>text {{ font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; \
         white-space: pre }}</style>\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         {body}</svg>\n"
    )
}

/// What one piece of a row has in common: its colours, whether it is bold, and the block it is made
/// of.
fn kind(cell: &Cell) -> (Color, Modifier, Option<(f64, f64)>) {
    (cell.fg, cell.modifier, block(cell))
}

fn piece(out: &mut String, run: &[Cell], at: usize, row: usize) -> std::fmt::Result {
    let first = &run[0];
    let is_reversed = first.modifier.contains(Modifier::REVERSED);
    let (x, y) = (EDGE + at as f64 * WIDE, EDGE + row as f64 * HIGH);
    let width = run.len() as f64 * WIDE;
    let colour = hexadecimal(first.fg);
    if is_reversed {
        writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HIGH}\" \
             fill=\"{colour}\"/>"
        )?;
    }
    let ink = if is_reversed { PAPER } else { colour };
    if let Some((part, opacity)) = block(first) {
        let (top, height) = (y + HIGH * (1.0 - part), HIGH * part);
        return writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{ink}\" fill-opacity=\"{opacity}\"/>"
        );
    }
    let text: String = run.iter().map(Cell::symbol).collect();
    if text.trim().is_empty() {
        return Ok(());
    }
    let weight = if first.modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
    writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{:.1}\" textLength=\"{width:.1}\" xml:space=\"preserve\" \
         fill=\"{ink}\"{weight}>{}</text>",
        y + HIGH * 0.75,
        escaped(&text)
    )
}

/// The height of a block, of 1, and how opaque it is.
fn block(cell: &Cell) -> Option<(f64, f64)> {
    const LOWER: &str = "▁▂▃▄▅▆▇█";
    let character = cell.symbol().chars().next()?;
    match character {
        '░' => Some((1.0, 0.25)),
        '▒' => Some((1.0, 0.6)),
        _ => LOWER
            .chars()
            .position(|lower| lower == character)
            .map(|eighths| ((eighths + 1) as f64 / 8.0, 1.0)),
    }
}

fn hexadecimal(colour: Color) -> &'static str {
    match colour {
        Color::Cyan => "#56b6c2",
        Color::DarkGray => "#8b93a1",
        Color::Green => "#7cc36e",
        Color::Red => "#e8636e",
        Color::Yellow => "#e0b354",
        _ => INK,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use crate::app::tests::{app, region};
    use crate::snapshot::{Size, Snapshot};

    #[test]
    fn a_name_cannot_leave_the_text_it_is_in() {
        let mut app = app(vec![region(1, "<script>&\"", 4096)]);
        let picture = Snapshot::of(&mut app, Size { width: 80, height: 24 }).svg();
        assert!(
            picture.contains("&lt;script&gt;&amp;") && !picture.contains("<script>"),
            "{picture}"
        );
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }
}
