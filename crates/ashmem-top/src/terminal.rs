// SPDX-License-Identifier: MIT OR Apache-2.0
//! The terminal: taken for the screen, and left as it was found whatever happens.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::cursor::Hide;
use crossterm::terminal::{Clear, ClearType, EnterAlternateScreen};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use rustix::termios::{OptionalActions, Termios};

use crate::app::App;
use crate::draw;
use crate::terminal_guard::{LEAVE, TerminalGuard};

/// Asks the terminal for clicks and the wheel, with their places in figures. What moves without a
/// button pressed is not asked for.
const MOUSE: &[u8] = b"\x1b[?1000h\x1b[?1006h";

/// The terminal as it was found, while it is ours.
static FOUND: Mutex<Option<Termios>> = Mutex::new(None);

/// A terminal that shows the screen. Dropped, it is as it was.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    guard: Option<TerminalGuard>,
    with_mouse: bool,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// There is none, or it could not be set.
    pub(crate) fn enter(with_mouse: bool) -> io::Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(io::Error::other(
                "standard input and output are no terminal: give --snapshot for one screen as \
                 text, or take `ashmem list --watch`",
            ));
        }
        if std::env::var_os("TERM").is_some_and(|name| name == "dumb") {
            return Err(io::Error::other(
                "TERM says that it is dumb: nothing can be drawn on it; give --snapshot for one \
                 screen as text, or take `ashmem list --watch`",
            ));
        }
        // A panic's message is read on the screen of before.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                leave();
                before(panic);
            }));
        });
        let guard = take(with_mouse)?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()));
        if terminal.is_err() {
            leave();
        }
        Ok(Self { terminal: terminal?, guard, with_mouse })
    }

    /// Takes the terminal again, after [`Screen::leave`] or after somebody else had it.
    ///
    /// # Errors
    /// It could not be set.
    pub(crate) fn enter_again(&mut self) -> io::Result<()> {
        self.leave();
        self.guard = take(self.with_mouse)?;
        crossterm::execute!(io::stdout(), Clear(ClearType::All))?;
        // A new one draws all of it. The old one's `clear` asks the terminal where its cursor is,
        // and waits for the answer that the thread of the keys takes.
        self.terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }

    /// Gives the terminal back for a while.
    pub(crate) fn leave(&mut self) {
        leave();
        self.guard = None;
    }

    /// Draws what changed.
    ///
    /// # Errors
    /// The terminal could not be written to.
    pub(crate) fn draw(&mut self, app: &mut App) -> io::Result<()> {
        self.terminal.draw(|frame| draw::draw(frame, app)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Sets the terminal, and has it kept; without a keeper only SIGKILL leaves it as it is.
fn take(with_mouse: bool) -> io::Result<Option<TerminalGuard>> {
    let stdin = rustix::stdio::stdin();
    let found = rustix::termios::tcgetattr(stdin)?;
    let mut ours = found.clone();
    ours.make_raw();
    *FOUND.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
    let entered = rustix::termios::tcsetattr(stdin, OptionalActions::Now, &ours)
        .map_err(io::Error::from)
        .and_then(|()| rustix::termios::tcgetattr(stdin).map_err(io::Error::from))
        .and_then(|ours| {
            let guard = TerminalGuard::start(&found, &ours).ok();
            let mut out = io::stdout();
            crossterm::execute!(out, EnterAlternateScreen, Hide)?;
            out.write_all(if with_mouse { MOUSE } else { b"" })?;
            out.flush().map(|()| guard)
        });
    if entered.is_err() {
        leave();
    }
    entered
}

/// Leaves the terminal as it was found; does nothing the second time. A terminal that is gone
/// cannot be helped.
fn leave() {
    let Some(found) = FOUND.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let mut out = io::stdout();
    let _ = out.write_all(LEAVE).and_then(|()| out.flush());
    let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &found);
}
