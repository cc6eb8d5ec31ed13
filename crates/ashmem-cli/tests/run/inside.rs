// SPDX-License-Identifier: MIT OR Apache-2.0
//! Calls answered inside the programs: with programs that do things to the code that answers, and
//! with programs that people use.
#![cfg(target_arch = "x86_64")]

use super::{ASHMEM, finish, is_ok, output, unprivileged, wait_for_line};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The client of `inside.c`, dynamic and static; `None` if this host has no C compiler.
fn clients() -> Option<&'static [PathBuf; 2]> {
    static CLIENTS: OnceLock<Option<[PathBuf; 2]>> = OnceLock::new();
    let build = || {
        let directory = std::env::temp_dir().join(format!("ashmem-inside-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory for the programs");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run/inside.c");
        let programs = ["dynamic", "static"].map(|name| directory.join(name));
        for (program, flags) in programs.iter().zip([&[][..], &["-static"]]) {
            let mut cc = Command::new("cc");
            cc.args(["-O1", "-Wall", "-Werror", "-fexceptions"]).args(flags);
            cc.arg("-o").arg(program).arg(&source).arg("-lpthread");
            if !cc.output().is_ok_and(|output| output.status.success()) {
                eprintln!("skipped: the C compiler cannot build the client");
                return None;
            }
        }
        Some(programs)
    };
    CLIENTS.get_or_init(build).as_ref()
}

/// `ashmem run` of these words, with calls answered inside from the first on.
fn inside<S: AsRef<std::ffi::OsStr>>(words: &[S]) -> Command {
    inside_when("at-once", words)
}

fn inside_when<S: AsRef<std::ffi::OsStr>>(when: &str, words: &[S]) -> Command {
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--inside", when, "--"]).args(words);
    command
}

/// Runs a verb of the client, dynamic and static, as root and as nobody.
fn client(verb: &str) {
    client_when("at-once", verb);
}

