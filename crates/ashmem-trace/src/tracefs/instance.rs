// SPDX-License-Identifier: MIT OR Apache-2.0
//! A trace of our own beside everybody else's.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::format::RecordFormat;
use super::{Error, Tracefs};

/// What the names of our instances begin with.
const PREFIX: &str = "ashmem-trace-";

/// An instance, removed when dropped.
///
/// Its directory is locked for as long as its owner lives: the kernel releases the lock however a
/// process ends, so a process that gets the lock knows that the owner is gone.
#[derive(Debug)]
pub struct Instance {
    path: PathBuf,
    _lock: File,
    page_size: usize,
}

impl Instance {
    /// Makes one, with this many KiB of buffer for each processor. What traces that were killed
    /// have left goes first.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(tracefs: &Tracefs, buffer_kib: usize) -> Result<Self, Error> {
        let all = tracefs.root().join("instances");
        remove_abandoned(&all);
        let mut number = 0;
        let mut instance = loop {
            let path = all.join(format!("{PREFIX}{}-{number}", std::process::id()));
            number += 1;
            let making = || format!("making the trace instance {}", path.display());
            match fs::create_dir(&path) {
                Ok(()) => {}
                // Of a process that has this number in another pid namespace.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {
                    continue;
                }
                Err(error) => return Err(Error::of(making(), error)),
            }
            let lock = File::open(&path).map_err(|error| Error::of(making(), error))?;
            // Another process that cleans up may have been faster than this lock.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
                && path.join("trace_clock").exists()
            {
                break Self { path, _lock: lock, page_size: 4096 };
            }
        };
        // The clock that never steps, and that other sources can read as well.
        instance.set("trace_clock", "mono")?;
        instance.set("buffer_size_kb", &buffer_kib.to_string())?;
        instance.page_size = rustix::param::page_size().max(instance.sub_buffer_size());
        Ok(instance)
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes a page of its buffers has, with its header.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Since 6.8 a buffer's pages may be larger than the machine's.
    fn sub_buffer_size(&self) -> usize {
        let text = fs::read_to_string(self.path.join("buffer_subbuf_size_kb")).unwrap_or_default();
        text.trim().parse::<usize>().unwrap_or(0) * 1024
    }

    /// Has the kernel itself record these threads and all that they start, and nothing else.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn follow(&self, threads: &[i32]) -> Result<(), Error> {
        self.set("options/event-fork", "1")?;
        let numbers: Vec<String> = threads.iter().map(ToString::to_string).collect();
        self.set("set_event_pid", &numbers.join(" "))
    }

    /// Writes a setting of this instance's.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set(&self, file: &str, value: &str) -> Result<(), Error> {
        let path = self.path.join(file);
        fs::write(&path, value)
            .map_err(|error| Error::of(format!("writing {value} to {}", path.display()), error))
    }

    /// Whether this kernel has an event, such as `syscalls/sys_enter_open`.
    pub fn has(&self, event: &str) -> bool {
        self.path.join("events").join(event).exists()
    }

    /// Enables an event, such as `sched/sched_process_fork`, and returns its format.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn enable(&self, event: &str, filter: Option<&str>) -> Result<RecordFormat, Error> {
        let format = self.format(event)?;
        if let Some(filter) = filter {
            self.set(&format!("events/{event}/filter"), filter)?;
        }
        self.set(&format!("events/{event}/enable"), "1")?;
        Ok(format)
    }

    /// An event's form.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn format(&self, event: &str) -> Result<RecordFormat, Error> {
        let path = self.path.join("events").join(event).join("format");
        let reading = || format!("reading the form of {event}, {}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| Error::of(reading(), error))?;
        RecordFormat::parse(&text)
            .ok_or_else(|| Error::of(reading(), io::ErrorKind::InvalidData.into()))
    }

    /// Records nothing more.
    pub fn stop(&self) {
        // Nothing follows but the removal, which stops it as well.
        let _ = fs::write(self.path.join("tracing_on"), "0");
        let _ = fs::write(self.path.join("events/enable"), "0");
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop();
        // EBUSY while one of its files is open; the next trace then removes it.
        let _ = fs::remove_dir(&self.path);
    }
}

/// Removes the instances whose owners are gone. What cannot be removed is left for another time.
fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if !is_ours {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK) {
            let _ = fs::write(entry.path().join("events/enable"), "0");
            let _ = fs::remove_dir(entry.path());
        }
    }
}
