// SPDX-License-Identifier: MIT OR Apache-2.0
//! The device, tried: opened, asked, mapped and used as Android's library does.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};

use ashmem_core::abi;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use crate::Host;

/// The region that is made, in bytes; a page on every kernel.
const SIZE: usize = 65536;

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// A driver in the kernel.
    Kernel,
    /// A supervisor that put a memfd there.
    Supervisor,
}

/// At which step the device failed, and with what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried.
    pub step: &'static str,
    /// What came back; `None` where the answer was wrong though no error.
    pub errno: Option<Errno>,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(formatter, "{}: {}", self.step, name(errno)),
            None => write!(formatter, "{}: the answer is wrong", self.step),
        }
    }
}

/// Makes a region at a path, names it, sizes it, maps it, writes and reads it, and lets it go.
///
/// # Errors
/// The step that failed.
pub fn device(host: &Host, path: &str) -> Result<AnsweredBy, Failure> {
    let failed = |step| move |errno| Failure { step, errno: Some(errno) };
    let fd = host.open(path, OFlags::RDWR).map_err(failed("open"))?;
    ioctl(&fd, abi::SET_NAME, c"ashmem doctor".as_ptr() as u64).map_err(failed("SET_NAME"))?;
    ioctl(&fd, abi::SET_SIZE, SIZE as u64).map_err(failed("SET_SIZE"))?;
    let size = ioctl(&fd, abi::GET_SIZE, 0).map_err(failed("GET_SIZE"))?;
    if size != SIZE as i64 {
        return Err(Failure { step: "GET_SIZE", errno: None });
    }
    // By now an open that no supervisor saw has become its region too.
    let provider = provider(&fd);
    let (anywhere, rights) = (std::ptr::null_mut(), ProtFlags::READ | ProtFlags::WRITE);
    // SAFETY: the kernel chooses where; nothing else lives there.
    let memory = unsafe { rustix::mm::mmap(anywhere, SIZE, rights, MapFlags::SHARED, &fd, 0) };
    let memory = memory.map_err(failed("mmap"))?;
    // SAFETY: the mapping is SIZE bytes long, readable and writable, and this thread's alone.
    let holds = unsafe {
        memory.cast::<u32>().write_volatile(0x61_73_68_6d);
        memory.cast::<u32>().read_volatile() == 0x61_73_68_6d
    };
    // SAFETY: it was mapped above and is used no more.
    unsafe { rustix::mm::munmap(memory, SIZE) }.map_err(failed("munmap"))?;
    if holds {
        Ok(provider)
    } else {
        Err(Failure { step: "reading what was written", errno: None })
    }
}

/// What a memfd answers to GET_SIZE: what Android 16's library asks before it takes memfd for
/// shared memory.
///
/// # Errors
/// The step that failed; ENOTTY at GET_SIZE on every kernel but Google's.
pub fn memfd() -> Result<(), Failure> {
    let failed = |step| move |errno| Failure { step, errno: Some(errno) };
    let flags = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING;
    let fd = rustix::fs::memfd_create("ashmem doctor", flags).map_err(failed("memfd_create"))?;
    rustix::fs::ftruncate(&fd, SIZE as u64).map_err(failed("ftruncate"))?;
    rustix::fs::fcntl_add_seals(&fd, rustix::fs::SealFlags::FUTURE_WRITE)
        .map_err(failed("F_SEAL_FUTURE_WRITE"))?;
    match ioctl(&fd, abi::GET_SIZE, 0).map_err(failed("GET_SIZE"))? {
        size if size == SIZE as i64 => Ok(()),
        _ => Err(Failure { step: "GET_SIZE", errno: None }),
    }
}

/// Who answers at `/dev/ashmem`, if it works.
pub fn answered_by(host: &Host) -> Option<AnsweredBy> {
    let stat = host.stat("/dev/ashmem").ok()?;
    FileType::from_raw_mode(stat.st_mode)
        .is_char_device()
        .then(|| device(host, "/dev/ashmem").ok())
        .flatten()
}

fn provider(fd: &OwnedFd) -> AnsweredBy {
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
    // A supervisor makes the descriptor look like a device in everything but this link.
    let is_memfd = link.is_ok_and(|link| link.to_bytes().starts_with(b"/memfd:"));
    if is_memfd { AnsweredBy::Supervisor } else { AnsweredBy::Kernel }
}

pub(crate) fn ioctl(fd: &OwnedFd, command: u32, argument: u64) -> Result<i64, Errno> {
    // SAFETY: no ashmem command that is used here writes to memory; SET_NAME reads a string of the
    // program's own.
    match unsafe { libc::syscall(libc::SYS_ioctl, fd.as_raw_fd(), command, argument) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        value => Ok(value),
    }
}

/// An error as people search for it: its name, then the kernel's words.
pub fn name(errno: Errno) -> String {
    let known = [
        (Errno::PERM, "EPERM"),
        (Errno::NOENT, "ENOENT"),
        (Errno::NXIO, "ENXIO"),
        (Errno::ACCESS, "EACCES"),
        (Errno::BUSY, "EBUSY"),
        (Errno::NODEV, "ENODEV"),
        (Errno::INVAL, "EINVAL"),
        (Errno::NOTTY, "ENOTTY"),
        (Errno::NOSYS, "ENOSYS"),
        (Errno::NOSPC, "ENOSPC"),
        (Errno::USERS, "EUSERS"),
        (Errno::NOMEM, "ENOMEM"),
    ];
    match known.iter().find(|(known, _)| *known == errno) {
        Some((_, name)) => format!("{name} ({})", words(errno)),
        None => words(errno),
    }
}

/// Without the number that the standard library adds.
fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
