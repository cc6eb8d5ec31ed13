// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem run` with real programs: 64- and 32-bit, static and dynamic, threaded, killed,
//! interrupted, hostile.
//!
//! The programs are built from `client/` with the host's C compiler. What this host cannot do is
//! skipped with a line that says so.

mod churn;
mod descriptors;
mod go;
mod handover;
mod inside;
mod refusals;
mod root;
#[path = "../sandbox/mod.rs"]
mod sandbox;
mod stalled;
#[path = "../stalling/mod.rs"]
mod stalling;
mod terminal;

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const ASHMEM: &str = env!("CARGO_BIN_EXE_ashmem");
const NOBODY: u32 = 65534;
const LIMIT: Duration = Duration::from_secs(120);

/// How the client was built; `None` if this host cannot build it so.
struct Build {
    what: &'static str,
    program: Option<PathBuf>,
}

fn builds() -> &'static [Build; 3] {
    static BUILDS: OnceLock<[Build; 3]> = OnceLock::new();
    BUILDS.get_or_init(|| {
        // Others than root must be able to reach it.
        let directory = std::env::temp_dir().join(format!("ashmem-run-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the programs");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/client");
        let sources = ["main.c", "region.c", "together.c", "hostile.c"].map(|at| folder.join(at));
        let build = |what, flags: &[&str]| {
            let program = directory.join(what);
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-Wall", "-Werror"])
                .args(flags)
                .arg("-o")
                .arg(&program)
                .args(&sources)
                .arg("-lpthread");
            let built = cc.output().is_ok_and(|output| output.status.success());
            if !built {
                eprintln!(
                    "skipped: the C compiler cannot build the {what} client (libc6-dev-i386 makes \
                     the 32-bit one)"
                );
            }
            Build { what, program: built.then_some(program) }
        };
        // The kernel's headers, one set for both widths, lie where the 32-bit compiler does not
        // look by itself.
        let kernel_headers = "/usr/include/x86_64-linux-gnu";
        [
            build("dynamic", &[]),
            build("static", &["-static"]),
            build("32-bit", &["-m32", "-static", "-idirafter", kernel_headers]),
        ]
    })
}

/// `ashmem run` of a command, as root or as the user who runs the tests.
fn run(words: &[&str]) -> Command {
    let mut command = Command::new(ASHMEM);
    command.arg("run").arg("--").args(words);
    command
}

/// The program where other users find it: the built one lies where only root may look.
static COPY: OnceLock<PathBuf> = OnceLock::new();

/// Removes the copy, as the test's process ends.
extern "C" fn remove_copy() {
    if let Some(copy) = COPY.get() {
        let _ = std::fs::remove_file(copy);
    }
}

/// The same as nobody; `None` where this user may not become nobody.
fn unprivileged(mut command: Command) -> Option<Command> {
    if !rustix::process::geteuid().is_root() {
        return Some(command);
    }
    let copy = COPY.get_or_init(|| {
        let to = std::env::temp_dir().join(format!("ashmem-{}", std::process::id()));
        std::fs::copy(ASHMEM, &to).expect("a copy of the program");
        // SAFETY: the function may run as the process ends: it looks at nothing that goes before.
        unsafe { libc::atexit(remove_copy) };
        to
    });
    let mut again = Command::new(copy);
    again.args(command.get_args()).uid(NOBODY).gid(NOBODY);
    command = again;
    Some(command)
}

fn finish(mut child: Child) -> Output {
    let deadline = Instant::now() + LIMIT;
    while child.try_wait().expect("waiting").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its output")
}

fn output(mut command: Command) -> Output {
    finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starting"))
}

fn status(words: &[&str]) -> ExitStatus {
    output(run(words)).status
}

#[track_caller]
fn is_ok(what: &str, output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    if let Some(why) = text.strip_prefix("skipped: ") {
        return eprintln!("skipped: {what}: {why}");
    }
    assert!(
        output.status.success() && text.trim_end() == "ok",
        "{what}: {:?}\n{text}{error}",
        output.status
    );
}

/// Runs one verb of the client in every build, at both levels, answered inside and not, as root and
/// as nobody.
fn client(verb: &str) {
    for Build { what, program } in builds() {
        let Some(program) = program else { continue };
        for (level, namespace, inside) in [
            ("full", "auto", "never"),
            ("fast", "auto", "never"),
            ("full", "never", "never"),
            ("full", "auto", "at-once"),
            ("fast", "auto", "auto"),
            ("full", "never", "at-once"),
        ] {
            let command = || {
                let mut command = Command::new(ASHMEM);
                command
                    .args(["run", "--fidelity", level, "--namespace", namespace])
                    .args(["--inside", inside, "--"])
                    .arg(program)
                    .arg(verb);
                command
            };
            for (who, command) in
                [("as is", Some(command())), ("as nobody", unprivileged(command()))]
            {
                let Some(mut command) = command else { continue };
                if level == "fast" {
                    command.env("ASHMEM_TEST_FAST", "1");
                }
                is_ok(
                    &format!(
                        "{verb}, {what}, {level}, namespace {namespace}, inside {inside}, {who}"
                    ),
                    &output(command),
                );
            }
        }
    }
}

