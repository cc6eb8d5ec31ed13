// SPDX-License-Identifier: MIT OR Apache-2.0
//! The trace sink: tells tracers what the supervisor answers.
//!
//! Each answer about a region becomes a [`Record`] in each tracer's pipe. The supervisor never
//! waits for a reader: if a pipe is full, the record is lost, and the next one that fits has the
//! number of lost ones. A tracer of `ashmem run` brings its pipe ([`RecordWriter`]); the agent
//! gives one to each of its own ([`ashmem_trace_wire::attach`]).

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ashmem_proc::process;
use ashmem_proc::status::ProcessStatus;
use ashmem_trace_wire::pipe::{RecordWriter, WriteError};
use ashmem_trace_wire::record::{CallerInfo, EventKind, Record, RegionInfo};
use rustix::time::{ClockId, clock_gettime};

use crate::sys::lock;

/// How long a caller's name and numbers are cached: it may execute another program.
const FRESH: Duration = Duration::from_millis(20);
/// Callers cached at most.
const CALLERS: usize = 1024;

/// All tracers. Without any, a request costs one load.
pub struct TraceSink {
    /// Differs from every other sink's.
    number: u64,
    is_on: AtomicBool,
    pipes: Mutex<Vec<RecordWriter>>,
    callers: Mutex<HashMap<i32, (Instant, CallerInfo)>>,
}

impl Default for TraceSink {
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

impl TraceSink {
    /// Adds a tracer, until it closes its end.
    pub fn attach(&self, pipe: RecordWriter) {
        let mut pipes = lock(&self.pipes);
        pipes.retain(RecordWriter::has_reader);
        pipes.push(pipe);
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// The number that its records carry.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether there is a tracer.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Traces a request whose answer was sent.
    pub(crate) fn answered(&self, mut record: Record) {
        let now = now();
        record.duration_ns = Some(now.saturating_sub(record.mono_ns));
        record.mono_ns = now;
        self.write(record);
    }

    /// Traces what the supervisor did by itself.
    pub(crate) fn happened(&self, kind: EventKind, region: RegionInfo) {
        let (tenant, caller, region) = (self.number, None, Some(region));
        self.write(Record {
            mono_ns: now(),
            tenant,
            duration_ns: None,
            caller,
            kind,
            region,
            result: None,
            lost: 0,
        });
    }

    /// Reports lost records to tracers whose pipes have room again. Returns whether any are left to
    /// report.
    pub(crate) fn tell_losses(&self) -> bool {
        if !self.is_on() {
            return false;
        }
        let pipes = lock(&self.pipes);
        for pipe in pipes.iter().filter(|pipe| pipe.owes()) {
            pipe.tell_losses(&mut self.nothing());
        }
        pipes.iter().any(RecordWriter::owes)
    }

    /// Reports lost records for the last time.
    pub(crate) fn close(&self) {
        lock(&self.pipes).iter().for_each(|pipe| pipe.close(&mut self.nothing()));
    }

    fn nothing(&self) -> Record {
        let (mono_ns, tenant, kind) = (now(), self.number, EventKind::Nothing);
        Record {
            mono_ns,
            tenant,
            duration_ns: None,
            caller: None,
            kind,
            region: None,
            result: None,
            lost: 0,
        }
    }

    fn write(&self, mut record: Record) {
        let mut pipes = lock(&self.pipes);
        pipes.retain(|pipe| pipe.write(&mut record) != Err(WriteError::NoReader));
        self.is_on.store(!pipes.is_empty(), Ordering::Relaxed);
    }

    /// The caller, from the cache or from /proc.
    pub(crate) fn caller(&self, tid: i32) -> CallerInfo {
        if let Some((since, caller)) = lock(&self.callers).get(&tid)
            && since.elapsed() < FRESH
        {
            return caller.clone();
        }
        // Without the lock: it is the caller's own files in /proc that are read.
        let caller = look(tid);
        let mut callers = lock(&self.callers);
        if callers.len() >= CALLERS {
            callers.clear();
        }
        callers.insert(tid, (Instant::now(), caller.clone()));
        caller
    }
}

/// Reads the caller from /proc; its thread waits for the answer, and so exists.
fn look(tid: i32) -> CallerInfo {
    /// Longer ones make a record too long, and are cut.
    const LONGEST: usize = 1024;
    let status = ProcessStatus::read(tid);
    let pid = status.as_ref().and_then(ProcessStatus::process).unwrap_or(tid);
    let inner_pid = status.and_then(|status| status.inner_pids().last().copied()).unwrap_or(pid);
    let mut groups = process::control_groups(pid).unwrap_or_default();
    groups.truncate(LONGEST);
    CallerInfo { tid, pid, inner_pid, command: process::name(pid).unwrap_or_default(), groups }
}

/// `CLOCK_MONOTONIC`, in nanoseconds.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashmem_trace_wire::pipe::RecordReader;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn pipe() -> (RecordReader, RecordWriter) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        (RecordReader::new(reader).expect("a reader"), RecordWriter::new(writer).expect("a writer"))
    }

