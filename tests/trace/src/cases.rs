// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is held to be true of a trace.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ashmem_trace::event::{CallOutcome, Event, Source};
use ashmem_trace::operation::Operation;

use crate::account::Done;
use crate::program::{COMMAND, is_named};
use crate::tracer::{Tracer, read};

/// A case: its name, the sources it is for, and itself.
pub(crate) type Case = (&'static str, &'static [&'static str], fn(&Tracer) -> Result<()>);

pub(crate) const EVERY: &[&str] = &["module", "agent", "syscalls"];
pub(crate) const KERNEL: &[&str] = &["module", "syscalls"];
pub(crate) const DEVICE: &[&str] = &["module", "agent"];

/// All of them.
pub(crate) const ALL: &[Case] = &[
    ("a trace tells what the program did, field by field", EVERY, field_by_field),
    ("short-lived children and grandchildren are followed", DEVICE, tree),
    ("only failures", EVERY, failures),
    ("only regions of a name, from their open on", DEVICE, names),
    ("sums by operation and by process", EVERY, summary),
    ("nothing raw reaches the terminal", EVERY, escapes),
    ("a full disk leaves whole lines, and the program goes on", EVERY, full_disk),
    ("a process that ends in the middle ends the trace", KERNEL, ends_in_the_middle),
    ("no event of a busy program is lost, and the program's end is the trace's", EVERY, busy),
    ("losses are counted, and seen and lost are all", DEVICE, losses),
    ("a trace that was killed is cleaned up by the next", KERNEL, killed),
    ("the program's exit status is the trace's", EVERY, status),
];

/// Whether an event tells of a call what its caller knows.
pub(crate) fn compare(told: &Event, done: &Done, pid: i32) -> Result<()> {
    let expected = match (&done.operation, &told.operation) {
        // The source knows of these only that they were asked.
        (Operation::GetPinStatus(_), Operation::GetPinStatus(range)) => {
            Operation::GetPinStatus(*range)
        }
        _ => done.operation.clone(),
    };
    ensure!(told.operation == expected, "{:?} was told for {:?}", told.operation, done.operation);
    let is_opened = matches!(done.operation, Operation::Open {});
    let is_unseen = matches!(done.operation, Operation::Release {});
    if is_unseen {
        ensure!(
            told.outcome == CallOutcome::UNSEEN,
            "{:?} returned {:?}",
            told.operation,
            told.outcome
        );
    } else if is_opened {
        // The module does not know the descriptor.
        let result = told.outcome.result.unwrap_or(-1);
        ensure!(result == 0 || told.outcome == done.outcome, "open returned {result}");
    } else {
        ensure!(told.outcome == done.outcome, "{:?} was told for {done:?}", told.outcome);
    }
    // Nobody does it, where the agent finds that nothing is left of a region.
    if !(is_unseen && told.source == Source::Agent && told.process.pid == 0) {
        ensure!(
            told.process.pid == pid && told.process.tid == pid,
            "{:?} did what {pid} did",
            told.process
        );
        ensure!(told.process.container_pid.is_none(), "{:?} is in no container", told.process);
        ensure!(
            is_named(told.process.command.as_bytes(), told.source),
            "it is called {}",
            told.process.command
        );
    }
    let region =
        told.region.as_ref().with_context(|| format!("{:?} has no region", told.operation))?;
    ensure!(region.name == done.name, "{:?}: the name was told as {:?}", done, region.name);
    if done.inode.is_some() {
        ensure!(region.inode == done.inode, "{done:?}: the inode was told as {:?}", region.inode);
    }
    if done.size.is_some() {
        ensure!(region.size == done.size, "{done:?}: the size was told as {:?}", region.size);
    }
    Ok(())
}

fn field_by_field(tracer: &Tracer) -> Result<()> {
    let told = tracer.json(&[], tracer.usual_work())?;
    ensure!(told.lost.is_empty(), "{:?} were lost", told.lost);
    // What the program does not do itself: purges are another's doing, a mapping that is refused is
    // not in the account.
    let mut events = told.events.iter().filter(|event| match event.operation {
        Operation::Purge { .. } => false,
        Operation::Mmap { .. } => event.outcome.errno().is_none(),
        _ => true,
    });
    for (number, done) in told.account.done.iter().enumerate() {
        let event = events.next().with_context(|| format!("{done:?} was not told"))?;
        compare(event, done, told.account.pid).with_context(|| format!("call {number}"))?;
    }
    ensure!(events.next().is_none(), "more was told than was done");
    let ordered = told.events.is_sorted_by_key(|event| event.mono_ns);
    ensure!(ordered, "the events are not in the order of time");
    let regions: Vec<u64> =
        told.events.iter().filter_map(|event| Some(event.region.as_ref()?.id)).collect();
    ensure!(regions.iter().all(|id| *id == 1), "one region was told as several: {regions:?}");
    if tracer.source != "syscalls" {
        let purged: u64 = told
            .events
            .iter()
            .filter(|event| event.operation.name() == "PURGE")
            .map(|event| event.operation.bytes())
            .sum();
        ensure!(purged == 4096, "{purged} bytes were told to be purged, and it was one page");
        let refused = told
            .events
            .iter()
            .any(|event| event.operation.name() == "MMAP" && event.outcome.errno().is_some());
        ensure!(refused, "the mapping that was refused was not told");
    }
    let end = told.end.context("the trace has no end")?;
    ensure!(end.events == told.events.len() as u64 && end.lost == 0, "its sums are {end:?}");
    Ok(())
}

fn tree(tracer: &Tracer) -> Result<()> {
    let told = tracer.json(&[], "tree")?;
    // 1 + 3 + 9 + 27 processes; each opens, names and closes one region.
    for operation in ["OPEN", "SET_NAME"] {
        let of_it: Vec<_> =
            told.events.iter().filter(|event| event.operation.name() == operation).collect();
        ensure!(of_it.len() == 40, "{} times {operation} was told of 40", of_it.len());
        let mut pids: Vec<_> = of_it.iter().map(|event| event.process.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        ensure!(pids.len() == 40, "{} processes were told of 40", pids.len());
    }
    let unnamed = told
        .events
        .iter()
        .filter(|event| event.process.pid != 0 && event.process.command.is_empty())
        .count();
    ensure!(unnamed == 0, "{unnamed} events have no command");
    Ok(())
}

fn failures(tracer: &Tracer) -> Result<()> {
    let told = tracer.json(&["--fail-only"], tracer.usual_work())?;
    let mut wanted = told.account.done.iter().filter(|done| done.outcome.errno().is_some()).count();
    if tracer.source != "syscalls" {
        // The mapping that is refused.
        wanted += 1;
    }
    ensure!(
        told.events.len() == wanted && wanted > 0,
        "{} failures were told of {wanted}",
        told.events.len()
    );
    ensure!(told.events.iter().all(|event| event.outcome.errno().is_some()), "a success was told");
    Ok(())
}

fn names(tracer: &Tracer) -> Result<()> {
    let told = tracer.json(&["--name", "depth 1"], "tree")?;
    let opens = told.events.iter().filter(|event| event.operation.name() == "OPEN").count();
    let sets = told.events.iter().filter(|event| event.operation.name() == "SET_NAME").count();
    ensure!((opens, sets) == (3, 3), "{opens} opens and {sets} names were told of 3 regions");
    let told = tracer.json(&["--name", "no such region"], "tree")?;
    ensure!(told.events.is_empty(), "{} events of other regions were told", told.events.len());
    Ok(())
}

fn summary(tracer: &Tracer) -> Result<()> {
    let told = tracer.json(&[], tracer.usual_work())?;
    let file = tracer.file("sums");
    tracer.run(&["--summary", "--json", "-o", &file], tracer.usual_work())?;
    let text = fs::read_to_string(&file)?;
    let mut calls = 0;
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        if row["by"] == "operation" {
            let op = row["op"].as_str().context("a row without an operation")?;
            let of_it = || told.events.iter().filter(|event| event.operation.name() == op);
            let errors = of_it().filter(|event| event.outcome.errno().is_some()).count();
            ensure!(
                row["calls"] == of_it().count() && row["errors"] == errors,
                "{row} is not what was done"
            );
            calls += of_it().count();
        } else if row["process"]["pid"] != 0 {
            let command = row["process"]["command"].as_str().unwrap_or_default();
            ensure!(COMMAND.starts_with(command), "{row} is another process");
            ensure!(command.len() >= 15, "{row} is another process");
        }
    }
    ensure!(calls == told.events.len(), "{calls} calls were summed of {}", told.events.len());
    tracer.run(&["--summary", "-o", &file], tracer.usual_work())?;
    let text = fs::read_to_string(&file)?;
    ensure!(
        text.starts_with(
            "% time     seconds  usecs/call     calls    errors       bytes  operation"
        ),
        "{text}"
    );
    Ok(())
}

fn escapes(tracer: &Tracer) -> Result<()> {
    let file = tracer.file("lines");
    tracer.run(&["-o", &file], tracer.usual_work())?;
    let text = fs::read(&file)?;
    let text = String::from_utf8(text).context("the lines are no text")?;
    ensure!(
        text.contains("cache\\x1b[31m\\n\\xff\\xfe \\\\ \\u{202e}"),
        "the name is not to be seen in:\n{text}"
    );
    let raw: Vec<char> =
        text.chars().filter(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}').collect();
    ensure!(raw.is_empty(), "{raw:?} came through");
    for word in [
        "EINVAL (Invalid argument)",
        if tracer.source == "syscalls" { "MEMFD_CREATE" } else { "WAS_PURGED" },
    ] {
        let is_there =
            text.contains(word) || (tracer.source == "syscalls" && text.contains("EPERM"));
        ensure!(is_there, "{word} is not to be seen in:\n{text}");
    }
    Ok(())
}

fn full_disk(tracer: &Tracer) -> Result<()> {
    // A file system of sixteen pages, in a namespace of its own.
    let disk = tracer.folder.join("disk");
    fs::create_dir_all(&disk)?;
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=65536", "tmpfs"])
        .arg(&disk)
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        // Without the right to mount, /dev/full is a disk that was full from the start.
        let output = tracer.run(&["--json", "-o", "/dev/full"], tracer.usual_work())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return said.contains("No space left on device").then_some(()).context(said);
    }
    let file = disk.join("trace.json").to_string_lossy().into_owned();
    let outcome = (|| {
        let mut command = tracer.command(
            &["--json", "-o", &file],
            if tracer.source == "syscalls" { "memfds" } else { "loop" },
        )?;
        let output = tracer.finish({
            command.env("TRIAL_TURNS", "2000");
            command
        })?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            said.contains("No space left on device") && said.contains("whole and readable"),
            "it said: {said}"
        );
        ensure!(fs::read(tracer.file("account")).is_ok(), "the program did not go on");
        let told = read(&file)?;
        ensure!(told.events.len() > 20, "{} events are left", told.events.len());
        Ok(())
    })();
    let _ = std::process::Command::new("umount").arg(&disk).status();
    outcome
}

