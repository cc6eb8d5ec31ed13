// SPDX-License-Identifier: MIT OR Apache-2.0
//! seccomp's listener (`seccomp_unotify(2)`): receives notifications and answers them.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, Result};

use crate::notification::{Answer, Channel, Injection, Notification, ReceiveError};
use crate::seccomp::bpf::{self, Instruction};
use crate::sys::{check, kernel_is, last_errno};

const RECV: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
const ID_VALID: u64 = 0x4008_2102;
/// The same with the direction bits that kernels before 5.17 require.
const ID_VALID_OLD: u64 = 0x8008_2102;
const ADDFD: u64 = 0x4018_2103;
const SET_FLAGS: u64 = 0x4008_2104;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, from 6.6: an answer yields the CPU to the caller, and a
/// call yields it to the supervisor.
const SYNC_WAKE_UP: u64 = 1;

/// Room for the kernel's structures, which may grow: they have 80 and 24 bytes today.
pub(crate) const ROOM: usize = 512;
/// Room for a notification, aligned for it.
pub(crate) type Room = [u64; ROOM / 8];

/// A listener, owned by this process.
pub struct Listener {
    fd: OwnedFd,
    /// Whether a descriptor is put into the caller and answered in one step (ADDFD_FLAG_SEND, from
    /// 5.14; the first use finds out). Only where a signal could take the caller out between two:
    /// whatever interrupts *us* in that one step (SIGSTOP, a debugger) makes the kernel
    /// answer 0, standard input's number, and no descriptor.
    answers_in_one_step: AtomicBool,
    /// Whether RECV returns when the last filtered process has ended.
    waits: bool,
}

/// Why no filter was installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Another listener supervises this process already.
    #[error(
        "seccomp says EBUSY: another supervisor already listens to this process (a container \
         runtime with a notify profile, or `ashmem run` inside `ashmem run`), and the kernel \
         allows one; use /dev/ashmem as that supervisor offers it, or start from outside it"
    )]
    Busy,
    /// The kernel, or a sandbox around us, refuses.
    #[error(
        "seccomp refuses a user-notification filter: {0}; it needs Linux 5.9 or newer with \
         CONFIG_SECCOMP_FILTER, and a sandbox that lets seccomp(2) through: `ashmem doctor` tells \
         which is missing"
    )]
    Refused(Errno),
    /// no_new_privs could not be set.
    #[error(
        "prctl(PR_SET_NO_NEW_PRIVS) failed: {0}; without it an unprivileged process may not filter \
         itself"
    )]
    NoNewPrivs(Errno),
}

/// Whether the filtered process may still gain privileges by executing a set-user-id program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privileges {
    /// Set no_new_privs first: all that an unprivileged process may do.
    Renounce,
    /// Leave them as they are, which takes CAP_SYS_ADMIN.
    Keep,
}

/// seccomp(2): filters the calling thread and all that it forks and executes from now on; returns
/// the listener.
///
/// # Errors
/// See [`InstallError`]; nothing is filtered then.
pub fn install(
    program: &[Instruction],
    privileges: Privileges,
) -> std::result::Result<OwnedFd, InstallError> {
    if privileges == Privileges::Renounce {
        rustix::thread::set_no_new_privs(true).map_err(InstallError::NoNewPrivs)?;
    }
    // SPEC_ALLOW: without it kernels before 5.16 slow a filtered process down to protect it from
    // code inside it, which is no concern of a filter that is no sandbox.
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // WAIT_KILLABLE_RECV exists from 5.19 on. Before, a signal may interrupt a call that is being
    // answered.
    let mut last = Errno::INVAL;
    for flags in [listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, listener] {
        match bpf::install(program, flags) {
            // SAFETY: seccomp has just made this descriptor and nobody else knows it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(error) => last = error,
        }
        if last != Errno::INVAL {
            break;
        }
    }
    Err(if last == Errno::BUSY { InstallError::Busy } else { InstallError::Refused(last) })
}

