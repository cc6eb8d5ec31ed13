// SPDX-License-Identifier: MIT OR Apache-2.0
//! seccomp's user notification, which both module-less ways stand on.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use ashmem_agent::notification::{Answer, Channel, Injection, ReceiveError};
use ashmem_agent::seccomp::bpf::Instruction;
use ashmem_agent::seccomp::filter::{Fidelity, Filter, NodeLookup};
use ashmem_agent::seccomp::listener::{InstallError, Listener, Privileges, install};
use ashmem_agent::target_thread::Target;
use ashmem_core::abi;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use crate::Host;
use crate::check::Check;
use crate::child::{Child, ChildEnd};
use crate::finding::Finding;
use crate::trial::{self, AnsweredBy};
use crate::way::Way;

/// Nothing here takes longer, unless it hangs.
const LIMIT: Duration = Duration::from_secs(10);
/// What the child's call carries, and the supervisor must be able to read.
const WORD: &std::ffi::CStr = c"ashmem doctor";
/// What the supervisor answers.
const VALUE: i64 = 0x7707;

/// A child filters itself and calls; this process answers as a supervisor does.
pub(super) struct SeccompCheck;

/// At which step it failed.
enum SeccompFailure {
    /// The child's own filter was refused.
    Install(InstallError),
    /// The child came to an end that it did not choose.
    Killed(ChildEnd),
    /// A step of this side.
    Step(&'static str, Errno),
}

impl Check for SeccompCheck {
    fn name(&self) -> &'static str {
        "notification"
    }

    fn looks_at(&self) -> &'static str {
        "seccomp user notification, tried in a child: filter, listener, its memory read, a \
         descriptor put in, an answer"
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Agent, Way::Run]
    }

    fn examine(&self, host: &Host) -> Finding {
        let failure = match attempt() {
            Ok(()) => return Finding::ok("seccomp notifies, and callers can be answered"),
            Err(failure) => failure,
        };
        match failure {
            SeccompFailure::Install(InstallError::Busy)
                if trial::answered_by(host) == Some(AnsweredBy::Supervisor) =>
            {
                Finding::ok("a supervisor answers this process already: /dev/ashmem works in here")
            }
            SeccompFailure::Install(InstallError::Busy) => Finding::fault(
                "seccomp says EBUSY: another listener watches this process",
            )
            .why(
                "the kernel allows one in a line of processes: a container with a notify profile, \
                 or a tool that uses one",
            )
            .next(
                "# start `ashmem run` outside of that, or let that container's profile name the \
                 agent: ashmem agent profile --help",
            ),
            SeccompFailure::Install(error) => refused(host, &error),
            SeccompFailure::Killed(end) => {
                Finding::fault(format!("the child that filtered itself was stopped: {end:?}"))
                    .why("a sandbox around this program kills what calls seccomp(2)")
                    .next("grep -E 'Seccomp|NoNewPrivs' /proc/self/status")
            }
            SeccompFailure::Step(step, errno) => not_answered(host, step, errno),
        }
    }
}

fn refused(host: &Host, error: &InstallError) -> Finding {
    let finding =
        Finding::fault(error.to_string().split(';').next().unwrap_or_default().to_owned());
    let actions = host.text("/proc/sys/kernel/seccomp/actions_avail");
    match actions {
        Some(actions) if actions.split(' ').any(|action| action == "user_notif") => finding
            .why(
                "the kernel has it, so a sandbox around this program forbids it: Docker's, LXC's \
                 or Incus' seccomp profile",
            )
            .next(
                "# docker: --security-opt seccomp=ashmem.json of `ashmem agent profile --oci`; \
                 Incus: start it on the host",
            )
            .next("grep Seccomp /proc/self/status"),
        Some(_) => finding
            .why(
                "this kernel's seccomp has no user_notif; it came with Linux 5.0, and 5.9 made it \
                 able to pass descriptors",
            )
            .next("uname -r"),
        None => finding
            .why("this kernel was built without CONFIG_SECCOMP_FILTER")
            .next("zgrep SECCOMP /proc/config.gz || grep SECCOMP /boot/config-$(uname -r)"),
    }
}

fn not_answered(host: &Host, step: &str, errno: Errno) -> Finding {
    let finding = Finding::fault(format!("{step}: {}", trial::name(errno)));
    let yama = host.text("/proc/sys/kernel/yama/ptrace_scope");
    match (errno, yama.as_deref()) {
        (Errno::PERM, Some("3")) => finding
            .why(
                "kernel.yama.ptrace_scope is 3: no process may look at another, and only a new \
                 boot takes that back",
            )
            .next("grep -rn ptrace_scope /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d")
            .next("sudo systemctl reboot   # after the line is taken out"),
        (Errno::PERM, Some("2")) => finding
            .why(
                "kernel.yama.ptrace_scope is 2: only root may look at another process, as a \
                 supervisor must",
            )
            .next("sudo sysctl kernel.yama.ptrace_scope=1"),
        (Errno::PERM | Errno::NOSYS, _) => finding
            .why(
                "a sandbox around this program forbids to look at its own children \
                 (process_vm_readv, pidfd_getfd)",
            )
            .next("# docker: --cap-add SYS_PTRACE, or a seccomp profile that allows these calls"),
        _ => finding
            .why("a supervisor needs this step; Linux 5.9 and newer have it")
            .next("uname -r"),
    }
}

