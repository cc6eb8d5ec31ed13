// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a container arrives: its runtime, its monitor or its own first process brings the listener,
//! and a tracer its wish to see them all.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ashmem_trace_wire::attach::give;
use ashmem_trace_wire::pipe::RecordWriter;
use rustix::pipe::{PipeFlags, pipe_with};

use super::container::device_of;
use super::endpoint::{Peer, Protocol};
use super::joined::closer::ConnectionCloser;
use super::joined::joiner::Joiner;
use super::joined::limits::{self, TallyMark};
use super::lxc::Monitor;
use super::oci::Brought;
use super::stored_fd::StoredFd;
use super::{Agent, Error, MOST_TRACERS, ServedContainer, joined, oci, start};
use crate::error::failed;
use crate::ids::Identity;
use crate::join::wire::{self, AgentAnswer};
use crate::line_budget;
use crate::notification::{Channel, ReceiveError};
use crate::seccomp::listener::is_listener;

impl Agent {
    pub(super) fn welcome(&self, protocol: Protocol, peer: Peer) {
        let taken = match protocol {
            Protocol::Oci => self.take_oci(peer),
            Protocol::Lxc => self.take_monitor(peer),
            Protocol::Join => return,
        };
        if let Err(Error::Oci(error @ oci::Error::Disconnected)) = taken {
            // The runtime tells its user why.
            tracing::warn!("{error}");
        } else if let Err(error) = taken {
            tracing::error!(
                %error,
                "this container has no /dev/ashmem: the agent does not serve it"
            );
        }
    }

    fn take_oci(&self, Peer { connection, user }: Peer) -> Result<(), Error> {
        match oci::receive(&connection)? {
            Brought::Listener(handover) => {
                // Some runtimes wait until it is closed.
                drop(connection);
                self.take_listener(user, handover)
            }
            Brought::Tracer => {
                if let Err(error) = self.take_tracer(&connection) {
                    tracing::warn!(%error, "a tracer was refused");
                }
                Ok(())
            }
        }
    }

    /// Takes the listener that an OCI runtime brings.
    fn take_listener(&self, user: u32, handover: oci::Handover) -> Result<(), Error> {
        let oci::Handover { listener, process } = handover;
        // Before it is stored: what is no listener never hangs up, and would stay there.
        if !is_listener(&listener) {
            return Err(oci::Error::Descriptors("brought no listener of seccomp's").into());
        }
        let identity = Identity::brought(user, process.container);
        tracing::info!(
            container = %identity,
            pid = process.pid,
            first = process.is_first,
            "got a listener"
        );
        let known = |containers: &HashMap<Identity, Arc<ServedContainer>>| {
            containers.get(&identity).filter(|_| !process.is_first).cloned()
        };
        // Before the lock is taken: the file system of a container whose programs already run can
        // block for as long as they like, and must delay no other.
        let mut device = None;
        let container = loop {
            let mut containers = self.containers();
            if let Some(container) = known(&containers) {
                return self.add_listener(&container, listener);
            }
            if let Some(device) = device.take() {
                let container = self.new_container(identity.clone(), device)?;
                self.add_listener(&container, listener)?;
                self.admit(&mut containers, &container);
                break container;
            }
            drop(containers);
            device = Some(device_of(process.pid));
        };
        self.supervise(&container);
        Ok(())
    }

    /// Serves the container of an LXC monitor. The first notification names the container.
    fn take_monitor(&self, peer: Peer) -> Result<(), Error> {
        let monitor = Monitor::new(peer.connection);
        let first = match monitor.peek() {
            // The container ended before it made a call that could concern the device.
            Err(ReceiveError::HungUp) => return Ok(()),
            other => other?,
        };
        let id = format!("{}#{}", String::from_utf8_lossy(&first.cookie), first.init);
        let container =
            self.new_container(Identity::brought(peer.user, id), device_of(first.init))?;
        tracing::info!(container = %container.identity, "connected to a monitor");
        self.keep(&StoredFd::Monitor.name(container.number), monitor.as_fd());
        self.settle();
        container.supervisor.add(Arc::new(monitor.marking(container.in_flight.clone())));
        self.admit(&mut self.containers(), &container);
        self.supervise(&container);
        Ok(())
    }

