// SPDX-License-Identifier: MIT OR Apache-2.0
//! A second process for a case: forked, linked by a socket that carries words and descriptors, its
//! verdict brought back.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::case::{Stop, Verdict, failed, skip};
use ashmem_test_client::errno::{Answer, Refused, answer, signal_name};
use ashmem_test_client::region::Region;

/// User and group that hold no privilege on any system.
pub(crate) const NOBODY: u32 = 65534;

/// One end of a socket between two processes; each message stays whole.
pub(crate) struct Link(OwnedFd);

/// A forked process that runs part of a case. Dropping it kills it.
pub(crate) struct Child {
    pid: libc::pid_t,
    verdict: Option<OwnedFd>,
    /// The parent's end of the link.
    pub(crate) link: Link,
}

/// How a process ended, and what it said before.
pub(crate) struct End {
    /// Its verdict, if it lived to give one.
    pub(crate) verdict: Option<Verdict>,
    /// The signal that killed it.
    pub(crate) signal: Option<i32>,
    /// Still running at the deadline (and killed since).
    pub(crate) late: bool,
}

impl Child {
    /// Forks; the child runs `body` with its end of the link and ends.
    pub(crate) fn start(body: impl FnOnce(&Link) -> Verdict) -> Answer<Self> {
        let (ours, theirs) = Link::pair()?;
        let (read, write) = pipe()?;
        // SAFETY: cases are single threaded when they fork, so the child may run any code.
        let pid = answer("fork", i64::from(unsafe { libc::fork() }))? as libc::pid_t;
        if pid == 0 {
            drop((ours, read));
            // SAFETY: prctl with a signal number touches no memory.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let verdict = catch_unwind(AssertUnwindSafe(|| body(&theirs)))
                .unwrap_or_else(|_| failed("the case's own code panicked, see stderr"));
            put(&write, &encode(&verdict));
            // SAFETY: ends the process without running the parent's exit handlers a second time.
            unsafe { libc::_exit(0) };
        }
        Ok(Self { pid, verdict: Some(read), link: ours })
    }

    /// The process id.
    pub(crate) fn pid(&self) -> libc::pid_t {
        self.pid
    }

    /// Waits for the end and takes the child's verdict over as one's own.
    pub(crate) fn join(self) -> Verdict {
        let end = self.wait(None);
        match (end.verdict, end.signal) {
            (Some(Err(Stop::Failed(why))), _) => failed(format!("in the other process: {why}")),
            (Some(verdict), _) => verdict,
            (None, Some(signal)) => {
                failed(format!("the other process died of {}", signal_name(signal)))
            }
            (None, None) => failed("the other process ended without a verdict"),
        }
    }

