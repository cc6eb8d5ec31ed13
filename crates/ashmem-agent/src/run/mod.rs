// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a program under a supervisor (`ashmem run`).
//!
//! Three processes take part:
//!
//! - the *foreground process* is the one that the shell knows. It forwards signals to the program,
//!   stops when the program stops, and ends as the program ends;
//! - the *supervisor*, its child, answers notifications while any process of the program is left,
//!   also after the program itself has ended. It has a session of its own, so that no key stroke
//!   stops it;
//! - the *program*, a child of the supervisor, so that Yama lets the supervisor access it and its
//!   descendants. It stays in the session and process group of the foreground process: the terminal
//!   treats it as if the shell had started it.
//!
//! If the foreground process is killed, the supervisor kills the program; if the supervisor is
//! killed, the foreground process does, with all that descends from it: no program goes on whose
//! calls nobody answers.
//!
//! The foreground process and the supervisor close every inherited descriptor except standard
//! error, so that no pipe stays open that the program has closed.

mod fd_passing;
mod foreground;
mod namespace;

pub use foreground::{Ending, NOT_STARTED, SUPERVISOR_KILLED};

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use self::fd_passing::{NodeFds, Received};
use self::foreground::{StatusSender, wait};
use crate::asked::QuestionSocket;
use crate::emulation::Tenant;
pub use crate::emulation::Unpinning;
use crate::error::{SystemError, failed};
use crate::execute::{NulError, become_or_say, words_of};
use crate::inside::Inside;
pub use crate::inside::InsideMode;
use crate::notice;
use crate::regions::memfd;
use crate::regions::node::{Device, DeviceNode};
use crate::seccomp::filter::{self, Fidelity, Filter, Gate};
use crate::seccomp::listener::{InstallError, Listener, Privileges, install};
use crate::supervisor::Supervisor;
use crate::sys::{self, Forked, SignalMask};
use crate::target_thread::{self, Threads};
use ashmem_trace_wire::pipe::RecordWriter;

/// What to start.
pub struct Program {
    /// Its name, searched in PATH unless it holds a slash, and its arguments.
    pub command: Vec<OsString>,
    /// How much of the device is emulated.
    pub fidelity: Fidelity,
    /// Whether it may get a private `/dev`; if not, or where the kernel refuses it, lookups of
    /// paths are notified.
    pub own_dev: bool,
    /// The root directory in which it starts.
    pub root: Option<PathBuf>,
    /// When calls are answered inside the program, where that is possible.
    pub inside: InsideMode,
    /// When its unpinned pages are purged.
    pub unpinning: Unpinning,
    /// Where answers are traced. Then every call is notified.
    pub trace: Option<RecordWriter>,
}

/// Why the program was not started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The supervisor cannot access the program, so it could answer none of its calls.
    #[error(
        "the supervisor may not access its own child ({0}): a container's seccomp profile without \
         process_vm_readv forbids it, or Yama does (kernel.yama.ptrace_scope above 1); `ashmem \
         doctor` tells which"
    )]
    Blind(SystemError),
    /// A word of the command holds a NUL.
    #[error(transparent)]
    Nul(#[from] NulError),
}

/// What the program waits for before it executes.
const GO: &[u8] = b"!";

