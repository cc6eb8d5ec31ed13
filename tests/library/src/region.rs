// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Rust crate: regions, mappings, pins, sockets.

use crate::surroundings::{Case, Outcome, PAGE, Surroundings, descriptors, others, same};
use anyhow::{Context, Result, ensure};
use ashmem::{Backend, Error, Options, Protection, Purge, Region};
use ashmem_core::abi;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

pub(crate) const CASES: &[Case] = &[
    ("Region: made of what there is here", backend),
    ("Region: the mask narrows, and mappings keep to it", mask),
    ("Region: taken from a descriptor, it is what it was", taken),
    ("Region: a foreign memfd gets its size sealed, or is refused", sealing),
    ("Mapping: copies reach every byte, and outlive the region", mapping),
    ("Pin: the guard's end unpins, and tells of a purge", pin),
    ("Region::send: over stream and datagram, the mask goes along", send),
    ("Region::receive: what brings no region is an error, and no descriptor stays open", receive),
];

const BOTH: Protection = Protection::READ.union(Protection::WRITE);

fn backend(surroundings: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"made", PAGE)?;
    same("the backend", region.backend(), surroundings.backend())?;
    same("the size", region.size(), PAGE)?;
    same(
        "no size",
        Region::create(c"none", 0).err().map(Error::errno),
        Some(ashmem::Errno::INVAL),
    )?;
    let memfd = Options::new().backend(Backend::Memfd).create(c"memfd", PAGE)?;
    same("the backend asked for", memfd.backend(), Backend::Memfd)?;
    let seals = rustix::fs::fcntl_get_seals(&memfd).context("reading a memfd's seals")?;
    ensure!(seals.contains(SealFlags::GROW | SealFlags::SHRINK), "its seals are {seals:?}");
    match Options::new().backend(Backend::Device).create(c"device", PAGE) {
        Ok(region) => same("the backend asked for", region.backend(), Backend::Device)?,
        Err(Error::NoDevice(_)) => ensure!(!surroundings.has_device(), "the device is not found"),
        Err(error) => return Err(error).context("asking for the device"),
    }
    Ok(Outcome::Held)
}

fn mask(_: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"mask", PAGE)?;
    same("the first mask", region.protection()?, Protection::all())?;
    region.map(BOTH)?.write_at(0, b"before");
    region.set_protection(Protection::READ)?;
    ensure!(!region.protection()?.contains(Protection::WRITE), "the mask kept WRITE");
    let mask = region.protection()?;
    same(
        "a writable mapping",
        region.map(BOTH).err(),
        Some(Error::Forbidden { wanted: BOTH, mask }),
    )?;
    let mut text = [0; 6];
    region.map(Protection::READ)?.read_at(0, &mut text);
    same("what was written before", &text, b"before")?;
    same(
        "WRITE again",
        region.set_protection(BOTH).err().map(Error::errno),
        Some(ashmem::Errno::INVAL),
    )?;
    Ok(Outcome::Held)
}

fn taken(surroundings: &Surroundings) -> Result<Outcome> {
    for mapped in [false, true] {
        let region = Region::create(c"taken", PAGE + 1)?;
        if mapped {
            region.map(BOTH)?.write_at(PAGE, b"x");
        }
        let again = Region::from_fd(OwnedFd::from(region))?;
        same("the size", again.size(), PAGE + 1)?;
        same("the backend", again.backend(), surroundings.backend())?;
        let mut last = [0];
        again.map(BOTH)?.read_at(PAGE, &mut last);
        same("the last byte", last[0], if mapped { b'x' } else { 0 })?;
        let copy = again.try_clone()?;
        drop(again);
        copy.map(BOTH)?;
    }
    for (name, fd) in others()? {
        same(name, Region::try_from(fd).err(), Some(Error::NotRegion))?;
    }
    Ok(Outcome::Held)
}

fn sealing(_: &Surroundings) -> Result<Outcome> {
    let memfd = |flags| -> Result<OwnedFd> {
        let fd = rustix::fs::memfd_create(c"foreign", flags).context("making a memfd")?;
        rustix::fs::ftruncate(&fd, 5000).context("giving it a size")?;
        Ok(fd)
    };
    let open = memfd(MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let other = open.try_clone().context("copying the descriptor")?;
    let region = Region::from_fd(open)?;
    same("the size", region.size(), 5000)?;
    same("the backend", region.backend(), Backend::Memfd)?;
    ensure!(rustix::fs::ftruncate(&other, 0).is_err(), "another holder shrank it");
    let shut = memfd(MemfdFlags::CLOEXEC)?;
    same("a memfd that takes no seals", Region::from_fd(shut).err(), Some(Error::Unsealed))?;
    Ok(Outcome::Held)
}

fn mapping(_: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"mapping", 3 * PAGE + 1)?;
    let pattern: Vec<u8> = (0..region.size()).map(|place| (place % 251) as u8).collect();
    let (one, other) = (region.map(BOTH)?, region.map(Protection::READ)?);
    drop(region);
    same("the length", one.len(), 3 * PAGE + 1)?;
    one.write_at(0, &pattern);
    let mut seen = vec![0; pattern.len()];
    other.read_at(0, &mut seen);
    ensure!(seen == pattern, "the other mapping shows something else");
    // SAFETY: nobody writes to this region any more.
    ensure!(unsafe { other.as_slice() } == pattern, "the slice shows something else");
    other.read_at(3 * PAGE + 1, &mut []);
    for (offset, length) in [(0, 3 * PAGE + 2), (3 * PAGE + 1, 1), (usize::MAX, 2)] {
        let mut bytes = vec![0; length];
        let (one, bytes) =
            (std::panic::AssertUnwindSafe(&one), std::panic::AssertUnwindSafe(&mut bytes));
        let result = quietly(move || {
            let (one, bytes) = (one, bytes);
            one.read_at(offset, bytes.0);
        });
        ensure!(result, "{length} bytes at {offset} could be read");
    }
    let other = std::panic::AssertUnwindSafe(&other);
    ensure!(quietly(move || { other }.write_at(0, b"x")), "a read-only mapping could be written");
    Ok(Outcome::Held)
}