    /// Waits for the end, at most so long.
    pub(crate) fn wait(mut self, limit: Option<Duration>) -> End {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut text = Vec::new();
        let mut late = false;
        if let Some(pipe) = self.verdict.take() {
            late = !drain(&pipe, deadline, &mut text);
        }
        if late {
            self.kill();
        }
        let mut status = 0;
        // SAFETY: waits for our own child; `status` is an int.
        unsafe { libc::waitpid(self.pid, &mut status, 0) };
        self.pid = 0;
        End {
            verdict: decode(&text),
            signal: libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status)),
            late,
        }
    }

    /// Kills the process and the group it may lead; it is still to be waited for.
    pub(crate) fn kill(&self) {
        // SAFETY: signals our own child, which is not waited for yet, so the id is its own; a group
        // of that id, if any, is the one the child made.
        unsafe {
            libc::kill(-self.pid, libc::SIGKILL);
            libc::kill(self.pid, libc::SIGKILL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.pid > 0 {
            self.kill();
            // SAFETY: waits for our own child.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        }
    }
}

/// Runs `body` in a forked process and takes its verdict over.
pub(crate) fn apart(body: impl FnOnce() -> Verdict) -> Verdict {
    Child::start(|_| body())?.join()
}

/// prctl(PR_SET_TAGGED_ADDR_CTRL): lets this thread's calls take pointers with tags.
pub(crate) fn allow_tags() -> Answer {
    const PR_SET_TAGGED_ADDR_CTRL: i32 = 55;
    const PR_TAGGED_ADDR_ENABLE: usize = 1;
    // SAFETY: the command takes numbers alone.
    answer("PR_SET_TAGGED_ADDR_CTRL", unsafe {
        libc::prctl(PR_SET_TAGGED_ADDR_CTRL, PR_TAGGED_ADDR_ENABLE, 0_usize, 0_usize, 0_usize)
            .into()
    })
}

/// Runs `body` in a process without privileges: this one where it has none, else a forked one that
/// gave them up.
pub(crate) fn unprivileged(body: impl FnOnce() -> Verdict) -> Verdict {
    if !is_root() {
        return body();
    }
    apart(|| {
        // SAFETY: these calls touch no memory of ours; the group list is empty.
        let dropped = unsafe {
            libc::setgroups(0, std::ptr::null()) == 0
                && libc::setgid(NOBODY) == 0
                && libc::setuid(NOBODY) == 0
        };
        if dropped {
            body()
        } else {
            skip("may not give up root's privileges here (setuid is refused)")
        }
    })
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid cannot fail and touches no memory.
    unsafe { libc::geteuid() == 0 }
}

/// Whether the running kernel is of this release or a newer one.
pub(crate) fn kernel_is_at_least(major: u32, minor: u32) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    numbers.next().zip(numbers.next()) >= Some((major, minor))
}

/// Whether this process holds CAP_SYS_ADMIN in the initial user namespace, by what /proc says of
/// it.
pub(crate) fn may_purge() -> Result<bool, Stop> {
    const CAP_SYS_ADMIN: u32 = 21;
    let read = |path: &str| {
        std::fs::read_to_string(path).or_else(|error| failed(format!("reading {path}: {error}")))
    };
    let status = read("/proc/self/status")?;
    let set = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let Some(set) = set else { return failed("/proc/self/status has no CapEff") };
    // Only the initial namespace maps every id to itself.
    let initial = read("/proc/self/uid_map")?.split_whitespace().eq(["0", "0", "4294967295"]);
    Ok(initial && set >> CAP_SYS_ADMIN & 1 == 1)
}

/// Skips the rest of the case where `/proc/PID/map_files` opens nothing, which the kernel leaves to
/// CAP_SYS_ADMIN.
pub(crate) fn need_map_files() -> Verdict {
    match may_purge()? {
        true => Ok(()),
        false => {
            skip("opening /proc/PID/map_files needs CAP_SYS_ADMIN in the initial user namespace")
        }
    }
}

/// Skips the rest of the case where this process is not root.
pub(crate) fn need_root(what_for: &str) -> Verdict {
    if is_root() { Ok(()) } else { skip(format!("{what_for} needs root")) }
}

impl Link {
    /// Two connected ends.
    pub(crate) fn pair() -> Answer<(Self, Self)> {
        let mut fds = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: the array has room for the two descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr()) };
        answer("socketpair", made.into())?;
        // SAFETY: socketpair has just made them and nobody else knows them.
        Ok(unsafe { (Self(OwnedFd::from_raw_fd(fds[0])), Self(OwnedFd::from_raw_fd(fds[1]))) })
    }

    /// The socket's descriptor.
    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The same end once more.
    pub(crate) fn dup(&self) -> Result<Self, Stop> {
        let twin =
            self.0.try_clone().or_else(|error| failed(format!("duplicating a socket: {error}")))?;
        Ok(Self(twin))
    }

    /// Sends bytes as one message.
    pub(crate) fn send(&self, bytes: &[u8]) -> Answer {
        // SAFETY: the buffer is as long as said.
        let sent = unsafe {
            libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL)
        };
        answer("send", sent as i64)
    }

    /// Receives one message; an empty one means that the other end is gone.
    pub(crate) fn receive(&self) -> Answer<Vec<u8>> {
        let (socket, mut buffer) = (self.0.as_raw_fd(), vec![0; 65536]);
        // SAFETY: the buffer is as long as said.
        let got = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        buffer.truncate(answer("recv", got as i64)? as usize);
        Ok(buffer)
    }

    /// Whether a message (or the end) is there, after at most so many milliseconds.
    pub(crate) fn ready(&self, milliseconds: i32) -> Answer<bool> {
        let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed as one.
        Ok(answer("poll", unsafe { libc::poll(&mut poll, 1, milliseconds) }.into())? > 0)
    }

    /// Tells the other process to go on.
    pub(crate) fn go(&self) -> Verdict {
        self.send(b"go")?;
        Ok(())
    }

    /// Waits until the other process says so.
    pub(crate) fn wait(&self) -> Verdict {
        if self.receive()? == b"go" { Ok(()) } else { failed("the other process ended early") }
    }

    /// Sends a descriptor (SCM_RIGHTS).
    pub(crate) fn send_fd(&self, fd: RawFd) -> Answer {
        let mut byte = [0_u8];
        let mut message = Message::new(&mut byte);
        // SAFETY: the control buffer is aligned and has room for a header and one descriptor.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message.header);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(fd);
        }
        let socket = self.0.as_raw_fd();
        // SAFETY: the message points at buffers that live until the call returns.
        let sent = unsafe { libc::sendmsg(socket, &message.header, libc::MSG_NOSIGNAL) };
        message.control[0] = 0;
        answer("sendmsg", sent as i64)
    }

    /// Receives a descriptor.
    pub(crate) fn receive_fd(&self) -> Result<Region, Stop> {
        let mut byte = [0_u8];
        let mut message = Message::new(&mut byte);
        // SAFETY: the message points at buffers that live until the call returns.
        let got = unsafe {
            libc::recvmsg(self.0.as_raw_fd(), &mut message.header, libc::MSG_CMSG_CLOEXEC)
        };
        answer("recvmsg", got as i64)?;
        // SAFETY: the kernel filled the control buffer; the header is checked before its data is
        // read, and a descriptor that arrives this way is ours alone.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message.header);
            if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
                return failed("expected a descriptor over the socket, got none");
            }
            let fd = libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned();
            Ok(OwnedFd::from_raw_fd(fd).into())
        }
    }
}

