// SPDX-License-Identifier: MIT OR Apache-2.0
//! A small Android-style program that shows, call by call, what it does with `/dev/ashmem`, and
//! checks what it says.
//!
//! Two processes play: the creator, and a reader that was forked before the region existed and so
//! knows nothing of it but what it is handed. Each act is a function; the last one asks the kernel
//! what it saw.

mod process;
mod region;
mod stage;
mod trace;

use anyhow::{Context, Result};
use ashmem_core::abi;
use binder_client::Binder;
use clap::Parser;
use process::{Player, Socket};
use region::{Map, Region};
use stage::{act, claim, quote, tell};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;
use trace::Trace;

const NAME: &CStr = c"demo-region";
const SIZE: usize = 256;
const GREETING: &[u8] = b"hello from the creator";
const AGAIN: &[u8] = b"written again";

/// Shows, call by call, what an Android-style program does with /dev/ashmem
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Write in colours
    #[arg(long)]
    colours: bool,
    /// Played under `ashmem run`, where a region's memory is a memfd
    #[arg(long)]
    module_less: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    stage::use_colours(arguments.colours);
    match play(arguments.module_less) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ashmem-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(module_less: bool) -> Result<()> {
    let trace = Trace::begin();
    let (ours, theirs) = Socket::pair()?;
    // Forked first: nothing of what follows is inherited.
    let reader = Player::start("reader", || read_what_comes(&theirs))?;
    drop(theirs);

    let (region, map) = create(module_less)?;
    over_a_socket(&ours, &region)?;
    over_binder(&ours, &region)?;
    forget(&region, &map, module_less)?;
    // The reader looks at what is left, then goes.
    ours.say(true)?;
    reader.join()?;
    let inode = inode(&map.line()?)?;
    close(region, map);
    look_at_the_trace(trace, &inode)
}

/// Act 1: what the NDK's `ASharedMemory_create` does, and the first use of what it returns.
fn create(module_less: bool) -> Result<(Region, Map)> {
    act("A region, made as the NDK makes it");
    tell("ASharedMemory_create(\"demo-region\", 256): a descriptor of its own, a name, a size.");
    let region = Region::open().context("opening the device")?;
    region.set_name(NAME)?;
    region.set_size(SIZE)?;
    claim("the region says that it is 256 bytes long", region.size()? == SIZE as i64)?;
    tell("The first mapping gives it memory. Stores go there and nowhere else.");
    let map = region.map(SIZE, libc::PROT_READ | libc::PROT_WRITE)?;
    map.write(GREETING);
    tell("To everybody who looks at this process the memory goes by its name:");
    let line = map.line()?;
    quote(&format!("/proc/{}/maps: {line}", std::process::id()));
    let memory = if module_less { "/memfd:" } else { "/" };
    let end = format!(" {memory}dev/ashmem/demo-region (deleted)");
    claim(format!("the line ends in{end}"), line.ends_with(&end))?;
    tell(
        "ASharedMemory_setProt(PROT_READ): from here on nobody, the creator neither, gets a new \
         writable mapping.",
    );
    region.set_mask(libc::PROT_READ)?;
    Ok((region, map))
}

/// Act 2: the descriptor goes to the reader over a Unix socket.
fn over_a_socket(socket: &Socket, region: &Region) -> Result<()> {
    act("To a second process, over a socket");
    tell("The reader was forked before the region existed. All it gets is a descriptor.");
    socket.send(region)?;
    socket.hear()?;
    Ok(())
}

/// Act 3: the same over binder, as Android passes descriptors.
fn over_binder(socket: &Socket, region: &Region) -> Result<()> {
    act("To the same process, over binder");
    let mut client = match Binder::open() {
        Ok(client) => client,
        Err(binder_client::Error::Unavailable(why)) => {
            stage::left_out(why);
            return Ok(());
        }
        Err(error) => return Err(error).context("opening binder"),
    };
    if !socket.hear()? {
        stage::left_out("another process of this machine is binder's context manager");
        return Ok(());
    }
    tell(
        "Now as Android does it: a call to the context manager, with the descriptor as an object \
         in the parcel.",
    );
    client.watch(show_binder);
    let reply =
        client.call(SIZE as u64, Some(region.as_fd())).context("calling the reader over binder")?;
    claim(
        format!(
            "the reply, {}, is the sum of the bytes, added up in the other process",
            reply.number
        ),
        reply.number == sum(GREETING),
    )?;
    // The last line of the reader's in this act is written.
    socket.hear()?;
    Ok(())
}

