// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong around a trace: one sentence is said, and the rest goes on.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cases::{Case, EVERY, KERNEL};
use crate::tracer::{Tracer, read};

/// All of them. The last takes the kernel's events away for good.
pub(crate) const ALL: &[Case] = &[
    ("without rights it says whose the events are", KERNEL, no_rights),
    ("a kernel without tracefs is said to be one", KERNEL, no_tracefs),
    ("two traces at once tell the same", KERNEL, two_at_once),
    ("a reader that goes away ends the trace, not the program", EVERY, broken_pipe),
    ("on a full disk what is written of each form is readable", EVERY, full_disk),
    ("a process is found by its container's number, and both may vanish", &["module"], container),
    ("a step of the wall clock moves no event", &["module"], clock_step),
    ("a kernel that is locked down is said to be so", &["module"], lockdown),
];

/// Nobody, on every machine.
const NOBODY: u32 = 65534;

/// What a trace of the whole machine says that cannot begin.
fn refusal(tracer: &Tracer, prepare: impl FnOnce(&mut Command)) -> Result<String> {
    let mut command = Command::new(&tracer.ashmem);
    command.args(["trace", "--source", &tracer.source]);
    prepare(&mut command);
    let output = command.output().context("starting ashmem")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "it ended with {}: {said}", output.status);
    ensure!(
        said.lines().count() == 1 && output.stdout.is_empty(),
        "it said more than a sentence: {said}"
    );
    Ok(said)
}

fn no_rights(tracer: &Tracer) -> Result<()> {
    // A copy, for the way to the original may be closed to nobody.
    let folder = std::env::temp_dir().join(format!("ashmem-nobody-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let copy = folder.join("ashmem");
    fs::copy(&tracer.ashmem, &copy)?;
    let nobodys = Tracer::of(&tracer.source, &copy.to_string_lossy());
    let said = refusal(&nobodys, |command| {
        command.uid(NOBODY).gid(NOBODY);
    });
    let _ = fs::remove_dir_all(&folder);
    let said = said?;
    ensure!(said.contains("root's to read") && said.contains("run as root"), "it said: {said}");
    Ok(())
}

fn no_tracefs(tracer: &Tracer) -> Result<()> {
    let said = refusal(tracer, |command| {
        // SAFETY: system calls only, between fork and exec.
        unsafe { command.pre_exec(hide_tracefs) };
    })?;
    ensure!(said.contains("this kernel has no tracefs"), "it said: {said}");
    Ok(())
}

/// Nothing where tracefs is mounted, and the answer of a kernel that never heard of it.
fn hide_tracefs() -> io::Result<()> {
    let done = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    let none = std::ptr::null();
    // SAFETY: the strings end with NUL and live on; nothing else is pointed to.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        let all = libc::MS_REC | libc::MS_PRIVATE;
        done(libc::mount(none, c"/".as_ptr(), none, all, none.cast()))?;
        let kind = c"tmpfs".as_ptr();
        for place in [c"/sys/kernel/tracing", c"/sys/kernel/debug"] {
            done(libc::mount(kind, place.as_ptr(), kind, 0, none.cast()))?;
        }
    }
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let answer = libc::SECCOMP_RET_ERRNO | libc::ENODEV as u32;
    let mut filter = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_fsopen as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, answer),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its steps live through the call, which copies them.
    unsafe {
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        done(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))
    }
}

/// A trace that goes on until it is told to end.
struct Running {
    child: Child,
    file: String,
}

impl Running {
    /// Starts one, and waits until it records.
    fn start(tracer: &Tracer, options: &[&str], file: &str) -> Result<Self> {
        let file = tracer.file(file);
        let mut command = Command::new(&tracer.ashmem);
        command.args(["trace", "--source", &tracer.source, "--json", "-o", &file]).args(options);
        let running = Self { child: command.spawn().context("starting ashmem")?, file };
        running.wait_for("\"type\":\"start\"", 1)?;
        Ok(running)
    }