impl Program {
    /// Starts it under a supervisor, and waits for its end. Call it while the process has one
    /// thread.
    ///
    /// # Errors
    /// See [`Error`]; the program was not started then.
    pub fn run(self) -> Result<Ending, Error> {
        let words = words_of(self.command)?;
        // What is answered inside is not seen by tracers.
        let gate = match self.inside {
            InsideMode::Never => None,
            _ => Inside::gate().filter(|_| self.trace.is_none()),
        };
        let (fidelity, own_dev) = (self.fidelity, self.own_dev);
        let (inside, unpinning) = (self.inside, self.unpinning);
        let plan = Plan { words, fidelity, own_dev, root: self.root, gate, inside, unpinning };
        let trace = self.trace;
        let mask = SignalMask::block_all();
        let (ours, theirs) = pair()?;
        match sys::fork().map_err(failed("fork"))? {
            Forked::Parent(supervisor) => {
                drop((theirs, trace));
                sys::close_inherited_fds(&[ours.as_raw_fd()]);
                Ok(wait(&ours, supervisor))
            }
            Forked::Child => {
                drop(ours);
                let code = match supervise(&plan, trace, &StatusSender::new(theirs), mask) {
                    Ok(()) => 0,
                    Err(error) => {
                        notice!("the program was not started: {error}");
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
    root: Option<PathBuf>,
    /// Where calls come from that are part of an answer inside the program.
    gate: Option<Gate>,
    inside: InsideMode,
    unpinning: Unpinning,
}

/// The supervisor process, from its start to its end.
fn supervise(
    plan: &Plan,
    trace: Option<RecordWriter>,
    status: &StatusSender,
    mask: SignalMask,
) -> Result<(), Error> {
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
    status.send_started(pid).map_err(failed("telling of the program"))?;

    // Without a listener the program has reported the reason and ended; only its exit code is left
    // to report.
    let Ok(received) = fd_passing::receive(&ours) else {
        status.follow(pid);
        return Ok(());
    };
    // Filtered and unanswered it must not continue: if one of these steps fails, the program never
    // gets what it waits for.
    look_at(pid, there)?;
    let supervisor = Arc::new(prepare(plan, pid, received)?);
    if let Some(trace) = trace {
        supervisor.trace(trace);
    }
    // Without the socket, `ashmem list` knows less of these regions.
    let asked =
        QuestionSocket::bind().and_then(|socket| socket.serve(Arc::clone(&supervisor) as _));
    if let Err(error) = asked {
        tracing::debug!(%error, "nobody can ask about the regions of this program");
    }
    let served = Arc::clone(&supervisor);
    let serve = move || _ = served.run();
    let serving = std::thread::Builder::new().name("loop".into()).spawn(serve);
    let serving = serving
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::AGAIN))
        .map_err(failed("starting a thread"))?;
    rustix::io::write(&ours, GO).map_err(failed("telling the program to start"))?;
    drop(ours);
    status.follow(pid);
    sys::redirect_stderr_to_null();
    sys::reap_children();
    // Tracers get the last ends too. A process drops the listener before it closes its descriptors,
    // so the ends are read once all processes are reaped.
    if serving.join().is_ok() {
        supervisor.tenant().table().reap();
        supervisor.tenant().table().trace_sink().close();
    }
    Ok(())
}

/// Accesses the program as every answer does, while it still is this process's image: its memory,
/// and a descriptor that it certainly has.
fn look_at(pid: i32, descriptor: RawFd) -> Result<(), Error> {
    let blind = |step| move |errno| Error::Blind(SystemError { step, errno });
    let mut seen = [0; GO.len()];
    target_thread::read_memory(pid, GO.as_ptr() as u64, &mut seen)
        .map_err(blind("process_vm_readv"))?;
    let memfds = memfd::device().map_err(failed("making a memfd"))?;
    Threads::new(memfds)
        .descriptor(pid, descriptor, || true)
        .map(drop)
        .map_err(blind("looking at its descriptors"))
}

/// A supervisor with the program's listener as its only channel.
fn prepare(plan: &Plan, pid: i32, received: Received) -> Result<Supervisor, Error> {
    let node = received.node.map(|node| DeviceNode::new(node.stat, &node.names));
    let device = Device::new(node).in_every_root().telling_of_others();
    let inside = plan.gate.and_then(|_| Inside::new(&device, pid, plan.fidelity, plan.inside).ok());
    let tenant =
        Tenant::new(device, plan.fidelity).map_err(failed("making an inotify instance"))?;
    let tenant = tenant.with_unpinning(plan.unpinning);
    if inside.is_some() {
        memfd::keep_state();
    }
    let supervisor = Supervisor::with_pool(tenant).map_err(failed("making an eventfd"))?;
    let mut supervisor = supervisor.of_own_filter();
    if let Some(inside) = inside {
        supervisor = supervisor.with_inside(inside);
    }
    let listener = Listener::new(received.listener)
        .map_err(failed("taking the listener, for which Linux 5.9 is needed"))?;
    supervisor.add_last(Arc::new(listener));
    Ok(supervisor)
}

/// Filters itself, sends the listener to the supervisor, and executes the program.
fn become_program(plan: &Plan, supervisor: OwnedFd, mask: SignalMask) -> ! {
    let node = enter(plan).unwrap_or_else(|error| {
        notice!("the program was not started: {error}");
        sys::exit(NOT_STARTED.into())
    });
    let at_path =
        if node.is_some() { filter::NodeLookup::Present } else { filter::NodeLookup::Absent };
    let filter = Filter { fidelity: plan.fidelity, node: at_path };
    let program = match plan.gate {
        Some(gate) => filter.program_with_gate(gate),
        None => filter.program(),
    };
    let listener = match install(&program, Privileges::Keep) {
        Err(InstallError::Refused(Errno::ACCESS)) => install(&program, Privileges::Renounce),
        other => other,
    };
    let listener = listener.unwrap_or_else(|error| {
        notice!("the program was not started: {error}");
        sys::exit(NOT_STARTED.into())
    });
    if let Err(errno) = fd_passing::send(&supervisor, listener.as_fd(), node.as_ref()) {
        notice!("the program was not started: handing the listener to the supervisor: {errno}");
        sys::exit(NOT_STARTED.into());
    }
    drop((listener, node));
    // Wait for the supervisor; if it fails, it reports the reason itself.
    if rustix::io::retry_on_intr(|| rustix::io::read(&supervisor, &mut [0; 1])) != Ok(GO.len()) {
        sys::exit(NOT_STARTED.into());
    }
    drop(supervisor);
    mask.restore();
    sys::exit(become_or_say(&plan.words, "ashmem run").into())
}

/// Enters what the program is to see: the root directory, and a private `/dev` with the nodes,
/// which it returns; `None` if the kernel refuses one, or the root has no `/dev`.
fn enter(plan: &Plan) -> Result<Option<NodeFds>, RootError> {
    let without = |error: &Errno| {
        tracing::info!(%error, "no private /dev: every path lookup is notified");
    };
    let devices = match plan.own_dev {
        true => namespace::enter(plan.root.is_some()).inspect_err(without).ok(),
        false => None,
    };
    if let Some(root) = &plan.root {
        namespace::change_root(root)
            .map_err(|errno| RootError { root: root.clone(), errno: errno.into() })?;
    }
    let show = |devices| namespace::show_nodes(plan.fidelity, &devices).and_then(NodeFds::of);
    Ok(devices.and_then(|devices| show(devices).inspect_err(without).ok()))
}

/// The root directory cannot be entered.
#[derive(Debug, thiserror::Error)]
#[error(
    "--root {}: {errno}; it must be a directory, and entering it takes root or a user namespace \
     (`ashmem doctor` tells whether this system allows one)",
    root.display()
)]
struct RootError {
    root: PathBuf,
    errno: std::io::Error,
}

fn pair() -> Result<(OwnedFd, OwnedFd), Error> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(failed("socketpair"))?)
}