fn client_when(when: &str, verb: &str) {
    for program in clients().into_iter().flatten() {
        let command = || inside_when(when, &[program.as_os_str(), verb.as_ref()]);
        for (who, command) in [("as is", Some(command())), ("as nobody", unprivileged(command()))] {
            let Some(command) = command else { continue };
            is_ok(&format!("{verb}, {}, {who}", program.display()), &output(command));
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
    most_calls_are_answered_inside: "warm",
    a_new_image_gets_its_own: "again",
    memory_put_in_its_place_ends_it: "fixed",
    who_breaks_it_harms_himself_alone: "broken",
    filters_of_the_programs_own_end_it: "confined",
    filters_set_by_prctl_end_it_too: "confined-by-prctl",
    a_forged_state_gives_no_right_to_write: "forged",
    threads_that_swap_descriptors_gain_nothing: "racing",
    programs_are_started_by_eight_threads_meanwhile: "spawns",
    limits_of_the_program_are_not_in_the_way: "limited",
    without_address_space_calls_stay_notified: "cramped",
    sizes_that_no_file_can_have_are_kept: "sizes",
    a_copied_descriptor_stays_one_region: "copied",
    who_is_held_up_in_execve_holds_up_nobody_else: "executing",
    the_end_of_a_longer_instruction_is_no_site: "lookalike",
    other_threads_numbers_are_as_without: "numbers",
    a_cancelled_thread_runs_its_cleanups: "cancelled",
    a_filter_of_one_thread_keeps_it_out: "filtered-thread",
    a_process_that_cannot_be_looked_at_is_not_killed_for_it: "undumpable",
    calls_dispatched_to_the_program_end_it: "dispatched",
    every_way_to_cover_it_ends_it: "covered",
    a_jump_out_of_a_call_leaves_no_descriptor: "jumps",
    text_that_others_share_stays_as_it_is: "shared-text",
    signals_arrive_while_it_is_put_in: "alarmed",
}

#[test]
fn who_does_not_use_the_device_gets_nothing() {
    client_when("auto", "unconcerned");
}

#[test]
fn who_shares_his_memory_gets_nothing() {
    client_when("auto", "sharing");
}

#[test]
fn a_filter_of_one_thread_keeps_it_out_before_it_came() {
    client_when("auto", "filtered-thread");
}

#[test]
fn a_program_that_reads_its_own_text_works() {
    let Some([dynamic, fixed]) = clients() else { return };
    is_ok("a dynamic program", &output(inside(&[dynamic.as_os_str(), "sums".as_ref()])));
    is_ok("a static program", &output(inside(&[fixed.as_os_str(), "static-sums".as_ref()])));
}

#[test]
fn nothing_is_put_into_a_program_unasked() {
    let Some([program, _]) = clients() else { return };
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--inside", "never", "--"]).arg(program).arg("warm");
    let output = output(command);
    assert!(String::from_utf8_lossy(&output.stdout).contains("is_inside()"), "{output:?}");
}

#[test]
fn nothing_is_held_of_a_process_that_ended_while_the_supervisor_rested() {
    let Some([program, _]) = clients() else { return };
    let mut child = inside(&[program.as_os_str(), "outlived".as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starting");
    let line = wait_for_line(&mut child);
    let (ended, supervisor) = line.split_once(' ').expect("two processes");
    let memory = format!("/proc/{ended}/mem");
    // Once the process has ended, the link says so too.
    let is_its = |link: &Path| link.to_string_lossy().starts_with(&memory);
    let descriptors = format!("/proc/{supervisor}/fd");
    let holds = || {
        let all = std::fs::read_dir(&descriptors).expect("the supervisor's descriptors");
        all.flatten().any(|link| std::fs::read_link(link.path()).is_ok_and(|to| is_its(&to)))
    };
    let last = Instant::now() + Duration::from_secs(20);
    while holds() {
        assert!(Instant::now() < last, "{memory} is held open");
        std::thread::sleep(Duration::from_millis(10));
    }
    child.stdin.take().expect("its input").write_all(b"\n").expect("it reads");
    is_ok("outlived", &finish(child));
}

/// Whether a program is on this host.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no {program} here");
    }
    found
}

#[test]
fn a_debugger_that_came_before_sees_the_calls_as_they_are() {
    let Some([program, _]) = clients() else { return };
    let program = program.to_string_lossy();
    for words in [
        vec!["strace", "-f", "-o", "/dev/null", &program, "traced"],
        vec!["gdb", "-q", "-batch", "-nx", "-ex", "run", "--args", &program, "traced"],
    ] {
        if !has(words[0]) {
            continue;
        }
        let output = output(inside(&words));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.lines().any(|line| line == "ok"), "{words:?}: {output:?}");
    }
}

#[test]
fn a_debugger_may_come_afterwards() {
    let Some([program, _]) = clients() else { return };
    for debugger in [
        "gdb -q -batch -nx -ex bt -ex detach -p $PID",
        "timeout -s INT 1 strace -f -p $PID; test $? = 124 -o $? = 130 -o $? = 0",
    ] {
        let name = if debugger.starts_with("gdb") { "gdb" } else { "strace" };
        if !has(name) {
            continue;
        }
        let script = format!("{} waits & echo $!; wait $!", program.display());
        let mut command =
            inside(&["sh", "-c", &format!("exec 3<&0; ({}) <&3", script.replace(" &", " <&3 &"))]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starting");
        let first = wait_for_line(&mut child);
        let second = wait_for_line(&mut child);
        let pid = if first == "up" { second } else { first };
        let mut attach = Command::new("sh");
        attach.args(["-c", &debugger.replace("$PID", &pid)]);
        let attached = output(attach);
        assert!(attached.status.success(), "{debugger}: {attached:?}");
        child.stdin.as_mut().expect("its input").write_all(b"\n").expect("it reads");
        let output = finish(child);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "ok\n", "{debugger}");
    }
}

#[test]
fn programs_that_people_use_work() {
    let Some([client, _]) = clients() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().display();
    let client = client.display();
    let python = "import os, mmap, fcntl, threading, subprocess\n\
        def use():\n\
        \x20 for i in range(50):\n\
        \x20   fd = os.open('/dev/ashmem', os.O_RDWR)\n\
        \x20   fcntl.ioctl(fd, 0x41007701, b'snake')\n\
        \x20   fcntl.ioctl(fd, 0x40087703, 8192)\n\
        \x20   assert fcntl.ioctl(fd, 0x7704) == 8192\n\
        \x20   m = mmap.mmap(fd, 8192); m[0] = 7; assert m[:2] == bytes([7, 0]); m.close()\n\
        \x20   os.close(fd)\n\
        \x20   f = os.open('/etc/hostname', os.O_RDONLY); os.fstat(f); os.close(f)\n\
        ts = [threading.Thread(target=use) for _ in range(8)]\n\
        [t.start() for t in ts]; [subprocess.run(['true'], check=True) for _ in range(5)]\n\
        [t.join() for t in ts]; pid = os.fork()\n\
        if pid == 0: use(); os._exit(0)\n\
        assert os.waitpid(pid, 0)[1] == 0; print('ok')\n";
    std::fs::write(folder.path().join("snake.py"), python).expect("a script");
    for (name, script) in [
        (
            "bash",
            "for i in $(seq 40); do (echo $i | cat) < /dev/null; done | tail -1 | grep -q 40"
                .to_owned(),
        ),
        (
            "git",
            format!(
                "cd {place} && git init -q tree && cd tree && seq 200 | while read n; do echo $n > \
                 $n; done && git add . && git -c user.name=a -c user.email=a@b commit -qm all && \
                 test -z \"$(git status --short)\""
            ),
        ),
        ("python3", format!("python3 {place}/snake.py | grep -q ok")),
        (
            "node",
            "node -e \"const f = require('fs'); for (let i = 0; i < 100; i++) \
             f.fstatSync(f.openSync('/etc/hostname')); setTimeout(() => process.exit(0), 50)\""
                .to_owned(),
        ),
        ("bwrap", format!("bwrap --dev-bind / / --unshare-pid {client} warm | grep -q ok")),
        (
            "tar",
            format!(
                "tar cf {place}/all.tar /usr/include/linux && tar tf {place}/all.tar | grep -q \
                 ioctl"
            ),
        ),
    ] {
        if !has(name) {
            continue;
        }
        let output = output(inside(&["bash", "-c", &format!("{script} && echo ok")]));
        is_ok(name, &output);
    }
}
