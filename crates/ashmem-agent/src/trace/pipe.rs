//! The pipe between a supervisor and who traces it: its two ends.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::{Errno, Result};
use rustix::pipe::fcntl_setpipe_size;

use super::Record;

/// What the pipe is asked to hold, in bytes.
const ROOM: usize = 1 << 19;
/// What it is asked to hold at the end, so that the last record fits: what an ordinary user may ask for.
const LAST_ROOM: usize = 1 << 20;

/// The writing end, which several supervisors may have.
#[derive(Clone)]
pub struct Pipe(Arc<Inner>);

struct Inner {
    fd: OwnedFd,
    /// Records that did not fit since the last one that did.
    lost: AtomicU64,
}

impl Pipe {
    /// Writes into this pipe, and never waits for it.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(pipe: OwnedFd) -> Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        // Less, where the user has no more to give.
        let _ = fcntl_setpipe_size(&pipe, ROOM);
        Ok(Self(Arc::new(Inner { fd: pipe, lost: AtomicU64::new(0) })))
    }

    /// Writes into a pipe that this process was started with, which its own children are not to have.
    ///
    /// # Errors
    /// EBADF: there is no such descriptor. ENOTTY: it is no pipe.
    pub fn inherited(number: std::os::fd::RawFd) -> Result<Self> {
        // SAFETY: looks at the number only.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        if number <= 2 || !rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode).is_fifo() {
            return Err(Errno::NOTTY);
        }
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC)?;
        // SAFETY: it is open, and was given to this process for nothing but this.
        Self::new(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// The pipe.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.0.fd.as_fd()
    }

    /// Whether anybody has the other end.
    pub(crate) fn has_reader(&self) -> bool {
        let mut polled = [PollFd::from_borrowed_fd(self.as_fd(), PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_err() || !polled[0].revents().contains(PollFlags::ERR)
    }

    /// Writes all of a record or nothing.
    ///
    /// # Errors
    /// EAGAIN: it is full. EPIPE: nobody has the other end. EMSGSIZE: the record is too long.
    pub(super) fn write(&self, record: &mut Record) -> Result<()> {
        record.lost = self.0.lost.swap(0, Ordering::Relaxed);
        let written = self.put(record);
        if written.is_err() {
            self.0.lost.fetch_add(record.lost + 1, Ordering::Relaxed);
        }
        written
    }

    /// Whether records were lost that its reader has not been told of.
    pub(super) fn owes(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed) > 0
    }

    /// Tells what was lost, with this record that says nothing else, where it fits by now.
    pub(super) fn tell_losses(&self, record: &mut Record) {
        record.lost = self.0.lost.swap(0, Ordering::Relaxed);
        if record.lost > 0 && self.put(record).is_err() {
            self.0.lost.fetch_add(record.lost, Ordering::Relaxed);
        }
    }

    /// The same for the last time, in room that is made for it.
    pub(super) fn close(&self, record: &mut Record) {
        if self.owes() {
            let _ = fcntl_setpipe_size(&self.0.fd, LAST_ROOM);
            self.tell_losses(record);
        }
    }

    fn put(&self, record: &Record) -> Result<()> {
        let mut bytes = postcard::to_extend(record, vec![0, 0]).map_err(|_| Errno::MSGSIZE)?;
        let len = u16::try_from(bytes.len() - 2).map_err(|_| Errno::MSGSIZE)?;
        bytes[..2].copy_from_slice(&len.to_ne_bytes());
        if bytes.len() > libc::PIPE_BUF {
            return Err(Errno::MSGSIZE);
        }
        rustix::io::write(&self.0.fd, &bytes).map(drop)
    }
}

/// The reading end.
pub struct Reader {
    pipe: OwnedFd,
    bytes: Vec<u8>,
}

