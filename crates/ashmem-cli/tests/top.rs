// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem top` on a terminal of tmux's: what it shows, and that it leaves the terminal as it found
//! it, whatever ends it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// A terminal with a shell in it, that knows jobs and does not set the terminal right by itself.
struct Terminal {
    socket: String,
    folder: tempfile::TempDir,
}

impl Terminal {
    /// None where there is no tmux.
    fn open() -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok()?;
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("tmux").to_string_lossy().into_owned();
        let terminal = Self { socket, folder };
        let shell = ["env", "-u", "ENV", "PS1=prompt ", "LC_ALL=C.UTF-8", "/bin/sh", "-i"];
        terminal.tmux(
            &[&["-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "30"], shell.as_slice()]
                .concat(),
        );
        terminal.wait_until("the shell is there", |screen| screen.contains("prompt"));
        Some(terminal)
    }

    fn tmux(&self, words: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-S", &self.socket])
            .args(words)
            .output()
            .expect("tmux");
        assert!(
            output.status.success(),
            "tmux {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn write(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    fn order(&self, line: &str) {
        self.write(line);
        self.press("Enter");
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let late = Instant::now() + Duration::from_secs(120);
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if holds(&screen) {
                return;
            }
            assert!(Instant::now() < late, "waited in vain until {what}:\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How the terminal is set, as the shell's next program finds it.
    fn settings(&self, name: &str) -> String {
        let path = self.file(name);
        self.order(&format!("stty -a > {0}.new; mv {0}.new {0}", path.display()));
        let (late, mut again) = (Instant::now() + Duration::from_secs(120), Instant::now());
        while !path.exists() {
            assert!(Instant::now() < late, "the shell did not run stty");
            // What was typed while the terminal was not yet set right ended no line.
            if again.elapsed() > Duration::from_secs(1) {
                self.press("Enter");
                again = Instant::now();
            }
            thread::sleep(Duration::from_millis(20));
        }
        let settings = std::fs::read_to_string(&path).expect("what stty said");
        std::fs::remove_file(path).expect("it is there");
        // The window's size is not the program's doing.
        settings.lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    /// Starts it, and waits for its table; its process.
    fn start(&self) -> i32 {
        let pid = self.file("pid");
        let _ = std::fs::remove_file(&pid);
        let program = env!("CARGO_BIN_EXE_ashmem");
        let inner = format!(
            "echo $$ > {0}.new; mv {0}.new {0}; exec {program} top --name \"tmux-*\"",
            pid.display()
        );
        self.order(&format!("clear; sh -c '{inner}'; echo it ended with $?"));
        self.wait_until("the table is there", shows_both);
        std::fs::read_to_string(pid).expect("its number").trim().parse().expect("a number")
    }

    /// Waits until the shell's own screen is there and the terminal is set as it was.
    fn is_as_before(&self, before: &str) {
        let late = Instant::now() + Duration::from_secs(120);
        while self.tmux(&["display-message", "-p", "#{alternate_on}"]).trim() != "0" {
            assert!(Instant::now() < late, "the program's screen stays");
            thread::sleep(Duration::from_millis(50));
        }
        let late = Instant::now() + Duration::from_secs(120);
        loop {
            let now = self.settings("after");
            if now == before {
                return;
            }
            // Of a program that was killed somebody else puts it right, in a moment.
            assert!(Instant::now() < late, "the terminal is left as\n{now}\nand was\n{before}");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

fn shows_both(screen: &str) -> bool {
    screen.contains("ashmem top") && screen.contains("tmux-alpha") && screen.contains("tmux-beta")
}

fn region(name: &std::ffi::CStr) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: the name lives through the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "memfd_create");
    // SAFETY: the call made it, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: a descriptor of our own.
    assert_eq!(unsafe { libc::ftruncate(fd.as_raw_fd(), 8192) }, 0);
    fd
}

fn kill(pid: i32, signal: i32) {
    // SAFETY: the process is what the shell started for this test, and has not ended.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn it_shows_what_keys_ask_for_and_leaves_the_terminal_as_it_was() {
    let Some(terminal) = Terminal::open() else {
        return eprintln!("skipped: there is no tmux on this host");
    };
    let _regions = [region(c"tmux-alpha"), region(c"tmux-beta")];
    let before = terminal.settings("before");
    assert!(before.contains("icanon"), "{before}");

    terminal.start();
    terminal.wait_until("all columns are there", |screen| screen.contains("HELD BY"));
    terminal.tmux(&["resize-window", "-x", "70", "-y", "20"]);
    terminal.wait_until("it fits the smaller window", |screen| {
        shows_both(screen) && !screen.contains("HELD BY")
    });
    terminal.tmux(&["resize-window", "-x", "160", "-y", "30"]);
    terminal.wait_until("it fits the larger window", |screen| {
        shows_both(screen) && screen.contains("HELD BY")
    });
    terminal.write("/beta");
    terminal.press("Enter");
    terminal.wait_until("only what was found is shown", |screen| {
        screen.contains("tmux-beta") && !screen.contains("tmux-alpha")
    });
    terminal.press("Escape");
    terminal.wait_until("all is shown again", shows_both);

    // A click on a row selects it, a second one steps in; the terminal sends them so.
    let screen = terminal.tmux(&["capture-pane", "-p"]);
    let row = screen.lines().position(|line| line.contains("tmux-beta")).expect("its row") + 1;
    terminal.write(&format!("\x1b[<0;150;{row}M\x1b[<0;150;{row}m").repeat(2));
    terminal.wait_until("the clicked region is shown by itself", |screen| {
        screen.contains("page map") && screen.contains("tmux-beta")
    });
    terminal.press("Escape");
    // A key that follows at once is one with Alt, to a terminal.
    terminal.wait_until("the table is there again", shows_both);
    terminal.press("2");
    terminal.wait_until("groups are shown", |screen| {
        screen.contains("GREW BY") && screen.contains("groups of")
    });
    terminal.press("3");
    terminal.wait_until("processes are shown", |screen| screen.contains("PSS"));
    terminal.press("1");
    terminal.wait_until("regions are shown again", shows_both);

    terminal.press("C-z");
    terminal.wait_until("the shell is back", |screen| {
        screen.contains("Stopped") && !screen.contains("tmux-alpha")
    });
    assert_eq!(terminal.settings("stopped"), before, "while it is stopped");
    terminal.order("clear; fg");
    terminal.wait_until("it goes on", shows_both);
    terminal.press("q");
    terminal.wait_until("it is over", |screen| {
        !screen.contains("tmux-alpha") && screen.contains("prompt")
    });
    assert_eq!(terminal.settings("after"), before, "after q");

    kill(terminal.start(), libc::SIGTERM);
    terminal
        .wait_until("the shell says what ended it", |screen| screen.contains("it ended with 143"));
    terminal.is_as_before(&before);
    // What the shell says of this may come before anybody could bring its screen back.
    kill(terminal.start(), libc::SIGKILL);
    terminal.is_as_before(&before);
}

#[test]
fn nothing_is_drawn_on_a_dumb_terminal() {
    let Some(terminal) = Terminal::open() else { return eprintln!("skipped: no tmux") };
    let program = env!("CARGO_BIN_EXE_ashmem");
    terminal.order(&format!("TERM=dumb {program} top; echo ended $?"));
    terminal.wait_until("it says why it ends", |screen| {
        screen.contains("TERM says that it is dumb") && screen.contains("ended 1")
    });
    // What stood there before still does: the screen was not cleared.
    terminal.order(&format!(
        "TERM=dumb {program} list --name none --watch=0.1 --for 0.1; echo ended $?"
    ));
    terminal.wait_until("the list ends", |screen| {
        screen.contains("ended 0") && screen.contains("ended 1")
    });
}
