// SPDX-License-Identifier: MIT OR Apache-2.0
//! The small program whose regions stand still while others look: of known names, sizes, rights,
//! memory and pins, one held and mapped nowhere, one given to a child.
//!
//! It says a line of JSON on its output when it has come to a halt, and goes on with each line of
//! its input.

use std::io::{BufRead as _, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;
use ashmem_trace::operation::{Operation, PinRange};
use ashmem_trace::text::Text;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::account::{Account, Recorder};
use crate::region::{PAGE, Region, answer, inode_at, unmap};

/// A region as it stands, as its makers know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stands {
    /// It is a memfd that the program made itself.
    pub(crate) is_memfd: bool,
    /// The inode of its memory; none of a region that was never mapped.
    pub(crate) id: Option<u64>,
    pub(crate) name: Text,
    /// Bytes.
    pub(crate) size: u64,
    /// Size, memory and shares of all, as a person reads them.
    pub(crate) amounts: [String; 3],
    /// Its pages that have memory.
    pub(crate) resident: u64,
    pub(crate) mask: String,
    /// Pages pinned, unpinned, purged.
    pub(crate) pages: [u64; 3],
    pub(crate) holders: Vec<Holds>,
    /// What was done to it, by the first holder.
    pub(crate) account: Account,
}

/// What a process has of a region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Holds {
    pub(crate) pid: i32,
    pub(crate) descriptor: i32,
    /// Where it maps the whole region.
    pub(crate) mapping: Option<u64>,
    /// Bytes.
    pub(crate) share: u64,
}

/// Whose numbers these are.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Processes {
    pub(crate) own: i32,
    pub(crate) child: i32,
}

/// One that is being made.
struct Making {
    region: Region,
    recorder: Recorder,
    is_memfd: bool,
    name: &'static [u8],
    pages: u64,
    /// Where it is mapped.
    address: Option<i64>,
}

/// Plays it; `what` says whether the regions are the device's or memfds, TRIAL_INSIDE that the
/// child is to be number 1 of a pid namespace.
pub(crate) fn play(what: &str) -> Result<()> {
    let is_memfd = what == "memfd";
    let (socket, theirs) = UnixStream::pair().context("making a socket pair")?;
    let mut child = child(theirs)?;
    say(&Processes { own: std::process::id() as i32, child: child.id() as i32 })?;
    wait()?;

    let mut window = Making::open(is_memfd, b"CursorWindow: /data/user/0/scene.db", 8)?;
    let mut unnamed = Making::open(is_memfd, b"", 3)?;
    let mut leak = Making::open(is_memfd, b"gralloc-scene", 4)?;
    let mut passed = Making::open(is_memfd, b"MemoryFile/scene", 2)?;
    let mut plain = Making::open(true, b"wayland-scene", 5)?;
    say(&"opened")?;
    wait()?;

    window.size(8 * PAGE as u64)?;
    window.map()?;
    window.touch(2..8);
    if is_memfd {
        window.seal()?
    } else {
        window.pins()?
    }
    // No whole number of pages, and never mapped.
    unnamed.size(12_188)?;
    if !is_memfd {
        unnamed.mask(1)?;
    }
    leak.size(4 * PAGE as u64)?;
    leak.map()?;
    leak.touch(0..2);
    leak.unmap()?;
    passed.size(2 * PAGE as u64)?;
    passed.map()?;
    passed.touch(0..2);
    let (descriptor, mapping) = pass(&socket, &passed.region)?;
    plain.size(5 * PAGE as u64)?;
    plain.map()?;
    plain.touch(3..4);

    let rights = |with: &str, mask: &str| if is_memfd { with.to_owned() } else { mask.to_owned() };
    let pages = if is_memfd { [8, 0, 0] } else { [4, 3, 1] };
    let window_stands = window.stands(["32K", "24K", "24K"], 6, rights("r-x", "rw-"), pages, 6);
    let unnamed_stands = unnamed.stands(["12K", "0", "0"], 0, rights("rwx", "r--"), [3, 0, 0], 0);
    let leak_stands = leak.stands(["16K", "8K", "0"], 2, "rwx".to_owned(), [4, 0, 0], 0);
    let mut passed_stands = passed.stands(["8K", "8K", "8K"], 2, "rwx".to_owned(), [2, 0, 0], 2);
    // Its first page is the child's too.
    passed_stands.holders[0].share -= PAGE as u64 / 2;
    let (pid, mapping) = (child.id() as i32, Some(mapping));
    passed_stands.holders.push(Holds { pid, descriptor, mapping, share: PAGE as u64 / 2 });
    let plain_stands = plain.stands(["20K", "4K", "4K"], 1, "rwx".to_owned(), [5, 0, 0], 1);
    say(&[window_stands, unnamed_stands, leak_stands, passed_stands, plain_stands])?;
    wait()?;

    // Its end is the socket's.
    drop(socket);
    ensure!(child.wait().context("waiting for the child")?.success(), "the child failed");
    let mut accounts = Vec::new();
    for made in [window, unnamed, leak, passed, plain] {
        accounts.push(made.close()?);
    }
    say(&accounts)
}