/// Whether it panics, without the message that goes with it.
fn quietly(attempt: impl FnOnce() + std::panic::UnwindSafe) -> bool {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let panicked = std::panic::catch_unwind(attempt).is_err();
    std::panic::set_hook(hook);
    panicked
}

fn pin(surroundings: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"pins", 4 * PAGE)?;
    let memory = region.map(BOTH)?;
    memory.write_at(0, &[7; 4 * PAGE]);
    same(
        "an empty range",
        region.unpin(PAGE..PAGE).err().map(Error::errno),
        Some(ashmem::Errno::INVAL),
    )?;
    region.unpin(..)?;
    {
        let guard = region.pin(..PAGE)?;
        same("nothing was purged", guard.purge(), Purge::Kept)?;
        if surroundings.has_device() {
            same("while the guard lives", status(region.as_fd(), 0)?, abi::IS_PINNED)?;
        }
    }
    if surroundings.has_device() {
        same("after it", status(region.as_fd(), 0)?, abi::IS_UNPINNED)?;
    }
    region.pin(..=PAGE - 1)?.keep();
    if surroundings.has_device() {
        same("a guard that was kept", status(region.as_fd(), 0)?, abi::IS_PINNED)?;
        // SAFETY: the call takes no argument.
        if unsafe { libc::ioctl(region.as_raw_fd(), libc::c_ulong::from(abi::PURGE_ALL_CACHES), 0) }
            >= 0
        {
            same("after a purge", region.pin_for_good(PAGE..)?, Purge::Purged)?;
            let mut bytes = [1; 2];
            memory.read_at(PAGE - 1, &mut bytes);
            same("the pinned and the purged byte", bytes, [7, 0])?;
        }
    }
    same("all of it again", region.pin_for_good(..)?, Purge::Kept)?;
    Ok(Outcome::Held)
}

/// `GET_PIN_STATUS` of the page at this offset.
fn status(fd: BorrowedFd<'_>, offset: u32) -> Result<i64> {
    let page = abi::Pin { offset, len: PAGE as u32 };
    // SAFETY: the argument is a pin, and only read.
    let answer =
        unsafe { libc::ioctl(fd.as_raw_fd(), libc::c_ulong::from(abi::GET_PIN_STATUS), &page) };
    ensure!(answer >= 0, "GET_PIN_STATUS: {}", std::io::Error::last_os_error());
    Ok(i64::from(answer))
}

fn send(surroundings: &Surroundings) -> Result<Outcome> {
    let region = Region::create(c"sent", 2 * PAGE)?;
    region.map(BOTH)?.write_at(PAGE, b"hello");
    region.set_protection(Protection::READ)?;
    let stream = UnixStream::pair().context("making stream sockets")?;
    let datagram = UnixDatagram::pair().context("making datagram sockets")?;
    let pairs: [(BorrowedFd<'_>, BorrowedFd<'_>); 2] =
        [(stream.0.as_fd(), stream.1.as_fd()), (datagram.0.as_fd(), datagram.1.as_fd())];
    for (ours, theirs) in pairs {
        region.send(ours)?;
        let received = Region::receive(theirs)?;
        same("the size", received.size(), 2 * PAGE)?;
        same("the backend", received.backend(), surroundings.backend())?;
        ensure!(received.map(BOTH).is_err(), "the receiver could map it to write");
        let mut text = [0; 5];
        received.map(Protection::READ)?.read_at(PAGE, &mut text);
        same("what was written", &text, b"hello")?;
        let flags = rustix::io::fcntl_getfd(&received).context("reading the descriptor's flags")?;
        ensure!(flags.contains(rustix::io::FdFlags::CLOEXEC), "it stays open on exec");
    }
    Ok(Outcome::Held)
}

fn receive(_: &Surroundings) -> Result<Outcome> {
    let before = descriptors()?;
    let (mut ours, theirs) = UnixStream::pair().context("making sockets")?;
    ours.write_all(b"x").context("sending a byte alone")?;
    same("a byte alone", Region::receive(&theirs).err(), Some(Error::NoDescriptor))?;
    for (name, fd) in others()? {
        send_all(&ours, &[fd.as_fd()])?;
        same(name, Region::receive(&theirs).err(), Some(Error::NotRegion))?;
    }
    let region = Region::create(c"first", PAGE)?;
    let pipe = rustix::pipe::pipe().context("making a pipe")?;
    send_all(&ours, &[region.as_fd(), pipe.0.as_fd(), pipe.1.as_fd()])?;
    same("the first of three", Region::receive(&theirs)?.size(), PAGE)?;
    drop(ours);
    same("a closed socket", Region::receive(&theirs).err(), Some(Error::Closed))?;
    drop((theirs, region, pipe));
    same("descriptors open in the end", descriptors()?, before)?;
    Ok(Outcome::Held)
}

/// One byte and these descriptors.
fn send_all(socket: &UnixStream, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(fds));
    rustix::net::sendmsg(socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())
        .context("sending")?;
    Ok(())
}
