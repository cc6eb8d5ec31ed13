//! A program that we start ourselves.
//!
//! Three processes take part:
//!
//! - the *waiter* is the one the shell knows. It passes signals on to the program, stops when the program stops, and ends
//!   as the program ends;
//! - the *supervisor*, its child, answers notifications for as long as any process of the program is left, also after the
//!   program itself has ended. It is in a session of its own, so that no key stroke stops it;
//! - the *program*, child of the supervisor, so that Yama lets the supervisor look at it and at all its descendants. It
//!   stays in the waiter's session and process group: the terminal treats it as if the shell had started it.
//!
//! The waiter and the supervisor keep none of the descriptors they inherited but standard error, lest a pipe stay open
//! that the program has closed.

mod fd_passing;
mod foreground;
mod namespace;

pub use foreground::{Ending, NOT_STARTED};

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use self::fd_passing::{NodeFds, Received};
use self::foreground::{ProgramStatus, StatusSender, wait};
use crate::emulation::Tenant;
use crate::error::{SystemError, failed};
use crate::regions::node::{Device, DeviceNode};
use crate::seccomp::filter::{self, Fidelity, Filter};
use crate::seccomp::listener::{InstallError, Listener, Privileges, install};
use crate::supervisor::Supervisor;
use crate::sys::{self, Forked, SignalMask};
use crate::target::{self, Threads};
use ashmem_trace_wire::pipe::RecordWriter;

/// What to start.
pub struct Program {
    /// Its name, searched in PATH unless it holds a slash, and its arguments.
    pub command: Vec<OsString>,
    /// How much of the device is kept up.
    pub fidelity: Fidelity,
    /// Whether it may be given a `/dev` of its own; if not, or where that is refused, lookups of paths are notified.
    pub own_dev: bool,
    /// Where to tell what is answered.
    pub trace: Option<RecordWriter>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The program could not be looked at, and so none of its calls answered.
    #[error(
        "this process may not look at its own child ({0}); what forbids it is a container's seccomp profile \
         without process_vm_readv, or Yama (kernel.yama.ptrace_scope above 1): `ashmem doctor` tells which"
    )]
    Blind(SystemError),
    /// A word of the command holds a NUL.
    #[error("a word of the command holds a NUL byte, which no program can be given")]
    Nul,
}

/// What the program waits for before it starts.
const GO: &[u8] = b"!";
/// The exit code where the program is there and cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// The exit code where there is no such program.
const NOT_FOUND: i32 = 127;

impl Program {
    /// Starts it under a supervisor and waits for its end. Must be called while the process has one thread.
    ///
    /// # Errors
    /// See [`Error`]; the program was not started then.
    pub fn run(self) -> Result<Ending, Error> {
        let words = self.command.into_iter().map(|word| CString::new(word.into_vec()));
        let words: Vec<CString> = words.collect::<Result<_, _>>().map_err(|_| Error::Nul)?;
        let plan = Plan { words, fidelity: self.fidelity, own_dev: self.own_dev };
        let trace = self.trace;
        let mask = SignalMask::block_all();
        let (ours, theirs) = pair()?;
        match sys::fork().map_err(failed("fork"))? {
            Forked::Parent(_) => {
                drop((theirs, trace));
                sys::close_inherited_fds(&[ours.as_raw_fd()]);
                Ok(wait(&ours))
            }
            Forked::Child => {
                drop(ours);
                let code = match supervise(&plan, trace, &StatusSender::new(theirs), mask) {
                    Ok(()) => 0,
                    Err(error) => {
                        eprintln!("ashmem: cannot supervise: {error}");
                        NOT_STARTED.into()
                    }
                };
                std::process::exit(code)
            }
        }
    }
}

/// [`Program`], ready to be executed.
struct Plan {
    words: Vec<CString>,
    fidelity: Fidelity,
    own_dev: bool,
}

