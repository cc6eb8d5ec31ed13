// SPDX-License-Identifier: MIT OR Apache-2.0
//! Text made to fit.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text in so many columns, with an ellipsis where it is longer.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut short = String::new();
    for character in text.chars() {
        let columns = character.width().unwrap_or(0);
        if columns > room {
            break;
        }
        room -= columns;
        short.push(character);
    }
    if width > 0 {
        short.push('…');
    }
    short
}
