// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subjects of new commits: `area: verb …`, short enough for one line of a log.

/// The longest subject, in columns.
const LONGEST: usize = 72;
/// What new commits are new against: the first of these from which there are any.
pub(crate) const BASES: [&str; 4] = ["main", "origin/main", "master", "origin/master"];

/// What is wrong with these lines of `git log --format='%h %s'`, a line each.
pub(crate) fn wrong(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(commit, subject)| judge(commit, subject))
        .collect()
}

fn judge(commit: &str, subject: &str) -> Option<String> {
    let columns = subject.chars().count();
    if columns > LONGEST {
        return Some(format!(
            "{commit}: the subject has {columns} columns, more than {LONGEST}: {subject}"
        ));
    }
    let is_area = |area: &str| {
        !area.is_empty()
            && area.split(", ").all(|area| {
                area.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
            })
    };
    // A verb begins in lower case, and what it says ends without a full stop.
    let is_sentence =
        |words: &str| words.starts_with(|c: char| c.is_ascii_lowercase()) && !words.ends_with('.');
    let fits =
        subject.split_once(": ").is_some_and(|(area, words)| is_area(area) && is_sentence(words));
    (!fits).then(|| format!("{commit}: the subject is not `area: verb …`: {subject}"))
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn a_subject_is_an_area_and_a_short_sentence() {
        let good = "a1 agent: keep the memfd open while reopening it\n\
                    b2 module-fuzz: race purges with pins; keep more\n\
                    c3 core, module: say why\n";
        assert!(wrong(good).is_empty(), "{:?}", wrong(good));
        for bad in [
            "Fix things",
            "agent:keep it",
            "Agent: keep it",
            "agent: Keep it",
            "agent: keep it.",
            ": keep it",
        ] {
            assert_eq!(wrong(&format!("d4 {bad}")).len(), 1, "{bad}");
        }
        assert_eq!(wrong(&format!("e5 agent: {}", "x".repeat(66))).len(), 1, "73 columns");
        assert!(wrong(&format!("e5 agent: {}", "x".repeat(65))).is_empty(), "72 columns");
    }
}
