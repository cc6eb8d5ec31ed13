// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `ashmem list` and `top` say of the regions of `ashmem run`: all that the supervisor knows,
//! and no lie of anybody else's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ashmem_trace_wire::question::{AnswerPart, RegionState, sign, socket_of_sign};
use serde_json::{Value, json};

const NOBODY: u32 = 65534;
const PYTHON: &str = "/usr/bin/python3";
/// Longer than anything here takes on a busy machine; shorter than a hang.
const LIMIT: Duration = Duration::from_secs(60);

/// The program where every user may execute it.
fn ashmem() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let to = std::env::temp_dir().join(format!("ashmem-asked-{}", std::process::id()));
        std::fs::copy(env!("CARGO_BIN_EXE_ashmem"), &to).expect("a copy of the program");
        to
    })
}

/// A script that runs, and what it says.
struct Script {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Script {
    fn start(mut command: Command, name: &str, user: Option<u32>, words: &[&str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/asked").join(name);
        let text = std::fs::read_to_string(path).expect("the script");
        command.arg("-c").arg(text).args(words);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let mut process = command
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting it");
        let input = process.stdin.take().expect("a pipe");
        let output = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut script = Self { process, input, output };
        assert_eq!(script.line(), "ready\n");
        script
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        line
    }

    fn pid(&self) -> i32 {
        self.process.id() as i32
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The client under a supervisor; its regions' names begin so.
fn client(prefix: &str, mode: &str, user: Option<u32>) -> Script {
    let mut command = Command::new(ashmem());
    command.args(["run", "--inside", mode, "--", PYTHON]);
    Script::start(command, "client.py", user, &[prefix])
}

/// What looks like a supervisor, and answers this.
fn fake(answer: &[AnswerPart], user: Option<u32>) -> Script {
    let mut bytes = Vec::new();
    answer.iter().for_each(|part| part.encode(&mut bytes));
    let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = std::env::temp_dir();
    Script::start(
        Command::new(PYTHON),
        "fake.py",
        user,
        &[folder.to_str().expect("a path"), &bytes],
    )
}

/// `list --json` of these regions by this user, and what it says besides.
fn list(glob: &str, user: Option<u32>) -> (BTreeMap<String, Value>, String) {
    let mut command = Command::new(ashmem());
    command.args(["list", "--json", "--name", glob]);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let began = Instant::now();
    let output = command.output().expect("starting ashmem");
    assert!(began.elapsed() < LIMIT, "it was held up");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
    let regions = document["regions"].as_array().expect("regions").iter();
    let named = |region: &Value| (region["name"].as_str().unwrap_or("").to_owned(), region.clone());
    (regions.map(named).collect(), said)
}

/// The same, once every supervisor has answered in its second, which a busy host may keep it from.
fn list_answered(glob: &str, user: Option<u32>) -> (BTreeMap<String, Value>, String) {
    let until = Instant::now() + LIMIT;
    loop {
        let listed = list(glob, user);
        if !listed.1.contains("unknown") || Instant::now() > until {
            return listed;
        }
    }
}

/// Whether this user can be taken on.
fn users() -> Vec<Option<u32>> {
    if rustix::process::geteuid().is_root() { vec![None, Some(NOBODY)] } else { vec![None] }
}

fn pages(pinned: u64, unpinned: u64) -> Value {
    json!({ "pinned": pinned, "unpinned": unpinned, "purged": 0 })
}

#[test]
fn what_a_supervisor_knows_is_listed() {
    for user in users() {
        for mode in ["never", "at-once"] {
            let client = client("known", mode, user);
            let (regions, said) = list_answered("known-*", user);
            let what = format!("{mode}, user {user:?}: {said}\n{regions:#?}");
            assert!(!said.contains("unknown"), "{what}");
            for (name, size, mask, pages) in [
                ("known-unpinned", 8, "rwx", pages(5, 3)),
                ("known-masked", 1, "r--", pages(1, 0)),
                ("known-sized", 3, "rwx", pages(3, 0)),
                ("known-unsized", 0, "rwx", pages(0, 0)),
                ("known-pinned", 2, "rwx", pages(2, 0)),
                ("known-closed", 4, "rwx", pages(3, 1)),
            ] {
                let region = regions.get(name).unwrap_or_else(|| panic!("no {name}: {what}"));
                assert_eq!(region["kind"], "agent", "{name}: {what}");
                assert_eq!(region["size"], size * 4096, "{name}: {what}");
                assert_eq!(region["mask"], mask, "{name}: {what}");
                assert_eq!(region["pages"], pages, "{name}: {what}");
            }
            assert_eq!(regions.len(), 6, "nothing of the supervisor's own: {what}");
            let mut top = Command::new(ashmem());
            top.args(["top", "--snapshot", "--size", "160x40"]);
            let top = top.args(["--keys", "/known-unpinned<enter><enter>"]).output();
            let screen = top.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
            let screen = screen.expect("a screen");
            assert!(!screen.contains("which pages are unpinned"), "{screen}");
            drop(client);
        }
    }
}

#[test]
fn nobody_is_believed_about_others_regions() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can take another user on");
        return;
    }
    let client = client("lies", "never", None);
    let (regions, _) = list("lies-unpinned", None);
    let inode = regions["lies-unpinned"]["id"].as_u64().expect("an inode");
    // A region of root's that no supervisor knows, named as theirs are.
    let lone = rustix::fs::memfd_create("dev/ashmem/lies-lone", rustix::fs::MemfdFlags::CLOEXEC)
        .expect("a memfd");
    rustix::fs::ftruncate(&lone, 8 * 4096).expect("a size");
    let lone_inode = rustix::fs::fstat(&lone).expect("its status").st_ino;
    let lie = |inode| {
        AnswerPart::Region(RegionState { inode, size: 4096, mask: 0, unpinned: 1, purged: 0 })
    };
    let answer = [lie(inode), lie(lone_inode), AnswerPart::End];
    let liar = fake(&answer, Some(NOBODY));
    let silent = fake(&[], Some(NOBODY));
    let (regions, said) = list("lies-*", None);
    let what = format!("{said}\n{regions:#?}");
    assert_eq!(regions["lies-unpinned"]["pages"], pages(5, 3), "{what}");
    assert_eq!(regions["lies-lone"]["pages"], Value::Null, "{what}");
    assert!(said.contains("pin state unknown for 1 region"), "{what}");
    drop((liar, silent));
    // Of the same user it is believed: the test above can fail.
    let own = fake(&answer, None);
    let (regions, _) = list("lies-lone", None);
    assert_eq!(regions["lies-lone"]["pages"], pages(0, 1));
    drop((own, client));
}

#[test]
fn a_supervisor_that_is_stopped_holds_nobody_up() {
    let (stopped, client) =
        (client("stopped", "never", None), client("stopped-not", "never", None));
    let supervisor = supervisor_of(&stopped).0;
    let signal = |signal| {
        let pid = rustix::process::Pid::from_raw(supervisor).expect("a number");
        rustix::process::kill_process(pid, signal).expect("it is ours");
    };
    signal(rustix::process::Signal::STOP);
    let (_, said) = list("stopped*-unpinned", None);
    signal(rustix::process::Signal::CONT);
    assert!(said.contains("pin state unknown for 1 region"), "one of two is known: {said}");
    drop((stopped, client));
}

#[test]
fn who_asks_and_stalls_holds_nobody_up() {
    let mut client = client("stalls", "never", None);
    let (pid, socket) = supervisor_of(&client);
    let place = format!("/proc/{pid}/fd/{socket}");
    let askers: Vec<UnixStream> = (0..12)
        .map(|number| {
            let mut asker = UnixStream::connect(&place).expect("it listens");
            // Some ask and do not read, some not even that.
            if number % 2 == 0 {
                let question = ashmem_trace_wire::question::Question::Regions;
                let _ = asker.write_all(&question.encode());
            }
            asker
        })
        .collect();
    let began = Instant::now();
    client.input.write_all(b"200\n").expect("it reads");
    assert_eq!(client.line(), "done\n");
    assert!(began.elapsed() < LIMIT, "the program was held up");
    // They are left after a while, whatever they do.
    let until = Instant::now() + LIMIT;
    while list("stalls-unpinned", None).0["stalls-unpinned"]["pages"] != pages(5, 3) {
        assert!(Instant::now() < until, "nobody else is answered any more");
    }
    drop(askers);
    if rustix::process::geteuid().is_root() {
        let asks = "import os, sys; os.open(sys.argv[1], os.O_PATH)";
        let mut other = Command::new(PYTHON);
        other.args(["-c", asks, &place]).uid(NOBODY).gid(NOBODY);
        let output = other.output().expect("starting it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("Permission denied"), "who may not trace may not ask: {said}");
    }
}

/// `ashmem purge` by this user: its exit status, and what it says.
fn purge(words: &[&str], user: Option<u32>) -> (Option<i32>, String) {
    let mut command = Command::new(ashmem());
    command.arg("purge").args(words);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = command.output().expect("starting ashmem");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn unpinned_pages_of_what_is_asked_for_are_purged_and_no_others() {
    for user in users() {
        for mode in ["never", "at-once"] {
            let (wanted, other) =
                (client("purge-yes", mode, user), client("purge-not", mode, user));
            let (code, said) = purge(&["--name", "purge-yes-unpinned"], user);
            assert_eq!(code, Some(0), "{said}");
            assert_eq!(said, "purged 3 pages (12K) of 1 region\n");
            let (regions, _) = list_answered("purge-*", user);
            let purged = json!({ "pinned": 5, "unpinned": 0, "purged": 3 });
            assert_eq!(regions["purge-yes-unpinned"]["pages"], purged, "{regions:#?}");
            assert_eq!(regions["purge-not-unpinned"]["pages"], pages(5, 3), "{regions:#?}");
            // Of a process all: what only mappings hold cannot be purged, and is said.
            let holder = regions["purge-not-unpinned"]["holders"][0]["process"]["pid"].to_string();
            let (code, said) = purge(&["--pid", &holder], user);
            assert_eq!(code, Some(1), "{said}");
            assert!(said.starts_with("purged 3 pages (12K) of 1 region\n"), "{said}");
            assert!(said.contains("`purge-not-closed`: nothing could be purged"), "{said}");
            drop((wanted, other));
        }
    }
}

#[test]
fn who_may_not_look_at_a_supervisor_may_not_have_it_purge() {
    let (code, said) = purge(&["--pid", "999999999"], None);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("there is no process 999999999"), "{said}");
    assert_eq!(purge(&[], None).0, Some(2), "all is not what nothing means");
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can take another user on");
        return;
    }
    let client = client("purge-roots", "never", None);
    let (_, said) = purge(&["--name", "purge-roots-*"], Some(NOBODY));
    assert!(said.starts_with("purged 0 pages"), "{said}");
    let (regions, _) = list_answered("purge-roots-unpinned", None);
    assert_eq!(regions["purge-roots-unpinned"]["pages"], pages(5, 3), "{regions:#?}");
    // What cannot be looked at is not purged, and not taken for nothing.
    let holder = regions["purge-roots-unpinned"]["holders"][0]["process"]["pid"].to_string();
    let (code, said) = purge(&["--pid", &holder], Some(NOBODY));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&format!("process {holder} may not be looked at")), "{said}");
    drop(client);
}

/// The supervisor of a client, and the number of its socket.
fn supervisor_of(client: &Script) -> (i32, i32) {
    assert_eq!(socket_of_sign(sign(3).as_bytes()), Some(3));
    let children = format!("/proc/{0}/task/{0}/children", client.pid());
    let children = std::fs::read_to_string(children).expect("its children");
    let pid: i32 = children.trim().parse().expect("one child");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let link = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).ok();
    let socket = descriptors.flatten().filter_map(link).find_map(|link| {
        let link = link.to_str()?.strip_prefix("/memfd:")?.strip_suffix(" (deleted)")?;
        socket_of_sign(link.as_bytes())
    });
    (pid, socket.expect("it has a socket"))
}
