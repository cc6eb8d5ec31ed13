//! A binder client of our own, as small as it can be: one call with at most one descriptor each way.
//!
//! The kernel's side is the real driver; the protocol is version 8 of its uapi header, 64-bit structures.

use std::collections::VecDeque;
use std::mem::size_of;
use std::os::fd::RawFd;

use crate::case::{Stop, Verdict, failed, skip};
use crate::device::{Region, open_path};
use crate::errno::{self, Refused};
use crate::map::{Map, R};
use crate::process::is_root;

/// Where the node is: made by the driver itself, or on a binderfs.
const NODES: [&str; 2] = ["/dev/binder", "/dev/binderfs/binder"];
/// Room for the messages this process receives, in bytes.
const ARENA: usize = 256 << 10;
/// The only protocol there is on 64-bit kernels.
const PROTOCOL: i32 = 8;

const WRITE_READ: u32 = ioctl(b'b', 3, 1, size_of::<WriteRead>());
const SET_CONTEXT_MANAGER: u32 = ioctl(b'b', 1, 13, size_of::<FlatObject>());
const VERSION: u32 = ioctl(b'b', 3, 9, 4);

const BC_TRANSACTION: u32 = ioctl(b'c', 1, 0, size_of::<Transaction>());
const BC_REPLY: u32 = ioctl(b'c', 1, 1, size_of::<Transaction>());
const BC_FREE_BUFFER: u32 = ioctl(b'c', 1, 3, 8);
const BC_ENTER_LOOPER: u32 = ioctl(b'c', 0, 12, 0);
const BR_TRANSACTION: u32 = ioctl(b'r', 2, 2, size_of::<Transaction>());
const BR_REPLY: u32 = ioctl(b'r', 2, 3, size_of::<Transaction>());
const BR_DEAD_REPLY: u32 = ioctl(b'r', 0, 5, 0);
const BR_FAILED_REPLY: u32 = ioctl(b'r', 0, 17, 0);

/// The reply may carry descriptors.
const TF_ACCEPT_FDS: u32 = 0x10;
/// The context manager takes calls that carry descriptors.
const ACCEPTS_FDS: u32 = 0x100;
/// A `struct binder_fd_object`: the characters `fd*` and the mark of all object types.
const TYPE_FD: u32 = u32::from_be_bytes([b'f', b'd', b'*', 0x85]);

/// `struct binder_write_read`.
#[repr(C)]
struct WriteRead {
    write_size: u64,
    write_consumed: u64,
    write_buffer: u64,
    read_size: u64,
    read_consumed: u64,
    read_buffer: u64,
}

/// `struct binder_transaction_data`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Transaction {
    target: u64,
    cookie: u64,
    code: u32,
    flags: u32,
    sender_pid: i32,
    sender_euid: u32,
    data_size: u64,
    offsets_size: u64,
    buffer: u64,
    offsets: u64,
}

/// `struct flat_binder_object`, and `struct binder_fd_object`, which has the same shape.
#[repr(C)]
#[derive(Default)]
struct FlatObject {
    kind: u32,
    flags: u32,
    handle: u64,
    cookie: u64,
}

/// What a message carries: perhaps a descriptor, and a number.
#[repr(C)]
#[derive(Default)]
struct Payload {
    object: FlatObject,
    number: u64,
}

/// One process's connection to the driver.
pub(crate) struct Binder {
    device: Region,
    arena: Map,
    waiting: VecDeque<(u32, Vec<u8>)>,
}

/// A message as received.
pub(crate) struct Message {
    /// The number it carries.
    pub(crate) number: u64,
    /// The descriptor it carries, installed in this process.
    pub(crate) region: Option<Region>,
}

impl Binder {
    /// Opens the driver, or ends the case as skipped where the kernel has none.
    pub(crate) fn open() -> Result<Self, Stop> {
        let device = node()?;
        let mut version = 0_i32;
        device.ioctl("BINDER_VERSION", VERSION, &raw mut version as u64)?;
        if version != PROTOCOL {
            return skip(format!("binder speaks protocol {version}, this client {PROTOCOL}"));
        }
        let arena = device.map(ARENA, R, libc::MAP_PRIVATE | libc::MAP_NORESERVE, 0)?;
        Ok(Self { device, arena, waiting: VecDeque::new() })
    }

    /// Becomes the process that calls to handle 0 reach.
    pub(crate) fn become_manager(&mut self) -> Verdict {
        let object = FlatObject { flags: ACCEPTS_FDS, ..FlatObject::default() };
        for _ in 0..200 {
            match self.device.ioctl("BINDER_SET_CONTEXT_MGR_EXT", SET_CONTEXT_MANAGER, &raw const object as u64) {
                // The manager of the case before is let go by a worker, a little after its process has ended.
                Err(refused) if refused.code == libc::EBUSY => std::thread::sleep(std::time::Duration::from_millis(10)),
                other => {
                    other?;
                    return self.write(&BC_ENTER_LOOPER.to_ne_bytes());
                }
            }
        }
        skip("this machine has a binder context manager already")
    }

    /// Calls handle 0 and waits for the reply.
    pub(crate) fn call(&mut self, number: u64, fd: Option<RawFd>) -> Result<Message, Stop> {
        self.post(BC_TRANSACTION, number, fd)?;
        self.receive(BR_REPLY)
    }

