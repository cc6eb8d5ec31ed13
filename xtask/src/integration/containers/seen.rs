// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `ashmem list` and `ashmem trace` show of a running container, against what its own process
//! says of itself.

use super::world::{Container, LIMIT, World, wait_for};
use crate::util::process;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A tracer has seen its first event by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// A container whose program does what it is told to.
struct Watched {
    container: Container,
    socket: BufReader<UnixStream>,
    /// Its program's number, as the program itself knows it.
    inner: i64,
}

impl Watched {
    fn start(
        world: &World,
        name: &str,
        start: impl Fn(&str, &[&str]) -> Result<Container>,
    ) -> Result<Self> {
        let path = format!("/tmp/{name}");
        let container = start(name, &["/bin/client", "watched", &path])?;
        let outside = world.folder.join("rootfs/tmp").join(name);
        wait_for("the watched program's socket", || outside.exists())?;
        let socket = UnixStream::connect(&outside).context("connecting to the watched program")?;
        socket.set_read_timeout(Some(LIMIT)).context("a limit for the watched program")?;
        let mut watched = Self { container, socket: BufReader::new(socket), inner: 0 };
        watched.inner = watched.hear()?.parse().context("the watched program's number")?;
        Ok(watched)
    }

    fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        self.socket.read_line(&mut line).context("hearing the watched program")?;
        Ok(line.trim_end().to_owned())
    }

    /// Has it unpin a page, pin it, and try what must fail.
    fn work(&mut self) -> Result<()> {
        self.socket.get_mut().write_all(b"work\n").context("asking for work")?;
        let answer = self.hear()?;
        ensure!(answer == "done", "the watched program answered {answer:?}");
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        self.socket.get_mut().write_all(b"end\n").context("asking it to end")?;
        self.container.finish(LIMIT).map(drop)
    }
}

/// An `ashmem trace` of the world's agent, as JSON.
struct Tracer {
    child: Child,
    file: PathBuf,
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Tracer {
    fn start(world: &World, name: &str, words: &[&str]) -> Result<Self> {
        let file = world.folder.join(format!("{name}.json"));
        let mut command = Command::new(&world.ashmem);
        command.args([
            "trace",
            "--source",
            "agent",
            "--agent",
            &format!("unix:{}", world.path("oci.sock")),
            "--json",
        ]);
        command.args(words).arg("--output").arg(&file).stdin(Stdio::null()).stderr(Stdio::piped());
        let child =
            command.spawn().with_context(|| format!("starting {}", process::line(&command)))?;
        Ok(Self { child, file })
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["type"] == "event")
            .collect()
    }

    /// Works until the tracer has seen `enough`.
    fn until(&self, watched: &mut Watched, enough: impl Fn(&[Value]) -> bool) -> Result<()> {
        let late = Instant::now() + PATIENCE;
        while !enough(&self.events()) {
            ensure!(
                Instant::now() < late,
                "not seen by the tracer: what {} did; it has {:?}",
                watched.inner,
                self.events()
            );
            watched.work()?;
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Interrupts it, as a person does; what it saw, and what it said.
    fn finish(self) -> Result<(Vec<Value>, String)> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT)
            .context("interrupting the tracer")?;
        self.ended()
    }

    /// Waits for its end; what it saw, and what it said.
    fn ended(mut self) -> Result<(Vec<Value>, String)> {
        let late = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().context("waiting for the tracer")? {
                break status;
            }
            ensure!(Instant::now() < late, "the tracer does not end");
            thread::sleep(Duration::from_millis(20));
        };
        let mut said = String::new();
        if let Some(stderr) = &mut self.child.stderr {
            stderr.read_to_string(&mut said).context("hearing the tracer")?;
        }
        ensure!(status.success(), "the tracer ended with {}:\n{said}", process::describe(status));
        Ok((self.events(), said))
    }
}

