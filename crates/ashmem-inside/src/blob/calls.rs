// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each call that is answered here. `None`: the program makes the call itself, which is notified if
//! the device could be meant.
//!
//! No descriptor is made but the one that the call returns: another thread that closes a number and
//! takes the lowest that is free, or puts a file at a number of its choice, must find what it would
//! find without this. So an answer is several calls about the program's number, and a program that
//! changes what lies behind it meanwhile gets a mixture. It could make the same calls itself.

use ashmem_core::abi::{Caller, Request};
use ashmem_core::region::{Facts, Prot, State};
use ashmem_core::store::PageSize;

use crate::entry::Frame;
use crate::kernel::{self, Returned};
use crate::layout::STAT;
use crate::name;
use crate::processor::number::{FSTAT, IOCTL, MMAP, NEWFSTATAT, OPEN, OPENAT};
use crate::processor::{Stat, call, header};
use crate::state::{self, KernelState, SEAL_OF_MAPPED, SEAL_OF_SIZED};

const O_ACCMODE: u64 = 0o3;
const O_WRONLY: u64 = 0o1;
pub(crate) const O_RDWR: u64 = 0o2;
const O_APPEND: u64 = 0o2000;
const O_NONBLOCK: u64 = 0o4000;
pub(crate) const O_CLOEXEC: u64 = 0o2_000_000;
const O_PATH: u64 = 0o10_000_000;

const PROT_WRITE: u64 = 2;
const MAP_PRIVATE: u64 = 2;
const MAP_TYPE: u64 = 0xf;
const MAP_ANONYMOUS: u64 = 0x20;
/// What stays of a private mapping's flags: FIXED, 32BIT, LOCKED, NORESERVE, POPULATE, STACK,
/// FIXED_NOREPLACE.
const MAP_KEPT: u64 = 0x10 | 0x40 | 0x2000 | 0x4000 | 0x8000 | 0x2_0000 | 0x10_0000;
const READ_IMPLIES_EXEC: u64 = 0x0040_0000;

/// From this size on the supervisor looks whether the system can promise the memory.
const LARGE: u64 = 64 << 20;

const ENOENT: Returned = -2;
const ENOMEM: Returned = -12;

/// Answers a call, or leaves it.
pub(crate) fn answer(frame: &Frame) -> Option<Returned> {
    let [a, b, c, d, ..] = frame.args;
    match frame.number as u32 {
        IOCTL => ioctl(a, b as u32, c),
        MMAP => mmap(frame.args),
        OPENAT => open(frame, c),
        number if Some(number) == OPEN => open(frame, b),
        FSTAT => Some(fstat(frame, b, None)),
        NEWFSTATAT if d & 0x1000 != 0 => Some(fstat(frame, c, Some(b))),
        _ => None,
    }
}

/// A region as its memfd has it.
pub(crate) struct Region {
    pub(crate) stat: Stat,
    pub(crate) seals: u32,
    pub(crate) facts: Facts,
    state: State<&'static [u8], u32>,
}

impl Region {
    /// The region behind a descriptor; `None`: it is none, or the supervisor knows more of it, or
    /// the descriptor takes no calls (O_PATH).
    pub(crate) fn of(fd: u64) -> Option<Self> {
        let stat = whole_region(fd)?;
        let seals = u32::try_from(kernel::seals(fd)).ok()?;
        let (facts, mut state) = (Facts::new(), State::new());
        KernelState::new(stat.mode, stat.size, seals).apply(&facts, &mut state);
        Some(Self { stat, seals, facts, state })
    }
}

/// The status of a region whose whole state the kernel has.
fn whole_region(fd: u64) -> Option<Stat> {
    let stat = kernel::fstat(fd).ok()?;
    (is_region(&stat) && state::is_complete(stat.mode)).then_some(stat)
}

fn is_region(stat: &Stat) -> bool {
    stat.dev == header().memfd_dev && state::is_region(stat.mode)
}