/// A message of one byte with room for one descriptor; boxed, as it points into itself.
struct Message {
    header: libc::msghdr,
    vector: libc::iovec,
    control: [u64; 4],
}

impl Message {
    fn new(byte: &mut [u8; 1]) -> Box<Self> {
        // SAFETY: all three are plain C structures for which zero is valid.
        let mut message: Box<Self> = Box::new(unsafe { std::mem::zeroed() });
        message.vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        message.header.msg_iov = &raw mut message.vector;
        message.header.msg_iovlen = 1;
        message.header.msg_control = message.control.as_mut_ptr().cast();
        // SAFETY: CMSG_SPACE computes a number from a number.
        message.header.msg_controllen = unsafe { libc::CMSG_SPACE(4) } as _;
        message
    }
}

fn pipe() -> Answer<(OwnedFd, OwnedFd)> {
    let mut fds = [0; 2];
    // SAFETY: the array has room for the two descriptors.
    answer("pipe2", unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    // SAFETY: pipe2 has just made them and nobody else knows them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

fn put(fd: &OwnedFd, bytes: &[u8]) {
    use io::Write;
    // A parent that is gone needs no verdict.
    let _ = fd.try_clone().map(std::fs::File::from).and_then(|mut file| file.write_all(bytes));
}

/// Reads to the end; false if the deadline came first.
fn drain(fd: &OwnedFd, deadline: Option<Instant>, into: &mut Vec<u8>) -> bool {
    loop {
        let left = deadline.map_or(-1, |deadline| {
            deadline.saturating_duration_since(Instant::now()).as_millis() as i32
        });
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd is passed as one.
        if unsafe { libc::poll(&mut poll, 1, left) } == 0 {
            return false;
        }
        let mut buffer = [0; 4096];
        // SAFETY: the buffer is as long as said.
        let got = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        match got {
            0 => return true,
            count if count > 0 => into.extend_from_slice(&buffer[..count as usize]),
            _ if Refused::last("read").code == libc::EINTR => {}
            _ => return true,
        }
    }
}

fn encode(verdict: &Verdict) -> Vec<u8> {
    match verdict {
        Ok(()) => b"+".to_vec(),
        Err(Stop::Failed(why)) => format!("-{why}").into_bytes(),
        Err(Stop::Skipped(why)) => format!("?{why}").into_bytes(),
    }
}

fn decode(bytes: &[u8]) -> Option<Verdict> {
    let (tag, why) = bytes.split_first()?;
    let why = String::from_utf8_lossy(why);
    Some(match tag {
        b'+' => Ok(()),
        b'?' => skip(why),
        _ => failed(why),
    })
}
