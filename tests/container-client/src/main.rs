// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is tried inside a container whose calls the agent answers. One static program; prints one
//! line when all held.
//!
//! - `share`: two processes of one container share a region;
//! - `offer SOCKET`: makes a region, passes it to whoever connects, one after another, until one
//!   says `end`; then sees whether the region is as it was left;
//! - `join SOCKET`: takes it in another process of the same container, begun by an exec;
//! - `watched SOCKET`: makes a region, tells who connects its own number, and uses the region
//!   whenever asked to;
//! - `stranger SOCKET`: takes it in another container, where it is a memfd like any other; says
//!   `end`.
//!
//! - `android`: see [`android`]. Called `/init`, it does so as the container's first process.

mod android;
mod exchange;
mod passing;

use anyhow::{Context, Result, bail, ensure};
use ashmem_test_client::map::PAGE;
use ashmem_test_client::region::Region;
use exchange::{DEVICE, NAME, REPLY, SIZE, WORDS, check_looks, is_pinned, open, prepare};
use rustix::process::Pid;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == "/init") {
        return android::init();
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["share"] => share(),
        ["offer", socket] => offer(socket),
        ["join", socket] => join(socket),
        ["stranger", socket] => stranger(socket),
        ["watched", socket] => watched(socket),
        ["android"] => android::attempt().map(drop),
        _ => {
            let verbs = [
                "share",
                "offer SOCKET",
                "join SOCKET",
                "stranger SOCKET",
                "watched SOCKET",
                "android",
            ];
            Err(anyhow::anyhow!("usage: ashmem-container-client {}", verbs.join(" | ")))
        }
    };
    match done {
        Ok(()) => {
            println!("{}: held", words.join(" "));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error:#}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn new_region() -> Result<Region> {
    let region = open(DEVICE)?;
    check_looks(&region)?;
    prepare(region)
}

fn share() -> Result<()> {
    let (ours, theirs) = UnixStream::pair().context("socketpair")?;
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => bail!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            drop(ours);
            let code = match answer(&theirs) {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("share, the child: {error:#}");
                    1
                }
            };
            std::process::exit(code)
        }
        pid => {
            drop(theirs);
            let region = new_region()?;
            let mapping = region.share(SIZE)?;
            mapping.write(PAGE, WORDS)?;
            passing::send(&ours, region.as_fd())?;
            let pid = Pid::from_raw(pid).context("fork's answer")?;
            let status =
                rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
            let code = status.and_then(|(_, status)| status.exit_status());
            ensure!(code == Some(0), "the child ended with {code:?}");
            ensure!(
                mapping.read(2 * PAGE, REPLY.len())? == REPLY,
                "the child's answer did not arrive"
            );
            Ok(())
        }
    }
}

fn answer(socket: &UnixStream) -> Result<()> {
    let region = Region::from(passing::receive(socket)?);
    check_looks(&region)?;
    ensure!(region.name()? == NAME.to_bytes(), "GET_NAME answers {:?}", region.name()?);
    ensure!(region.size()? == SIZE as i64, "GET_SIZE answers {}", region.size()?);
    let mapping = region.share(SIZE)?;
    ensure!(mapping.read(PAGE, WORDS.len())? == WORDS, "other bytes than the parent's");
    mapping.write(2 * PAGE, REPLY)?;
    Ok(())
}

/// The mask that the offered region is given: reading and writing.
const MASK: i64 = (libc::PROT_READ | libc::PROT_WRITE) as i64;
/// Its pages that are unpinned: from one process of its own container, and from a stranger.
const UNPINNED: u32 = PAGE as u32;
const STRANGERS: u32 = 3 * PAGE as u32;

/// A socket that is to be found there once it listens: between bind(2) and listen(2) it refuses who
/// comes.
fn listen(path: &str) -> Result<UnixListener> {
    let beside = format!("{path}.new");
    let listener = UnixListener::bind(&beside).with_context(|| format!("binding {beside}"))?;
    std::fs::rename(&beside, path).with_context(|| format!("renaming {beside} to {path}"))?;
    Ok(listener)
}