    fn happen(trace_sink: &TraceSink, offset: u64) {
        let region = RegionInfo { key: Some(1), inode: 2, name: b"x".to_vec(), size: 4096 };
        trace_sink.happened(EventKind::Purge { offset, len: 1 }, region);
    }

    fn all(reader: &mut RecordReader) -> Vec<Record> {
        let mut records = Vec::new();
        loop {
            match reader.read().expect("records") {
                Some(more) if !more.is_empty() => records.extend(more),
                _ => return records,
            }
        }
    }

    #[test]
    fn who_stalls_loses_and_hears_how_much_and_others_lose_nothing() {
        let trace_sink = TraceSink::default();
        let ((mut stalled, one), (mut quick, other)) = (pipe(), pipe());
        trace_sink.attach(one);
        trace_sink.attach(other);
        let (mut seen, many) = (0, 100_000);
        for number in 0..many {
            happen(&trace_sink, number);
            seen += all(&mut quick).len() as u64;
        }
        assert_eq!(seen, many, "who reads is told all");
        let first = all(&mut stalled);
        assert!((1..many).contains(&(first.len() as u64)), "{} were kept", first.len());
        happen(&trace_sink, many);
        let last = all(&mut stalled);
        assert_eq!(last.len(), 1);
        assert_eq!(first.len() as u64 + last[0].lost, many, "kind is lost is counted");
    }

    #[test]
    fn what_was_lost_is_told_once_there_is_room_though_nothing_else_happens() {
        let trace_sink = TraceSink::default();
        let (mut stalled, writer) = pipe();
        trace_sink.attach(writer);
        let many = 100_000;
        (0..many).for_each(|number| happen(&trace_sink, number));
        let first = all(&mut stalled).len() as u64;
        assert!(!trace_sink.tell_losses(), "there is room");
        let last = all(&mut stalled);
        let told: Vec<_> = last.iter().map(|record| (&record.kind, first + record.lost)).collect();
        assert_eq!(told, [(&EventKind::Nothing, many)]);
        assert!(!trace_sink.tell_losses() && all(&mut stalled).is_empty(), "told once");
    }

    #[test]
    fn what_was_lost_is_told_at_the_end_where_the_pipe_is_full_still() {
        let trace_sink = TraceSink::default();
        let (mut stalled, writer) = pipe();
        trace_sink.attach(writer);
        let many = 100_000;
        (0..many).for_each(|number| happen(&trace_sink, number));
        trace_sink.close();
        let told = all(&mut stalled);
        let last = told.last().expect("something fitted");
        assert_eq!((&last.kind, told.len() as u64 - 1 + last.lost), (&EventKind::Nothing, many));
    }

    #[test]
    fn who_is_gone_is_told_nothing_more() {
        let trace_sink = TraceSink::default();
        let (reader, writer) = pipe();
        assert!(writer.has_reader() && !trace_sink.is_on());
        trace_sink.attach(writer.clone());
        assert!(trace_sink.is_on());
        drop(reader);
        assert!(!writer.has_reader());
        happen(&trace_sink, 0);
        assert!(!trace_sink.is_on(), "it costs nothing again");
    }
}