fn ends_in_the_middle(tracer: &Tracer) -> Result<()> {
    let mut sleeper = std::process::Command::new(crate::program::own_path()?)
        .args(["work", "sleep", "0.5"])
        .spawn()
        .context("starting a process")?;
    let mut command = std::process::Command::new(&tracer.ashmem);
    command.args(["trace", "--source", &tracer.source, "-p", &sleeper.id().to_string()]);
    let mut trace = command.stdout(Stdio::null()).spawn().context("starting ashmem")?;
    // Until it watches.
    sleep(Duration::from_secs(2));
    let _ = sleeper.kill();
    sleeper.wait()?;
    for _ in 0..100 {
        if let Some(status) = trace.try_wait()? {
            ensure!(status.success(), "it ended with {status}");
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    let _ = trace.kill();
    trace.wait()?;
    anyhow::bail!("it did not end")
}

fn busy(tracer: &Tracer) -> Result<()> {
    let (turns, work, op) = match tracer.source.as_str() {
        "syscalls" => (5_000, "memfds", "MEMFD_CREATE"),
        "agent" => (3_000, "lives", "SET_NAME"),
        _ => (20_000, "lives", "SET_NAME"),
    };
    let file = tracer.file("busy.json");
    let mut command = tracer.command(&["--json", "-o", &file], work)?;
    command.env("TRIAL_TURNS", turns.to_string());
    tracer.finish(command)?;
    let told = read(&file)?;
    ensure!(told.lost.is_empty(), "lost: {:?}", told.lost);
    let of_it = told.events.iter().filter(|event| event.operation.name() == op).count();
    ensure!(of_it == turns, "{of_it} of {turns} were told");
    Ok(())
}

fn losses(tracer: &Tracer) -> Result<()> {
    let file = tracer.file("losses.json");
    // The least the kernel gives, and a tracer that is held up from before the program's first call
    // until after its last.
    let account = tracer.file("account");
    let _ = fs::remove_file(&account);
    let mut command = tracer.command(&["--json", "-o", &file, "--buffer", "8"], "loop")?;
    command.env("TRIAL_TURNS", "20000").env("TRIAL_HELD", "1");
    let mut trace =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting ashmem")?;
    let pid = rustix::process::Pid::from_child(&trace);
    wait_until("the trace begins", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("\"start\""))
    })?;
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)?;
    drop(trace.stdin.take());
    wait_until("the program ends", || fs::metadata(&account).is_ok_and(|file| file.len() > 0))?;
    rustix::process::kill_process(pid, rustix::process::Signal::CONT)?;
    let status = trace.wait()?;
    ensure!(status.success(), "it ended with {status}");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut trace.stderr.take().context("no stderr")?, &mut said)?;
    let told = read(&file)?;
    ensure!(!told.lost.is_empty(), "nothing was lost: the test proves nothing");
    ensure!(said.contains("events were lost"), "it did not say so: {said}");
    // A PIN and its ioctl are two records; each call that is missing left at least one of them.
    let counted: u64 = told.lost.iter().filter_map(|lost| lost.events).sum();
    let seen = told
        .events
        .iter()
        .filter(|event| matches!(event.operation.name(), "PIN" | "UNPIN"))
        .count() as u64;
    ensure!(seen < 40_000 && counted >= 40_000 - seen, "{seen} were seen, {counted} records lost");
    Ok(())
}

