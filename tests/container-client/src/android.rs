// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first process of a container that Waydroid started, in place of Android's init.
//!
//! `/data/expect` says what must be found, a `key=value` a line; `/data/result` gets `held` or what
//! did not hold. Then it waits to be killed, as a container's first process does.

use crate::exchange::{DEVICE, NAME, REPLY, SIZE, WORDS, check_looks, open, prepare};
use crate::passing;
use anyhow::{Context, Result, bail, ensure};
use ashmem_test_client::map::PAGE;
use ashmem_test_client::region::Region;
use binder_client::{Binder, Message};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// The properties that Waydroid binds into the vendor partition.
const PROPERTIES: &str = "/vendor/waydroid.prop";
/// A binder that nothing on the host side of Waydroid speaks through.
const BINDER: &str = "/dev/vndbinder";

/// Tries everything, tells of it, and stays.
pub(crate) fn init() -> ExitCode {
    let text = match attempt() {
        Ok(said) => format!("held: {said}\n"),
        Err(error) => format!("{error:#}\n"),
    };
    if let Err(error) = fs::write("/data/result.part", &text)
        .and_then(|()| fs::rename("/data/result.part", "/data/result"))
    {
        eprintln!("/data/result: {error}");
        return ExitCode::FAILURE;
    }
    loop {
        std::thread::park();
    }
}

/// Looks for what `/data/expect` says, both names, and the ways of passing a region on.
pub(crate) fn attempt() -> Result<String> {
    let text = fs::read_to_string("/data/expect").context("reading /data/expect")?;
    let expected = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.with_context(|| format!("/data/expect does not say {key}"))
    };
    let boot_id =
        fs::read_to_string("/proc/sys/kernel/random/boot_id").context("reading the boot's id")?;
    let names = [DEVICE.to_owned(), format!("{DEVICE}{}", boot_id.trim())];
    let memfd = expected("memfd")?;
    ensure!(use_memfd()? == memfd, "{PROPERTIES} says sys.use_memfd={}, not {memfd}", use_memfd()?);
    if expected("device")? == "no" {
        for name in &names {
            // LXC makes the target of Waydroid's own line (`create=file`) although its source is
            // not there any more.
            let is_empty_file =
                std::fs::metadata(name).is_ok_and(|it| it.is_file() && it.len() == 0);
            ensure!(
                is_empty_file || open(name).is_err(),
                "{name} can be opened, and is no empty file"
            );
        }
        return Ok(format!("no device, sys.use_memfd={memfd}"));
    }
    let has_looks = expected("looks")? == "yes";
    for name in &names {
        let region = open(name)?;
        // The first call that concerns the device makes it one.
        region.set_size(PAGE as u64)?;
        match (check_looks(&region), has_looks) {
            (Ok(()), true) | (Err(_), false) => {}
            (Ok(()), false) => bail!("{name}: fstat shows the device, which was not expected here"),
            (Err(error), true) => return Err(error.context(name.clone())),
        }
    }
    let [short, long] = &names;
    over_socket(short, long)?;
    over_socket(long, short)?;
    let binder = expected("binder")? == "yes";
    if binder {
        over_binder(short)?;
        over_binder(long)?;
    }
    let ways = if binder { "a socket and binder" } else { "a socket" };
    Ok(format!("both names, passed through {ways}, sys.use_memfd={memfd}"))
}

/// What the properties say last, as Android reads them.
fn use_memfd() -> Result<String> {
    let text = fs::read_to_string(PROPERTIES).with_context(|| format!("reading {PROPERTIES}"))?;
    let value = text.lines().rev().find_map(|line| line.strip_prefix("sys.use_memfd="));
    Ok(value.unwrap_or("false").to_owned())
}

/// Two processes open a name each and pass each other what they made.
fn over_socket(ours: &str, theirs: &str) -> Result<()> {
    let (here, there) = UnixStream::pair().context("socketpair")?;
    let child = fork(move || {
        let region = prepare(open(theirs)?)?;
        region.share(SIZE)?.write(0, REPLY)?;
        passing::send(&there, region.as_fd())?;
        answer(&Region::from(passing::receive(&there)?))
    })?;
    let region = prepare(open(ours)?)?;
    let mapping = region.share(SIZE)?;
    mapping.write(PAGE, WORDS)?;
    passing::send(&here, region.as_fd())?;
    let other = Region::from(passing::receive(&here)?);
    ensure!(
        other.name()? == NAME.to_bytes(),
        "GET_NAME on the region passed back answers {:?}",
        other.name()?
    );
    ensure!(other.share(SIZE)?.read(0, REPLY.len())? == REPLY, "other bytes than the child's");
    join(child)?;
    ensure!(mapping.read(2 * PAGE, REPLY.len())? == REPLY, "the child's answer did not arrive");
    Ok(())
}

/// A region sent in a binder call, and what the server wrote into it.
fn over_binder(name: &str) -> Result<()> {
    let (ready, told) = UnixStream::pair().context("socketpair")?;
    let server = fork(move || {
        let mut binder = Binder::open_at(BINDER)?;
        binder.become_manager()?;
        (&ready).write_all(b"!").context("saying that the server is ready")?;
        binder.serve(|Message { descriptor, .. }| {
            let region = Region::from(descriptor.context("the call carries no descriptor")?);
            answer(&region)?;
            Ok::<_, anyhow::Error>((0, None::<OwnedFd>))
        })
    })?;
    (&told).read_exact(&mut [0]).context("the binder server is gone")?;
    let region = prepare(open(name)?)?;
    let mapping = region.share(SIZE)?;
    mapping.write(PAGE, WORDS)?;
    Binder::open_at(BINDER)?.call(1, Some(region.as_fd())).context("calling through binder")?;
    join(server)?;
    ensure!(
        mapping.read(2 * PAGE, REPLY.len())? == REPLY,
        "what the binder server wrote did not arrive"
    );
    Ok(())
}

/// What the receiver of a region finds in it, and writes.
fn answer(region: &Region) -> Result<()> {
    ensure!(region.name()? == NAME.to_bytes(), "GET_NAME answers {:?}", region.name()?);
    ensure!(region.size()? == SIZE as i64, "GET_SIZE answers {}", region.size()?);
    let mapping = region.share(SIZE)?;
    ensure!(mapping.read(PAGE, WORDS.len())? == WORDS, "other bytes than the sender's");
    mapping.write(2 * PAGE, REPLY)?;
    Ok(())
}

/// Runs this in a process of its own.
fn fork(run: impl FnOnce() -> Result<()>) -> Result<Pid> {
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => bail!("fork: {}", std::io::Error::last_os_error()),
        0 => {
            let code = match run() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("the child: {error:#}");
                    1
                }
            };
            std::process::exit(code)
        }
        pid => Pid::from_raw(pid).context("fork's answer"),
    }
}

fn join(child: Pid) -> Result<()> {
    let status = waitpid(Some(child), WaitOptions::empty()).context("waiting for the child")?;
    let code = status.and_then(|(_, status)| status.exit_status());
    ensure!(code == Some(0), "the child ended with {code:?}");
    Ok(())
}