impl Listener {
    /// SECCOMP_GET_NOTIF_SIZES: takes over a listener and finds out what the kernel can do.
    ///
    /// ENOSYS or EINVAL: the kernel has no notifications, or cannot put a descriptor into a caller
    /// (before 5.9). EMSGSIZE: its structures are larger than this program expects.
    pub fn new(fd: OwnedFd) -> Result<Self> {
        let mut sizes =
            libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
        // SAFETY: the kernel fills the structure, which is as long as it has always been.
        let got = unsafe {
            libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, &mut sizes)
        };
        if got != 0 {
            return Err(last_errno());
        }
        if usize::from(sizes.seccomp_notif.max(sizes.seccomp_notif_resp)) > ROOM {
            return Err(Errno::MSGSIZE);
        }
        // Kernels before 5.9 do not know the command; others answer that nobody waits with this id.
        let listener = Self {
            fd,
            answers_in_one_step: (!filters_wait_killable()).into(),
            waits: receiving_ends(),
        };
        let probe = Injection { fd: listener.fd.as_fd(), at: None, close_on_exec: true };
        if listener.add(0, probe, 0) != Err(Errno::NOENT) {
            return Err(Errno::NOSYS);
        }
        // Older kernels refuse the flag, and are only slower. It is passed by value.
        // SAFETY: the command takes no pointer.
        let _ = unsafe { libc::ioctl(listener.fd.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Ok(listener)
    }

    /// Returns the descriptor.
    pub fn into_inner(self) -> OwnedFd {
        self.fd
    }

    /// SECCOMP_IOCTL_NOTIF_RECV: as [`Channel::receive`], with the kernel writing into this zeroed
    /// room.
    pub(crate) fn receive_into(&self, room: &mut Room) -> Result<Option<Notification>> {
        // The kernel wants zeros, and may write more than we know of.
        // SAFETY: the buffer is at least as long as the kernel said its structure is.
        match check(unsafe { libc::ioctl(self.fd.as_raw_fd(), RECV, room.as_mut_ptr()) }) {
            Ok(_) => Ok(Some(notification_in(room))),
            Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn add(&self, id: u64, injection: Injection<'_>, flags: u64) -> Result<RawFd> {
        let setfd = if injection.at.is_some() { libc::SECCOMP_ADDFD_FLAG_SETFD } else { 0 };
        let request = libc::seccomp_notif_addfd {
            id,
            flags: (flags | setfd) as u32,
            srcfd: injection.fd.as_raw_fd() as u32,
            newfd: injection.at.unwrap_or(0) as u32,
            newfd_flags: if injection.close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        // SAFETY: the command reads one structure, which is given.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), ADDFD, &request) })
    }
}

impl Channel for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn receive(&self) -> std::result::Result<Option<Notification>, ReceiveError> {
        Ok(self.receive_into(&mut [0; ROOM / 8])?)
    }

    fn waits(&self) -> bool {
        self.waits
    }

    fn is_waiting(&self, id: u64) -> bool {
        [ID_VALID, ID_VALID_OLD].into_iter().any(|command| {
            // SAFETY: the command reads one integer, which is given.
            unsafe { libc::ioctl(self.fd.as_raw_fd(), command, &id) == 0 }
        })
    }

    fn inject(&self, id: u64, injection: Injection<'_>) -> Result<RawFd> {
        self.add(id, injection, 0)
    }

    fn answer(&self, id: u64, answer: Answer) -> Result<()> {
        let (val, error, flags) = match answer {
            Answer::Value(value) => (value, 0, 0),
            Answer::Errno(errno) => (0, -errno.raw_os_error(), 0),
            Answer::Continue => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
        };
        let mut room = [0_u64; ROOM / 8];
        // SAFETY: the buffer is aligned for the structure and longer than it.
        unsafe {
            room.as_mut_ptr()
                .cast::<libc::seccomp_notif_resp>()
                .write(response(id, val, error, flags))
        };
        // SAFETY: the command reads the structure, whose length the kernel told is no more than the
        // buffer's.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), SEND, room.as_ptr()) }).map(drop)
    }

    fn answer_with(&self, id: u64, fd: OwnedFd, close_on_exec: bool) -> Result<Answer> {
        let injection = Injection { fd: fd.as_fd(), at: None, close_on_exec };
        if self.answers_in_one_step.load(Ordering::Relaxed) {
            match self.add(id, injection, libc::SECCOMP_ADDFD_FLAG_SEND) {
                Err(Errno::INVAL) => self.answers_in_one_step.store(false, Ordering::Relaxed),
                other => return other.map(|number| Answer::Value(number.into())),
            }
        }
        let answer = Answer::Value(self.inject(id, injection)?.into());
        self.answer(id, answer).map(|()| answer)
    }
}

/// Whether RECV returns when the last filtered process has ended, as it does from Linux 6.11 on.
/// Before, it sleeps for ever, and only poll(2) reports the end.
fn receiving_ends() -> bool {
    kernel_is(6, 11)
}

/// What the kernel calls a listener.
const NAME: &[u8] = b"anon_inode:seccomp notify";

/// Whether this is a listener: the kernel shows anonymous inodes by a name that no file's path can
/// be, for those begin with a slash.
pub(crate) fn is_listener(fd: impl AsFd) -> bool {
    let link = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    rustix::fs::readlink(link, Vec::new()).is_ok_and(|name| name.as_bytes() == NAME)
}

/// Whether filters that [`install`] makes let no signal but a kill take a caller out of its wait.
pub(crate) fn filters_wait_killable() -> bool {
    kernel_is(5, 19)
}

/// The notification that lies in this room.
pub(crate) fn notification_in(room: &Room) -> Notification {
    // SAFETY: the room is aligned for the structure, longer than it, and every bit pattern is a
    // valid one.
    let notification = unsafe { room.as_ptr().cast::<libc::seccomp_notif>().read() };
    Notification {
        id: notification.id,
        tid: notification.pid as i32,
        arch: notification.data.arch,
        nr: notification.data.nr as u32,
        args: notification.data.args,
        instruction_pointer: notification.data.instruction_pointer,
    }
}

fn response(id: u64, val: i64, error: i32, flags: u32) -> libc::seccomp_notif_resp {
    libc::seccomp_notif_resp { id, val, error, flags }
}
