// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem list --leaks` and `ashmem report --compare` of regions that this process leaks: open and
//! mapped nowhere, and mapped ones of which there are more and more.

mod census;

use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use census::{ashmem, printed, region};

/// One test at a time: a program that another one starts holds the same regions until it executes.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many memfds of one pattern, each with a page in use.
fn leaked(what: &str, numbers: Range<usize>) -> Vec<OwnedFd> {
    let name = |number| std::ffi::CString::new(format!("{what} {number} of 0x7f{number:x}"));
    numbers
        .map(|number| {
            let fd = region(&name(number).expect("a name"));
            // SAFETY: a buffer of its length, and a descriptor of our own.
            assert_eq!(unsafe { libc::pwrite(fd.as_raw_fd(), c"x".as_ptr().cast(), 1, 0) }, 1);
            fd
        })
        .collect()
}

/// The leaks of a document that this process holds, by this pattern.
fn leak(document: &serde_json::Value, pattern: &str) -> Vec<serde_json::Value> {
    let leaks = document["leaks"].as_array().expect("leaks").iter();
    leaks.filter(|leak| leak["pattern"] == pattern).cloned().collect()
}

#[test]
fn many_leaks_of_one_program_are_one_row_and_each_by_itself_where_that_is_asked_for() {
    let _alone = alone();
    let _regions = leaked("leak-open", 0..440);
    let own = std::process::id().to_string();
    let words = ["list", "--leaks", "--pid", &own, "--name", "leak-open *"];
    let (text, _) = printed(&words);
    assert_eq!(text.matches("leak-open").count(), 1, "{text}");
    let row = text.lines().find(|line| line.contains("leak-open # of #")).expect("a row");
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..3], ["440", "1.7M", "1.7M"], "{text}");
    assert!(cells[3].ends_with(['s', 'm']), "the age of the oldest: {text}");
    assert!(text.contains(&format!("held by {own} ")), "{text}");
    let (text, _) = printed(&[&words[..], &["--flat"]].concat());
    assert_eq!(text.matches("leak-open").count(), 440);
    let (text, _) = printed(&[&words[..], &["--json"]].concat());
    let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
    assert_eq!(document["regions"].as_array().map(Vec::len), Some(440), "as before");
    let found = leak(&document, "leak-open # of #");
    assert_eq!((found.len(), &found[0]["totals"]["regions"]), (1, &440.into()));
    assert_eq!(found[0]["growth"], serde_json::Value::Null);
    assert_eq!(document["regions"][0]["pattern"], "leak-open # of #");
}

#[test]
fn what_stays_mapped_and_grows_is_found_by_watching() {
    let _alone = alone();
    let map = |fd: &OwnedFd| {
        let (length, prot) = (4096, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping, where the kernel finds room.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), length, prot, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        assert_ne!(at, libc::MAP_FAILED);
    };
    let own = std::process::id().to_string();
    let words = ["--pid", &own, "--name", "leak-mapped *"];
    let before = leaked("leak-mapped", 1000..1003);
    before.iter().for_each(map);
    let (text, _) = printed(&[&["list", "--leaks"], &words[..]].concat());
    assert!(text.starts_with("No region is open") && text.contains("--for 60"), "{text}");
    let words = [&["list", "--leaks", "--json", "--watch", "0.2"], &words[..]].concat();
    let mut watching = ashmem(&words).stdout(Stdio::piped()).spawn().expect("starting ashmem");
    let mut documents = BufReader::new(watching.stdout.take().expect("its output")).lines();
    let mut next = || -> serde_json::Value {
        let line = documents.next().expect("one more").expect("a line");
        serde_json::from_str(&line).expect("a document a line")
    };
    assert_eq!(leak(&next(), "leak-mapped # of #").len(), 0);
    let after = leaked("leak-mapped", 2000..2005);
    after.iter().for_each(map);
    let document = loop {
        let document = next();
        if leak(&document, "leak-mapped # of #").iter().any(|leak| leak["growth"]["regions"] == 5) {
            break document;
        }
    };
    let found = &leak(&document, "leak-mapped # of #")[0];
    assert_eq!(document["regions"], serde_json::json!([]), "they are mapped");
    assert_eq!((&found["is_unmapped"], &found["totals"]["regions"]), (&false.into(), &8.into()));
    assert_eq!(found["growth"]["resident"], 5 * 4096);
    assert_eq!(found["holders"][0]["pid"], std::process::id());
    drop(documents);
    assert!(watching.wait().expect("its end").success());
}

#[test]
fn watching_for_a_while_ends_by_itself_and_tells_what_grew() {
    let _alone = alone();
    let own = std::process::id().to_string();
    let words = ["list", "--for", "300ms", "--pid", &own, "--name", "leak-no-such"];
    let (text, _) = printed(&words);
    assert!(text.contains("total: 0 regions") && text.contains("nothing grew in number"), "{text}");
    let (text, _) = printed(&[&words[..], &["--watch", "0.1", "--json"]].concat());
    assert!(text.lines().count() >= 2, "{text}");
    let output = ashmem(&["list", "--for", "soon"]).output().expect("starting ashmem");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("give seconds, such as 60"), "{said}");
}

#[test]
fn two_moments_that_were_written_down_are_compared() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let own = std::process::id().to_string();
    let moment = |name: &str| {
        let (text, _) = printed(&["list", "--json", "--pid", &own, "--name", "leak-grown *"]);
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let _first = region(c"leak-grown 1");
    let before = moment("before.json");
    let _more = [region(c"leak-grown 2"), region(c"leak-grown 3")];
    let after = moment("after.json");
    let (text, _) = printed(&["report", "--compare", &before, &after]);
    assert!(text.contains("+2 regions") && text.contains("leak-grown #"), "{text}");
    let (text, _) = printed(&["report", "--compare", &before, &after, "--json"]);
    let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
    assert_eq!(document["total"]["growth"]["regions"], 2);
    let page = folder.path().join("page.html").to_string_lossy().into_owned();
    printed(&["report", "--compare", &before, &after, "-o", &page]);
    let html = std::fs::read_to_string(&page).expect("a page");
    assert!(html.contains("What grew between two moments") && html.contains("leak-grown #"));
    let output = ashmem(&["report", "--compare", &before, &page]).output().expect("starting it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("page.html: it is no census"), "{said}");
}
