// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the program behaves to whoever calls it, whatever the verb.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn ashmem(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ashmem"));
    command.args(words).stdin(Stdio::null()).env_remove("ASHMEM_LOG");
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every verb with what it cannot be called without.
fn verbs() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut command = ashmem_cli::command();
    command.build();
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        found.push(vec![verb.get_name().to_owned()]);
        let below = verb.get_subcommands().filter(|below| below.get_name() != "help");
        found.extend(
            below.map(|below| vec![verb.get_name().to_owned(), below.get_name().to_owned()]),
        );
    }
    assert!(found.len() > 15, "{found:?}");
    found
}

#[test]
fn every_verb_refuses_an_option_that_it_does_not_know_and_tells_its_name() {
    for verb in verbs() {
        for option in ["--no-such-option", "--help-me"] {
            let mut words: Vec<_> = verb.iter().map(String::as_str).collect();
            words.push(option);
            let output = ashmem(&words).output().expect("the program starts");
            assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
            let named = format!("unexpected argument '{option}'");
            assert!(said(&output).contains(&named), "{words:?}: {}", said(&output));
            assert!(output.stdout.is_empty(), "{words:?}");
        }
    }
}

#[test]
fn every_verb_has_help_without_colours_off_a_terminal() {
    for verb in verbs() {
        for option in ["-h", "--help"] {
            let mut words: Vec<_> = verb.iter().map(String::as_str).collect();
            words.push(option);
            let output = ashmem(&words).output().expect("the program starts");
            assert!(output.status.success(), "{words:?}: {}", said(&output));
            let help = String::from_utf8(output.stdout).expect("help is text");
            assert!(help.contains("Usage: ashmem ") && !help.contains('\u{1b}'), "{help}");
        }
    }
}

#[test]
fn a_log_filter_that_cannot_be_meant_is_told_and_the_verb_works() {
    for (value, part) in [("verbose", "`verbose`"), ("warn,x=loud", "`x=loud`")] {
        let output = ashmem(&["run", "--", "true"])
            .env("ASHMEM_LOG", value)
            .output()
            .expect("the program starts");
        let said = said(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("ASHMEM_LOG is not used") && said.contains(part), "{said}");
        assert!(said.contains("off, error, warn, info, debug or trace"), "{said}");
    }
    let output =
        ashmem(&["run", "--", "true"]).env("ASHMEM_LOG", "").output().expect("the program starts");
    assert_eq!(said(&output), "", "an empty value is none");
}

#[test]
fn an_agent_tells_its_log_where_it_listens_in_plain_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| format!("unix:{}", folder.path().join(name).display());
    let (oci, lxc, join) = (at("agent.sock"), at("lxc.sock"), at("join.sock"));
    let mut agent = ashmem(&["agent", "--oci", &oci, "--lxc", &lxc, "--join", &join])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let lines = BufReader::new(agent.stderr.take().expect("piped")).lines();
    let lines: Vec<String> = lines.map_while(Result::ok).take(3).collect();
    kill_process(Pid::from_child(&agent), Signal::TERM).expect("it runs");
    assert!(agent.wait().expect("a child").success());
    for place in [oci, lxc, join] {
        let wanted = format!("listening at {place}, for ");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "{wanted}: {lines:?}");
    }
    assert!(!lines.concat().contains('\u{1b}'), "{lines:?}");
}
