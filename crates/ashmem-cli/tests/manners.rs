// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the program behaves to whoever calls it, whatever the verb.

use std::fs::OpenOptions;
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

#[test]
fn what_cannot_be_meant_is_refused_and_named() {
    for (words, named) in [
        (&["list", "--watch=0"][..], "give seconds"),
        (&["list", "--watch=-1"], "give seconds"),
        (&["list", "--watch=x"], "give seconds"),
        (&["list", "--pid", "0"], "`0` is no process"),
        (&["list", "--pid", ":1"], "`:1` is no process"),
        (&["list", "--container", ""], "--container"),
        (&["top", "--snapshot", "--container", ""], "--container"),
        (&["purge", "--pid", "0"], "`0` is no process"),
        (&["purge", "--container", ""], "--container"),
        (&["purge"], "--pid <PID|CONTAINER:PID>|--container <CONTAINER>|--all"),
        (&["agent", "profile"], "--oci [<FILE>]|--lxc [<FILE>]"),
        (&["agent", "profile", "--oci", "--lxc"], "--lxc"),
        (&["trace", "--buffer", "0", "--", "true"], "--buffer"),
        (&["trace", "--buffer", "99999999999", "--", "true"], "--buffer"),
        (&["join", "--agent", "", "--", "true"], "--agent"),
    ] {
        let output = ashmem(words).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(named), "{words:?}: {}", said(&output));
        assert!(output.stdout.is_empty(), "{words:?}");
    }
}

/// What takes nothing that is written to it: a full disk, and a pipe whose reader has gone.
fn that_take_nothing() -> [(&'static str, Stdio); 2] {
    let full = OpenOptions::new().write(true).open("/dev/full").expect("every Linux has it");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    [("a full disk", full.into()), ("no reader", writer.into())]
}

/// The exit status with an output that takes nothing is the one with an output that does.
#[test]
fn a_standard_error_that_takes_nothing_changes_no_exit_status() {
    for (words, status) in [
        (&["run", "--", "/no/such/program"][..], 127),
        (&["run", "--root", "/no/such/folder", "--", "true"], 125),
        (&["join", "--agent", "/no/such/socket", "--", "true"], 125),
        (&["join", "--agent", "/no/such/socket", "--or-without", "--", "true"], 0),
        (&["report", "--trace", "/dev/null", "--output", "/no/such/folder/page"], 1),
        (&["list", "--container", "no-such-container"], 1),
        (&["purge", "--container", "no-such-container"], 1),
        (&["doctor", "--image", "/no/such/image"], 2),
        (&["module", "status", "--root", "/no/such/folder"], 2),
        (&["trace", "--source", "agent", "--agent", "unix:/no/such/socket"], 1),
        (&["man", "/dev/null/folder"], 1),
        (&["agent"], 1),
        (&["top"], 1),
    ] {
        for (what, standard_error) in that_take_nothing() {
            let output = ashmem(words).stdout(Stdio::null()).stderr(standard_error).output();
            let ended = output.expect("the program starts").status;
            assert_eq!(ended.code(), Some(status), "{words:?}, {what}: {ended}");
        }
    }
}

#[test]
fn a_reader_of_standard_output_that_has_read_enough_is_no_error() {
    let moment = tempfile::NamedTempFile::new().expect("a file");
    let census = ashmem(&["list", "--json"]).output().expect("the program starts").stdout;
    std::fs::write(moment.path(), census).expect("room");
    let moment = moment.path().to_str().expect("text");
    for words in [
        &["list"][..],
        &["list", "--json", "--watch=0.1", "--for", "0.3"],
        &["report", "--compare", moment, moment],
        &["report", "--compare", moment, moment, "--json"],
        &["top", "--snapshot"],
        &["top", "--snapshot=svg"],
        &["purge", "--name", "no such name"],
        &["agent", "profile", "--oci"],
        &["completions", "bash"],
        &["waydroid", "status"],
        &["module", "status"],
        &["doctor"],
    ] {
        let wanted = ashmem(words).output().expect("the program starts");
        let [_, (_, no_reader)] = that_take_nothing();
        let output = ashmem(words).stdout(no_reader).output().expect("the program starts");
        assert_eq!(output.status, wanted.status, "{words:?}: {}", said(&output));
        assert!(!said(&output).contains("standard output"), "{words:?}: {}", said(&output));
    }
}

/// What a full disk cuts off is a neighbour of the policy, and not the policy.
#[test]
fn a_policy_is_replaced_and_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let [policy, link] = ["policy", "link"].map(|name| folder.path().join(name));
    let before = "2\ndenylist\nreboot errno 1\n";
    std::fs::write(&policy, before).expect("room");
    std::fs::hard_link(&policy, &link).expect("one file system");
    let mut command = ashmem(&["agent", "profile", "--lxc"]);
    let output = command.arg(&policy).arg("--output").arg(&policy).output().expect("it starts");
    assert!(output.status.success(), "{}", said(&output));
    let text = |path| std::fs::read_to_string(path).expect("it is there");
    assert!(text(&policy).contains("notify"), "{}", text(&policy));
    assert_eq!(text(&link), before);
}

#[test]
fn help_that_cannot_be_written_is_an_error() {
    for words in [&["--help"][..], &["--version"], &["help", "run"], &["list", "--help"]] {
        let [(_, full), (_, no_reader)] = that_take_nothing();
        let output = ashmem(words).stdout(full).output().expect("the program starts");
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said(&output).contains("No space left"), "{words:?}: {}", said(&output));
        let output = ashmem(words).stdout(no_reader).output().expect("the program starts");
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
    }
}
