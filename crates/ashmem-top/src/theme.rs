// SPDX-License-Identifier: MIT OR Apache-2.0
//! How things stand out: by colours on a terminal that wants them, otherwise by bold and reverse
//! alone.

use ratatui::style::{Color, Modifier, Style};

/// With colours or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used.
    pub in_colour: bool,
}

impl Theme {
    fn ink(self, colour: Color) -> Style {
        if self.in_colour { Style::new().fg(colour) } else { Style::new() }
    }

    pub(crate) fn head(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// What this screen is about.
    pub(crate) fn title(self) -> Style {
        self.ink(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    /// The line a key would act on.
    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(crate) fn quiet(self) -> Style {
        if self.in_colour { Style::new().fg(Color::DarkGray) } else { Style::new() }
    }

    /// What should be looked into.
    pub(crate) fn warning(self) -> Style {
        self.ink(Color::Yellow)
    }

    /// What may be a leak, for nobody maps it.
    pub(crate) fn leak(self) -> Style {
        self.ink(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What grew.
    pub(crate) fn growing(self) -> Style {
        self.ink(Color::Yellow)
    }

    /// Memory.
    pub(crate) fn memory(self) -> Style {
        self.ink(Color::Green)
    }

    /// Memory that may be purged.
    pub(crate) fn unpinned(self) -> Style {
        self.ink(Color::Yellow)
    }

    /// Memory that was.
    pub(crate) fn purged(self) -> Style {
        self.ink(Color::Red)
    }
}