/// The supervisor's life.
fn supervise(plan: &Plan, trace: Option<RecordWriter>, status: &StatusSender, mask: SignalMask) -> Result<(), Error> {
    let (ours, theirs) = pair()?;
    let there = theirs.as_raw_fd();
    let pid = match sys::fork().map_err(failed("fork"))? {
        Forked::Parent(pid) => pid,
        Forked::Child => {
            drop(ours);
            become_program(plan, theirs, mask);
        }
    };
    drop(theirs);
    sys::setsid();
    sys::adopt_orphans();
    let mut kept = vec![ours.as_raw_fd(), status.as_fd().as_raw_fd()];
    kept.extend(trace.as_ref().map(|trace| trace.as_fd().as_raw_fd()));
    sys::close_inherited_fds(&kept);
    status.send(ProgramStatus::Started(pid));

    // Without a listener the program has said why and ended; its exit code is all that is left to tell.
    let Ok(received) = fd_passing::receive(&ours) else {
        status.follow(pid);
        return Ok(());
    };
    // Filtered and not answered it must not go on: where one of these fails, what it waits for never comes.
    look_at(pid, there)?;
    let supervisor = prepare(plan, received)?;
    if let Some(trace) = trace {
        supervisor.trace(trace);
    }
    rustix::io::write(&ours, GO).map_err(failed("telling the program to start"))?;
    drop(ours);
    let serving = std::thread::spawn(move || {
        let _ = supervisor.run();
        supervisor
    });
    status.follow(pid);
    sys::redirect_stderr_to_null();
    sys::reap_children();
    // Whoever traces is told of the last ends too. A process lets go of the listener before it closes its descriptors, so they
    // are looked for once all processes are waited for.
    if let Ok(supervisor) = serving.join() {
        supervisor.tenant().table().reap();
        supervisor.tenant().table().trace_sink().close();
    }
    Ok(())
}

/// Looks at the program as every answer does, while it is this process's image still: at its memory, and at a descriptor
/// that it has for certain.
fn look_at(pid: i32, descriptor: RawFd) -> Result<(), Error> {
    let blind = |step| move |errno| Error::Blind(SystemError { step, errno });
    let mut seen = [0; GO.len()];
    target::read_memory(pid, GO.as_ptr() as u64, &mut seen).map_err(blind("process_vm_readv"))?;
    Threads::default().descriptor(pid, descriptor, || true).map(drop).map_err(blind("looking at its descriptors"))
}

/// A supervisor with the program's listener as its only channel.
fn prepare(plan: &Plan, received: Received) -> Result<Supervisor, Error> {
    let node = received.node.map(|node| DeviceNode::new(node.stat, &node.names));
    let tenant = Tenant::new(Device::new(node), plan.fidelity).map_err(failed("making an inotify instance"))?;
    let supervisor = Supervisor::with_pool(tenant).map_err(failed("making an eventfd"))?;
    let listener =
        Listener::new(received.listener).map_err(failed("taking the listener, for which Linux 5.9 is needed"))?;
    supervisor.add_last(Arc::new(listener));
    Ok(supervisor)
}

/// Filters itself, hands the listener to the supervisor and executes the program.
fn become_program(plan: &Plan, supervisor: OwnedFd, mask: SignalMask) -> ! {
    let node = if plan.own_dev { own_dev() } else { None };
    let at_path = if node.is_some() { filter::NodeLookup::Present } else { filter::NodeLookup::Absent };
    let program = Filter { fidelity: plan.fidelity, node: at_path }.program();
    let listener = match install(&program, Privileges::Keep) {
        Err(InstallError::Refused(Errno::ACCESS)) => install(&program, Privileges::Renounce),
        other => other,
    };
    let listener = listener.unwrap_or_else(|error| {
        eprintln!("ashmem: the program was not started: {error}");
        sys::exit(NOT_STARTED.into())
    });
    if let Err(errno) = fd_passing::send(&supervisor, listener.as_fd(), node.as_ref()) {
        eprintln!("ashmem: the program was not started: handing the listener to the supervisor: {errno}");
        sys::exit(NOT_STARTED.into());
    }
    drop((listener, node));
    // Nobody answers, unless the supervisor says so; what kept it from that, it tells itself.
    if rustix::io::retry_on_intr(|| rustix::io::read(&supervisor, &mut [0; 1])) != Ok(GO.len()) {
        sys::exit(NOT_STARTED.into());
    }
    drop(supervisor);
    mask.restore();
    let errno = sys::execute(&plan.words);
    let name = plan.words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    eprintln!("ashmem: cannot run {name}: {}", io::Error::from(errno));
    sys::exit(if errno == Errno::NOENT { NOT_FOUND } else { NOT_EXECUTABLE })
}

/// The nodes in a `/dev` of the program's own; `None` where the kernel refuses it one.
fn own_dev() -> Option<NodeFds> {
    let node = namespace::enter().and_then(NodeFds::of);
    node.inspect_err(|error| tracing::info!(%error, "no private /dev: every lookup of a path is looked at")).ok()
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed("socketpair"))?)
}