fn is_node(stat: &Stat) -> bool {
    stat.dev == header().node_dev && stat.ino == header().node_ino
}

fn ioctl(fd: u64, cmd: u32, arg: u64) -> Option<Returned> {
    match Request::decode(Caller::Bits64, cmd, arg)? {
        Request::GetSize => {
            let stat = whole_region(fd)?;
            // Fails on a descriptor that takes no calls (O_PATH).
            let seals = u32::try_from(kernel::seals(fd)).ok()?;
            // The kernel cuts every ioctl's answer to an `int` (SIZE-05, SIZE-06).
            Some((KernelState::new(stat.mode, stat.size, seals).size as i32).into())
        }
        Request::GetProtMask => Some(Region::of(fd)?.facts.prot_mask().bits().into()),
        Request::SetSize(size) => set_size(fd, size),
        Request::SetName(at) => name::set(fd, at),
        _ => None,
    }
}

fn set_size(fd: u64, size: u64) -> Option<Returned> {
    let Region { stat, seals, facts, mut state } = Region::of(fd)?;
    if let Err(error) = state.set_size(&facts, size) {
        return Some(error.as_return());
    }
    // Another size needs another memory, or one that was written to is emptied first.
    if seals & SEAL_OF_SIZED != 0 || stat.size != 0 {
        return None;
    }
    if size == 0 {
        return Some(0);
    }
    // Beyond the limit the kernel would send a signal.
    if size > kernel::file_size_limit()? {
        return None;
    }
    // It fails on a size that no file can have, a descriptor that cannot be written, or where
    // another thread has given it one meanwhile.
    let is_sized = kernel::ftruncate(fd, size) == 0 && kernel::add_seals(fd, SEAL_OF_SIZED) == 0;
    is_sized.then_some(0)
}

fn mmap(args: [u64; 6]) -> Option<Returned> {
    let [.., flags, fd, _] = args;
    if flags & MAP_ANONYMOUS != 0 {
        return None;
    }
    let stat = kernel::fstat(fd).ok()?;
    if is_region(&stat) {
        map(fd, args)
    } else if is_node(&stat) {
        // It may have to become a region first.
        None
    } else {
        Some(call(MMAP, args))
    }
}

fn map(fd: u64, args: [u64; 6]) -> Option<Returned> {
    let [address, len, prot, flags, _, offset] = args;
    let region = Region::of(fd)?;
    let of_memfd = || Some(call(MMAP, [address, len, prot, flags, fd, offset]));
    let access = u64::try_from(kernel::status_flags(fd)).ok()? & O_ACCMODE;
    let page = PageSize::from_shift(header().page_shift as u32);
    let is_private = flags & MAP_TYPE == MAP_PRIVATE;
    let writes_shared = !is_private && prot & PROT_WRITE != 0;
    // The kernel's checks that come before the device's (MMAP-01, MMAP-17): a mapping that they
    // refuse must not count.
    if len == 0
        || page.offset_in(offset) != 0
        || flags & MAP_TYPE == 0
        || access == O_WRONLY
        || (writes_shared && access != O_RDWR)
    {
        return of_memfd();
    }
    let mut wanted = Prot::from_bits(prot as u32);
    if wanted.contains(Prot::READ)
        && !region.facts.prot_mask().contains(Prot::EXEC)
        && kernel::personality() & READ_IMPLIES_EXEC != 0
    {
        wanted = Prot::from_bits(wanted.bits() | Prot::EXEC.bits());
    }
    let len_in_pages = page.align(len);
    // A length that rounds to nothing is longer than any region.
    if len_in_pages == 0 {
        return Some(ENOMEM);
    }
    let check = |region: &Region| region.state.map(&region.facts, page, len_in_pages, wanted);
    let mapping = match check(&region) {
        Ok(mapping) => mapping,
        Err(error) => return Some(error.as_return()),
    };
    // No seal keeps mprotect from giving EXEC back: the supervisor must know such a mapping's
    // region, also one that came from a program of another supervisor's.
    if !is_private && !region.facts.prot_mask().contains(Prot::EXEC) {
        return None;
    }
    if mapping.creates_backing {
        // What was written to it before shows as zeros: the supervisor takes it away.
        let is_written = region.stat.blocks != 0;
        if is_written
            || region.facts.size() >= LARGE
            || kernel::add_seals(fd, SEAL_OF_MAPPED) != 0
        {
            return None;
        }
        let sealed = Region::of(fd)?;
        // Another thread's SET_SIZE or SET_NAME has put another memory behind the descriptor.
        if !sealed.facts.is_mapped() {
            return None;
        }
        // The size may have changed until the seals held it.
        if let Err(error) = check(&sealed) {
            return Some(error.as_return());
        }
    }
    if is_private {
        let flags = flags & MAP_KEPT | MAP_PRIVATE | MAP_ANONYMOUS;
        return Some(call(MMAP, [address, len, prot, flags, u64::MAX, 0]));
    }
    of_memfd()
}

