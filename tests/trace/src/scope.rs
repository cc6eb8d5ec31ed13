// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a trace is of: that it says so, that the kernel sorts out all else, and what grows.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use ashmem_trace::json::JsonLine;
use ashmem_trace::tracefs::Tracefs;
use rustix::process::{Pid, Signal, kill_process};

use crate::cases::{Case, DEVICE, KERNEL, wait_until};
use crate::program::own_path;
use crate::tracer::{Tracer, read};

/// All of them.
pub(crate) const ALL: &[Case] = &[
    ("it says what it traces before it does", KERNEL, announced),
    ("the kernel itself sorts out other processes", KERNEL, sorted_by_the_kernel),
    (
        "of the whole host it lets through no call that has nothing to do with regions",
        &["syscalls"],
        quiet_host,
    ),
    ("an open that the kernel refuses is a failure", &["syscalls"], refused_open),
    ("what grows is what was made minus what was freed", DEVICE, growth),
];

/// A trace that goes on until it is told to end, and what it says of itself.
struct Announced {
    child: Child,
    said: String,
}

impl Announced {
    /// Starts one, and waits for its sentence.
    fn start(tracer: &Tracer, options: &[&str], file: &str) -> Result<Self> {
        let mut command = Command::new(&tracer.ashmem);
        command.args(["trace", "--source", &tracer.source, "--json", "-o", file]).args(options);
        let mut child = command.stderr(Stdio::piped()).spawn().context("starting ashmem")?;
        let mut said = String::new();
        BufReader::new(child.stderr.take().context("no stderr")?).read_line(&mut said)?;
        Ok(Self { child, said })
    }

    fn end(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }
}

fn announced(tracer: &Tracer) -> Result<()> {
    let own = std::process::id().to_string();
    for (options, whose) in [
        (vec![], "of every process on this host".to_owned()),
        (vec!["-p", own.as_str()], format!("of process {own} and all it starts")),
    ] {
        let trace = Announced::start(tracer, &options, &tracer.file("announced.json"))?;
        let said = trace.said.clone();
        trace.end()?;
        let by = if tracer.source == "module" { "the module's" } else { "system call" };
        ensure!(
            said.starts_with("ashmem: tracing calls to ashmem")
                && said.contains(&whose)
                && said.contains(by),
            "it said: {said}"
        );
    }
    Ok(())
}

/// The settings of the instances of a trace, one after another.
fn settings(trace: &Announced, file: &str) -> Result<Vec<String>> {
    // Its mount may be this process's own: it is there for as long as this is.
    let tracefs = Tracefs::find()?;
    let instances = tracefs.root().join("instances");
    let ours = format!("ashmem-trace-{}-", trace.child.id());
    let mut found = Vec::new();
    for entry in fs::read_dir(instances)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&ours) {
            let path = entry.path().join(file);
            found.push(fs::read_to_string(&path).with_context(|| path.display().to_string())?);
        }
    }
    ensure!(!found.is_empty(), "{ours} has no instance");
    Ok(found)
}

fn sorted_by_the_kernel(tracer: &Tracer) -> Result<()> {
    let mut sleeper = Command::new(own_path()?)
        .args(["work", "sleep", "0.5"])
        .spawn()
        .context("starting a process")?;
    let pid = sleeper.id().to_string();
    let trace = Announced::start(tracer, &["-p", &pid], &tracer.file("sorted.json"))?;
    let pids = settings(&trace, "set_event_pid");
    trace.end()?;
    let _ = sleeper.kill();
    sleeper.wait()?;
    let pids = pids?;
    ensure!(
        pids.iter().any(|text| text.split_whitespace().eq([pid.as_str()])),
        "{pid} is not what the kernel records: {pids:?}"
    );
    Ok(())
}

