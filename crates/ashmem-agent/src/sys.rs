// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls on processes and signals that no crate of ours wraps.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ashmem_proc::{number, value_of};
use rustix::fs::Mode;
use rustix::io::{Errno, Result};
use rustix::net::SocketAddrUnix;

/// The side of a fork.
pub(crate) enum Forked {
    /// The parent; the child's number.
    Parent(i32),
    /// The child.
    Child,
}

/// fork(2), in a process of one thread.
pub(crate) fn fork() -> Result<Forked> {
    // SAFETY: the process has one thread, so the child finds every lock as its own thread left it.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// _exit(2): ends a forked process at once, without the exit handlers of its parent.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit touches no memory.
    unsafe { libc::_exit(code) }
}

/// The signal mask as it was inherited.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// pthread_sigmask(3): blocks every signal, and remembers which were blocked before.
    pub(crate) fn block_all() -> Self {
        // SAFETY: a signal set is plain bits; both calls fill the sets they are given.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            Self(before)
        }
    }

    /// pthread_sigmask(3): restores the mask for a program that is about to be executed, and
    /// SIGPIPE's default action: the Rust runtime ignores SIGPIPE, and the program would inherit
    /// that.
    pub(crate) fn restore(self) {
        // SAFETY: the set was filled by the kernel; the default action takes no handler.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut());
        }
    }
}

/// raise(3): lets one signal take its default action on this process. Returns unless that ends the
/// process.
pub(crate) fn take_default_action(signal: i32) {
    // SAFETY: the set is filled by sigemptyset before it is used; the default action takes no
    // handler.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// setrlimit(2): disables core dumps, for a process that repeats the end of another one.
pub(crate) fn disable_core_dumps() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is read only.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
}

/// signal(2): takes SIGCHLD's default action. Whoever started this process may have had it ignored,
/// and then the kernel forgets a child that ends, and nobody hears how it ended.
pub(crate) fn hear_of_children() {
    // SAFETY: the default action takes no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// The signal by which a thread is interrupted.
const INTERRUPTS: i32 = libc::SIGURG;

/// sigaction(2), pthread_sigmask(3): lets [`interrupt`] end what this thread waits for in the
/// kernel, if a signal can.
pub(crate) fn be_interruptible() {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: both structures are plain bits that are filled before they are used; the handler
    // touches nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        libc::sigaction(INTERRUPTS, &action, std::ptr::null_mut());
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, INTERRUPTS);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
    }
}

/// pthread_kill(3): ends what a thread waits for that has called [`be_interruptible`]; does nothing
/// to another one of this process.
pub(crate) fn interrupt(thread: &std::thread::JoinHandle<()>) {
    use std::os::unix::thread::JoinHandleExt;
    // SAFETY: the handle was not joined, so that its thread's number is valid.
    unsafe { libc::pthread_kill(thread.as_pthread_t(), INTERRUPTS) };
}

/// signalfd(2): a descriptor from which every blocked signal can be read.
pub(crate) fn signals() -> Result<OwnedFd> {
    // SAFETY: the set is filled before it is used, and the descriptor is new.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&mut all);
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(
            -1,
            &all,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        ))?))
    }
}

/// read(2): the next signal that waits in a signalfd.
pub(crate) fn next_signal(signals: &OwnedFd) -> Option<libc::signalfd_siginfo> {
    // SAFETY: every bit pattern is a valid structure, and read gets its length.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let size = size_of_val(&info);
        let got = libc::read(signals.as_raw_fd(), (&raw mut info).cast(), size);
        (got == size as isize).then_some(info)
    }
}

/// kill(2).
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, signal) };
}

/// waitpid(2): waits for a child to stop or end, and returns its number and status. Only children
/// of the calling thread count: what another thread traces is left to that thread.
pub(crate) fn wait_for_child() -> Result<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the status is an integer of ours.
        match check(unsafe { libc::waitpid(-1, &mut status, libc::WUNTRACED | libc::__WNOTHREAD) })
        {
            Err(Errno::INTR) => {}
            other => return other.map(|pid| (pid, status)),
        }
    }
}

/// waitpid(2): waits for the end of this child; its exit code, if it exited.
pub(crate) fn exit_code_of(pid: i32) -> Option<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status is an integer of ours.
        match check(unsafe { libc::waitpid(pid, &mut status, 0) }) {
            Err(Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) if libc::WIFEXITED(status) => return Some(libc::WEXITSTATUS(status)),
            Ok(_) => return None,
        }
    }
}

/// Waits until no child is left, adopted orphans included ([`adopt_orphans`]).
pub(crate) fn reap_children() {
    while wait_for_child().is_ok() {}
}

