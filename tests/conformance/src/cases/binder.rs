// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions sent through real binder.

use std::os::fd::AsFd;

use ashmem_core::abi::{IS_UNPINNED, NOT_PURGED, WAS_PURGED};
use binder_client::{Binder, Message};

use super::run;
use crate::case::{Case, Env, Stop, Verdict, equal, failed, refused};
use crate::process::Child;
use ashmem_test_client::map::{R, page_size, page_size32};
use ashmem_test_client::region::Region;

pub(crate) const CASES: &[Case] = &[
    Case::new(
        "binder.in-a-call",
        &["OPEN-04", "MMAP-11"],
        "A region sent in a call is the same region to the server: name, size, content, writes",
        |env| {
            let region = named(env)?;
            let map = region.share(2 * page_size())?;
            map.write(page_size(), b"to the server")?;
            let reply = call(&region, |got| {
                equal("GET_NAME", got.name()?, b"through binder".to_vec())?;
                equal("GET_SIZE", got.size()?, 2 * page_size() as i64)?;
                let theirs = got.share(2 * page_size())?;
                equal(
                    "the path in maps",
                    theirs.line()?.path.as_str(),
                    "/dev/ashmem/through binder (deleted)",
                )?;
                equal("the bytes", theirs.read(page_size(), 13)?, b"to the server".to_vec())?;
                theirs.write(0, b"to the client")?;
                Ok(4711)
            })?;
            equal("the reply", reply, 4711)?;
            equal("the server's bytes", map.read(0, 13)?, b"to the client".to_vec())
        },
    )
    .differs(&[run::PATH_IN_MAPS]),
    Case::new(
        "binder.in-a-reply",
        &["OPEN-04", "MMAP-11"],
        "A region the server made arrives in a reply to a call that accepts descriptors",
        |env| {
            let message = exchange(None, |_| {
                let region = named(env)?;
                region.share(2 * page_size())?.write(0, b"served")?;
                Ok((7, Some(region)))
            })?;
            equal("the number beside it", message.number, 7)?;
            let Some(region) = message.descriptor.map(Region::from) else {
                return failed("the reply carries no descriptor");
            };
            equal("GET_NAME", region.name()?, b"through binder".to_vec())?;
            equal("the bytes", region.share(page_size())?.read(0, 6)?, b"served".to_vec())?;
            refused("SET_SIZE", region.set_size(1), libc::EINVAL)
        },
    ),
    Case::new(
        "binder.before-first-mmap",
        &["OPEN-04", "MMAP-10"],
        "The server's mmap may be the first: it fixes the client's size",
        |env| {
            let region = named(env)?;
            call(&region, |got| Ok(got.share(2 * page_size())?.store(5, 5).map(|()| 0)?))?;
            refused("SET_SIZE", region.set_size(1), libc::EINVAL)?;
            equal("the byte", region.share(page_size())?.load(5)?, 5)
        },
    ),
    Case::new(
        "binder.mask-binds-sender",
        &["OPEN-04", "PROT-02"],
        "A mask reduced by the server binds the client",
        |env| {
            let region = named(env)?;
            call(&region, |got| Ok(got.set_mask(1)? as u64))?;
            equal("GET_PROT_MASK", region.mask()?, 1)?;
            refused("a writable mmap", region.share(page_size()), libc::EPERM)
        },
    ),
    Case::new(
        "binder.read-only-parcel",
        &["PROT-06", "MMAP-05", "MMAP-08"],
        "A region whose mask was reduced before cannot be written by the server",
        |env| {
            let region = named(env)?;
            region.share(page_size())?.write(0, b"parcel")?;
            region.set_mask(1)?;
            call(&region, |got| {
                refused("a writable mmap", got.share(page_size()), libc::EPERM)?;
                let view = got.map(page_size(), R, libc::MAP_SHARED, 0)?;
                refused("mprotect", view.protect(libc::PROT_WRITE), libc::EACCES)?;
                equal("the bytes", view.read(0, 6)?, b"parcel".to_vec())?;
                Ok(0)
            })
            .map(|_| ())
        },
    ),
    Case::new(
        "binder.pins",
        &["OPEN-04", "PIN-12", "PIN-15"],
        "What the server unpins the client sees unpinned, purged and pinned again",
        |env| {
            let region = named(env)?;
            let map = region.share(2 * page_size())?;
            map.touch(1)?;
            env.purge()?;
            call(&region, |got| Ok(got.unpin(page_size32(), page_size32())? as u64))?;
            equal("GET_PIN_STATUS", region.status(page_size32(), page_size32())?, IS_UNPINNED)?;
            equal("PURGE_ALL_CACHES", env.purge()?, 1)?;
            equal("PIN of page 1", region.pin(page_size32(), page_size32())?, WAS_PURGED)?;
            equal("PIN of page 0", region.pin(0, page_size32())?, NOT_PURGED)?;
            equal("the pages", map.pages()?, vec![1, 0])
        },
    ),
    Case::new(
        "binder.outlives-the-sender",
        &["OPEN-04", "OPEN-07"],
        "The server keeps the region after the client closed and unmapped it",
        |env| {
            let (mut client, server) = connect(|server| {
                let mut kept = None;
                server.serve(|message| {
                    kept = message.descriptor.map(Region::from);
                    no_descriptor(0)
                })?;
                let Some(region) = kept else { return failed("the call carries no descriptor") };
                server.serve(|_| {
                    equal("the bytes", region.share(page_size())?.read(0, 4)?, b"kept".to_vec())?;
                    no_descriptor(region.size()? as u64)
                })
            })?;
            let region = named(env)?;
            region.share(page_size())?.write(0, b"kept")?;
            client.call(1, Some(region.as_fd()))?;
            drop(region);
            let size = client.call(2, None);
            server.join()?;
            equal("GET_SIZE", size?.number, 2 * page_size() as u64)
        },
    ),
];

