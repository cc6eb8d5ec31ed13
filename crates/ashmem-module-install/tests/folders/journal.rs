// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is begun is put back, wherever it stopped.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ashmem_module_install::journal::{InstallJournal, STATE, Tidying, UndoableChange, recover};
use ashmem_module_install::lock::{self, InstallLock};
use ashmem_module_install::manifest::{BuildWay, InstallManifest};
use ashmem_module_install::{Error, TargetMachine};

use crate::root::Root;

const RULE: &str = "/etc/udev/rules.d/60-ashmem.rules";
const LIST: &str = "/etc/modules-load.d/ashmem.conf";

/// All that an installation does with files.
fn change<'a>(machine: &'a TargetMachine) -> Result<InstallJournal<'a>, Error> {
    let mut journal = InstallJournal::begin(machine)?;
    journal.write_file(LIST, b"ashmem_linux\n", 0o644)?;
    journal.write_file(RULE, b"the new rule\n", 0o644)?;
    journal.will(UndoableChange::Tree("/usr/src/ashmem-linux-9".to_owned()))?;
    let tree = machine.at("/usr/src/ashmem-linux-9");
    fs::create_dir_all(&tree).and_then(|()| fs::write(tree.join("Kbuild"), "")).expect("a tree");
    InstallManifest::new("9", "digest".to_owned(), BuildWay::Kbuild).write(&mut journal)?;
    Ok(journal)
}

/// A machine with an earlier rule.
fn root() -> Root {
    let root = Root::debian();
    root.file(RULE.trim_start_matches('/'), "the old rule\n").file("usr/src/x", "");
    root
}

#[test]
fn what_fails_is_undone_to_the_byte() {
    let root = root();
    let before = root.everything();
    let machine = root.machine();
    change(&machine).expect("the changes").roll_back().expect("undone");
    assert_eq!(root.everything(), before);
}

#[test]
fn what_stops_in_the_middle_is_undone_by_whoever_comes_next() {
    let root = root();
    let before = root.everything();
    let machine = root.machine();
    let whole = {
        drop(change(&machine).expect("the changes"));
        fs::read_to_string(root.at("var/lib/ashmem/module/journal")).expect("the notes")
    };
    assert!(recover(&machine).expect("undone") && root.everything() == before);
    // The power may go after any note, and in the middle of one.
    for length in (0..whole.len()).step_by(61).chain([whole.len() - 1]) {
        drop(change(&machine).expect("the changes"));
        let lines = whole[..length].matches('\n').count();
        let path = root.at("var/lib/ashmem/module/journal");
        if lines < whole.lines().count() {
            // What was not noted was not done: the last changes are taken back first.
            let rest: Vec<_> = whole.lines().skip(lines).collect();
            fs::write(&path, rest.join("\n") + "\n").expect("the later notes");
            assert!(recover(&machine).expect("undone"));
            fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        }
        fs::write(&path, &whole[..length]).expect("the earlier notes");
        assert!(recover(&machine).expect("undone"));
        assert_eq!(root.everything(), before, "cut after {length} bytes");
    }
    assert!(!recover(&machine).expect("nothing to do"));
}

#[test]
fn once_all_is_changed_it_stays_and_the_rest_is_tidied() {
    let root = root();
    root.file("etc/old.hook", "");
    let machine = root.machine();
    let mut journal = change(&machine).expect("the changes");
    journal.then(Tidying::File("/etc/old.hook".to_owned())).expect("a note");
    journal.commit().expect("committed");
    // Here the power goes.
    drop(journal);
    assert!(recover(&machine).expect("tidied"));
    assert_eq!(
        fs::read(root.at("etc/udev/rules.d/60-ashmem.rules")).ok(),
        Some(b"the new rule\n".into())
    );
    let left: Vec<_> = root
        .everything()
        .into_keys()
        .filter(|path| {
            path.strip_prefix(root.at("")).is_ok_and(|it| it.to_string_lossy().contains("ashmem-"))
        })
        .filter(|path| path.extension().is_some_and(|end| end != "rules"))
        .collect();
    assert!(left.iter().all(|path| path.ends_with("ashmem-linux-9")), "{left:?}");
    assert!(
        !root.at("etc/old.hook").exists() && !root.at("var/lib/ashmem/module/journal").exists()
    );
    assert!(InstallManifest::read(&machine).expect("the manifest").is_some());
}

#[test]
fn a_stop_is_heard_before_each_change() {
    let root = root();
    let before = root.everything();
    let machine = root.machine();
    machine.watch_signals().expect("signals");
    let mut journal = InstallJournal::begin(&machine).expect("notes");
    journal.write_file(LIST, b"ashmem_linux\n", 0o644).expect("a file");
    signal_hook::low_level::raise(signal_hook::consts::SIGTERM).expect("a signal");
    let stopped = journal.write_file(RULE, b"the new rule\n", 0o644);
    assert!(matches!(stopped, Err(Error::Interrupted)), "{stopped:?}");
    journal.roll_back().expect("undone, whoever asks to stop");
    assert_eq!(root.everything(), before);
}

#[test]
fn notes_of_another_program_are_left_alone() {
    let root = root();
    root.file("var/lib/ashmem/module/journal", "{\"undo\":{\"world\":1}}\n");
    let before = root.everything();
    let error = recover(&root.machine()).expect_err("no notes of ours");
    assert!(error.to_string().contains("newer version's"), "{error}");
    assert_eq!(root.everything(), before);
}

#[test]
fn one_at_a_time() {
    let root = root();
    let (one, other) = (root.machine(), root.machine());
    let before = root.everything();
    let lock = InstallLock::take(&one).expect("the lock");
    assert!(matches!(InstallLock::take(&other), Err(Error::Busy)));
    let file = fs::metadata(root.at(lock::FILE.trim_start_matches('/'))).expect("its file");
    assert_eq!(file.mode() & 0o777, 0o600, "nobody else may open it, and hold it");
    drop(lock);
    InstallLock::take(&other).expect("the lock");
    assert_eq!(root.everything(), before, "a lock leaves no file");
    assert!(STATE.starts_with("/var/lib/"));
}
