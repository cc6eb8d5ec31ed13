// SPDX-License-Identifier: MIT OR Apache-2.0
//! The agent: serves containers that their runtimes bring to its sockets; each has a supervisor and
//! a thread of its own.
//!
//! Two containers share only this table of names: a container that keeps its supervisor busy, or
//! makes it fail, delays no other.
//!
//! Under a service manager, everything that a successor needs is stored there: for each container
//! its journal, the watches on its regions, and its listeners or its connection to a monitor. See
//! [`systemd`] and [`crate::journal`]; [`keeper`] stores it where no service manager does.

mod arrival;
pub mod container;
pub mod endpoint;
pub mod joined;
pub mod keeper;
pub mod lxc;
pub mod oci;
pub mod sandbox;
mod stored_fd;
pub mod systemd;

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use self::endpoint::{Endpoint, Protocol};
use self::joined::closer::ConnectionCloser;
use self::joined::errand::Errands;
use self::joined::limits::{self, PendingJoins};
use self::lxc::Monitor;
use self::sandbox::confine;
use self::stored_fd::StoredFd;
use self::systemd::Manager;
use crate::asked::{QuestionSocket, Tenants};
use crate::emulation::Tenant;
use crate::error::{SystemError, failed};
use crate::ids::Identity;
use crate::journal::in_flight::InFlight;
use crate::journal::listener::JournaledListener;
use crate::journal::{Entry, Journal, OpenError, SavedNode};
use crate::line_budget;
use crate::notification::ReceiveError;
use crate::regions::node::Device;
use crate::regions::table::RegionTable;
use crate::regions::watch_quota::WatchQuota;
use crate::seccomp::filter::Fidelity;
use crate::seccomp::listener::Listener;
use crate::supervisor::Supervisor;
use crate::sys::lock;
use crate::sys::{self, SignalMask};
use ashmem_trace_wire::pipe::RecordWriter;

/// The pause after a failed accept: descriptors, which may be short, need time to come back.
const PAUSE: Duration = Duration::from_millis(100);

/// All containers.
pub struct Agent {
    containers: Mutex<HashMap<Identity, Arc<ServedContainer>>>,
    manager: Option<Manager>,
    next: AtomicU64,
    watches: Arc<WatchQuota>,
    /// The tracers of all containers. Locked after the containers.
    tracers: Mutex<Vec<RecordWriter>>,
    joining: PendingJoins,
    errands: Errands,
    closer: OnceLock<ConnectionCloser>,
}

/// Listeners of one container that the service manager is told to forget.
const MOST_FORGOTTEN: u64 = 256;
/// Tracers at a time; each costs the memory of a pipe.
const MOST_TRACERS: usize = 8;

/// One container.
struct ServedContainer {
    identity: Identity,
    /// Tells its descriptors in the service manager's store from those of others.
    number: u64,
    supervisor: Supervisor,
    /// Its in-flight notifications, if they are stored.
    in_flight: Option<Arc<InFlight>>,
    listeners: AtomicU64,
}

