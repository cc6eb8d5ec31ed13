// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem list` and `ashmem top --snapshot` among names that would act on a terminal, processes
//! that come and go, and full disks.

mod census;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use census::{ashmem, printed, region};

#[test]
fn a_name_reaches_no_terminal_as_it_is() {
    let _region = region(c"list-evil\x1b]0;x\x07\n\xff\xe2\x80\xae");
    let own = std::process::id().to_string();
    for words in [
        ["list", "--pid", &own].as_slice(),
        &["list", "--json", "--pid", &own],
        &["list", "--flat", "--name", "list-evil*"],
        &["top", "--snapshot", "--size", "180x40", "--pid", &own],
        &["top", "--snapshot=svg", "--size", "180x40", "--pid", &own],
        &["top", "--snapshot", "--size", "180x40", "--keys", "/list-evil<enter><enter>"],
    ] {
        let (text, said) = printed(words);
        // JSON doubles backslashes.
        let shown = r"list-evil\x1b]0;x\x07\n\xff"
            .replace('\\', if words[1] == "--json" { r"\\" } else { r"\" });
        assert!(text.contains(&shown), "{words:?} does not show it:\n{text}");
        let is_raw = |c: &char| (c.is_control() && *c != '\n') || *c == '\u{202e}';
        assert!(
            !text.chars().chain(said.chars()).any(|c| is_raw(&c)),
            "{words:?} lets it through:\n{text:?}"
        );
    }
}

#[test]
fn who_is_not_there_is_said_not_to_be() {
    let mut child = Command::new("true").spawn().expect("a program");
    child.wait().expect("a child");
    let gone = child.id().to_string();
    for (words, wanted) in [
        (["--pid", &gone], format!("there is no process {gone}")),
        (["--pid", "no-such:7"], "no process is number 7 in a container `no-such`".to_owned()),
        (["--container", "no-such"], "no process is in a container `no-such`".to_owned()),
    ] {
        for json in [&[][..], &["--json"]] {
            let words = [&["list", words[0], words[1]], json].concat();
            let output = ashmem(&words).output().expect("starting ashmem");
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains(&wanted), "{words:?}: {said}");
            assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
            assert!(!output.stdout.is_empty(), "{words:?}: an empty list is a list");
        }
    }
    // This one has no region, and is there.
    let mut idle = Command::new("sleep").arg("60").spawn().expect("a program");
    let (text, said) = printed(&["list", "--pid", &idle.id().to_string()]);
    let _ = idle.kill();
    idle.wait().expect("a child");
    assert!(text.contains("total: 0 regions") && !said.contains("no process"), "{said}\n{text}");
}

#[test]
fn processes_that_end_in_the_middle_take_nothing_else_away() {
    let _region = region(c"list-stays");
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ends.load(Ordering::Relaxed) {
                    let _region = region(c"list-comes-and-goes");
                    let mut child = Command::new("true").spawn().expect("a program");
                    child.wait().expect("a child");
                }
            });
        }
        let list = || ashmem(&["list", "--json", "--name", "list-stays"]).output();
        let listed: Vec<_> = (0..40).map(|_| list()).collect();
        ends.store(true, Ordering::Relaxed);
        for listed in listed {
            let Output { status, stdout, stderr } = listed.expect("starting ashmem");
            let (text, said) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert!(status.success(), "{status}: {said}");
            assert_eq!(text.matches("\"name\": \"list-stays\"").count(), 1, "{text}{said}");
        }
    });
}

#[test]
fn watching_shows_what_is_new_and_ends_with_its_reader() {
    let own = std::process::id().to_string();
    let words = ["list", "--json", "--watch", "0.1", "--name", "list-new", "--pid", &own];
    let mut watching = ashmem(&words).stdout(Stdio::piped()).spawn().expect("starting ashmem");
    let mut documents = BufReader::new(watching.stdout.take().expect("its output")).lines();
    let mut next = || {
        let line = documents.next().expect("one more").expect("a line");
        let document: serde_json::Value = serde_json::from_str(&line).expect("a document a line");
        document["regions"].as_array().expect("regions").len()
    };
    assert_eq!(next(), 0);
    let new = region(c"list-new");
    while next() == 0 {}
    drop(new);
    while next() == 1 {}
    drop(documents);
    assert!(watching.wait().expect("its end").success());
}

#[test]
fn a_full_disk_is_said() {
    for words in [["list", "--flat"], ["list", "--json"], ["top", "--snapshot"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("a full device");
        let output =
            ashmem(&words).stdout(full).stderr(Stdio::piped()).output().expect("starting ashmem");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {said}");
        assert!(
            said.contains("writing to standard output: No space left on device"),
            "{words:?}: {said}"
        );
    }
}

#[test]
fn top_without_a_terminal_says_so_once() {
    let output = ashmem(&["top"]).stdin(Stdio::null()).output().expect("starting ashmem");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("no terminal").count(), 1, "{said}");
}

/// One descriptor is enough to see who is there, and not to look at them.
#[test]
fn who_cannot_be_read_is_counted() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 4; exec \"$0\" list --flat", env!("CARGO_BIN_EXE_ashmem")]);
    let output = command.output().expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(" processes skipped: reading /proc failed (Too many open"), "{said}");
}

#[test]
fn a_census_needs_no_second_thread() {
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root's threads have no limit, and only root becomes another");
    }
    // So many that several threads would look at them.
    let mut others: Vec<_> = (0..40)
        .map(|_| Command::new("sleep").arg("600").spawn().expect("a program that stays"))
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("ashmem");
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_ashmem")).arg(&program).status();
    assert!(copied.expect("cp starts").success());
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
    let mut command = Command::new(&program);
    // A user of whom nothing else runs.
    command.arg("list").uid(65_521).gid(65_521);
    // SAFETY: between fork and exec there is one system call, whose structure is read only.
    unsafe {
        command.pre_exec(|| {
            let one = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
            libc::setrlimit(libc::RLIMIT_NPROC, &one);
            Ok(())
        });
    }
    let output = command.output().expect("starting ashmem");
    for other in &mut others {
        other.kill().and_then(|()| other.wait()).expect("our child");
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
