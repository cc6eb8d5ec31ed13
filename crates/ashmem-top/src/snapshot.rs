// SPDX-License-Identifier: MIT OR Apache-2.0
//! The screen as text or as a picture: what a terminal of this size would show.

use std::convert::Infallible;
use std::str::FromStr;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::{Buffer, Cell};

use crate::app::App;
use crate::{draw, svg};

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// More than this no terminal has, and the picture of which nobody reads.
const MOST: u16 = 1000;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=MOST).contains(side));
        let sides =
            text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let (width, height) = sides
            .ok_or_else(|| format!("{text:?} is no WIDTHxHEIGHT of 1 to {MOST}, such as 100x30"))?;
        Ok(Self { width, height })
    }
}

/// The screen at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot(Buffer);

impl Snapshot {
    /// What is shown on a terminal of this size.
    pub fn of(app: &mut App, size: Size) -> Self {
        let done: Result<Buffer, Infallible> =
            Terminal::new(TestBackend::new(size.width, size.height)).and_then(|mut terminal| {
                terminal.draw(|frame| draw::draw(frame, app)).map(|frame| frame.buffer.clone())
            });
        let Ok(buffer) = done;
        Self(buffer)
    }

    /// Its lines, without what is blank at their ends.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for row in self.rows() {
            let mut line = String::new();
            let mut hidden = 0;
            for cell in row {
                // A wide character's second column holds nothing to print.
                if hidden == 0 {
                    line.push_str(cell.symbol());
                    hidden = unicode_width::UnicodeWidthStr::width(cell.symbol());
                }
                hidden = hidden.saturating_sub(1);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// A picture of it, as SVG.
    pub fn svg(&self) -> String {
        svg::picture(self.rows())
    }

    /// Its rows of cells.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[Cell]> {
        self.0.content.chunks(usize::from(self.0.area.width).max(1))
    }

    #[cfg(test)]
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.0.content.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!("100x30".parse(), Ok(Size { width: 100, height: 30 }));
        for wrong in ["", "100", "0x5", "5x", "axb", "100x30x2", "70000x5", "-1x4"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
