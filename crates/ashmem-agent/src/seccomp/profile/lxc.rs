// SPDX-License-Identifier: MIT OR Apache-2.0
//! LXC's policies, version 2: one line with the version, one with the default, then one rule a
//! line.
//!
//! Our rules stand between two comments at the end, and a line that they replace stays as a
//! comment: so a later run finds them, and removes them before it adds them.
//!
//! LXC's own child still runs under the policy before it becomes the container's first program, and
//! before the agent can answer: a notified call of its own would stop the start for ever. It opens
//! `/dev/null` for reading and writing, and reads the status of its descriptors. Therefore
//!
//! - opens are not notified: they end at the node, which the first ioctl, mmap or fstat turns into
//!   a region;
//! - of the calls that show a descriptor's status only fstat is notified, which Android's C library
//!   uses; and not even fstat where LXC calls it through the host's C library: [`Fstat`].

use super::{Error, NOTIFY_BY_DEFAULT, NOTIFY_ON_WRITE, Rule, check_needed, complement, rules};
use crate::seccomp::filter::{Fidelity, Test};

/// The policy to start from if none is given: it allows everything.
pub const EMPTY: &str = "2\ndenylist\n";

const BEGIN: &str = "# ashmem: rules of ashmem-agent, made by `ashmem agent profile --lxc`";
const END: &str = "# ashmem: end";
const REPLACED: &str = "# ashmem replaces: ";

/// Whether fstat(2) can be notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fstat {
    /// LXC does not call it: a region looks like the character device.
    Notified,
    /// LXC calls it: fstat of a region shows a memfd.
    Left,
}

impl Fstat {
    /// Finds out for this host's LXC, by the C library that it runs with: glibc from 2.33 to 2.38
    /// calls newfstatat instead, every other one fstat.
    pub fn of_host() -> Self {
        let answer = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output();
        answer.map_or(Self::Left, |answer| Self::of_libc(&String::from_utf8_lossy(&answer.stdout)))
    }

    fn of_libc(version: &str) -> Self {
        let minor = version
            .trim()
            .strip_prefix("glibc 2.")
            .and_then(|minor| minor.split('.').next()?.parse().ok());
        if minor.is_some_and(|minor| (33..39).contains(&minor)) {
            Self::Notified
        } else {
            Self::Left
        }
    }
}

/// The calls that LXC's own child makes before the agent can answer.
const MADE_BY_LXC: [&str; 6] = ["open", "openat", "openat2", "newfstatat", "fstatat64", "statx"];

/// Adds the agent's rules to a policy.
///
/// # Errors
/// See [`Error`].
pub fn add(text: &str, fidelity: Fidelity, fstat: Fstat) -> Result<String, Error> {
    let lines = without_ours(text);
    let Some(allows) = allows_by_default(&lines)? else {
        return Err(Error::Refused(NOTIFY_BY_DEFAULT));
    };
    check_other_listeners(&lines)?;
    let left =
        |name| MADE_BY_LXC.contains(&name) || (fstat == Fstat::Left && name.starts_with("fstat"));
    let rules = rules(fidelity).into_iter().filter(|rule| !left(rule.name));
    let mut added = vec![BEGIN.to_owned(), "[all]".to_owned()];
    let mut replaced = vec![false; lines.len()];
    let mut noted = Vec::new();
    for rule in rules {
        let whole = || lines.iter().enumerate().filter(move |(_, line)| line.is_whole(rule.name));
        if whole().any(|(_, line)| !line.runs(allows)) || (!allows && whole().next().is_none()) {
            continue;
        }
        noted.push(rule.name);
        added.extend(rule.conditions.iter().map(|tests| written(&rule, "notify", tests)));
        if !allows {
            let others = complement(&rule.conditions);
            added.extend(others.iter().map(|tests| written(&rule, "allow", tests)));
        }
        whole().for_each(|(at, _)| replaced[at] = true);
    }
    check_needed(|name| noted.contains(&name))?;
    added.push(END.to_owned());
    let kept = lines.iter().zip(replaced).map(|(line, gone)| match gone {
        true => format!("{REPLACED}{}", line.0),
        false => line.0.clone(),
    });
    Ok(kept.chain(added).map(|line| line + "\n").collect())
}

/// The lines that the container's configuration needs.
pub fn configuration(policy: &str, proxy: &str) -> String {
    format!(
        "lxc.seccomp.profile = {policy}\n\
         lxc.seccomp.notify.proxy = {proxy}\n\
         lxc.mount.entry = /dev/full dev/ashmem none bind,create=file 0 0\n"
    )
}

fn malformed(why: impl Into<String>) -> Error {
    Error::Malformed { what: "LXC policy of version 2", why: why.into() }
}

/// One line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProfileLine(String);

impl ProfileLine {
    /// The call and the rest; a section, a comment or an empty line is no rule.
    fn rule(&self) -> Option<(&str, &str)> {
        let line = self.0.trim_end();
        if line.is_empty() || line.starts_with(['#', '[', ' ']) {
            return None;
        }
        Some(line.split_once(' ').map_or((line, ""), |(name, rest)| (name, rest.trim())))
    }

    /// Whether it is a rule for this call whatever its arguments.
    fn is_whole(&self, name: &str) -> bool {
        self.rule().is_some_and(|(other, rest)| other == name && !rest.contains('['))
    }

    /// Whether its action lets the call run.
    fn runs(&self, allows_by_default: bool) -> bool {
        match self.rule() {
            Some((_, rest)) if rest.is_empty() || rest.starts_with('#') => !allows_by_default,
            Some((_, rest)) => rest.starts_with("allow"),
            None => false,
        }
    }
}