macro_rules! verbs {
    ($($name:ident: $verb:literal,)*) => { $(
        #[test]
        fn $name() {
            client($verb);
        }
    )* };
}

verbs! {
    a_region_does_what_the_driver_does: "round-trip",
    private_mappings_are_zeros: "private",
    every_way_to_name_the_path_opens_it: "relative",
    a_region_outlives_exec: "inherit",
    a_region_is_passed_between_processes: "pass",
    threads_have_their_own_regions: "threads",
    two_hundred_processes_at_once: "crowd",
    signals_interrupt_nothing: "interrupted",
    a_stopped_supervisor_answers_as_ever: "stopped",
    a_killed_caller_harms_nobody: "killed",
    a_path_changed_meanwhile_opens_nothing_more: "race",
    malformed_ioctls_break_nothing: "malformed",
    memory_that_goes_away_meanwhile_breaks_nothing: "unmapped",
    a_number_that_is_another_process_now_is_not_the_one_it_was: "reused",
    memory_that_blocks_holds_up_nobody_else: "stuck",
    a_memfd_answers_as_androids_shim: "memfd",
    a_number_that_is_another_file_now_is_that_file: "replaced",
    a_memory_that_lives_only_in_a_mapping_reaches_who_has_an_older_one: "newer",
    processes_that_ask_together_see_what_they_share_alone: "together",
    a_purge_takes_what_is_unpinned_and_pin_says_so_once: "purges",
    no_flag_leads_around_mmaps_checks: "denywrite",
    what_is_written_before_a_mapping_never_shows: "written",
    a_number_that_threads_race_for_is_mapped_or_refused: "descriptor-race",
    a_number_beyond_the_limit_becomes_a_region: "lowered",
    a_descriptors_path_opens_a_new_region_by_any_number: "reopened",
    a_root_without_the_node_has_the_device: "elsewhere",
    a_personality_gives_exec_back_to_every_mask: "implied",
    the_null_device_is_no_region: "null",
}

#[test]
fn the_exit_status_is_the_programs() {
    assert_eq!(status(&["true"]).code(), Some(0));
    assert_eq!(status(&["sh", "-c", "exit 7"]).code(), Some(7));
    assert_eq!(status(&["no-such-program"]).code(), Some(127));
    assert_eq!(status(&["/etc/passwd"]).code(), Some(126));
    assert_eq!(status(&["sh", "-c", "kill -TERM $$"]).signal(), Some(libc::SIGTERM));
    assert_eq!(status(&["sh", "-c", "kill -KILL $$"]).signal(), Some(libc::SIGKILL));
}

#[test]
fn a_trace_shows_what_the_kernel_made_of_a_mapping() {
    let Some(program) = &builds()[0].program else { return };
    let traced = |more: &[&str]| {
        let mut command = Command::new(ASHMEM);
        command.arg("trace").args(more).arg("--").arg(program).arg("roomless");
        let output = output(command);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let failed = traced(&["--fail-only"]);
    let lines = failed.lines().filter(|line| line.contains("mmap") && line.contains("ENOMEM"));
    assert_eq!(lines.count(), 2, "{failed}");
    let all = traced(&[]);
    let made = |line: &&str| line.contains("mmap") && line.contains(" = 0x");
    assert_eq!(all.lines().filter(made).count(), 1, "{all}");
}

#[test]
fn a_mistyped_option_is_no_program() {
    for verb in ["run", "trace"] {
        let mut command = Command::new(ASHMEM);
        command.args([verb, "--bogus", "true"]);
        let output = output(command);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{verb}: {error}");
        assert!(error.contains("--bogus") && !error.contains("cannot run"), "{verb}: {error}");
        // What follows the program's name is the program's.
        let mut command = Command::new(ASHMEM);
        command.args([verb, "echo", "--bogus", "-x"]);
        assert_eq!(printed(command), "--bogus -x\n", "{verb}");
    }
}

/// What a command prints.
fn printed(command: Command) -> String {
    String::from_utf8_lossy(&output(command).stdout).into_owned()
}

#[test]
fn a_second_supervisor_is_refused_in_one_sentence_and_nothing_runs() {
    let output = output(run(&[ASHMEM, "run", "echo", "unfiltered"]));
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(output.stdout, b"");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("EBUSY") && error.trim_end().lines().count() == 1, "{error}");
}

