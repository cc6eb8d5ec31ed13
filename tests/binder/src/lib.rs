// SPDX-License-Identifier: MIT OR Apache-2.0
//! A binder client of our own, as small as it can be: one call with at most one descriptor each
//! way.
//!
//! The other side is the real driver; the protocol is version 8 of its uapi header, with 64-bit
//! structures. A process either is the context manager, which calls to handle 0 reach, and serves,
//! or calls it.

mod describe;
mod protocol;

use protocol::{FlatObject, Payload, Transaction, WriteRead};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Where the node is: made by the driver itself, or on a binderfs.
const NODES: [&str; 2] = ["/dev/binder", "/dev/binderfs/binder"];
/// Room for the messages this process receives, in bytes.
const ARENA: usize = 256 << 10;
/// How long to wait for a context manager that has ended to be let go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why binder could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine has no binder to talk to, or somebody else is its context manager; the text
    /// says which.
    #[error("{0}")]
    Unavailable(String),
    /// The driver refused a call.
    #[error("{call}: {error}")]
    Refused {
        /// The call as a person would name it.
        call: &'static str,
        /// What came back.
        error: io::Error,
    },
    /// The message did not arrive, or something arrived that was not asked for.
    #[error("{0}")]
    Lost(String),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One process's connection to the driver.
#[derive(Debug)]
pub struct Binder {
    device: OwnedFd,
    arena: Arena,
    waiting: VecDeque<(u32, Vec<u8>)>,
    watcher: Option<Watcher>,
}

