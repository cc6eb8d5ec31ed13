//! What the supervisor answers, told to whoever traces it.
//!
//! Each answer about a region becomes a [`Record`] in each tracer's pipe. The supervisor never waits for a reader: where a pipe
//! is full the record is lost, and the next one that fits says how many were. A tracer of `ashmem run` brings its pipe ([`Pipe`]),
//! one of `ashmem agent` is given one ([`attach()`]).

mod attach;
mod pipe;

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::sys::lock;

pub use attach::attach;
pub(crate) use attach::{REQUEST, give};
pub use pipe::{Pipe, Reader};

/// A caller's name and numbers are looked up anew after so long: it may have executed another program.
const FRESH: Duration = Duration::from_millis(20);
/// Callers remembered at most.
const CALLERS: usize = 1024;

/// One answer, one purge or one end of a region. In the pipe: two bytes of length, then the record as postcard writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was over, in nanoseconds of `CLOCK_MONOTONIC`.
    pub mono_ns: u64,
    /// Which container's, or program's: its regions' keys are its own.
    pub origin: u64,
    /// From the request's arrival to the answer, in nanoseconds.
    pub duration_ns: Option<u64>,
    /// Who called; none of what the supervisor does by itself.
    pub caller: Option<Caller>,
    /// What it was.
    pub what: What,
    /// The region.
    pub region: Option<Region>,
    /// What the caller got: a value, or an errno, negative. None: the kernel goes on with the call and has the last word.
    pub result: Option<i64>,
    /// Records that were lost before this one.
    pub lost: u64,
}

/// Who called, in the supervisor's pid namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The thread.
    pub tid: i32,
    /// Its process.
    pub pid: i32,
    /// Its process in its own pid namespace.
    pub inner_pid: i32,
    /// Its process's name.
    pub command: Vec<u8>,
    /// Its control groups, as /proc tells them.
    pub groups: Vec<u8>,
}

/// A region as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// The table's key; none of a memfd that the program made itself.
    pub key: Option<u64>,
    /// The inode that mappings show.
    pub inode: u64,
    /// Its name.
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
}

/// What was asked, or what happened. Ranges are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A new region.
    Open,
    /// Nothing holds the region any more.
    Release,
    /// An ioctl.
    Ioctl {
        /// The command, its low 32 bits.
        command: u32,
        /// The argument.
        argument: u64,
        /// The name it points to.
        name: Option<Vec<u8>>,
        /// The offset and length it points to.
        pin: Option<(u32, u32)>,
    },
    /// mmap(2).
    Mmap {
        /// Length in bytes.
        len: u64,
        /// `PROT_*`.
        prot: u32,
        /// `MAP_*`.
        flags: u32,
        /// Offset in bytes.
        offset: u64,
    },
    /// Nothing more: the record only says what was lost.
    Nothing,
    /// Unpinned pages were given back.
    Purge {
        /// First byte.
        offset: u64,
        /// Length.
        len: u64,
    },
}

/// All who are told. Where nobody is, it costs a request one look at a word.
pub struct Tap {
    /// Another one's differs.
    number: u64,
    is_on: AtomicBool,
    pipes: Mutex<Vec<Pipe>>,
    callers: Mutex<HashMap<i32, (Instant, Caller)>>,
}

impl Default for Tap {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            is_on: AtomicBool::new(false),
            pipes: Mutex::default(),
            callers: Mutex::default(),
        }
    }
}

impl Tap {
    /// Tells this one too, until it reads no more.
    pub fn attach(&self, pipe: Pipe) {
        let mut pipes = lock(&self.pipes);
        pipes.retain(Pipe::has_reader);
        pipes.push(pipe);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// By which its records are told from another tap's.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether anybody is told.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Tells of a request whose answer was sent.
    pub(crate) fn answered(&self, mut record: Record, faulted: bool) {
        let now = now();
        record.duration_ns = Some(now.saturating_sub(record.mono_ns));
        record.mono_ns = now;
        if faulted {
            record.result = Some(-i64::from(libc::EFAULT));
        }
        self.write(record);
    }

    /// Tells of what the supervisor did by itself.
    pub(crate) fn happened(&self, what: What, region: Region) {
        let (origin, caller, region) = (self.number, None, Some(region));
        self.write(Record { mono_ns: now(), origin, duration_ns: None, caller, what, region, result: None, lost: 0 });
    }

    /// Tells who has room again what was lost since the last record that fitted; whether there is more to tell.
    pub(crate) fn tell_losses(&self) -> bool {
        if !self.is_on() {
            return false;
        }
        let pipes = lock(&self.pipes);
        for pipe in pipes.iter().filter(|pipe| pipe.owes()) {
            pipe.tell_losses(&mut self.nothing());
        }
        pipes.iter().any(Pipe::owes)
    }

    /// The same for the last time.
    pub(crate) fn close(&self) {
        lock(&self.pipes).iter().for_each(|pipe| pipe.close(&mut self.nothing()));
    }

    fn nothing(&self) -> Record {
        let (mono_ns, origin, what) = (now(), self.number, What::Nothing);
        Record { mono_ns, origin, duration_ns: None, caller: None, what, region: None, result: None, lost: 0 }
    }

    fn write(&self, mut record: Record) {
        let mut pipes = lock(&self.pipes);
        pipes.retain(|pipe| pipe.write(&mut record) != Err(Errno::PIPE));
        self.is_on.store(!pipes.is_empty(), Ordering::Relaxed);
    }

    /// Who called.
    pub(crate) fn caller(&self, tid: i32) -> Caller {
        let mut callers = lock(&self.callers);
        if let Some((since, caller)) = callers.get(&tid)
            && since.elapsed() < FRESH
        {
            return caller.clone();
        }
        let caller = Caller::look(tid);
        if callers.len() >= CALLERS {
            callers.clear();
        }
        callers.insert(tid, (Instant::now(), caller.clone()));
        caller
    }
}

impl Caller {
    /// As /proc has it; the thread waits for its answer, and so is there.
    fn look(tid: i32) -> Self {
        let status = fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
        let last = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next_back()?.parse::<i32>().ok()
        };
        let pid = last("Tgid:").unwrap_or(tid);
        let read = |file: &str| {
            let mut bytes = Vec::new();
            let file = fs::File::open(format!("/proc/{pid}/{file}"));
            // What makes a record too long is left out.
            let _ = file.and_then(|file| file.take(1024).read_to_end(&mut bytes));
            bytes
        };
        let mut command = read("comm");
        command.pop();
        Self { tid, pid, inner_pid: last("NStgid:").unwrap_or(pid), command, groups: read("cgroup") }
    }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