fn named(env: &Env) -> Result<Region, Stop> {
    let region = env.region(2 * page_size() as u64)?;
    region.set_name(c"through binder")?;
    Ok(region)
}

/// Sends a region to a server of its own, which answers a number.
fn call(region: &Region, serve: impl FnOnce(Region) -> Result<u64, Stop>) -> Result<u64, Stop> {
    exchange(Some(region), |message| match message.descriptor {
        Some(got) => no_descriptor(serve(got.into())?),
        None => failed("the call carries no descriptor"),
    })
    .map(|message| message.number)
}

/// An answer that is a number alone.
fn no_descriptor(number: u64) -> Result<(u64, Option<Region>), Stop> {
    Ok((number, None))
}

/// One call to a server of its own. The server's verdict comes first: it says why a reply may be
/// missing.
fn exchange(
    region: Option<&Region>,
    serve: impl FnOnce(Message) -> Result<(u64, Option<Region>), Stop>,
) -> Result<Message, Stop> {
    let (mut client, server) = connect(|server| server.serve(serve))?;
    let reply = client.call(1, region.map(AsFd::as_fd));
    server.join()?;
    Ok(reply?)
}

/// A server in a process of its own, being the context manager, and this process's connection.
fn connect(serve: impl FnOnce(&mut Binder) -> Verdict) -> Result<(Binder, Child), Stop> {
    let client = Binder::open()?;
    let server = Child::start(|link| {
        let mut binder = Binder::open()?;
        let ready = binder.become_manager();
        link.send(if ready.is_ok() { b"go" } else { b"no" })?;
        ready?;
        serve(&mut binder)
    })?;
    if server.link.wait().is_err() {
        server.join()?;
        return failed("the server ended early");
    }
    Ok((client, server))
}

impl From<binder_client::Error> for Stop {
    fn from(error: binder_client::Error) -> Self {
        match error {
            binder_client::Error::Unavailable(why) => Self::Skipped(why),
            other => Self::Failed(format!("binder: {other}")),
        }
    }
}
