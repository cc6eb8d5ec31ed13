//! One input after the other, each in a process of its own with a time limit, from the outside.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use crate::child::{self, Records};
use crate::coverage::{Bases, Feature, Sites};
use crate::health::Health;
use crate::input::Input;
use crate::journal::Journal;

/// How long an input may take; then its processes are killed, which is no failure of the kernel's.
const LIMIT: Duration = Duration::from_secs(10);
/// How long killed processes may take to be gone; then they cannot be killed, which is one.
const GRACE: Duration = Duration::from_secs(90);
/// After so many inputs all is looked at, not only what is quickly seen.
const THOROUGH: u64 = 64;

/// What came of an input on a kernel that stayed well.
pub(crate) struct Outcome {
    pub(crate) features: HashSet<Feature>,
    pub(crate) killed: bool,
}

/// A kernel that did not.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) input: Input,
    pub(crate) what: String,
}

/// What inputs are run with.
pub(crate) struct Runner {
    pub(crate) sites: Sites,
    /// Where the module is; none while that has to be asked.
    pub(crate) bases: Option<Bases>,
    pub(crate) records: Option<Records>,
    pub(crate) journal: Journal,
    pub(crate) health: Health,
    pub(crate) runs: u64,
    pub(crate) killed: u64,
}

impl Runner {
    /// Runs an input to its end.
    pub(crate) fn run(&mut self, input: &Input) -> Result<Outcome, Finding> {
        let finding = |what: String| Finding { input: input.clone(), what };
        self.journal.line("run", input);
        self.runs += 1;
        for record in self.records.iter().flatten() {
            record.clear();
        }
        let before = self.bases.take().unwrap_or_else(|| self.sites.bases());
        // SAFETY: this process has one thread, so the child may run any code.
        let child = unsafe { libc::fork() };
        match child {
            0 => child::play(input, self.records.as_ref()),
            ..0 => return Err(finding(format!("fork: {}", std::io::Error::last_os_error()))),
            _ => {}
        }
        let killed = wait(child).map_err(finding)?;
        self.killed += u64::from(killed);
        self.health.restore(input).map_err(finding)?;
        self.health.check(self.runs.is_multiple_of(THOROUGH)).map_err(finding)?;
        let moved = input.does(&["load the module", "unload the module"]);
        let after = if moved { self.sites.bases() } else { before.clone() };
        let records: Vec<_> = self.records.iter().flatten().map(|record| record.addresses()).collect();
        let features = self.sites.features(&records, &[&before, &after]);
        self.bases = Some(after);
        Ok(Outcome { features, killed })
    }
}

/// Waits until nothing is left of a child: whether it had to be killed, or what cannot be.
fn wait(child: libc::pid_t) -> Result<bool, String> {
    let began = Instant::now();
    let (mut killed, mut pause) = (false, Duration::from_micros(200));
    loop {
        // Orphans of the child come to this process: it has made itself their reaper.
        // SAFETY: the status is not wanted.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => {}
            // No child is left.
            ..0 => return Ok(killed),
            gone => {
                if gone == child {
                    // What it left running would run into the next input.
                    kill(child);
                }
                continue;
            }
        }
        if began.elapsed() > LIMIT && !killed {
            kill(child);
            killed = true;
        }
        if began.elapsed() > LIMIT + GRACE {
            return Err(format!("a process cannot be killed:\n{}", stacks(child)));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(if killed { 50 } else { 2 }));
    }
}

/// Kills a child's process group, which all its descendants are in.
fn kill(child: libc::pid_t) {
    // SAFETY: signals our own child's group; a number of a group that is gone is an error.
    unsafe {
        libc::kill(-child, libc::SIGKILL);
        libc::kill(child, libc::SIGKILL);
    }
}

/// Where the threads of a process group stand in the kernel.
fn stacks(group: libc::pid_t) -> String {
    let mut text = String::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.map(|entry| entry.path()) {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        // The name, in brackets, may hold blanks; behind it: state, parent, group.
        let is_ours =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2)) == Some(&group.to_string());
        for thread in fs::read_dir(process.join("task")).into_iter().flatten().flatten().filter(|_| is_ours) {
            let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State")).unwrap_or_default();
            // A text grows without fail.
            let _ = writeln!(text, "{} {state}\n{}", thread.path().display(), read("stack"));
        }
    }
    text
}