/// Whether a thread is traced by one of this process.
pub(crate) fn is_traced_by_us(tid: i32) -> bool {
    let text = ashmem_proc::read(format!("/proc/{tid}/status")).unwrap_or_default();
    let tracer = value_of(&text, "TracerPid").and_then(number::<u32>);
    let is_ours = |tracer| Path::new(&format!("/proc/self/task/{tracer}")).exists();
    tracer.is_some_and(|tracer| tracer != 0 && is_ours(tracer))
}

/// setsid(2).
pub(crate) fn setsid() {
    // SAFETY: setsid touches no memory.
    unsafe { libc::setsid() };
}

/// getsid(2): whether this process leads its session.
pub(crate) fn leads_session() -> bool {
    // SAFETY: neither call touches memory.
    unsafe { libc::getsid(0) == libc::getpid() }
}

/// prctl(PR_SET_CHILD_SUBREAPER): makes orphaned descendants children of this process instead of
/// init, where Yama allows only ancestors to access a process (`ptrace_scope` 1 and more).
pub(crate) fn adopt_orphans() {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    if scope.trim().is_empty() || scope.trim() == "0" {
        return;
    }
    // SAFETY: the command takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1_usize, 0_usize, 0_usize, 0_usize) };
}

/// close_range(2): replaces standard input and output by /dev/null, and closes every other
/// inherited descriptor except standard error and those in `keep`.
pub(crate) fn close_inherited_fds(keep: &[RawFd]) {
    for number in [0, 1] {
        empty(number);
    }
    let mut keep: Vec<RawFd> = keep.iter().copied().filter(|number| *number > 2).collect();
    keep.sort_unstable();
    let mut from = 3;
    for number in keep.into_iter().chain([RawFd::MAX]) {
        if from < number {
            // SAFETY: what lies in the range was inherited and no object here owns it.
            unsafe { libc::syscall(libc::SYS_close_range, from, number - 1, 0) };
        }
        from = number.saturating_add(1);
    }
}

/// dup2(2): replaces standard error by /dev/null.
pub(crate) fn redirect_stderr_to_null() {
    empty(2);
}

fn empty(number: RawFd) {
    // SAFETY: the path is NUL terminated; both numbers are this process's own.
    unsafe {
        let nothing = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if nothing >= 0 && nothing != number {
            libc::dup2(nothing, number);
            libc::close(nothing);
        }
    }
}

/// `SD_LISTEN_FDS_START`: the number of the first descriptor that is passed.
pub(crate) const FIRST_PASSED: usize = 3;

/// dup2(2): puts copies of these descriptors at number 3 and those after it, where the program that
/// is executed next finds them (sd_listen_fds(3)).
///
/// Whatever had these numbers is closed: only an execution, or the end, may follow.
pub(crate) fn pass_descriptors(fds: &[BorrowedFd<'_>]) -> Result<()> {
    let beyond = i32::try_from(fds.len()).map_err(|_| Errno::MFILE)?.saturating_add(3);
    // First out of the way of one another; these copies are closed by the execution.
    let aside: Vec<OwnedFd> =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, beyond)).collect::<Result<_>>()?;
    for (number, fd) in (3..).zip(&aside) {
        // SAFETY: no memory is touched, and the caller uses nothing that had this number before.
        check(unsafe { libc::dup2(fd.as_raw_fd(), number) })?;
    }
    Ok(())
}

/// bind(2) of a Unix socket whose permissions are what this umask leaves, from its first moment on.
/// Call it while the process has one thread: the umask is the process's.
pub(crate) fn bind_under(socket: impl AsFd, name: &SocketAddrUnix, umask: u32) -> Result<()> {
    let before = rustix::process::umask(Mode::from_bits_retain(umask));
    let bound = rustix::net::bind(socket, name);
    rustix::process::umask(before);
    bound
}

/// execvp(3); returns only if it fails.
pub(crate) fn execute(words: &[CString]) -> Errno {
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: the vector ends with a null pointer and every other one is a NUL-terminated string.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    last_errno()
}

/// The result of a libc call, in which -1 stands for errno.
pub(crate) fn check(result: i32) -> Result<i32> {
    if result < 0 { Err(last_errno()) } else { Ok(result) }
}

/// uname(2): whether the kernel is of this version or a later one.
pub(crate) fn kernel_is(major: u32, minor: u32) -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
}

/// errno: the error of the last failed call.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Locks a mutex, whether or not a thread has panicked with it: what such a thread leaves is as it
/// was or half done, and neither is a reason to leave every other caller waiting.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// fstat(2), with the C library's structure.
pub(crate) fn fstat(fd: impl AsFd) -> Result<libc::stat> {
    // SAFETY: an all-zero stat is a valid one, and the call fills it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(fd.as_fd().as_raw_fd(), &mut stat))?;
        Ok(stat)
    }
}
