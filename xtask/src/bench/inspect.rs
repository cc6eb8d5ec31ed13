// SPDX-License-Identifier: MIT OR Apache-2.0
//! What it costs to look: `ashmem list` of a crowd, and `ashmem top` beside one. By the clock and
//! by the time on processors, on this host.

use super::goals::{self, Goal};
use crate::util::{process, workspace};
use anyhow::{Context, Result, bail, ensure};
use comfy_table::Table;
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The list is taken so often: the fastest counts.
const TIMES: usize = 5;
/// How long top is watched, for several of its looks, and how long it is given to begin.
const WATCH: Duration = Duration::from_secs(60);
const BEGIN: Duration = Duration::from_secs(5);

/// The crowd that is looked at.
const PROCESSES: usize = 500;
const REGIONS: usize = 10_000;

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    unit: &'static str,
    figure: f64,
    /// None: it stands beside another.
    goal: Option<Goal>,
    met: Option<bool>,
}

/// Measures both.
pub(super) fn measure() -> Result<Vec<Row>> {
    let (ashmem, crowd) = build()?;
    let (elapsed, processor) = list(&ashmem, &crowd)?;
    let share = top(&ashmem, &crowd)?;
    let row = |what, unit, figure, goal: Option<f64>| {
        let goal = goal.map(Goal::AtMost);
        Row { what, unit, figure, goal, met: goal.and_then(|goal| goal.is_met(figure)) }
    };
    Ok(vec![
        row("ashmem list --json, 10,000 regions of 500 processes", "s", elapsed, Some(0.3)),
        row("the same, time on processors", "s", processor, None),
        row(
            "ashmem top at its own pace, 10,000 regions of 500 processes",
            "% of a processor",
            share,
            Some(1.0),
        ),
    ])
}

/// Seconds until the list of a crowd is there, and seconds on processors for it.
fn list(ashmem: &Path, crowd: &Path) -> Result<(f64, f64)> {
    let _crowd = Crowd::start(crowd, PROCESSES, REGIONS)?;
    let mut fastest = (f64::INFINITY, f64::INFINITY);
    for time in 1..=TIMES {
        eprintln!("listing {REGIONS} regions: {time} of {TIMES} ...");
        let (before, started) = (process::children_time(), Instant::now());
        let text = process::capture(Command::new(ashmem).args([
            "list",
            "--json",
            "--name",
            "CursorWindow*",
        ]))?;
        let elapsed = started.elapsed().as_secs_f64();
        let processor = process::children_time().saturating_sub(before).as_secs_f64();
        let document: Value =
            serde_json::from_str(&text).context("reading what ashmem list printed")?;
        let regions = document.get("regions").and_then(Value::as_array).map_or(0, Vec::len);
        ensure!(regions == REGIONS, "ashmem list showed {regions} regions of {REGIONS}");
        if elapsed < fastest.0 {
            fastest = (elapsed, processor);
        }
    }
    Ok(fastest)
}

/// How much of a processor top takes, in percent.
fn top(ashmem: &Path, crowd: &Path) -> Result<f64> {
    let _crowd = Crowd::start(crowd, PROCESSES, REGIONS)?;
    // script(1) gives it a terminal.
    let command = format!("stty rows 50 cols 160; exec '{}' top", ashmem.display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--flush", "--command", &command, "/dev/null"]);
    script.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::null());
    let mut terminal = Ended(script.spawn().context("starting script(1)")?);
    thread::sleep(BEGIN);
    let top =
        child_of(terminal.0.id(), ashmem).context("ashmem top is not running under script(1)")?;
    eprintln!("watching ashmem top for {} s ...", WATCH.as_secs());
    let (before, started) = (ticks(top)?, Instant::now());
    thread::sleep(WATCH);
    let used = ticks(top)? - before;
    let elapsed = started.elapsed().as_secs_f64();
    drop(terminal.0.stdin.take());
    Ok(used as f64 / rustix::param::clock_ticks_per_second() as f64 / elapsed * 100.0)
}

/// The child of this process that runs this program.
fn child_of(parent: u32, program: &Path) -> Result<u32> {
    for entry in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let is_program = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == program);
        if is_program && stat(pid).is_ok_and(|fields| fields.get(1) == Some(&u64::from(parent))) {
            return Ok(pid);
        }
    }
    bail!("{parent} has no child that runs {}", program.display())
}

/// The processor time of a process, in clock ticks.
fn ticks(pid: u32) -> Result<u64> {
    let fields = stat(pid)?;
    // utime and stime, the 14th and 15th of proc(5), counted from the state.
    fields
        .get(11)
        .zip(fields.get(12))
        .map(|(user, system)| user + system)
        .context("stat has too few fields")
}

/// The fields of a process's stat from the state on; what is no number is 0.
fn stat(pid: u32) -> Result<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("reading the state of {pid}"))?;
    let (_, fields) = text.rsplit_once(')').context("stat has no name in brackets")?;
    Ok(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Processes with regions, gone with this value.
struct Crowd {
    _process: Ended,
}

impl Crowd {
    fn start(program: &Path, processes: usize, regions: usize) -> Result<Self> {
        let mut command = Command::new(program);
        command
            .args([processes.to_string(), regions.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = Ended(
            command.spawn().with_context(|| format!("starting {}", process::line(&command)))?,
        );
        let mut line = String::new();
        BufReader::new(child.0.stdout.take().context("a pipe")?)
            .read_line(&mut line)
            .context("reading the crowd")?;
        ensure!(line.trim() == "ready", "the crowd said {line:?}");
        Ok(Self { _process: child })
    }
}

/// A child that does not outlive this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program and the crowd.
fn build() -> Result<(PathBuf, PathBuf)> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--release", "--package", "ashmem-cli", "--bin", "ashmem"]);
    cargo
        .args(["--package", "ashmem-inspect", "--example", "crowd"])
        .current_dir(workspace::root());
    process::capture(&mut cargo)?;
    let release =
        workspace::built().join("release").canonicalize().context("finding what was built")?;
    Ok((release.join("ashmem"), release.join("examples/crowd")))
}

/// For people, in Markdown.
pub(super) fn table(rows: &[Row]) -> Table {
    let mut table = goals::markdown(&["What", "", "figure", "goal", ""]);
    for row in rows {
        table.add_row([
            row.what.to_owned(),
            row.unit.to_owned(),
            format!("{:.2}", row.figure),
            row.goal.map_or_else(String::new, Goal::text),
            row.met.map_or("", |met| if met { "✓" } else { "✗" }).to_owned(),
        ]);
    }
    goals::right(&mut table, &[2, 3]);
    table
}