/// The policy without our rules.
fn without_ours(text: &str) -> Vec<ProfileLine> {
    let mut lines = Vec::new();
    let mut ours = false;
    for line in text.lines() {
        match line {
            BEGIN => ours = true,
            END if ours => ours = false,
            _ if ours => {}
            line => lines.push(ProfileLine(line.strip_prefix(REPLACED).unwrap_or(line).to_owned())),
        }
    }
    lines
}

/// Whether calls without a rule run; `None` if they are notified.
fn allows_by_default(lines: &[ProfileLine]) -> Result<Option<bool>, Error> {
    match lines.first().map(|line| line.0.trim()) {
        Some("2") => {}
        Some("1") => {
            return Err(malformed(
                "version 1 lists numbers and knows no notify; write it in version 2",
            ));
        }
        Some(other) => {
            return Err(malformed(format!("the first line is {other:?}, not the version 2")));
        }
        None => return Err(malformed("it is empty")),
    }
    let style = lines.get(1).map(|line| line.0.trim()).unwrap_or_default();
    let (style, default) = style.split_once(' ').unwrap_or((style, ""));
    let denies = match style {
        "denylist" | "blacklist" => false,
        "allowlist" | "whitelist" => true,
        other => {
            return Err(malformed(format!(
                "the second line is {other:?}, neither denylist nor allowlist"
            )));
        }
    };
    Ok(match default.trim() {
        "" => Some(!denies),
        default if default.starts_with("notify") => None,
        default => Some(default.starts_with("allow")),
    })
}

fn check_other_listeners(lines: &[ProfileLine]) -> Result<(), Error> {
    for (name, rest) in lines.iter().skip(2).filter_map(ProfileLine::rule) {
        if rest.starts_with("notify") {
            return Err(match name {
                "write" => Error::Refused(NOTIFY_ON_WRITE),
                name => Error::Taken(format!("a notify rule for {name}")),
            });
        }
    }
    Ok(())
}

/// A rule as LXC reads it: `[index,value,op,mask]` for each test.
fn written(rule: &Rule, action: &str, tests: &[Test]) -> String {
    let compared: String = tests
        .iter()
        .filter(|test| test.mask != 0)
        .map(|Test { arg, mask, value }| format!("[{arg},{value:#x},SCMP_CMP_MASKED_EQ,{mask:#x}]"))
        .collect();
    [rule.name, action, compared.as_str()].join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str) -> String {
        let once = add(text, Fidelity::Full, Fstat::Notified).expect("a policy");
        assert_eq!(
            add(&once, Fidelity::Full, Fstat::Notified).expect("again"),
            once,
            "the second time changes nothing"
        );
        once
    }

    #[test]
    fn a_denylist_keeps_its_rules_and_gets_ours() {
        let policy =
            added("2\nblacklist\n[all]\ninit_module errno 1\n# a word\n[x86]\nkexec_load\n");
        assert!(policy.starts_with(
            "2\nblacklist\n[all]\ninit_module errno 1\n# a word\n[x86]\nkexec_load\n# ashmem"
        ));
        assert!(policy.contains("\n[all]\nfstat notify\n"), "{policy}");
        assert!(!policy.contains("open") && !policy.contains("statat"), "{policy}");
        assert!(policy.contains("\nioctl notify [1,0x7700,SCMP_CMP_MASKED_EQ,0xff00]\n"));
        assert!(policy.contains("\nfstat notify\n"));
        assert!(!policy.contains(" allow"));
    }

    #[test]
    fn what_lxc_itself_calls_is_left_alone() {
        let policy = add(EMPTY, Fidelity::Full, Fstat::Left).expect("a policy");
        assert!(!policy.contains("stat"), "{policy}");
        for (version, want) in [
            ("glibc 2.31\n", Fstat::Left),
            ("glibc 2.36\n", Fstat::Notified),
            ("glibc 2.41\n", Fstat::Left),
            ("", Fstat::Left),
        ] {
            assert_eq!(Fstat::of_libc(version), want, "{version}");
        }
    }

    #[test]
    fn an_allowlists_rule_is_taken_apart() {
        let policy = added("2\nallowlist\n[all]\nread\nioctl\nsplice allow\nmmap\nmmap2\nfstat\n");
        assert!(
            policy.contains("\nread\n# ashmem replaces: ioctl\n# ashmem replaces: splice allow\n"),
            "{policy}"
        );
        assert!(policy.contains("\nioctl allow [1,0x0,SCMP_CMP_MASKED_EQ,0x100]\n"));
        assert!(policy.contains("\nioctl allow [1,0x800,SCMP_CMP_MASKED_EQ,0x800]\n"));
        assert!(!policy.contains("sendfile"), "what it denied stays denied");
        assert_eq!(without_ours(&policy).len(), 9);
    }

    #[test]
    fn what_lxc_refuses_is_refused_with_a_sentence() {
        for (text, words) in [
            ("", "it is empty"),
            ("1\nallowlist\n5\n", "version 1"),
            ("2\nlist\n", "neither denylist nor allowlist"),
            ("2\ndenylist notify\n", "default action is notify"),
            ("2\ndenylist\nwrite notify\n", "notifies write"),
            ("2\ndenylist\nmknod notify [1,8192,SCMP_CMP_MASKED_EQ,61440]\n", "mknod"),
            ("2\ndenylist\nioctl errno 1\n", "denies ioctl"),
            ("2\nallowlist\nioctl\nopenat\n", "denies mmap"),
        ] {
            let error = add(text, Fidelity::Full, Fstat::Notified).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
