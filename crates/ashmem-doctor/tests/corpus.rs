// SPDX-License-Identifier: MIT OR Apache-2.0
//! The corpus: lines of trouble in the formats of the programs that print them, each with the
//! message it must be taken for; whole logs of healthy starts; and other people's troubles. Nothing
//! of the last two may be explained.

use std::fs;
use std::path::{Path, PathBuf};

use ashmem_doctor::distribution::Distribution;
use ashmem_doctor::explain::{self, Log, LogVerdict};

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("it").path()).collect();
    paths.sort_unstable();
    let text = |path: &PathBuf| fs::read_to_string(path).expect("a text");
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

/// Each line of trouble with its message's name.
fn troubles() -> Vec<(String, String)> {
    let split = |line: &str| {
        let (id, line) = line.split_once('\t').unwrap_or_else(|| panic!("no name: {line}"));
        (id.to_owned(), line.to_owned())
    };
    files("trouble").iter().flat_map(|(_, text)| text.lines().map(split)).collect()
}

/// Each whole log with the names of what must be explained of it, the harmless too, which its first
/// line tells.
fn whole_logs() -> Vec<(PathBuf, Vec<String>, String)> {
    let split = |(path, text): (PathBuf, String)| {
        let (first, log) = text.split_once('\n').expect("a first line");
        let names = first.strip_prefix("explained:").expect("it names what is explained");
        (path, names.split_whitespace().map(str::to_owned).collect(), log.to_owned())
    };
    files("whole").into_iter().map(split).collect()
}

/// What is explained of a log that is read as one.
fn read(text: &str) -> explain::Explanation {
    let mut log = Log::default();
    text.lines().for_each(|line| log.add(line));
    log.explain(|| Distribution::Debian)
}