fn say(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    out.write_all(b"\n").and_then(|()| out.flush()).context("saying so")
}

fn wait() -> Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("waiting for a line")?;
    ensure!(!line.is_empty(), "nobody says how to go on");
    Ok(())
}

/// A child that waits at the other end for a region.
fn child(socket: UnixStream) -> Result<Child> {
    if std::env::var_os("TRIAL_INSIDE").is_some() {
        // SAFETY: concerns the children that are started from now on.
        let unshared = unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
        ensure!(unshared, "unshare: {}", std::io::Error::last_os_error());
    }
    let mut command = Command::new(crate::program::own_path()?);
    command.args(["work", "guest", ""]).stdin(Stdio::from(OwnedFd::from(socket)));
    command.spawn().context("starting a child")
}

/// The child: takes a region from its input, maps it, writes its first page, and stays until its
/// input ends.
pub(crate) fn guest() -> Result<()> {
    let stdin = std::io::stdin();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(&stdin, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let region = Region(fds.next().and_then(|mut fds| fds.next()).context("no descriptor came")?);
    let address = region.map(2 * PAGE);
    ensure!(address > 0, "mmap: {address}");
    // A read would map the pages beside it too.
    // SAFETY: the mapping is this program's own, and writable.
    unsafe { (address as usize as *mut u8).write_volatile(1) };
    let mut socket = UnixStream::from(stdin.as_fd().try_clone_to_owned()?);
    writeln!(socket, "{} {address}", region.0.as_raw_fd()).context("telling of the mapping")?;
    let _ = socket.read(&mut [0]);
    Ok(())
}

/// Gives the child the region; its descriptor there, and where it maps it.
fn pass(mut socket: &UnixStream, region: &Region) -> Result<(i32, u64)> {
    let fds = [region.0.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&fds)), "no room for a descriptor");
    sendmsg(socket, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    let mut line = String::new();
    std::io::BufReader::new(&mut socket).read_line(&mut line).context("hearing of the child")?;
    let (descriptor, address) = line.trim().split_once(' ').context("the child did not map it")?;
    Ok((descriptor.parse()?, address.parse()?))
}

impl Making {
    fn open(is_memfd: bool, name: &'static [u8], pages: u64) -> Result<Self> {
        let mut recorder = Recorder::default();
        let region = if is_memfd {
            let c_name = std::ffi::CString::new(name)?;
            let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
            // SAFETY: the name lives through the call.
            let fd = answer(unsafe { libc::memfd_create(c_name.as_ptr(), flags) }.into());
            ensure!(fd >= 0, "memfd_create: {fd}");
            // SAFETY: the call made it, and nobody else has it.
            let region = Region(unsafe { OwnedFd::from_raw_fd(fd as i32) });
            recorder.inode = Some(rustix::fs::fstat(&region.0)?.st_ino);
            recorder.note(Operation::MemfdCreate { name: Some(Text::from(name)) }, fd);
            region
        } else {
            let region = Region::open()?;
            recorder.note(Operation::Open {}, region.0.as_raw_fd().into());
            if !name.is_empty() {
                let named = region.set_name(name);
                recorder.note(Operation::SetName { name: Some(Text::from(name)) }, named);
                ensure!(named == 0, "SET_NAME: {named}");
            }
            region
        };
        Ok(Self { region, recorder, is_memfd, name, pages, address: None })
    }

    fn note(&mut self, operation: Operation, result: i64) -> Result<()> {
        let text = format!("{operation:?}");
        self.recorder.note(operation, result);
        ensure!(result >= 0, "{text}: {result}");
        Ok(())
    }