/// Waits, for as long as a busy machine may need.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    for _ in 0..1200 {
        if holds() {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    anyhow::bail!("waited two minutes in vain until {what}")
}

fn killed(tracer: &Tracer) -> Result<()> {
    let instances = || -> Result<Vec<String>> {
        let tracefs = ashmem_trace::tracefs::Tracefs::find()?;
        let entries = fs::read_dir(tracefs.root().join("instances"))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter(|name| name.starts_with("ashmem-trace-")).collect())
    };
    let mut command = std::process::Command::new(&tracer.ashmem);
    command.args(["trace", "--source", &tracer.source]).stdout(Stdio::null());
    let mut trace = command.spawn().context("starting ashmem")?;
    let own = format!("ashmem-trace-{}-0", trace.id());
    for _ in 0..100 {
        if instances()?.contains(&own) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    ensure!(instances()?.contains(&own), "{own} is not among {:?}", instances()?);
    trace.kill()?;
    ensure!(trace.wait()?.signal() == Some(libc::SIGKILL), "it was not killed");
    ensure!(instances()?.contains(&own), "nothing is left over: the test proves nothing");
    tracer.run(&["-o", &tracer.file("after")], tracer.usual_work())?;
    ensure!(!instances()?.contains(&own), "{own} is still there");
    Ok(())
}

fn status(tracer: &Tracer) -> Result<()> {
    for (words, wanted) in
        [(["sh", "-c", "exit 7"], Some(7)), (["sh", "-c", "kill -TERM $$"], None)]
    {
        let mut command = std::process::Command::new(&tracer.ashmem);
        command.args(["trace", "--source", &tracer.source, "-o", "/dev/null", "--"]).args(words);
        let status = command.status().context("starting ashmem")?;
        match wanted {
            Some(code) => ensure!(status.code() == Some(code), "{words:?} ended with {status}"),
            None => ensure!(
                status.signal() == Some(libc::SIGTERM)
                    || status.code() == Some(128 + libc::SIGTERM),
                "{words:?} ended with {status}"
            ),
        }
    }
    let mut command = std::process::Command::new(&tracer.ashmem);
    command.args([
        "trace",
        "--source",
        &tracer.source,
        "-o",
        "/dev/null",
        "--",
        "/no/such/program",
    ]);
    let output = command.output().context("starting ashmem")?;
    let code = output.status.code();
    ensure!(
        matches!(code, Some(125 | 127)),
        "a program that is not there ended with {:?}",
        output.status
    );
    Ok(())
}