/// Is told of each BINDER_WRITE_READ that the driver has carried out: the commands in it, as a
/// person reads them.
pub type Watcher = fn(device: BorrowedFd<'_>, commands: &str);

/// A message as received.
#[derive(Debug)]
pub struct Message {
    /// The number it carries.
    pub number: u64,
    /// The descriptor it carries, installed in this process.
    pub descriptor: Option<OwnedFd>,
}

impl Binder {
    /// Opens the driver.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the kernel has no binder, or one that speaks another protocol.
    pub fn open() -> Result<Self> {
        Self::from_device(node()?)
    }

    /// Opens the driver at this node: each has a context manager of its own.
    ///
    /// # Errors
    /// As [`Binder::open`].
    pub fn open_at(path: &str) -> Result<Self> {
        Self::from_device(
            open(path).map_err(|error| Error::Unavailable(format!("{path}: {error}")))?,
        )
    }

    fn from_device(device: OwnedFd) -> Result<Self> {
        let mut version = 0_i32;
        ioctl(&device, "BINDER_VERSION", protocol::VERSION, (&raw mut version).cast())?;
        if version != protocol::PROTOCOL {
            let ours = protocol::PROTOCOL;
            return Err(Error::Unavailable(format!(
                "binder speaks protocol {version}, this client {ours}"
            )));
        }
        let arena = Arena::map(&device)?;
        Ok(Self { device, arena, waiting: VecDeque::new(), watcher: None })
    }

    /// Has somebody look on.
    pub fn watch(&mut self, watcher: Watcher) {
        self.watcher = Some(watcher);
    }

    /// Becomes the process that calls to handle 0 reach.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where this machine has such a process already.
    pub fn become_manager(&mut self) -> Result<()> {
        const PAUSE: Duration = Duration::from_millis(10);
        let mut object = FlatObject { flags: protocol::ACCEPTS_FDS, ..FlatObject::default() };
        let mut waited = Duration::ZERO;
        loop {
            let place = (&raw mut object).cast();
            match ioctl(
                &self.device,
                "BINDER_SET_CONTEXT_MGR_EXT",
                protocol::SET_CONTEXT_MANAGER,
                place,
            ) {
                Ok(()) => return self.write(&protocol::BC_ENTER_LOOPER.to_ne_bytes()),
                // A manager is let go by a worker, a little after its process has ended.
                Err(Error::Refused { error, .. }) if error.raw_os_error() == Some(libc::EBUSY) => {
                    if waited >= PATIENCE {
                        return Err(Error::Unavailable(
                            "this machine has a binder context manager already".into(),
                        ));
                    }
                    std::thread::sleep(PAUSE);
                    waited += PAUSE;
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Calls handle 0 and waits for the reply.
    ///
    /// # Errors
    /// [`Error::Lost`] where nobody serves, or the server ended before it replied.
    pub fn call(&mut self, number: u64, descriptor: Option<BorrowedFd<'_>>) -> Result<Message> {
        self.post(protocol::BC_TRANSACTION, number, descriptor)?;
        self.receive(protocol::BR_REPLY)
    }

    /// Waits for one call and answers it with what `answer` makes of it.
    ///
    /// # Errors
    /// Those of `answer`, whose caller then gets no reply, and the driver's.
    pub fn serve<F: Into<OwnedFd>, E: From<Error>>(
        &mut self,
        answer: impl FnOnce(Message) -> Result<(u64, Option<F>), E>,
    ) -> Result<(), E> {
        let (number, descriptor) = answer(self.receive(protocol::BR_TRANSACTION)?)?;
        let descriptor: Option<OwnedFd> = descriptor.map(Into::into);
        Ok(self.post(protocol::BC_REPLY, number, descriptor.as_ref().map(AsFd::as_fd))?)
    }

    fn post(&self, command: u32, number: u64, descriptor: Option<BorrowedFd<'_>>) -> Result<()> {
        let object = descriptor.map_or_else(FlatObject::default, |descriptor| FlatObject {
            kind: protocol::TYPE_FD,
            handle: descriptor.as_raw_fd() as u64,
            ..FlatObject::default()
        });
        let payload = Payload { object, number };
        // The only object, if there is one, stands first.
        let offset = 0_u64;
        let transaction = Transaction {
            flags: protocol::TF_ACCEPT_FDS,
            data_size: size_of::<Payload>() as u64,
            offsets_size: if descriptor.is_some() { size_of_val(&offset) as u64 } else { 0 },
            buffer: &raw const payload as u64,
            offsets: &raw const offset as u64,
            ..Transaction::default()
        };
        self.write(&[command.to_ne_bytes().as_slice(), transaction.as_bytes()].concat())
    }

    /// Waits for one kind of message; notes of progress are passed over.
    fn receive(&mut self, wanted: u32) -> Result<Message> {
        loop {
            match self.next()? {
                (command, body) if command == wanted => return self.open_message(&body),
                (protocol::BR_FAILED_REPLY, _) => {
                    return Err(Error::Lost("binder refused the message (BR_FAILED_REPLY)".into()));
                }
                (protocol::BR_DEAD_REPLY, _) => {
                    return Err(Error::Lost(
                        "the process behind binder is gone (BR_DEAD_REPLY)".into(),
                    ));
                }
                _ => {}
            }
        }
    }

    fn open_message(&self, body: &[u8]) -> Result<Message> {
        let lost = || {
            Error::Lost("binder delivered a message outside the arena or of another size".into())
        };
        let transaction: Transaction = protocol::read(body).ok_or_else(lost)?;
        let payload: Payload = self
            .arena
            .bytes(transaction.buffer, transaction.data_size)
            .and_then(protocol::read)
            .ok_or_else(lost)?;
        // SAFETY: the driver has just installed this descriptor for us, and nobody else knows it.
        let adopt = || unsafe { OwnedFd::from_raw_fd(payload.object.handle as RawFd) };
        let descriptor = (transaction.offsets_size > 0).then(adopt);
        let free =
            [protocol::BC_FREE_BUFFER.to_ne_bytes().as_slice(), &transaction.buffer.to_ne_bytes()]
                .concat();
        self.write(&free)?;
        Ok(Message { number: payload.number, descriptor })
    }

    fn next(&mut self) -> Result<(u32, Vec<u8>)> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            let mut buffer = [0_u8; 512];
            let got = self.exchange(&[], &mut buffer)?;
            let commands = protocol::commands(buffer.get(..got).unwrap_or_default());
            self.waiting.extend(commands.map(|(command, body)| (command, body.to_vec())));
        }
    }

    fn write(&self, commands: &[u8]) -> Result<()> {
        self.exchange(commands, &mut []).map(|_| ())
    }

    fn exchange(&self, write: &[u8], read: &mut [u8]) -> Result<usize> {
        let mut request = WriteRead {
            write_size: write.len() as u64,
            write_consumed: 0,
            write_buffer: write.as_ptr() as u64,
            read_size: read.len() as u64,
            read_consumed: 0,
            read_buffer: read.as_mut_ptr() as u64,
        };
        ioctl(&self.device, "BINDER_WRITE_READ", protocol::WRITE_READ, (&raw mut request).cast())?;
        let got = request.read_consumed as usize;
        if let Some(watcher) = self.watcher {
            watcher(
                self.device.as_fd(),
                &describe::exchange(write, read.get(..got).unwrap_or_default()),
            );
        }
        Ok(got)
    }
}

/// The memory into which the driver puts messages for this process, which reads and never writes
/// it.
#[derive(Debug)]
struct Arena(*mut libc::c_void);

// SAFETY: the mapping belongs to the whole process; which thread reads it does not matter.
unsafe impl Send for Arena {}

impl Arena {
    fn map(device: &OwnedFd) -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_NORESERVE;
        // SAFETY: the kernel picks a free place.
        let at = unsafe {
            libc::mmap(std::ptr::null_mut(), ARENA, libc::PROT_READ, flags, device.as_raw_fd(), 0)
        };
        if at == libc::MAP_FAILED {
            return Err(Error::Refused {
                call: "mmap of binder",
                error: io::Error::last_os_error(),
            });
        }
        Ok(Self(at))
    }

    /// A message's bytes; none where they would lie outside.
    fn bytes(&self, address: u64, len: u64) -> Option<&[u8]> {
        let (offset, len) = ((address as usize).checked_sub(self.0 as usize)?, len as usize);
        if offset.checked_add(len)? > ARENA {
            return None;
        }
        // SAFETY: the range lies in the mapping, and the driver leaves a delivered message alone
        // until it is freed.
        Some(unsafe { std::slice::from_raw_parts(self.0.cast::<u8>().add(offset), len) })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own and no slice of it is left.
        unsafe { libc::munmap(self.0, ARENA) };
    }
}

fn node() -> Result<OwnedFd> {
    let mut why = String::new();
    for path in NODES {
        match open(path) {
            Ok(device) => return Ok(device),
            Err(error) => why = format!("{why}{path}: {error}; "),
        }
    }
    // A kernel with binderfs makes no nodes by itself; root may have them made.
    let (kind, place) = (c"binder".as_ptr(), c"/dev/binderfs".as_ptr());
    let made = std::fs::create_dir_all("/dev/binderfs").is_ok();
    // SAFETY: the strings are NUL-terminated.
    let mounted = made && unsafe { libc::mount(kind, place, kind, 0, std::ptr::null()) } == 0;
    match open(NODES[1]) {
        Ok(device) if mounted => Ok(device),
        _ => Err(Error::Unavailable(format!(
            "this machine has no binder ({why}and no binderfs to mount)"
        ))),
    }
}

fn open(path: &str) -> io::Result<OwnedFd> {
    std::fs::OpenOptions::new().read(true).write(true).open(path).map(OwnedFd::from)
}

fn ioctl(
    device: &OwnedFd,
    call: &'static str,
    command: u32,
    argument: *mut libc::c_void,
) -> Result<()> {
    // SAFETY: callers pass the structure that the command reads or writes, alive until the call
    // returns.
    match unsafe {
        libc::syscall(libc::SYS_ioctl, device.as_raw_fd(), u64::from(command), argument)
    } {
        0.. => Ok(()),
        _ => Err(Error::Refused { call, error: io::Error::last_os_error() }),
    }
}