fn quiet_host(tracer: &Tracer) -> Result<()> {
    let file = tracer.file("quiet.json");
    let trace = Announced::start(tracer, &[], &file)?;
    let enabled = |event: &str| settings(&trace, &format!("events/syscalls/{event}/enable"));
    let filter = |event: &str| settings(&trace, &format!("events/syscalls/{event}/filter"));
    let outcome = (|| {
        for event in ["sys_enter_close", "sys_exit_close", "sys_exit_mmap", "sys_exit_openat"] {
            let is_on = enabled(event)?;
            ensure!(is_on.iter().all(|text| text.trim() == "0"), "{event} is recorded");
        }
        for (event, wanted) in [("sys_enter_ioctl", "cmd == "), ("sys_enter_mmap", "flags & 1")] {
            let filters = filter(event)?;
            ensure!(filters.iter().all(|text| text.contains(wanted)), "{event}: {filters:?}");
        }
        // Memfds of any process are told, with what is done to them.
        let account = tracer.file("account");
        let status = Command::new(own_path()?).args(["work", "memfd", &account]).status()?;
        ensure!(status.success(), "the program ended with {status}");
        wait_until("it is told", || {
            fs::read_to_string(&file).is_ok_and(|text| text.contains("\"FTRUNCATE\""))
        })
    })();
    trace.end()?;
    outcome?;
    let told = read(&file)?;
    let wrong = told.events.iter().find(|event| event.region.is_none());
    ensure!(wrong.is_none(), "{wrong:?} is of no region");
    let mapped = told.events.iter().find(|event| event.operation.name() == "MMAP");
    let mapped = mapped.context("its mapping was not told")?;
    ensure!(mapped.outcome.result.is_none(), "{mapped:?} has a result that nobody recorded");
    Ok(())
}

fn refused_open(tracer: &Tracer) -> Result<()> {
    let many = |told: &crate::tracer::Told| {
        let is_refused = |event: &&ashmem_trace::event::Event| {
            event.operation.name() == "OPEN"
                && event.outcome.result == Some(-i64::from(libc::ENOENT))
        };
        told.events.iter().filter(is_refused).count()
    };
    let file = tracer.file("refused.json");
    tracer.run(&["-f", "--json", "-o", &file], "refused")?;
    let many = many(&read(&file)?);
    ensure!(many == 1, "of a program's three refused opens one is of the device, {many} were told");
    let trace = Announced::start(tracer, &["-f"], &file)?;
    let status = Command::new(own_path()?)
        .args(["work", "refused", &tracer.file("account")])
        .status()
        .context("starting a program");
    let told = wait_until("it is told", || {
        fs::read_to_string(&file).is_ok_and(|text| text.contains("\"ENOENT\""))
    });
    trace.end()?;
    ensure!(status?.success(), "the program failed");
    told
}

fn growth(tracer: &Tracer) -> Result<()> {
    let (file, account) = (tracer.file("growth.json"), tracer.file("account"));
    let _ = fs::remove_file(&account);
    let mut command = tracer.command(&["--growth", "--json", "-o", &file], "hold")?;
    let mut trace = command.stdin(Stdio::piped()).spawn().context("starting ashmem")?;
    let lines = |file: &str| -> Vec<JsonLine> {
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let grown = |line: &JsonLine| match line {
        JsonLine::Growth(line) => line
            .families
            .iter()
            .find(|family| family.family == "gralloc")
            .map(|family| (family.regions, family.bytes)),
        _ => None,
    };
    let seen = wait_until("its growth is told", || {
        lines(&file).iter().filter_map(grown).any(|grown| grown == (3, 3 * 8192))
    });
    drop(trace.stdin.take());
    let status = trace.wait()?;
    seen?;
    ensure!(status.success(), "it ended with {status}");
    let lines = lines(&file);
    let last = lines.iter().rev().find(|line| matches!(line, JsonLine::Growth(_)));
    let last = last.context("no line of growth")?;
    ensure!(grown(last).is_none(), "all was freed at the end: {last:?}");
    Ok(())
}
