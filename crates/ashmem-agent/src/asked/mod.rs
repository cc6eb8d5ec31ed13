// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers those who ask about regions: `ashmem list`, `top` and `report`.
//!
//! An asker gets what the kernel would show it of a driver's region, and changes nothing, but that
//! unpinned pages are purged where it asks for that (`ashmem purge`): what may happen to them at
//! any time. It is answered in a thread of its own; the table's lock is held for a few regions at a
//! time, and never while an asker is waited for. One that stalls is left after [`PATIENCE`]; more
//! than [`MOST`] at once are turned away.

mod socket;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::net::{SendFlags, SocketFlags};

use crate::emulation::Tenant;
use crate::target_thread::fd_budget::FdBudget;
use ashmem_trace_wire::question::{AnswerPart, LONGEST_QUESTION, Question};

pub(crate) use socket::QuestionSocket;

/// Askers that are answered at the same time.
const MOST: usize = 8;
/// How long one may take to ask and to read.
const PATIENCE: Duration = Duration::from_secs(2);
/// Purges that askers wait for at the same time: a client can hold that of its region up.
const MOST_PURGES: usize = 4;
/// The pause after a failed accept: descriptors, which may be short, need time to come back.
const PAUSE: Duration = Duration::from_millis(100);
/// Regions that are looked at in one hold of the table's lock.
const BATCH: usize = 256;
/// Ranges that are told of one region; what is behind the last is not known.
const MOST_RANGES: usize = 16 << 10;

/// Visits every tenant whose regions may be told.
pub(crate) trait Tenants: Send + Sync {
    /// Calls this with each of them.
    fn visit(&self, tell: &mut dyn FnMut(&Tenant) -> Result<()>) -> Result<()>;
}

impl QuestionSocket {
    /// Answers questions from now on, until the process ends.
    ///
    /// # Errors
    /// EAGAIN: no thread can be started.
    pub(crate) fn serve(self, tenants: Arc<dyn Tenants>) -> Result<()> {
        let thread = Builder::new().name("asked".into()).spawn(move || self.accept(&tenants));
        thread.map(drop).map_err(|_| Errno::AGAIN)
    }

    fn accept(&self, tenants: &Arc<dyn Tenants>) {
        let askers = Arc::new(AtomicUsize::new(0));
        loop {
            let _ = poll(&mut [PollFd::new(&self.listening, PollFlags::IN)], None);
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let connection = match rustix::net::accept_with(&self.listening, flags) {
                Ok(connection) => connection,
                Err(Errno::INTR | Errno::AGAIN | Errno::CONNABORTED) => continue,
                Err(error) => {
                    tracing::debug!(%error, "accepting one who asks about regions");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let Some(slot) = AskerSlot::take(&askers) else { continue };
            let tenants = Arc::clone(tenants);
            let work = move || {
                let _slot = slot;
                let asker = Asker { connection, deadline: Instant::now() + PATIENCE };
                if let Err(error) = asker.answer(tenants.as_ref()) {
                    tracing::debug!(%error, "one who asked about regions got no whole answer");
                }
            };
            // Without a thread the connection is closed.
            let _ = Builder::new().name("answer".into()).spawn(work);
        }
    }
}

/// One of the askers that there may be.
struct AskerSlot {
    askers: Arc<AtomicUsize>,
    _budget: FdBudget,
}

impl AskerSlot {
    fn take(askers: &Arc<AtomicUsize>) -> Option<Self> {
        let budget = FdBudget::take()?;
        let slot = Self { askers: Arc::clone(askers), _budget: budget };
        (askers.fetch_add(1, Ordering::Relaxed) < MOST).then_some(slot)
    }
}

impl Drop for AskerSlot {
    fn drop(&mut self) {
        self.askers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the purges that askers wait for.
struct AskedPurge;

static PURGES: AtomicUsize = AtomicUsize::new(0);

impl AskedPurge {
    fn begin() -> Option<Self> {
        // From here on it is counted, and its end takes the count away.
        let purge = Self;
        (PURGES.fetch_add(1, Ordering::Relaxed) < MOST_PURGES).then_some(purge)
    }
}

impl Drop for AskedPurge {
    fn drop(&mut self) {
        PURGES.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Asker {
    connection: OwnedFd,
    deadline: Instant,
}

impl Asker {
    fn answer(&self, tenants: &dyn Tenants) -> Result<()> {
        let question = self.question()?;
        tenants.visit(&mut |tenant| match question {
            Question::Regions => self.tell_regions(tenant),
            Question::Ranges(inode) => self.tell_ranges(tenant, inode),
            Question::Purge(inode) => self.purge(tenant, inode),
        })?;
        self.send(&[AnswerPart::End])
    }

    fn question(&self) -> Result<Question> {
        let mut bytes = Vec::new();
        loop {
            self.wait(PollFlags::IN)?;
            let mut buffer = [0; LONGEST_QUESTION];
            match rustix::io::read(&self.connection, &mut buffer) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(len) => bytes.extend_from_slice(&buffer[..len]),
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(error) => return Err(error),
            }
            if let Some(question) = Question::decode(&bytes).map_err(|_| Errno::PROTO)? {
                return Ok(question);
            }
        }
    }

    fn tell_regions(&self, tenant: &Tenant) -> Result<()> {
        let inodes = tenant.table().inodes();
        for some in inodes.chunks(BATCH) {
            let parts: Vec<AnswerPart> = {
                let mut table = tenant.table();
                some.iter()
                    .filter_map(|inode| table.state(*inode))
                    .map(AnswerPart::Region)
                    .collect()
            };
            self.send(&parts)?;
        }
        Ok(())
    }

    fn tell_ranges(&self, tenant: &Tenant, inode: u64) -> Result<()> {
        let ranges = tenant.table().ranges(inode, MOST_RANGES);
        let parts: Vec<AnswerPart> = ranges.into_iter().map(AnswerPart::Range).collect();
        parts.chunks(BATCH).try_for_each(|some| self.send(some))
    }

    fn purge(&self, tenant: &Tenant, inode: u64) -> Result<()> {
        let purge = AskedPurge::begin().ok_or(Errno::BUSY)?;
        let purged = tenant.purge_region(inode);
        drop(purge);
        purged.map_or(Ok(()), |pages| self.send(&[AnswerPart::Purged(pages)]))
    }

    fn send(&self, parts: &[AnswerPart]) -> Result<()> {
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| part.encode(&mut bytes));
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match rustix::net::send(&self.connection, rest, SendFlags::NOSIGNAL) {
                Ok(sent) => rest = &rest[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until the asker has written or read.
    fn wait(&self, event: PollFlags) -> Result<()> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            let left =
                Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            let mut polled = [PollFd::from_borrowed_fd(self.connection.as_fd(), event)];
            match poll(&mut polled, Some(&left)) {
                Ok(0) => return Err(Errno::TIMEDOUT),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AskedPurge, MOST_PURGES};

    #[test]
    fn purges_that_are_asked_for_have_a_limit() {
        let mut all: Vec<_> = (0..MOST_PURGES).filter_map(|_| AskedPurge::begin()).collect();
        assert_eq!(all.len(), MOST_PURGES);
        assert!(AskedPurge::begin().is_none() && AskedPurge::begin().is_none());
        all.pop();
        assert!(AskedPurge::begin().is_some(), "one has ended");
    }
}
