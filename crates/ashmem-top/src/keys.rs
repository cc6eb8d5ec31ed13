// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, as a terminal sends them and by their names.

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPress {
    /// A character.
    Character(char),
    /// The line above.
    Up,
    /// The line below.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// The first line.
    Home,
    /// The last line.
    End,
    /// Into what is selected.
    Enter,
    /// Back.
    Escape,
    /// Takes a character back.
    Backspace,
    /// The next table.
    Tab,
    /// The wheel, away from the hand.
    WheelUp,
    /// The wheel, towards it.
    WheelDown,
    /// The mouse's first button, at a place of the screen, counted from 0.
    Click {
        /// From the left.
        column: u16,
        /// From the top.
        row: u16,
    },
    /// Quits wherever it is pressed: Ctrl-C.
    Interrupt,
    /// Leaves the terminal to the shell for a while: Ctrl-Z.
    Suspend,
}

/// The names that stand between angle brackets.
const NAMES: [(&str, KeyPress); 13] = [
    ("up", KeyPress::Up),
    ("down", KeyPress::Down),
    ("pageup", KeyPress::PageUp),
    ("pagedown", KeyPress::PageDown),
    ("home", KeyPress::Home),
    ("end", KeyPress::End),
    ("enter", KeyPress::Enter),
    ("esc", KeyPress::Escape),
    ("backspace", KeyPress::Backspace),
    ("tab", KeyPress::Tab),
    ("wheelup", KeyPress::WheelUp),
    ("wheeldown", KeyPress::WheelDown),
    ("lt", KeyPress::Character('<')),
];

/// Keys in a row: characters as they are, others by name: `s/cursor<enter><down><enter>`; `<lt>` is
/// the character, `<click:COLUMN,ROW>` a click there, both counted from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(pub Vec<KeyPress>);

impl std::str::FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut keys = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            rest = &rest[first.len_utf8()..];
            if first != '<' {
                keys.push(KeyPress::Character(first));
                continue;
            }
            let (name, behind) =
                rest.split_once('>').ok_or("a < without its >: <lt> is the character")?;
            let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, key)| *key);
            let key = named.or_else(|| click(name));
            keys.push(key.ok_or_else(|| {
                let names: Vec<String> =
                    NAMES.iter().map(|(name, _)| format!("<{name}>")).collect();
                format!("<{name}> is no key; there are {} <click:COLUMN,ROW>", names.join(" "))
            })?);
            rest = behind;
        }
        Ok(Self(keys))
    }
}

/// `click:12,7`.
fn click(name: &str) -> Option<KeyPress> {
    let (column, row) = name.strip_prefix("click:")?.split_once(',')?;
    Some(KeyPress::Click { column: column.parse().ok()?, row: row.parse().ok()? })
}

impl KeyPress {
    /// What the mouse did; `None` for what nothing is done with.
    pub(crate) fn of_mouse(event: &MouseEvent) -> Option<Self> {
        match event.kind {
            MouseEventKind::ScrollUp => Some(Self::WheelUp),
            MouseEventKind::ScrollDown => Some(Self::WheelDown),
            MouseEventKind::Down(MouseButton::Left) => {
                Some(Self::Click { column: event.column, row: event.row })
            }
            _ => None,
        }
    }

    /// What a terminal's event means; `None` for what nothing is done with.
    pub(crate) fn of_event(event: &KeyEvent) -> Option<Self> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        let with_control = event.modifiers.contains(KeyModifiers::CONTROL);
        Some(match event.code {
            KeyCode::Char('c') if with_control => Self::Interrupt,
            KeyCode::Char('z') if with_control => Self::Suspend,
            KeyCode::Char('p') if with_control => Self::Up,
            KeyCode::Char('n') if with_control => Self::Down,
            KeyCode::Char(_) if with_control => return None,
            KeyCode::Char(character) => Self::Character(character),
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Home => Self::Home,
            KeyCode::End => Self::End,
            KeyCode::Enter => Self::Enter,
            KeyCode::Esc => Self::Escape,
            KeyCode::Backspace => Self::Backspace,
            KeyCode::Tab => Self::Tab,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyPress, Keys};

    #[test]
    fn keys_have_names() {
        let keys: Keys = "s/a<enter><lt>é<esc><tab><click:12,7>".parse().expect("keys");
        let character = KeyPress::Character;
        let wanted = [
            character('s'),
            character('/'),
            character('a'),
            KeyPress::Enter,
            character('<'),
            character('é'),
            KeyPress::Escape,
            KeyPress::Tab,
            KeyPress::Click { column: 12, row: 7 },
        ];
        assert_eq!(keys.0, wanted);
        assert!("<".parse::<Keys>().is_err());
        for wrong in ["<click>", "<click:1>", "<click:1,-1>", "<click:70000,1>"] {
            assert!(wrong.parse::<Keys>().is_err(), "{wrong}");
        }
        assert!("<nokey>".parse::<Keys>().is_err_and(|error| error.contains("<enter>")));
    }
}