fn offer(path: &str) -> Result<()> {
    let listener = listen(path)?;
    let region = new_region()?;
    region.set_mask(MASK as u64)?;
    let mapping = region.share(SIZE)?;
    mapping.write(0, WORDS)?;
    loop {
        let (mut visitor, _) = listener.accept().context("accepting a visitor")?;
        passing::send(&visitor, region.as_fd())?;
        let mut word = String::new();
        visitor.read_to_string(&mut word).context("hearing the visitor out")?;
        if word == "end" {
            break;
        }
    }
    ensure!(!is_pinned(&region, UNPINNED)?, "what a process of this container unpinned is pinned");
    ensure!(is_pinned(&region, STRANGERS)?, "a stranger unpinned a page");
    ensure!(
        region.name()? == NAME.to_bytes()
            && region.size()? == SIZE as i64
            && region.mask()? == MASK,
        "the region has changed"
    );
    Ok(())
}

fn visit(path: &str) -> Result<(UnixStream, Region)> {
    let socket = UnixStream::connect(path).with_context(|| format!("connecting to {path}"))?;
    let region = Region::from(passing::receive(&socket)?);
    Ok((socket, region))
}

fn join(path: &str) -> Result<()> {
    let (_socket, region) = visit(path)?;
    check_looks(&region)?;
    ensure!(region.name()? == NAME.to_bytes(), "GET_NAME answers {:?}", region.name()?);
    ensure!(region.mask()? == MASK, "GET_PROT_MASK answers {}", region.mask()?);
    ensure!(region.share(SIZE)?.read(0, WORDS.len())? == WORDS, "other bytes than the owner's");
    region.unpin(UNPINNED, PAGE as u32)?;
    ensure!(!is_pinned(&region, UNPINNED)?, "unpinned and pinned all the same");
    Ok(())
}

/// A descriptor was passed, and with it the memory, as with any file. The region behind it was not.
fn stranger(path: &str) -> Result<()> {
    let (mut socket, region) = visit(path)?;
    ensure!(check_looks(&region).is_err(), "it looks like a region of this container");
    ensure!(region.mask()? != MASK, "the mask of another container's region is told");
    ensure!(is_pinned(&region, UNPINNED)?, "the pins of another container's region are told");
    region.unpin(STRANGERS, PAGE as u32)?;
    ensure!(
        region.pin(STRANGERS, PAGE as u32)? == 0,
        "a memfd that was never unpinned says it was purged"
    );
    region.unpin(STRANGERS, PAGE as u32)?;
    ensure!(region.set_size(PAGE as u64).is_err(), "SET_SIZE on another container's region");
    ensure!(region.set_name(c"taken").is_err(), "SET_NAME on another container's region");
    let own = new_region()?;
    own.share(SIZE)?.write(0, REPLY)?;
    ensure!(own.name()? == NAME.to_bytes(), "GET_NAME answers {:?}", own.name()?);
    socket.write_all(b"end").context("saying end")
}

/// The page that is unpinned and pinned while others watch.
const WATCHED: u32 = PAGE as u32;

/// What tools outside the container are to see: one region of this name, in use, and three calls
/// each time, of which one fails.
fn watched(path: &str) -> Result<()> {
    let listener = listen(path)?;
    let region = open(DEVICE)?;
    region.set_name(c"watched")?;
    region.set_size(SIZE as u64)?;
    let mapping = region.share(SIZE)?;
    mapping.write(0, WORDS)?;
    let (mut watcher, _) = listener.accept().context("accepting the watcher")?;
    writeln!(watcher, "{}", std::process::id()).context("telling this process's number")?;
    let words = BufReader::new(watcher.try_clone().context("another descriptor of the socket")?);
    for word in words.lines() {
        match word.context("hearing the watcher")?.as_str() {
            "work" => {
                region.unpin(WATCHED, PAGE as u32)?;
                ensure!(region.pin(WATCHED, PAGE as u32)? == 0, "purged without a purge");
                ensure!(region.set_size(PAGE as u64).is_err(), "SET_SIZE on a mapped region");
                writeln!(watcher, "done").context("answering")?;
            }
            "end" => return Ok(()),
            other => bail!("no such work: {other}"),
        }
    }
    bail!("the watcher went without a word")
}