impl Reader {
    /// Reads what is written into the other end.
    ///
    /// # Errors
    /// Those of fcntl(2).
    pub fn new(pipe: OwnedFd) -> Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Self { pipe, bytes: Vec::new() })
    }

    /// The pipe, to wait for.
    pub fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.pipe.as_fd()
    }

    /// What is there; `None` once no tap is left.
    ///
    /// # Errors
    /// Those of read(2). EPROTO: it is no tap that writes there.
    pub fn read(&mut self) -> Result<Option<Vec<Record>>> {
        let mut buffer = vec![0; 1 << 16];
        match rustix::io::read(&self.pipe, &mut buffer) {
            Ok(0) => return Ok(None),
            Ok(len) => self.bytes.extend_from_slice(&buffer[..len]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let mut records = Vec::new();
        let mut rest = self.bytes.as_slice();
        while let Some((len, after)) = rest.split_first_chunk() {
            let Some((record, after)) = after.split_at_checked(u16::from_ne_bytes(*len).into()) else { break };
            records.push(postcard::from_bytes(record).map_err(|_| Errno::PROTO)?);
            rest = after;
        }
        self.bytes = rest.to_vec();
        Ok(Some(records))
    }
}

#[cfg(test)]
mod tests {
    use super::{Pipe, Reader, Record};
    use crate::trace::{Tap, What};
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe() -> (Reader, Pipe) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        (Reader::new(reader).expect("a reader"), Pipe::new(writer).expect("a writer"))
    }

    fn happen(tap: &Tap, offset: u64) {
        let region = crate::trace::Region { key: Some(1), inode: 2, name: b"x".to_vec(), size: 4096 };
        tap.happened(What::Purge { offset, len: 1 }, region);
    }

    fn all(reader: &mut Reader) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            match reader.read().expect("a tap's records") {
                Some(more) if !more.is_empty() => records.extend(more),
                _ => return records,
            }
        }
    }

    #[test]
    fn who_stalls_loses_and_hears_how_much_and_others_lose_nothing() {
        let tap = Tap::default();
        let ((mut stalled, one), (mut quick, other)) = (pipe(), pipe());
        tap.attach(one);
        tap.attach(other);
        let (mut seen, many) = (0, 100_000);
        for number in 0..many {
            happen(&tap, number);
            seen += all(&mut quick).len() as u64;
        }
        assert_eq!(seen, many, "who reads is told all");
        let first = all(&mut stalled);
        assert!((1..many).contains(&(first.len() as u64)), "{} were kept", first.len());
        happen(&tap, many);
        let last = all(&mut stalled);
        assert_eq!(last.len(), 1);
        assert_eq!(first.len() as u64 + last[0].lost, many, "what is lost is counted");
    }

    #[test]
    fn what_was_lost_is_told_once_there_is_room_though_nothing_else_happens() {
        let tap = Tap::default();
        let (mut stalled, writer) = pipe();
        tap.attach(writer);
        let many = 100_000;
        (0..many).for_each(|number| happen(&tap, number));
        let first = all(&mut stalled).len() as u64;
        assert!(!tap.tell_losses(), "there is room");
        let last = all(&mut stalled);
        let told: Vec<_> = last.iter().map(|record| (&record.what, first + record.lost)).collect();
        assert_eq!(told, [(&What::Nothing, many)]);
        assert!(!tap.tell_losses() && all(&mut stalled).is_empty(), "told once");
    }

    #[test]
    fn what_was_lost_is_told_at_the_end_where_the_pipe_is_full_still() {
        let tap = Tap::default();
        let (mut stalled, writer) = pipe();
        tap.attach(writer);
        let many = 100_000;
        (0..many).for_each(|number| happen(&tap, number));
        tap.close();
        let told = all(&mut stalled);
        let last = told.last().expect("something fitted");
        assert_eq!((&last.what, told.len() as u64 - 1 + last.lost), (&What::Nothing, many));
    }

    #[test]
    fn who_is_gone_is_told_nothing_more() {
        let tap = Tap::default();
        let (reader, writer) = pipe();
        assert!(writer.has_reader() && !tap.is_on());
        tap.attach(writer.clone());
        assert!(tap.is_on());
        drop(reader);
        assert!(!writer.has_reader());
        happen(&tap, 0);
        assert!(!tap.is_on(), "it costs nothing again");
    }
}
