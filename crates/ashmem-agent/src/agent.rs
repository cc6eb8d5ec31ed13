//! The agent: containers come and go at its sockets, and each has a supervisor and a thread of its own.
//!
//! Nothing is shared between two containers but this table of names: a container that keeps its supervisor busy, or makes
//! it fail, keeps nobody else from an answer.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::channel::Channel;
use crate::container::{Identity, device_of};
use crate::endpoint::{Endpoint, Peer, Protocol};
use crate::filter::Fidelity;
use crate::lxc::Monitor;
use crate::notify::Listener;
use crate::oci;
use crate::origin::Origin;
use crate::process::{self, SignalMask};
use crate::supervisor::Supervisor;

/// After a failed accept, before the next: what is short (descriptors) needs time to come back.
const PAUSE: Duration = Duration::from_millis(100);

/// All containers.
#[derive(Default)]
pub struct Agent {
    containers: Mutex<HashMap<Identity, Arc<Supervisor>>>,
}

/// Why a container is not served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its runtime said nothing that can be used.
    #[error(transparent)]
    Oci(#[from] oci::Error),
    /// A system call that normally works did not.
    #[error("{what}: {errno}")]
    System {
        /// The call.
        what: &'static str,
        /// What it said.
        errno: Errno,
    },
}

impl Agent {
    /// Serves a socket for ever.
    pub fn serve(self: &Arc<Self>, endpoint: &Endpoint) -> ! {
        loop {
            match endpoint.accept() {
                Ok(peer) => self.welcome(endpoint.protocol(), peer),
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Takes a connection in, in a thread of its own: who is slow to speak holds nobody up.
    fn welcome(self: &Arc<Self>, protocol: Protocol, peer: Peer) {
        let agent = Arc::clone(self);
        let work = move || {
            let taken = match protocol {
                Protocol::Oci => agent.take_listener(peer),
                Protocol::Lxc => agent.take_monitor(peer),
            };
            if let Err(error) = taken {
                tracing::error!(%error, "a container is not served by /dev/ashmem");
            }
        };
        if let Err(error) = thread::Builder::new().name("welcome".into()).spawn(work) {
            tracing::error!(%error, "a container is not served by /dev/ashmem: no thread for it");
        }
    }

    /// Takes the listener that an OCI runtime brings.
    fn take_listener(self: &Arc<Self>, peer: Peer) -> Result<(), Error> {
        let oci::Handover { listener, process } = oci::receive(peer.connection)?;
        let identity = Identity { user: peer.user, id: process.container };
        tracing::info!(container = %identity, pid = process.pid, first = process.is_first, "a listener");
        let mut containers = self.containers();
        let known = if process.is_first { None } else { containers.get(&identity).cloned() };
        let channel = Arc::new(channel(listener)?);
        if let Some(supervisor) = known {
            supervisor.add(channel);
            return Ok(());
        }
        let supervisor = supervisor(process.pid)?;
        supervisor.add(channel);
        containers.insert(identity.clone(), Arc::clone(&supervisor));
        drop(containers);
        self.supervise(identity, supervisor);
        Ok(())
    }

    /// Serves the container of an LXC monitor. Its first notification says which one it is.
    fn take_monitor(self: &Arc<Self>, peer: Peer) -> Result<(), Error> {
        let monitor = Monitor::new(peer.connection);
        let first = match monitor.peek() {
            // A container that ended before it made a call that could concern us.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            other => other.map_err(|errno| Error::System { what: "reading LXC's first notification", errno })?,
        };
        let id = String::from_utf8_lossy(&first.cookie).into_owned();
        let identity = Identity { user: peer.user, id: format!("{id}#{}", first.init) };
        tracing::info!(container = %identity, "a monitor");
        let supervisor = supervisor(first.init)?;
        supervisor.add(Arc::new(monitor));
        self.supervise(identity, supervisor);
        Ok(())
    }

    /// Answers a container's calls until its last process is gone.
    fn supervise(&self, identity: Identity, supervisor: Arc<Supervisor>) {
        loop {
            if let Err(error) = supervisor.run() {
                tracing::error!(container = %identity, %error, "waiting for notifications");
            }
            let mut containers = self.containers();
            // One more listener may have come while the last one went.
            if supervisor.is_idle() {
                if containers.get(&identity).is_some_and(|current| Arc::ptr_eq(current, &supervisor)) {
                    containers.remove(&identity);
                }
                break;
            }
        }
        tracing::info!(container = %identity, "ended");
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<Identity, Arc<Supervisor>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn supervisor(pid: i32) -> Result<Arc<Supervisor>, Error> {
    let origin = Origin::new(device_of(pid), Fidelity::Full).map_err(|errno| Error::System {
        what: "making an inotify instance (fs.inotify.max_user_instances is the limit)",
        errno,
    })?;
    let supervisor = Supervisor::new(origin).map_err(|errno| Error::System { what: "making an eventfd", errno })?;
    Ok(Arc::new(supervisor))
}

fn channel(listener: OwnedFd) -> Result<impl Channel + 'static, Error> {
    Listener::new(listener).map_err(|errno| Error::System { what: "asking for seccomp's sizes", errno })
}

/// Serves these sockets until SIGTERM or SIGINT.
///
/// # Errors
/// EAGAIN: no thread could be started. EMFILE.
pub fn serve(agent: Arc<Agent>, endpoints: Vec<Endpoint>) -> Result<(), Error> {
    // Before any thread, so that all of them leave the signals to this one.
    let _mask = SignalMask::block_all();
    let system = |what| move |errno| Error::System { what, errno };
    let signals = process::signals().map_err(system("making a signalfd"))?;
    for endpoint in endpoints {
        let agent = Arc::clone(&agent);
        thread::Builder::new()
            .name(format!("{} socket", endpoint.protocol()))
            .spawn(move || agent.serve(&endpoint))
            .map_err(|_| Error::System { what: "starting a thread", errno: Errno::AGAIN })?;
    }
    loop {
        match poll(&mut [PollFd::new(&signals, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::System { what: "waiting for signals", errno }),
        }
        while let Some(info) = process::next_signal(&signals) {
            if [libc::SIGTERM, libc::SIGINT].contains(&(info.ssi_signo as i32)) {
                return Ok(());
            }
        }
    }
}
