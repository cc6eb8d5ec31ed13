// SPDX-License-Identifier: MIT OR Apache-2.0
//! The screen on a terminal, until somebody quits.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ashmem_inspect::observer;
use crossterm::event::Event;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use crate::app::{App, TopOptions, Wish};
use crate::keys::KeyPress;
use crate::terminal::Screen;

/// Why there is no screen, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `/proc`.
    #[error(transparent)]
    Census(#[from] observer::Error),
    /// Of the terminal.
    #[error("the terminal")]
    Terminal(#[from] io::Error),
}

/// What there is to react to.
enum Happening {
    Key(KeyPress),
    /// The size changed, or the terminal is back.
    Changed,
    Signal(i32),
    Lost(io::Error),
}

/// Without anything to do, so long is slept.
const LONG: Duration = Duration::from_secs(3600);

/// Shows the screen until a key or a signal ends it. The terminal is then as it was. A signal that
/// ends programs ends this one too, as if it had not been caught.
///
/// # Errors
/// There is no terminal, or no `/proc`.
pub fn run(options: TopOptions) -> Result<(), Error> {
    let with_mouse = options.with_mouse;
    let mut app = App::new(options)?;
    let mut screen = Screen::enter(with_mouse)?;
    let ended_by = show(&mut app, &mut screen);
    drop(screen);
    if let Some(signal) = ended_by? {
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    Ok(())
}

/// Until the end; the signal that brought it, if one did.
fn show(app: &mut App, screen: &mut Screen) -> Result<Option<i32>, Error> {
    let (sender, happenings) = mpsc::channel();
    listen(sender)?;
    let mut due = Instant::now() + app.every().unwrap_or(app.every);
    loop {
        screen.draw(app)?;
        let room =
            app.every().map_or(LONG, |every| due.min(Instant::now() + every) - Instant::now());
        let mut next = match happenings.recv_timeout(room) {
            Ok(happening) => Some(happening),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        let mut is_due = next.is_none();
        // Whatever came meanwhile is drawn once.
        while let Some(happening) = next {
            match happening {
                Happening::Key(key) => match app.press(key) {
                    Wish::Show => {}
                    Wish::Refresh => is_due = true,
                    Wish::Suspend => suspend(screen)?,
                    Wish::Quit => return Ok(None),
                },
                Happening::Changed => {}
                Happening::Signal(SIGTSTP) => suspend(screen)?,
                Happening::Signal(SIGCONT) => screen.enter_again()?,
                Happening::Signal(signal) => return Ok(Some(signal)),
                Happening::Lost(error) => return Err(error.into()),
            }
            next = happenings.try_recv().ok();
        }
        if is_due {
            let before = processor_time();
            app.refresh()?;
            screen.draw(app)?;
            app.took(processor_time().saturating_sub(before));
            due = Instant::now() + app.every().unwrap_or(app.every);
        }
    }
}

/// What this process has had of a processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Leaves the terminal to the shell until it lets this program go on.
fn suspend(screen: &mut Screen) -> io::Result<()> {
    screen.leave();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
    screen.enter_again()
}

/// Hears keys and signals, each on a thread of its own that ends with the process.
fn listen(sender: Sender<Happening>) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGCONT])?;
    let keys = sender.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        signals.forever().try_for_each(|signal| sender.send(Happening::Signal(signal))).ok();
    })?;
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        loop {
            let (happening, is_last) = match crossterm::event::read() {
                Ok(Event::Key(event)) => match KeyPress::of_event(&event) {
                    Some(key) => (Happening::Key(key), false),
                    None => continue,
                },
                Ok(Event::Mouse(event)) => match KeyPress::of_mouse(&event) {
                    Some(key) => (Happening::Key(key), false),
                    None => continue,
                },
                Ok(Event::Resize(..)) => (Happening::Changed, false),
                Ok(_) => continue,
                Err(error) => (Happening::Lost(error), true),
            };
            if keys.send(happening).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(())
}