    fn size(&mut self, bytes: u64) -> Result<()> {
        if self.is_memfd {
            // SAFETY: a descriptor of this program's own.
            let done = unsafe { libc::ftruncate(self.region.0.as_raw_fd(), bytes as i64) };
            return self.note(Operation::Ftruncate { bytes }, answer(done.into()));
        }
        let done = self.region.ioctl(abi::SET_SIZE, bytes as usize);
        self.note(Operation::SetSize { bytes }, done)
    }

    fn mask(&mut self, mask: u64) -> Result<()> {
        let done = self.region.ioctl(abi::SET_PROT_MASK, mask as usize);
        self.note(Operation::SetProtMask { mask }, done)
    }

    fn map(&mut self) -> Result<()> {
        let len = self.pages * PAGE as u64;
        let address = self.region.map(len as usize);
        ensure!(address > 0, "mmap: {address}");
        self.recorder.inode = Some(inode_at(address)?);
        self.address = Some(address);
        self.note(
            Operation::Mmap { address: address as u64, len, prot: 3, shared: true, offset: 0 },
            address,
        )
    }

    fn touch(&self, pages: std::ops::Range<usize>) {
        let Some(address) = self.address else { return };
        for page in pages {
            // SAFETY: within the mapping, which is writable and this program's own.
            unsafe { ((address as usize + page * PAGE) as *mut u8).write_volatile(1) };
        }
    }

    /// Leaves page 0 pinned and without memory, page 1 purged, pages 4 to 6 unpinned.
    fn pins(&mut self) -> Result<()> {
        self.touch(0..2);
        self.mask(3)?;
        let (page, unpin, pin) = (PAGE as u32, abi::UNPIN, abi::PIN);
        let done = self.region.pinning(unpin, 0, 2 * page);
        self.note(Operation::Unpin(PinRange::new(0, 2 * page)), done)?;
        let done = self.region.ioctl(abi::PURGE_ALL_CACHES, 0);
        self.note(Operation::PurgeAllCaches {}, done)?;
        let done = self.region.pinning(pin, 0, page);
        ensure!(done == 1, "PIN says {done}, and the page was purged");
        self.note(Operation::Pin(PinRange::new(0, page)), done)?;
        let done = self.region.pinning(unpin, 4 * page, 3 * page);
        self.note(Operation::Unpin(PinRange::new(4 * page, 3 * page)), done)
    }

    fn seal(&mut self) -> Result<()> {
        let (fd, seals) = (self.region.0.as_raw_fd(), libc::F_SEAL_FUTURE_WRITE);
        // SAFETY: a descriptor of this program's own.
        let done = answer(unsafe { libc::fcntl(fd, libc::F_ADD_SEALS, seals) }.into());
        self.note(Operation::AddSeals { seals: seals as u32 }, done)
    }

    fn unmap(&mut self) -> Result<()> {
        let Some(address) = self.address.take() else { return Ok(()) };
        let len = self.pages * PAGE as u64;
        let done = unmap(address, len as usize);
        ensure!(done == 0, "munmap: {done}");
        // The device's sources do not see it.
        if self.is_memfd {
            self.note(Operation::Munmap { address: address as u64, len }, done)
        } else {
            Ok(())
        }
    }

    fn stands(
        &self,
        amounts: [&str; 3],
        resident: u64,
        mask: String,
        pages: [u64; 3],
        shared: u64,
    ) -> Stands {
        let holder = Holds {
            pid: std::process::id() as i32,
            descriptor: self.region.0.as_raw_fd(),
            mapping: self.address.map(|address| address as u64),
            share: shared * PAGE as u64,
        };
        Stands {
            is_memfd: self.is_memfd,
            id: self.recorder.inode,
            name: Text::from(self.name),
            size: self.recorder.size.unwrap_or(0),
            amounts: amounts.map(str::to_owned),
            resident,
            mask,
            pages,
            holders: vec![holder],
            account: Account::default(),
        }
    }

    fn close(mut self) -> Result<Account> {
        self.unmap()?;
        let fd = self.region.0.as_raw_fd();
        drop(self.region);
        let end = if self.is_memfd { Operation::Close { fd } } else { Operation::Release {} };
        self.recorder.note(end, 0);
        Ok(self.recorder.account())
    }
}