/// Act 4: memory that may be taken away.
fn forget(region: &Region, map: &Map, module_less: bool) -> Result<()> {
    act("Memory that the kernel may take back");
    tell(
        "A cache: what is unpinned stays as long as there is memory enough. Unpinned and pinned \
         again, nothing is lost.",
    );
    region.unpin()?;
    claim("the pages count as unpinned", region.pin_status()? == abi::IS_UNPINNED)?;
    claim("pinning says that nothing was purged", region.pin()? == abi::NOT_PURGED)?;
    claim("every byte is still there", map.read(GREETING.len()) == GREETING)?;
    tell(
        "Unpinned once more; and now memory is short. (PURGE_ALL_CACHES does what the kernel's \
         shrinker does then.)",
    );
    region.unpin()?;
    quote(&region.fdinfo()?);
    let purged = match region.purge() {
        Err(refused) if refused.raw_os_error() == Some(libc::EPERM) => {
            stage::left_out("PURGE_ALL_CACHES wants CAP_SYS_ADMIN, which this process has not");
            region.pin()?;
            map.write(AGAIN);
            return Ok(());
        }
        answer => answer?,
    };
    claim("pages were waiting to be purged", purged >= 1)?;
    if module_less {
        tell(
            "Without a module a mask without write is a seal, and a sealed memfd keeps its pages. \
             Pinning says so.",
        );
        claim("pinning says that nothing was purged", region.pin()? == abi::NOT_PURGED)?;
        claim("every byte is still there", map.read(GREETING.len()) == GREETING)?;
        map.write(AGAIN);
        return Ok(());
    }
    tell("Whoever pins learns, once, that the content is gone and has to be made anew.");
    claim("pinning says that the pages were purged", region.pin()? == abi::WAS_PURGED)?;
    claim("every byte of the region is zero", map.read(SIZE).iter().all(|byte| *byte == 0))?;
    claim("pinning again says that all is well", region.pin()? == abi::NOT_PURGED)?;
    tell("The creator's old mapping may still be written: a mask binds new mappings only.");
    map.write(AGAIN);
    Ok(())
}

/// The last closes.
fn close(region: Region, map: Map) {
    drop(map);
    drop(region);
}

/// The reader's part, from the first descriptor it is handed to the end.
fn read_what_comes(socket: &Socket) -> Result<()> {
    let region = Region::from(socket.receive()?);
    claim("it goes by the creator's name", region.name()?.as_c_str() == NAME)?;
    let size = usize::try_from(region.size()?).context("the size")?;
    let map = region.map(size, libc::PROT_READ)?;
    claim("it reads the very bytes that the creator wrote", map.read(GREETING.len()) == GREETING)?;
    tell("The mask travels with the region: a writable mapping is refused here too.");
    let refused = region.map(size, libc::PROT_READ | libc::PROT_WRITE);
    let errno = refused.map_or_else(|error| error.raw_os_error(), |_| None);
    claim("the answer is EPERM", errno == Some(libc::EPERM))?;
    socket.say(true)?;
    match Binder::open() {
        Ok(binder) => serve_one_call(binder, socket)?,
        // The creator finds the same and says so.
        Err(binder_client::Error::Unavailable(_)) => {}
        Err(error) => return Err(error).context("opening binder"),
    }
    socket.hear()?;
    tell("And the reader, through the mapping it had all the while:");
    claim("it reads what was written after the purge", map.read(AGAIN.len()) == AGAIN)
}

fn serve_one_call(mut binder: Binder, socket: &Socket) -> Result<()> {
    match binder.become_manager() {
        Ok(()) => socket.say(true)?,
        Err(binder_client::Error::Unavailable(_)) => return socket.say(false),
        Err(error) => return Err(error).context("becoming binder's context manager"),
    }
    binder.watch(show_binder);
    binder.serve(|message| -> Result<(u64, Option<OwnedFd>)> {
        let region = Region::from(message.descriptor.context("the call carries no descriptor")?);
        claim("it is the same region again", region.name()?.as_c_str() == NAME)?;
        let size = usize::try_from(message.number).context("the size in the call")?;
        let map = region.map(size, libc::PROT_READ)?;
        let bytes = map.read(GREETING.len());
        claim("it reads the very bytes that the creator wrote", bytes == GREETING)?;
        Ok((sum(&bytes), None))
    })?;
    socket.say(true)
}

fn show_binder(device: BorrowedFd<'_>, commands: &str) {
    stage::call(
        "ioctl",
        &format!("{}, BINDER_WRITE_READ, {commands}", device.as_raw_fd()),
        "0",
        false,
    );
}

/// The last act: the kernel's own account of all this.
fn look_at_the_trace(trace: Result<Trace, String>, inode: &str) -> Result<()> {
    act("The same, as the kernel saw it");
    let trace = match trace {
        Ok(trace) => trace,
        Err(why) => {
            stage::left_out(format!("no trace events here ({why})"));
            return Ok(());
        }
    };
    tell(
        "Every driver call above passed a static tracepoint, which ftrace, perf and bpftrace can \
         listen to:",
    );
    let events = trace.events()?;
    for event in &events {
        quote(event);
    }
    let seen =
        |parts: &[&str]| events.iter().any(|event| parts.iter().all(|part| event.contains(part)));
    let inode = format!("inode={inode} ");
    claim("the name", seen(&["set_name:", "name=demo-region ", "result=0"]))?;
    claim("the size", seen(&["set_size:", "size=256", "result=0"]))?;
    claim(
        "the mapping, under the inode that maps shows",
        seen(&["mmap:", &inode, "READ|WRITE", "result=0"]),
    )?;
    claim(
        "the mapping that was refused (EPERM is 1)",
        seen(&["mmap:", &inode, "READ|WRITE", "result=-1"]),
    )?;
    claim("the purge", seen(&["purge:", &inode, "pages=1"]))?;
    claim("and the pin that was told of it", seen(&["pin:", &inode, "result=1"]))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().copied().map(u64::from).sum()
}

/// The inode number in a line of maps.
fn inode(line: &str) -> Result<String> {
    line.split_whitespace().nth(4).map(str::to_owned).context("a line of maps has an inode number")
}