/// The same two containers, listed and traced by the name that `called` tells for them.
pub(super) fn seen(
    world: &World,
    start: impl Fn(&str, &[&str]) -> Result<Container>,
    called: impl Fn(&str) -> Result<String>,
) -> Result<()> {
    let mut leaver = Watched::start(world, "leaver", &start)?;
    let mut stayer = Watched::start(world, "stayer", &start)?;
    let (leavers, stayers) = (called("leaver")?, called("stayer")?);
    let place = format!("{leavers}:{}", leaver.inner);

    let outer = listed(world, &["--container", &leavers], leaver.inner)?;
    ensure!(
        listed(world, &["--pid", &place], leaver.inner)? == outer,
        "--pid {place} lists another process"
    );

    let one = Tracer::start(world, "one", &["--pid", &place])?;
    // What the other container does is not its matter.
    one.until(&mut leaver, |events| events.len() >= 6)?;
    stayer.work()?;
    leaver.work()?;
    let (events, _) = one.finish()?;
    for event in &events {
        ensure!(
            event["pid"] == outer
                && event["container_pid"] == leaver.inner
                && event["command"] == "client",
            "--pid {place} shows {event}, and that process is {outer} on the host"
        );
    }
    let page = json!({ "offset": 4096, "len": 4096 });
    for (operation, arguments, result) in
        [("UNPIN", &page, 0), ("PIN", &page, 0), ("SET_SIZE", &json!({ "bytes": 4096 }), -22)]
    {
        let is_it = |event: &&Value| {
            event["op"] == operation && &event["args"] == arguments && event["result"] == result
        };
        ensure!(
            events.iter().any(|event| is_it(&event)),
            "no {operation} {arguments} = {result} in {events:?}"
        );
    }

    // One container goes in the middle, and the rest is seen all the same.
    let both = Tracer::start(world, "both", &["--container", &leavers, "--container", &stayers])?;
    let (left, stays) = (shown(world, &leavers)?, shown(world, &stayers)?);
    ensure!(left != stays, "both containers are shown as {left}");
    let of = |name: &str| {
        let name = name.to_owned();
        move |events: &[Value]| events.iter().any(|event| event["container"] == name.as_str())
    };
    both.until(&mut leaver, of(&left))?;
    let last = Tracer::start(world, "last", &["--pid", &place])?;
    last.until(&mut leaver, of(&left))?;
    leaver.end()?;
    both.until(&mut stayer, of(&stays))?;
    let (events, said) = both.finish()?;
    ensure!(
        said.contains(&format!("container {left} has ended")),
        "of {left}'s end the tracer says {said:?}"
    );
    let is_theirs =
        |event: &Value| [&left, &stays].iter().any(|name| event["container"] == name.as_str());
    // A region's own end is nobody's doing, and told of theirs alone.
    let ends_theirs = |event: &Value| {
        let is_same = |other: &&Value| other["region"]["id"] == event["region"]["id"];
        event["op"] == "RELEASE" && events.iter().filter(is_same).any(is_theirs)
    };
    ensure!(
        events.iter().all(|event| is_theirs(event) || ends_theirs(event)),
        "of no container that was asked for: {events:?}"
    );
    // With nothing left to see, it says so and ends by itself.
    let (events, said) = last.ended()?;
    ensure!(
        said.contains(&format!("process {place} has ended")),
        "of {place}'s end the tracer says {said:?}"
    );
    // The region's own end is nobody's doing.
    let is_strange =
        |event: &&Value| event["op"] != "RELEASE" && event["container"] != left.as_str();
    ensure!(!events.iter().any(|event| is_strange(&event)), "not of {place}: {events:?}");
    stayer.end()
}

/// Lists one region with one holder, as it must be; the holder's number on the host.
fn listed(world: &World, words: &[&str], inner: i64) -> Result<i64> {
    let document = list(world, words)?;
    let regions = document["regions"].as_array().context("regions")?;
    let [region] = regions.as_slice() else { anyhow::bail!("list {words:?} shows {document}") };
    ensure!(
        region["kind"] == "agent" && region["name"] == "watched" && region["size"] == 16384,
        "it shows {region}"
    );
    let holders = region["holders"].as_array().context("holders")?;
    let [holder] = holders.as_slice() else { anyhow::bail!("list {words:?} shows {document}") };
    let outer = holder["process"]["pid"].as_i64().context("a number")?;
    ensure!(
        holder["process"]["inner_pid"] == inner && outer != inner,
        "that process calls itself {inner}, shown is {holder}"
    );
    // The kernel's word for it.
    let status =
        fs::read_to_string(format!("/proc/{outer}/status")).context("the process that is shown")?;
    let numbers =
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).context("its numbers")?;
    ensure!(
        numbers.split_whitespace().last() == Some(&inner.to_string()),
        "{outer} is {numbers}, not {inner}, inside"
    );
    Ok(outer)
}

fn list(world: &World, words: &[&str]) -> Result<Value> {
    let text = process::capture(Command::new(&world.ashmem).args(["list", "--json"]).args(words))?;
    serde_json::from_str(&text).context("list's document")
}

/// How a container of this name is shown in a trace: its runtime, and as much of its id as
/// container tools show.
fn shown(world: &World, name: &str) -> Result<String> {
    /// Digits of an id.
    const SHOWN: usize = 12;
    let document = list(world, &["--container", name])?;
    let container = &document["regions"][0]["holders"][0]["process"]["container"];
    let word = |key: &str| {
        container[key].as_str().with_context(|| format!("no container's {key} in {document}"))
    };
    let (runtime, id) = (word("runtime")?, word("id")?);
    let is_number = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok(format!("{runtime}:{}", if is_number { &id[..SHOWN] } else { id }))
}