    /// Waits until its file has this text so many times.
    fn wait_for(&self, text: &str, times: usize) -> Result<()> {
        for _ in 0..600 {
            if fs::read_to_string(&self.file)
                .is_ok_and(|written| written.matches(text).count() >= times)
            {
                return Ok(());
            }
            sleep(Duration::from_millis(100));
        }
        anyhow::bail!("{text} is not {times} times in {}", self.file)
    }

    /// Waits for its end, with this signal or by itself.
    fn end(mut self, signal: Option<Signal>) -> Result<String> {
        if let Some(signal) = signal {
            kill_process(Pid::from_child(&self.child), signal)?;
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(self.file)
    }
}

fn two_at_once(tracer: &Tracer) -> Result<()> {
    // The kernel's calls of the whole host are fewer than those of a process.
    let own = std::process::id().to_string();
    let options: &[&str] = if tracer.source == "syscalls" { &["-p", &own] } else { &[] };
    let first = Running::start(tracer, options, "first.json")?;
    let second = tracer.json(&[], tracer.usual_work())?;
    let first = read(&first.end(Some(Signal::TERM))?)?;
    let of = |pid: i32, events: &[ashmem_trace::event::Event]| -> Vec<_> {
        let of_it = events.iter().filter(|event| event.process.pid == pid);
        of_it.map(|event| (event.mono_ns, event.operation.clone(), event.outcome)).collect()
    };
    let (told, also) =
        (of(second.account.pid, &first.events), of(second.account.pid, &second.events));
    ensure!(
        !also.is_empty() && told.len() == also.len(),
        "{} were told, and {}",
        told.len(),
        also.len()
    );
    let same = told.iter().zip(&also).all(|(one, other)| (&one.1, &one.2) == (&other.1, &other.2));
    ensure!(same, "they do not tell the same");
    Ok(())
}

fn broken_pipe(tracer: &Tracer) -> Result<()> {
    let work = if tracer.source == "syscalls" { "memfds" } else { "loop" };
    let _ = fs::remove_file(tracer.file("account"));
    let mut command = tracer.command(&[], work)?;
    let mut trace = command
        .env("TRIAL_TURNS", "2000")
        .stderr(Stdio::piped())
        .spawn()
        .context("starting ashmem")?;
    drop(trace.stderr.take());
    let status = trace.wait()?;
    ensure!(status.success(), "it ended with {status}");
    ensure!(Path::new(&tracer.file("account")).exists(), "the program did not go on");
    Ok(())
}

fn full_disk(tracer: &Tracer) -> Result<()> {
    let disk = tracer.folder.join("small");
    fs::create_dir_all(&disk)?;
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=65536", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        // An ordinary user has no small disk; the case of /dev/full is another.
        return Ok(());
    }
    let outcome = ["lines.txt", "trace.pftrace"].into_iter().try_for_each(|name| {
        let file = disk.join(name);
        let path = file.to_string_lossy().into_owned();
        let work = if tracer.source == "syscalls" { "memfds" } else { "loop" };
        let mut command = tracer.command(&["-o", &path], work)?;
        command.env("TRIAL_TURNS", "3000");
        let output = tracer.finish(command)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(said.contains("whole and readable"), "{name}: it said: {said}");
        let bytes = fs::read(&file)?;
        ensure!(bytes.len() > 16384, "{name}: {} bytes are left", bytes.len());
        if name.ends_with(".txt") {
            ensure!(bytes.ends_with(b">\n"), "the last line is cut");
        } else {
            ensure!(packets(&bytes).is_some_and(|many| many > 100), "the last packet is cut");
        }
        fs::remove_file(&file).context("removing it")
    });
    let _ = Command::new("umount").arg(&disk).status();
    outcome
}