    /// Takes a process that joins; one beyond the limits is refused before anything is spent on it.
    pub(super) fn serve_joiner(self: &Arc<Self>, Peer { connection, user }: Peer) {
        let connection = Arc::new(connection);
        let refuse = |connection: Arc<OwnedFd>, reason: &joined::Error| {
            tracing::debug!(user, %reason, "a process that joins is refused");
            // It may not listen, and must not be waited for.
            let _ = rustix::io::ioctl_fionbio(&connection, true);
            let _ = wire::send_answer(&connection, &reason.answer());
            self.close(connection);
        };
        let joiner = match Joiner::behind(&connection) {
            Ok(joiner) => joiner,
            Err(error) => return refuse(connection, &error.into()),
        };
        let may = self.errands.check(joiner.identity());
        match may.and_then(|()| self.joining.begin(joiner.identity())) {
            Err(error) => refuse(connection, &error.into()),
            Ok(pending) => {
                let (agent, identity) = (Arc::clone(self), joiner.identity().clone());
                let join = move || agent.take_joiner(connection, &joiner, pending);
                if let Err(error) = start("container", join)
                    && line_budget::may_say()
                {
                    tracing::error!(container = %identity, %error, "a process could not join");
                }
            }
        }
    }

    /// Closes the connection of a process that joins, without waiting for what it sent there.
    fn close(&self, connection: Arc<OwnedFd>) {
        if self.closer.get().is_none()
            && let Ok(closer) = ConnectionCloser::start()
        {
            self.closer.get_or_init(|| closer);
        }
        if let Some(closer) = self.closer.get() {
            closer.close(connection);
        }
    }

    /// Serves a process that joins, or tells it why not.
    fn take_joiner(&self, connection: Arc<OwnedFd>, joiner: &Joiner, pending: TallyMark) {
        let welcomed = self.welcome_joiner(&connection, joiner);
        // Before it is told: who is refused may try again at once.
        drop(pending);
        if let Err(error) = &welcomed {
            if line_budget::may_say() {
                tracing::info!(
                    container = %joiner.identity(),
                    pid = joiner.pid(),
                    %error,
                    "a process did not join"
                );
            }
            let _ = wire::send_answer(&connection, &AgentAnswer::No(error.to_string()));
        }
        self.close(connection);
        // Its thread goes on for as long as the container runs.
        if let Ok(Some(container)) = welcomed {
            self.supervise(&container);
        }
    }

    /// Takes the listener of a process that joins; returns its container if it is a new one.
    fn welcome_joiner(
        &self,
        connection: &Arc<OwnedFd>,
        joiner: &Joiner,
    ) -> Result<Option<Arc<ServedContainer>>, Error> {
        // What says no later, when the process is filtered, ends it.
        self.check_joiner(&self.containers(), joiner)?;
        joined::wait_for(connection)?;
        // Before it filters itself, and without the lock: its memory and file system may block.
        let (peer, pid) = (Arc::clone(connection), joiner.pid());
        let look = move || joined::hear_greeting(&peer, pid).map(|()| device_of(pid));
        let device = self.errands.run(joiner.identity(), look)??;
        wire::send_answer(connection, &AgentAnswer::Yes).map_err(failed("answering a greeting"))?;
        joined::wait_for(connection)?;
        let peer = Arc::clone(connection);
        let take = move || joined::take_listener(&peer);
        let listener = self.errands.run(joiner.identity(), take)??;
        let new = {
            let mut containers = self.containers();
            self.check_joiner(&containers, joiner)?;
            match containers.get(joiner.identity()).cloned() {
                Some(container) => {
                    self.add_listener(&container, listener)?;
                    None
                }
                None => {
                    let container = self.new_container(joiner.identity().clone(), device)?;
                    self.add_listener(&container, listener)?;
                    self.admit(&mut containers, &container);
                    Some(container)
                }
            }
        };
        if line_budget::may_say() {
            tracing::info!(container = %joiner.identity(), pid = joiner.pid(), "a process joined");
        }
        let _ = wire::send_answer(connection, &AgentAnswer::Yes);
        Ok(new)
    }

    fn check_joiner(
        &self,
        containers: &HashMap<Identity, Arc<ServedContainer>>,
        joiner: &Joiner,
    ) -> Result<(), joined::Error> {
        let counts = containers
            .iter()
            .map(|(identity, container)| (identity, container.supervisor.channel_count()));
        Ok(limits::check_listeners(joiner.identity(), counts)?)
    }

    /// Gives the peer a pipe, and traces every container into it from now on.
    fn take_tracer(&self, connection: &OwnedFd) -> Result<(), Error> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("making a pipe"))?;
        let pipe = RecordWriter::new(writer).map_err(failed("making a pipe"))?;
        {
            let containers = self.containers();
            let mut tracers = self.tracers();
            tracers.retain(RecordWriter::has_reader);
            if tracers.len() >= MOST_TRACERS {
                return Err(Error::TooManyTracers);
            }
            containers.values().for_each(|container| container.supervisor.trace(pipe.clone()));
            tracers.push(pipe);
        }
        Ok(give(connection, &reader).map_err(failed("giving a tracer its pipe"))?)
    }
}