    /// Waits for one call, answers it with what `answer` makes of it.
    pub(crate) fn serve(&mut self, answer: impl FnOnce(Message) -> Result<(u64, Option<Region>), Stop>) -> Verdict {
        let (number, region) = answer(self.receive(BR_TRANSACTION)?)?;
        self.post(BC_REPLY, number, region.as_ref().map(Region::fd))
    }

    fn post(&mut self, command: u32, number: u64, fd: Option<RawFd>) -> Verdict {
        let object = FlatObject { kind: TYPE_FD, handle: fd.unwrap_or(0) as u64, ..FlatObject::default() };
        let payload = Payload { object: if fd.is_some() { object } else { FlatObject::default() }, number };
        let offset = 0_u64;
        let transaction = Transaction {
            flags: TF_ACCEPT_FDS,
            data_size: size_of::<Payload>() as u64,
            offsets_size: if fd.is_some() { 8 } else { 0 },
            buffer: &raw const payload as u64,
            offsets: &raw const offset as u64,
            ..Transaction::default()
        };
        self.write(&[command.to_ne_bytes().as_slice(), bytes_of(&transaction)].concat())
    }

    /// Waits for one kind of message; notes of progress are passed over.
    fn receive(&mut self, wanted: u32) -> Result<Message, Stop> {
        loop {
            match self.next()? {
                (command, body) if command == wanted => return self.open_message(&body),
                (BR_FAILED_REPLY, _) => return failed("binder refused the message (BR_FAILED_REPLY)"),
                (BR_DEAD_REPLY, _) => return failed("the process behind binder is gone (BR_DEAD_REPLY)"),
                _ => {}
            }
        }
    }

    fn open_message(&mut self, body: &[u8]) -> Result<Message, Stop> {
        let transaction: Transaction = read_as(body)?;
        let at = (transaction.buffer as usize).wrapping_sub(self.arena.address());
        if at >= ARENA || transaction.data_size != size_of::<Payload>() as u64 {
            return failed("binder delivered a message outside the arena or of another size");
        }
        let payload: Payload = read_as(&self.arena.read(at, size_of::<Payload>())?)?;
        // SAFETY: the driver has just installed this descriptor for us, and nobody else knows it.
        let region = (transaction.offsets_size > 0).then(|| unsafe { adopt(payload.object.handle as RawFd) });
        self.write(&[BC_FREE_BUFFER.to_ne_bytes().as_slice(), &transaction.buffer.to_ne_bytes()].concat())?;
        Ok(Message { number: payload.number, region })
    }

    fn next(&mut self) -> Result<(u32, Vec<u8>), Stop> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(message);
            }
            let mut buffer = [0_u8; 512];
            let got = self.exchange(&[], &mut buffer)?;
            let mut rest = &buffer[..got];
            while let Some((command, body)) = rest.split_first_chunk::<4>() {
                let command = u32::from_ne_bytes(*command);
                // Every command says in its number how many bytes follow.
                let (body, next) = body.split_at((command >> 16 & 0x3fff) as usize);
                self.waiting.push_back((command, body.to_vec()));
                rest = next;
            }
        }
    }

    fn write(&self, commands: &[u8]) -> Verdict {
        self.exchange(commands, &mut []).map(|_| ())
    }

    fn exchange(&self, write: &[u8], read: &mut [u8]) -> Result<usize, Stop> {
        let mut request = WriteRead {
            write_size: write.len() as u64,
            write_consumed: 0,
            write_buffer: write.as_ptr() as u64,
            read_size: read.len() as u64,
            read_consumed: 0,
            read_buffer: read.as_mut_ptr() as u64,
        };
        self.device.ioctl("BINDER_WRITE_READ", WRITE_READ, &raw mut request as u64)?;
        Ok(request.read_consumed as usize)
    }
}

fn node() -> Result<Region, Stop> {
    let open = |path: &str| open_path(path.as_bytes(), libc::O_RDWR | libc::O_CLOEXEC);
    let mut why = String::new();
    for path in NODES {
        match open(path) {
            Ok(device) => return Ok(device),
            Err(Refused { code, .. }) => why = format!("{why}{path}: {}; ", errno::name(code)),
        }
    }
    if is_root() && std::fs::create_dir_all("/dev/binderfs").is_ok() {
        let (source, target, kind) = (c"binder", c"/dev/binderfs", c"binder");
        // SAFETY: the strings are NUL terminated.
        unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
        if let Ok(device) = open(NODES[1]) {
            return Ok(device);
        }
    }
    skip(format!("this machine has no binder ({why}and no binderfs to mount)"))
}

/// # Safety
/// The descriptor must be open and known to nobody else.
unsafe fn adopt(fd: RawFd) -> Region {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(fd) }.into()
}

fn bytes_of(transaction: &Transaction) -> &[u8] {
    let start = (&raw const *transaction).cast::<u8>();
    // SAFETY: the structure has no padding, and the slice lives as long as the borrow.
    unsafe { std::slice::from_raw_parts(start, size_of::<Transaction>()) }
}

/// Reads one of the plain structures above.
fn read_as<T: Default>(bytes: &[u8]) -> Result<T, Stop> {
    if bytes.len() != size_of::<T>() {
        return failed(format!("binder sent {} bytes, expected {}", bytes.len(), size_of::<T>()));
    }
    // SAFETY: the length is that of T, which holds integers alone: any bytes are a valid one.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

const fn ioctl(kind: u8, direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (kind as u32) << 8 | number
}
