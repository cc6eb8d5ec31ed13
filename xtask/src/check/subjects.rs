//! The subjects of commits: `area: verb ...`, in one line that git's own tools show whole.

use crate::{process, workspace};
use anyhow::Result;
use std::process::Command;

/// Columns that `git log` and forges show of a subject.
const COLUMNS: usize = 72;
/// What new commits are new against: the first of these that there is and that is not all of this branch.
const BASES: [&str; 4] = ["main", "origin/main", "master", "origin/master"];

/// The new commits' subjects that are wrong, a line each, and how many were looked at; none where nothing is known to be old.
pub(super) fn wrong() -> Result<Option<(Vec<String>, usize)>> {
    let git = |arguments: &[&str]| process::capture(Command::new("git").args(arguments).current_dir(workspace::root()));
    let known = |base: &&&str| git(&["rev-parse", "--verify", "--quiet", &format!("{base}^{{commit}}")]).is_ok();
    let mut looked = None;
    for base in BASES.iter().filter(known) {
        let log = git(&["log", "--no-merges", "--format=%h %s", &format!("{base}..HEAD")])?;
        looked.get_or_insert((Vec::new(), 0));
        if !log.is_empty() {
            let wrong = log.lines().filter_map(|line| {
                let (commit, subject) = line.split_once(' ')?;
                fault(subject).map(|why| format!("{commit} {subject}: {why}"))
            });
            return Ok(Some((wrong.collect(), log.lines().count())));
        }
    }
    Ok(looked)
}

fn fault(subject: &str) -> Option<&'static str> {
    let Some((area, what)) = subject.split_once(": ") else { return Some("begins with no `area: `") };
    let is_area =
        |area: &str| area.chars().all(|letter| letter.is_ascii_lowercase() || "-_+., 0123456789".contains(letter));
    if !is_area(area) || area.is_empty() {
        Some("the area is not in small letters")
    } else if !what.starts_with(|letter: char| letter.is_ascii_lowercase()) {
        Some("begins with no verb in small letters")
    } else if subject.chars().count() > COLUMNS {
        Some("has more than 72 columns")
    } else if subject.ends_with('.') {
        Some("ends with a full stop")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_subject_is_an_area_and_a_verb() {
        assert_eq!(fault("agent: keep the memfd open while reopening it"), None);
        assert_eq!(fault("ashmem, libashmem: hold the interfaces to snapshots"), None);
        for bad in ["Keep it open", "Agent: keep it", "agent: Keep it", "agent: keep it.", "fixup! agent: keep it"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
        assert!(fault(&format!("agent: keep {}", "it ".repeat(22))).is_some());
    }
}