fn open(frame: &Frame, flags: u64) -> Option<Returned> {
    if header().is_full == 0 || flags & (O_APPEND | O_NONBLOCK | O_PATH) != 0 {
        return None;
    }
    // Links, roots, rights and bad pointers are the kernel's business.
    let opened = call(frame.number as u32, frame.args);
    let Ok(fd) = u64::try_from(opened) else {
        // In a root directory without the node the supervisor looks at the path.
        return (opened != ENOENT).then_some(opened);
    };
    let Ok(stat) = kernel::fstat(fd) else { return Some(opened) };
    let is_left = if is_node(&stat) {
        match kernel::mount_of(fd) {
            Some(mount) if mount == header().plain_mount => false,
            Some(mount) if header().node_mounts.contains(&mount) => {
                // The number is free again before the region takes one: at no time are there two.
                kernel::close(fd);
                return create(c"dev/ashmem".as_ptr().cast(), state::NEW_MODE, flags & O_CLOEXEC)
                    .and_then(|fd| Returned::try_from(fd).ok());
            }
            // Bound elsewhere once more: the supervisor looks at the path.
            _ => true,
        }
    } else {
        // A region that is opened again, through its link in /proc, may have to be a new one
        // (OPEN-05).
        is_region(&stat)
    };
    if is_left {
        kernel::close(fd);
        return None;
    }
    Some(opened)
}

/// A new memfd with this mode, and with this O_CLOEXEC or none.
pub(crate) fn create(name: *const u8, mode: u32, close_on_exec: u64) -> Option<u64> {
    const MFD_CLOEXEC: u64 = 1;
    let close_on_exec = if close_on_exec == 0 { 0 } else { MFD_CLOEXEC };
    let flags = header().memfd_flags & !MFD_CLOEXEC | close_on_exec;
    let memory = u64::try_from(kernel::memfd_create(name, flags)).ok()?;
    if kernel::fchmod(memory, mode & 0o7777) != 0 {
        kernel::close(memory);
        return None;
    }
    Some(memory)
}

/// fstat(2), or newfstatat(2) with a path that may be empty.
fn fstat(frame: &Frame, buffer: u64, path: Option<u64>) -> Returned {
    let value = call(frame.number as u32, frame.args);
    if value != 0 || header().is_full == 0 {
        return value;
    }
    let buffer = buffer as *mut Stat;
    // SAFETY: the kernel has just written a structure there for this call.
    let stat = unsafe { buffer.read_unaligned() };
    // SAFETY: the kernel has just read the path for this call, unless there is none.
    let is_by_path = path.is_some_and(|path| path != 0 && unsafe { *(path as *const u8) } != 0);
    if is_region(&stat) && !is_by_path {
        let shown = header().stat.as_ptr().cast::<u8>();
        // SAFETY: as above; both structures are as long, and the header is elsewhere.
        unsafe { shown.copy_to_nonoverlapping(buffer.cast(), STAT) };
    }
    value
}