#[test]
fn trouble_is_named_and_health_is_not() {
    let troubles = troubles();
    let mut wrong = Vec::new();
    let (mut right, mut taken) = (0, 0);
    for (id, line) in &troubles {
        let found = explain::line(line).map_or("nothing", |message| message.id);
        taken += usize::from(found != "nothing");
        if found == id {
            right += 1;
        } else {
            wrong.push(format!("{line}\n  should be {id}, is {found}"));
        }
    }
    let (mut healthy, mut lines, mut falsely) = (0, 0, Vec::new());
    for (path, text) in files("healthy") {
        healthy += 1;
        lines += text.lines().count();
        for line in text.lines() {
            let found = explain::line(line).filter(|message| !message.is_harmless);
            if let Some(message) = found {
                falsely.push(format!("{}: {line}\n  is no {}", path.display(), message.id));
            }
        }
        let log = read(&text);
        for found in &log.explained {
            falsely.push(format!("{}: {}\n  is no {}", path.display(), found.line, found.id));
        }
    }
    let percent = |part: usize, whole: usize| 100.0 * part as f64 / whole as f64;
    println!(
        "corpus: {} lines of trouble, {right} right ({:.1} % recall); {lines} lines in {healthy} \
         healthy logs, {} falsely explained; precision {:.1} %",
        troubles.len(),
        percent(right, troubles.len()),
        falsely.len(),
        percent(right, taken + falsely.len()),
    );
    assert!(troubles.len() + lines >= 250, "the corpus is a corpus");
    wrong.append(&mut falsely);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// docker logs -t, ts, and how people quote: the line behind it is the same.
#[test]
fn what_stands_before_a_line_does_not_change_it() {
    let before = [
        "2026-11-30T10:00:00.123456789Z ",
        "[2026-11-30 10:00:01] ",
        "10:00:01 ",
        "2026-11-30 10:00:01,123 ERROR ",
        "2026/11/30 10:00:01 [error] ",
        "[2026-11-30T10:00:01Z WARN agent::main] ",
        "[pod/redroid-0/redroid] ",
        "> ",
        "- ",
        "* ",
        "    ",
    ];
    let troubles = troubles();
    let mut wrong = Vec::new();
    for (id, line) in &troubles {
        for before in before {
            let line = format!("{before}{line}");
            let found = explain::line(&line).map_or("nothing", |message| message.id);
            if found != id {
                wrong.push(format!("{line}\n  should be {id}, is {found}"));
            }
        }
    }
    for line in files("healthy").iter().flat_map(|(_, text)| text.lines()) {
        for before in before {
            let line = format!("{before}{line}");
            if let Some(message) = explain::line(&line).filter(|message| !message.is_harmless) {
                wrong.push(format!("{line}\n  is no {}", message.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A text as JSON's, and as logfmt's and klog's, which escape as Go does.
fn in_json(text: &str) -> String {
    serde_json::to_string(text).expect("a text is JSON")
}

fn in_go(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
    format!("\"{escaped}\"")
}

/// A line of a log, as each logger keeps it.
fn wrapped(line: &str) -> Vec<String> {
    let (json, go) = (in_json(line), in_go(line));
    let ended = in_json(&format!("{line}\r\n"));
    // As Markdown quotes what has a mark of code itself.
    let marks = if line.contains('`') { "``" } else { "`" };
    let dockerd = format!("time=\"2026-11-30T10:00:00.123456789Z\" level=error msg={go}");
    vec![
        format!("{marks}{line}{marks}"),
        format!("- {marks}{line}{marks}"),
        format!("```{line}```"),
        format!("Nov 30 10:00:00 host dockerd[1201]: {dockerd}"),
        format!("time=\"2026-11-30T10:00:00Z\" level=fatal msg=\"exit status 1\" error={go}"),
        format!("level=warn ts=2026-11-30T10:00:00Z caller=main.go:12 msg=failed err={go} id=7"),
        format!("E1130 10:00:00.123456    1201 server.go:415] \"Failed\" err={go} pod=\"a/b\""),
        dockerd,
        format!("{{\"log\":{ended},\"stream\":\"stderr\",\"time\":\"2026-11-30T10:00:00.1Z\"}}"),
        format!("redroid-1  | {{\"log\":{ended},\"stream\":\"stderr\"}}"),
        format!("{{\"level\":\"error\",\"time\":\"2026-11-30T10:00:00Z\",\"msg\":{json}}}"),
        format!("{{\"level\":50,\"ts\":1.5,\"msg\":\"failed\",\"err\":{json},\"n\":[1]}}"),
        format!("{{\"_PID\":\"12\",\"PRIORITY\":\"3\",\"MESSAGE\":{json}}}"),
        format!("{{\"PRIORITY\":\"3\",\"MESSAGE\":{:?}}}", line.as_bytes()),
        format!("            \"message\": {json},"),
        format!("{{\"kind\":\"Event\",\"metadata\":{{\"name\":\"a\"}},\"message\":{json}}}"),
    ]
}

/// Loggers of engines and of others, the journal in JSON, Kubernetes' events, and Markdown.
#[test]
fn what_a_line_is_wrapped_in_does_not_change_it() {
    let mut wrong = Vec::new();
    for (id, line) in &troubles() {
        for line in wrapped(line) {
            let found = explain::line(&line).map_or("nothing", |message| message.id);
            if found != id {
                wrong.push(format!("{line}\n  should be {id}, is {found}"));
            }
        }
    }
    for line in files("healthy").iter().flat_map(|(_, text)| text.lines()) {
        for line in wrapped(line) {
            if let Some(message) = explain::line(&line).filter(|message| !message.is_harmless) {
                wrong.push(format!("{line}\n  is no {}", message.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn healthy_logs_end_with_that_word() {
    for (path, text) in files("healthy") {
        let log = read(&text);
        assert_eq!(log.verdict, LogVerdict::Healthy, "{}: {:?}", path.display(), log.unknown);
    }
}

#[test]
fn every_message_has_a_line_in_the_corpus() {
    let troubles = troubles();
    let missing: Vec<_> = explain::messages()
        .map(|message| message.id)
        .filter(|id| !troubles.iter().any(|(quoted, _)| quoted == id))
        .collect();
    assert!(missing.is_empty(), "a line for each, or take the message out: {missing:?}");
}

#[test]
fn whole_logs_are_explained_as_a_whole() {
    for (path, mut names, log) in whole_logs() {
        let log = read(&log);
        let mut found: Vec<_> =
            log.explained.iter().chain(&log.harmless).map(|found| found.id).collect();
        found.sort_unstable();
        names.sort_unstable();
        assert_eq!(found, names, "{}: {log:?}", path.display());
    }
}

/// As docker's json-file driver keeps them, and as the journal's JSON.
#[test]
fn whole_logs_are_the_same_as_loggers_keep_them() {
    for (path, mut names, log) in whole_logs() {
        names.sort_unstable();
        let json_file = |line: &str| format!("{{\"log\":{},\"stream\":\"stderr\"}}", in_json(line));
        let journal = |line: &str| format!("{{\"PRIORITY\":\"3\",\"MESSAGE\":{}}}", in_json(line));
        for wrap in [&json_file as &dyn Fn(&str) -> String, &journal] {
            let kept: Vec<_> = log.lines().map(wrap).collect();
            let log = read(&kept.join("\n"));
            let mut found: Vec<_> =
                log.explained.iter().chain(&log.harmless).map(|found| found.id).collect();
            found.sort_unstable();
            assert_eq!(found, names, "{}: {log:?}", path.display());
        }
    }
}

#[test]
fn trouble_that_is_not_known_is_not_health() {
    let mut wrong = Vec::new();
    let mut lines = 0;
    for (path, text) in files("unknown") {
        for line in text.lines() {
            let log = read(line);
            lines += 1;
            if log.verdict != LogVerdict::Unknown || log.unknown.len() != 1 {
                wrong.push(format!("{}: {line}\n  is {:?}", path.display(), log.verdict));
            }
        }
    }
    println!("corpus: {lines} lines of trouble that is not known, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn logs_in_other_languages_ask_for_english() {
    for (path, text) in files("unknown") {
        let is_foreign = path.ends_with("languages.log");
        for line in text.lines() {
            assert_eq!(read(line).unknown_is_foreign, is_foreign, "{line}");
        }
    }
}