/// Filters a child, and answers its call.
fn attempt() -> Result<(), SeccompFailure> {
    let step = |step| move |errno| SeccompFailure::Step(step, errno);
    let program = Filter { fidelity: Fidelity::Fast, node: NodeLookup::Present }.program();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(step("making a pipe"))?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(step("opening /dev/null"))?;
    let child = Child::start(|| caller(&program, &null, &writer)).map_err(step("fork"))?;
    drop(writer);
    let mut word = [0; 8];
    let Ok(8) = rustix::io::read(&reader, &mut word) else {
        return Err(SeccompFailure::Killed(
            child.end(LIMIT).map_err(step("waiting for the child"))?,
        ));
    };
    let [listener, error] =
        [0, 4].map(|at| i32::from_ne_bytes([word[at], word[at + 1], word[at + 2], word[at + 3]]));
    if listener < 0 {
        return Err(SeccompFailure::Install(install_error(listener, error)));
    }
    let handle = rustix::process::pidfd_open(child.pid(), PidfdFlags::empty())
        .map_err(step("pidfd_open"))?;
    let listener = rustix::process::pidfd_getfd(&handle, listener, PidfdGetfdFlags::empty())
        .map_err(step("pidfd_getfd"))?;
    answer(&Listener::new(listener).map_err(step("asking for seccomp's sizes"))?)?;
    match child.end(LIMIT).map_err(step("waiting for the child"))? {
        ChildEnd::Exit(0) => Ok(()),
        ChildEnd::Exit(_) => Err(SeccompFailure::Step("the child's answer", Errno::IO)),
        end => Err(SeccompFailure::Killed(end)),
    }
}

/// The child: calls the kernel and nobody else.
fn caller(program: &[Instruction], null: &OwnedFd, writer: &OwnedFd) -> i32 {
    let listener = install(program, Privileges::Renounce);
    let (number, error) = match &listener {
        Ok(listener) => (listener.as_raw_fd(), 0),
        Err(InstallError::Busy) => (-1, 0),
        Err(InstallError::Refused(errno)) => (-2, errno.raw_os_error()),
        Err(InstallError::NoNewPrivs(errno)) => (-3, errno.raw_os_error()),
    };
    let mut word = [0; 8];
    word[..4].copy_from_slice(&number.to_ne_bytes());
    word[4..].copy_from_slice(&error.to_ne_bytes());
    let told = rustix::io::write(writer, &word) == Ok(8);
    let answer = trial::ioctl(null, abi::SET_NAME, WORD.as_ptr() as u64);
    let is_memfd = rustix::fs::fcntl_get_seals(null).is_ok();
    i32::from(!(told && answer == Ok(VALUE) && is_memfd))
}

fn install_error(kind: i32, error: i32) -> InstallError {
    match kind {
        -1 => InstallError::Busy,
        -3 => InstallError::NoNewPrivs(Errno::from_raw_os_error(error)),
        _ => InstallError::Refused(Errno::from_raw_os_error(error)),
    }
}

/// This side: a supervisor's steps, once.
fn answer(listener: &Listener) -> Result<(), SeccompFailure> {
    let step = |step| move |errno| SeccompFailure::Step(step, errno);
    let limit = rustix::event::Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
    let mut waiting = [PollFd::from_borrowed_fd(Channel::as_fd(listener), PollFlags::IN)];
    if poll(&mut waiting, Some(&limit)).map_err(step("waiting for a notification"))? == 0 {
        return Err(SeccompFailure::Step("waiting for a notification", Errno::TIMEDOUT));
    }
    let notification = listener.receive().map_err(|error| match error {
        ReceiveError::System(errno) => SeccompFailure::Step("receiving a notification", errno),
        _ => SeccompFailure::Step("receiving a notification", Errno::PIPE),
    })?;
    let notification =
        notification.ok_or(SeccompFailure::Step("receiving a notification", Errno::SRCH))?;
    let target = Target::new(listener, notification.id, notification.tid);
    let mut word = [0; 13];
    target.read(notification.args[2], &mut word).map_err(step("reading the caller's memory"))?;
    let memfd = rustix::fs::memfd_create("ashmem doctor", rustix::fs::MemfdFlags::CLOEXEC)
        .map_err(step("memfd_create"))?;
    let at = Some(notification.args[0] as i32);
    let injection = Injection { fd: memfd.as_fd(), at, close_on_exec: true };
    target.inject(injection).map_err(step("putting a descriptor into the caller"))?;
    let answer =
        if word == WORD.to_bytes() { Answer::Value(VALUE) } else { Answer::Errno(Errno::FAULT) };
    listener.answer(notification.id, answer).map_err(step("answering"))
}
