// SPDX-License-Identifier: MIT OR Apache-2.0
//! One input after the other, with a time limit, from the outside.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use crate::coverage::{Bases, Feature, Sites};
use crate::health::Health;
use crate::input::Input;
use crate::journal::Journal;
use crate::player::{Played, Player, Records};

/// How long an input may take; then its processes are killed, which is no failure of the kernel's.
const LIMIT: Duration = Duration::from_secs(20);
/// How long killed processes may take to be gone; then they cannot be killed, which is one. A host
/// that gave this machine next to nothing was seen to need more than 90 seconds.
const GRACE: Duration = Duration::from_secs(300);

/// What came of an input on a kernel that stayed well.
pub(crate) struct Outcome {
    pub(crate) features: HashSet<Feature>,
    /// Whether it was over in time, by itself.
    pub(crate) whole: bool,
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
    pub(crate) player: Option<Player>,
    pub(crate) runs: u64,
    pub(crate) late: u64,
    pub(crate) died: u64,
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
        let mut player = match self.player.take() {
            Some(player) => player,
            None => Player::start(self.records.as_ref())
                .map_err(|error| finding(format!("fork: {error}")))?,
        };
        let played = player.play(input, LIMIT);
        self.late += u64::from(played == Played::Late);
        self.died += u64::from(played == Played::Died);
        let whole = matches!(played, Played::Whole | Played::Last);
        let ended = played != Played::Whole;
        match played {
            Played::Whole => self.player = Some(player),
            // One that has ended by itself needs a moment, one that has not is given none.
            Played::Last => end(player, LIMIT).map_err(finding)?,
            Played::Died | Played::Late => end(player, Duration::ZERO).map_err(finding)?,
        }
        let records: Vec<_> =
            self.records.iter().flatten().map(|record| record.addresses()).collect();
        self.health.restore(input).map_err(finding)?;
        self.health.check(ended).map_err(finding)?;
        let moved = input.does(&["load the module", "unload the module"]);
        let after = if moved { self.sites.bases() } else { before.clone() };
        let features = self.sites.features(&records, &[&before, &after]);
        self.bases = Some(after);
        Ok(Outcome { features, whole })
    }
}

/// Waits until nothing is left of a player, killing what does not end by itself; else what cannot
/// be killed.
fn end(player: Player, patience: Duration) -> Result<(), String> {
    let process = player.process;
    drop(player);
    let began = Instant::now();
    let (mut killed, mut pause) = (false, Duration::from_micros(200));
    loop {
        // Orphans of the player come to this process: it has made itself their reaper.
        // SAFETY: the status is not wanted.
        match unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } {
            0 => {}
            // No child is left.
            ..0 => return Ok(()),
            _ => continue,
        }
        if began.elapsed() > patience && !killed {
            // SAFETY: signals our own child's group, which all its descendants are in.
            unsafe {
                libc::kill(-process, libc::SIGKILL);
                libc::kill(process, libc::SIGKILL);
            }
            killed = true;
        }
        if began.elapsed() > patience + GRACE {
            return Err(format!("a process cannot be killed:\n{}", stacks(process)));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Where the threads of a process group stand in the kernel.
fn stacks(group: libc::pid_t) -> String {
    let mut text = String::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.map(|entry| entry.path()) {
        let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
        // The name, in brackets, may hold blanks; behind it: state, parent, group.
        let is_ours = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(2))
            == Some(&group.to_string());
        for thread in
            fs::read_dir(process.join("task")).into_iter().flatten().flatten().filter(|_| is_ours)
        {
            let read =
                |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State")).unwrap_or_default();
            // A text grows without fail.
            let _ = writeln!(text, "{} {state}\n{}", thread.path().display(), read("stack"));
        }
    }
    text
}