/// How many packets a Perfetto trace holds; none where the last is cut. Each is field 1 with its
/// length.
fn packets(mut bytes: &[u8]) -> Option<usize> {
    let mut many = 0;
    while let Some((tag, rest)) = bytes.split_first() {
        let (mut len, mut shift, mut rest) = (0_usize, 0, rest);
        loop {
            let (byte, after) = rest.split_first()?;
            len |= usize::from(byte & 0x7f) << shift;
            rest = after;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if *tag != 0x0a {
            return None;
        }
        bytes = rest.get(len..)?;
        many += 1;
    }
    Some(many)
}

fn container(tracer: &Tracer) -> Result<()> {
    let group = "/sys/fs/cgroup/\
                 docker-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope";
    fs::create_dir_all(group).with_context(|| format!("making {group}"))?;
    let pid_file = tracer.file("inside");
    let mut command = Command::new(crate::program::own_path()?);
    command.args(["work", "inside", &pid_file]);
    let mut outside =
        command.env("TRIAL_GROUP", group).spawn().context("starting a container's program")?;
    let outcome = (|| {
        let mut inside = String::new();
        for _ in 0..200 {
            inside = fs::read_to_string(&pid_file).unwrap_or_default();
            if inside.ends_with('\n') {
                break;
            }
            sleep(Duration::from_millis(50));
        }
        let inside: i32 = inside.trim().parse().context("the container's program did not start")?;
        let whole = Running::start(tracer, &["--container", "docker:*"], "whole.json")?;
        let one = Running::start(tracer, &["-p", "docker:0123456789ab:1"], "one.json")?;
        one.wait_for("\"OPEN\"", 3)?;
        kill_process(Pid::from_raw(inside).context("no process")?, Signal::KILL)?;
        outside.wait()?;
        fs::remove_dir(group).with_context(|| format!("removing {group}"))?;
        for (file, ends) in
            [(one.end(None)?, "by itself"), (whole.end(Some(Signal::TERM))?, "when told to")]
        {
            let told = read(&file)?;
            ensure!(!told.events.is_empty(), "nothing was told by the one that ended {ends}");
            for event in &told.events {
                let (pid, number) = (event.process.pid, event.process.container_pid);
                ensure!((pid, number) == (inside, Some(1)), "{:?} is not {inside}", event.process);
                let name = event.process.container.as_ref().map(ToString::to_string);
                ensure!(name.as_deref() == Some("docker:0123456789ab"), "it is in {name:?}");
            }
        }
        Ok(())
    })();
    let _ = outside.kill();
    let _ = outside.wait();
    outcome
}

fn clock_step(tracer: &Tracer) -> Result<()> {
    let file = tracer.file("step.json");
    let mut command = tracer.command(&["--json", "-o", &file], "lives")?;
    let mut trace = command.env("TRIAL_TURNS", "3000").spawn().context("starting ashmem")?;
    sleep(Duration::from_millis(500));
    step_clock(-3600)?;
    sleep(Duration::from_millis(500));
    step_clock(3600)?;
    let status = trace.wait()?;
    ensure!(status.success(), "it ended with {status}");
    let text = fs::read_to_string(&file)?;
    let mut last = String::new();
    let mut many = 0;
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line)?;
        let Some(time) = value["time"].as_str() else { continue };
        // Of one form and one zone, so that text sorts as time.
        ensure!(*time >= *last, "{time} comes after {last}");
        time.clone_into(&mut last);
        many += 1;
    }
    // Each life is five events.
    ensure!(many > 3000 * 5, "{many} events were told");
    Ok(())
}

fn step_clock(seconds: i64) -> Result<()> {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure is this function's own.
    let done = unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now);
        now.tv_sec += seconds;
        libc::clock_settime(libc::CLOCK_REALTIME, &raw const now)
    };
    ensure!(done == 0, "setting the clock: {}", io::Error::last_os_error());
    Ok(())
}

fn lockdown(tracer: &Tracer) -> Result<()> {
    fs::write("/sys/kernel/security/lockdown", "confidentiality")
        .context("locking the kernel down")?;
    let said = refusal(tracer, |_| {})?;
    ensure!(said.contains("the kernel is locked down (confidentiality)"), "it said: {said}");
    Ok(())
}