#[test]
fn signals_reach_the_program() {
    for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGINT] {
        let mut child = run(&["sh", "-c", "echo up; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starting");
        wait_for_line(&mut child);
        // SAFETY: kill touches no memory.
        unsafe { libc::kill(child.id() as i32, signal) };
        assert_eq!(finish(child).status.signal(), Some(signal));
    }
}

#[test]
fn a_handler_of_the_program_decides() {
    let mut child = run(&["sh", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting");
    wait_for_line(&mut child);
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(finish(child).status.code(), Some(9));
}

#[test]
fn the_program_dies_with_a_foreground_process_that_is_killed() {
    let mut child = run(&["sh", "-c", "echo $$; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting");
    let pid: i32 = wait_for_line(&mut child).trim().parse().expect("a number");
    child.kill().expect("killing");
    finish(child);
    let deadline = Instant::now() + LIMIT;
    // SAFETY: kill touches no memory.
    while unsafe { libc::kill(pid, 0) } == 0 {
        assert!(Instant::now() < deadline, "the program lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn stopping_stops_and_continuing_continues() {
    // One process: a shell stopped between vfork and exec would be no stopped job without us
    // either.
    let mut child = run(&["sh", "-c", "echo up; exec sleep 0.3"])
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .expect("starting");
    wait_for_line(&mut child);
    let pid = child.id() as i32;
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(-pid, libc::SIGTSTP) };
    assert!(stops(pid), "the job does not stop");
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(-pid, libc::SIGCONT) };
    assert_eq!(finish(child).status.code(), Some(0));
}

/// Whether a child stops within the limit.
fn stops(pid: i32) -> bool {
    let deadline = Instant::now() + LIMIT;
    let mut state = 0;
    while Instant::now() < deadline {
        // SAFETY: the state is an integer of ours.
        let got = unsafe { libc::waitpid(pid, &mut state, libc::WUNTRACED | libc::WNOHANG) };
        if got == pid {
            return libc::WIFSTOPPED(state);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}

#[test]
fn no_pipe_stays_open_that_the_program_closed() {
    let start = Instant::now();
    let script = format!("yes | {ASHMEM} run head -1");
    let all = output({
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]);
        shell
    });
    assert_eq!(all.stdout, b"y\n");
    // What is left in the background keeps its own descriptors only.
    let left = output(run(&["sh", "-c", "sleep 300 </dev/null >/dev/null 2>&1 & echo $!"]));
    assert!(start.elapsed() < Duration::from_secs(120), "a pipe stayed open");
    let pid: i32 = String::from_utf8_lossy(&left.stdout).trim().parse().expect("a number");
    // SAFETY: kill touches no memory.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0, "the background process is gone");
}

#[test]
fn what_is_left_in_the_background_is_still_served() {
    let Some(client) = &builds()[0].program else { return };
    let file = std::env::temp_dir().join(format!("ashmem-background-{}", std::process::id()));
    let script = format!(
        "(sleep 0.5; {} > {}.part; mv {0}.part {0} 2>/dev/null || mv {1}.part {1}) &",
        client.display(),
        file.display()
    );
    assert!(status(&["sh", "-c", &script]).success());
    let deadline = Instant::now() + LIMIT;
    while !file.exists() {
        assert!(Instant::now() < deadline, "the background program never finished");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(std::fs::read_to_string(&file).expect("its output"), "ok\n");
    let _ = std::fs::remove_file(file);
}

#[test]
fn the_program_sees_its_user_and_its_files() {
    for command in [Some(run(&["id", "-u"])), unprivileged(run(&["id", "-u"]))] {
        let Some(command) = command else { continue };
        let output = output(command);
        let seen = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(
            ["0", "65534", &rustix::process::geteuid().as_raw().to_string()]
                .contains(&seen.as_str()),
            "{seen}"
        );
    }
    let names = output(run(&["ls", "/dev"]));
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    for name in ["ashmem", "null", "zero", "shm", "pts", "tty"] {
        assert!(names.lines().any(|line| line == name), "/dev has no {name}: {names}");
    }
}

fn wait_for_line(child: &mut Child) -> String {
    let out = child.stdout.as_mut().expect("its output");
    let mut line = Vec::new();
    let mut byte = [0];
    while out.read(&mut byte).expect("reading") == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

#[test]
fn the_help_teaches() {
    let help = output({
        let mut command = Command::new(ASHMEM);
        command.args(["run", "--help"]);
        command
    });
    let text = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(
        text.contains("Examples:") && text.contains("/dev/ashmem") && text.contains("Exit status"),
        "{text}"
    );
}