/// Why a container is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its runtime sent nothing that can be used.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A process may not join, or said nothing that can be used.
    #[error(transparent)]
    Joined(#[from] joined::Error),
    /// A system call failed.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The first datagram of LXC's monitor is no notification.
    #[error("reading the first notification of LXC's monitor: {0}")]
    Monitor(#[from] ReceiveError),
    /// The journal of the previous agent cannot be read.
    #[error("reading the journal of the previous agent: {0}")]
    Journal(#[from] OpenError),
    /// The service manager lost a descriptor.
    #[error("the service manager stored the container's listeners but not its {0}")]
    NotStored(&'static str),
    /// There is no socket.
    #[error("no socket to serve: none was given, and the service manager passed none")]
    NoSocket,
    /// Too many tracers are connected.
    #[error("{MOST_TRACERS} tracers are connected already, which is the limit: end one of them")]
    TooManyTracers,
}

impl Agent {
    /// An agent without containers, which stores what a successor needs with this manager.
    pub fn new(manager: Option<Manager>) -> Self {
        let watches = Arc::new(WatchQuota::of_host());
        Self {
            containers: Mutex::default(),
            manager,
            next: AtomicU64::new(0),
            watches,
            tracers: Mutex::default(),
            joining: PendingJoins::default(),
            errands: Errands::default(),
            closer: OnceLock::new(),
        }
    }

    /// Takes over what was passed to this process: the containers of the previous agent, and
    /// sockets, which it returns.
    pub fn take_over(self: &Arc<Self>, passed: Vec<(String, OwnedFd)>) -> Vec<Endpoint> {
        let mut endpoints = Vec::new();
        let mut kept: HashMap<u64, Vec<(StoredFd, OwnedFd)>> = HashMap::new();
        for (name, fd) in passed {
            if let Some((container, what)) = StoredFd::parse(&name) {
                kept.entry(container).or_default().push((what, fd));
                continue;
            }
            match Endpoint::adopt(&name, fd) {
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => {
                    tracing::warn!(
                        name,
                        %error,
                        "ignoring a passed descriptor that is no listening socket"
                    )
                }
            }
        }
        self.next.store(kept.keys().max().map_or(0, |last| last + 1), Ordering::Relaxed);
        for (number, descriptors) in kept {
            let names: Vec<String> =
                descriptors.iter().map(|(what, _)| what.name(number)).collect();
            if let Err(error) = self.restore(number, descriptors) {
                tracing::error!(
                    number,
                    %error,
                    "a container of the previous agent is lost: its calls fail with ENOSYS; \
                     restart it"
                );
                names.iter().for_each(|name| self.forget(name));
            }
        }
        endpoints
    }

    fn restore(
        self: &Arc<Self>,
        number: u64,
        descriptors: Vec<(StoredFd, OwnedFd)>,
    ) -> Result<(), Error> {
        let (mut state, mut inode_events, mut channels) = (None, None, Vec::new());
        for (what, fd) in descriptors {
            match what {
                StoredFd::Journal => state = Some(fd),
                StoredFd::InodeEvents => inode_events = Some(fd),
                channel => channels.push((channel, fd)),
            }
        }
        let state = state.ok_or(Error::NotStored("journal"))?;
        let inode_events = inode_events.ok_or(Error::NotStored("watches"))?;
        let (journal, identity, node, entries) = Journal::open(state)?;
        let in_flight = Arc::clone(journal.in_flight());
        let mut table = RegionTable::restore(inode_events, journal, &entries)
            .map_err(failed("making its table"))?;
        let regions = table.len();
        table.share_watches(Arc::clone(&self.watches));
        limits::bound(&mut table, &identity);
        let device = device_for(&identity, Device::new(node.and_then(|node| node.node())));
        let tenant = Tenant::restore(device, table);
        let container = Arc::new(ServedContainer {
            supervisor: Supervisor::with_pool(tenant).map_err(failed("making an eventfd"))?,
            number,
            in_flight: Some(Arc::clone(&in_flight)),
            listeners: AtomicU64::new(0),
            identity,
        });
        for (what, fd) in channels {
            let StoredFd::Listener(place) = what else {
                container
                    .supervisor
                    .add(Arc::new(Monitor::new(fd).marking(container.in_flight.clone())));
                continue;
            };
            container.listeners.fetch_max(place + 1, Ordering::Relaxed);
            let listener =
                Listener::new(fd).map_err(failed("reading the sizes of seccomp's structures"))?;
            let channel = Arc::new(JournaledListener::new(listener, Arc::clone(&in_flight), place));
            for notification in channel.left_over() {
                // The request that ended the previous agent may block this one as well, so each
                // gets a thread.
                let (container, channel) = (Arc::clone(&container), Arc::clone(&channel));
                start("left over", move || {
                    container.supervisor.handle(channel.as_ref(), notification)
                })?;
            }
            container.supervisor.add(channel);
        }
        tracing::info!(container = %container.identity, regions, "took a container over");
        self.admit(&mut self.containers(), &container);
        let agent = Arc::clone(self);
        start("container", move || agent.supervise(&container))
    }

    /// Serves a socket until the process ends.
    fn serve(self: &Arc<Self>, endpoint: &Endpoint) -> ! {
        loop {
            match endpoint.accept() {
                Ok(peer) if endpoint.protocol() == Protocol::Join => self.serve_joiner(peer),
                Ok(peer) => {
                    let (agent, protocol) = (Arc::clone(self), endpoint.protocol());
                    // In a thread of its own: a slow peer delays no other.
                    if let Err(error) = start("container", move || agent.welcome(protocol, peer)) {
                        tracing::error!(
                            %error,
                            "this container has no /dev/ashmem: the agent does not serve it"
                        );
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Adds a container to the table, before its first call is answered.
    fn admit(
        &self,
        containers: &mut HashMap<Identity, Arc<ServedContainer>>,
        container: &Arc<ServedContainer>,
    ) {
        self.tracers().iter().for_each(|pipe| container.supervisor.trace(pipe.clone()));
        containers.insert(container.identity.clone(), Arc::clone(container));
    }

    fn tracers(&self) -> MutexGuard<'_, Vec<RecordWriter>> {
        lock(&self.tracers)
    }

    fn new_container(
        &self,
        identity: Identity,
        device: Device,
    ) -> Result<Arc<ServedContainer>, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let device = device_for(&identity, device);
        let node = SavedNode::of(&device);
        let watches = "making an inotify instance (fs.inotify.max_user_instances is the limit)";
        let tenant = Tenant::new(device, Fidelity::Full).map_err(failed(watches))?;
        {
            let mut table = tenant.table();
            table.share_watches(Arc::clone(&self.watches));
            limits::bound(&mut table, &identity);
        }
        let mut in_flight = None;
        if self.manager.is_some() {
            let container = Entry::Container { identity: identity.clone(), node };
            let journal = Journal::new(container).map_err(failed("making a journal"))?;
            in_flight = Some(Arc::clone(journal.in_flight()));
            self.keep(&StoredFd::Journal.name(number), journal.as_fd());
            self.keep(&StoredFd::InodeEvents.name(number), tenant.table().as_fd());
            tenant.table().write_to(journal);
        }
        let supervisor = Supervisor::with_pool(tenant).map_err(failed("making an eventfd"))?;
        Ok(Arc::new(ServedContainer {
            identity,
            number,
            supervisor,
            in_flight,
            listeners: AtomicU64::new(0),
        }))
    }

    /// Stores one more listener of a container, and serves it.
    fn add_listener(&self, container: &ServedContainer, listener: OwnedFd) -> Result<(), Error> {
        let number = container.listeners.fetch_add(1, Ordering::Relaxed);
        self.keep(&StoredFd::Listener(number).name(container.number), &listener);
        self.settle();
        let listener =
            Listener::new(listener).map_err(failed("reading the sizes of seccomp's structures"))?;
        container.supervisor.add(match &container.in_flight {
            Some(in_flight) => {
                Arc::new(JournaledListener::new(listener, Arc::clone(in_flight), number))
            }
            None => Arc::new(listener),
        });
        Ok(())
    }

    /// Answers a container's calls until its last process is gone.
    fn supervise(&self, container: &Arc<ServedContainer>) {
        loop {
            if let Err(error) = container.supervisor.run() {
                tracing::error!(
                    container = %container.identity,
                    %error,
                    "waiting for notifications"
                );
            }
            let mut containers = self.containers();
            // Another listener may have been added while the last one hung up.
            if container.supervisor.is_idle() {
                if containers
                    .get(&container.identity)
                    .is_some_and(|current| Arc::ptr_eq(current, container))
                {
                    containers.remove(&container.identity);
                }
                break;
            }
        }
        // The manager itself drops what has hung up. A container that joined again and again, for
        // as long as it liked, must not have it told of each of its listeners.
        let all = container.listeners.load(Ordering::Relaxed);
        let listeners = (all.saturating_sub(MOST_FORGOTTEN)..all).map(StoredFd::Listener);
        for what in [StoredFd::Journal, StoredFd::InodeEvents, StoredFd::Monitor]
            .into_iter()
            .chain(listeners)
        {
            self.forget(&what.name(container.number));
        }
        if !container.identity.joined || line_budget::may_say() {
            tracing::info!(container = %container.identity, "the container ended");
        }
    }

    fn keep(&self, name: &str, fd: impl AsFd) {
        if let Some(manager) = &self.manager
            && let Err(error) = manager.keep(name, fd)
        {
            tracing::warn!(
                name,
                %error,
                "the service manager did not store a descriptor: a restart loses this container"
            );
        }
    }

    /// Waits until the service manager has stored what it was sent.
    fn settle(&self) {
        if let Some(manager) = &self.manager
            && let Err(error) = manager.wait()
        {
            tracing::warn!(
                %error,
                "the service manager did not confirm that it stored a descriptor"
            );
        }
    }

    fn forget(&self, name: &str) {
        if let Some(manager) = &self.manager {
            manager.forget(name);
        }
    }

    fn tell(&self, state: &str) {
        if let Some(manager) = &self.manager {
            manager.tell(state);
        }
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<Identity, Arc<ServedContainer>>> {
        lock(&self.containers)
    }
}

impl Tenants for Agent {
    fn visit(&self, tell: &mut dyn FnMut(&Tenant) -> Result<(), Errno>) -> Result<(), Errno> {
        let containers: Vec<_> = self.containers().values().cloned().collect();
        containers.iter().try_for_each(|container| tell(container.supervisor.tenant()))
    }
}

/// Serves these sockets, and the containers and sockets that were passed to this process, until
/// SIGTERM or SIGINT.
///
/// # Errors
/// [`Error::NoSocket`], [`Error::System`].
pub fn serve(
    manager: Option<Manager>,
    passed: Vec<(String, OwnedFd)>,
    mut endpoints: Vec<Endpoint>,
) -> Result<(), Error> {
    // Before any thread starts, so that all of them leave signals to this one.
    let _mask = SignalMask::block_all();
    let signals = sys::signals().map_err(failed("making a signalfd"))?;
    // Before the first container, and before any other thread.
    let asked = QuestionSocket::bind();
    if let Err(error) = confine() {
        tracing::warn!(
            %error,
            "the agent continues without a sandbox: its own seccomp filter failed"
        );
    }
    let agent = Arc::new(Agent::new(manager));
    endpoints.extend(agent.take_over(passed));
    if endpoints.is_empty() {
        return Err(Error::NoSocket);
    }
    for endpoint in endpoints {
        tracing::info!("listening at {}, for {}", endpoint.place(), endpoint.protocol());
        let agent = Arc::clone(&agent);
        start("socket", move || agent.serve(&endpoint))?;
    }
    if let Err(error) = asked.and_then(|socket| socket.serve(Arc::clone(&agent) as _)) {
        tracing::warn!(
            %error,
            "ashmem list and top will not know the containers' pins: no socket in $TMPDIR or /tmp"
        );
    }
    agent.tell("READY=1");
    loop {
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed("waiting for signals")(errno).into()),
        }
        while let Some(info) = sys::next_signal(&signals) {
            if [libc::SIGTERM, libc::SIGINT].contains(&(info.ssi_signo as i32)) {
                agent.tell("STOPPING=1");
                return Ok(());
            }
        }
    }
}

/// The device as this container shows it: one that joined finds it in every root that its programs
/// choose, for all their opens are notified.
fn device_for(identity: &Identity, device: Device) -> Device {
    if identity.joined { device.in_every_root() } else { device }
}

fn start<R: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<(), Error> {
    let started = thread::Builder::new().name(name.into()).spawn(work);
    Ok(started.map(drop).map_err(|_| failed("starting a thread")(Errno::AGAIN))?)
}
