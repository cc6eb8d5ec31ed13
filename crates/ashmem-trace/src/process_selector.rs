// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selects a process: by its number on the host, or by its number in a container.

use std::fmt;
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::glob::Glob;
use crate::processes::{container_of, tree};

/// `PID`, or `CONTAINER:PID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessSelector {
    container: Option<String>,
    pid: i32,
}

/// Why a process is not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be parsed.
    #[error(
        "`{0}` is no process: give PID, or CONTAINER:PID with the container's own number for it"
    )]
    Form(String),
    /// There is no such process.
    #[error("there is no process {0} (`ps -e` lists them)")]
    Absent(i32),
    /// The container has no process with this number.
    #[error(
        "no process is number {pid} in a container `{container}` (`ashmem list` shows containers \
         and numbers)"
    )]
    AbsentInside {
        /// The container, as it was named.
        container: String,
        /// The number.
        pid: i32,
    },
    /// It cannot be watched.
    #[error("watching process {pid}: {error}")]
    Watch {
        /// The number.
        pid: i32,
        /// What came back.
        error: std::io::Error,
    },
}

impl fmt::Display for ProcessSelector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.container {
            Some(container) => write!(formatter, "{container}:{}", self.pid),
            None => write!(formatter, "{}", self.pid),
        }
    }
}

impl FromStr for ProcessSelector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (container, pid) = match text.rsplit_once(':') {
            Some((container, pid)) => (Some(container.to_owned()), pid),
            None => (None, text),
        };
        match pid.parse() {
            Ok(pid) if pid > 0 && container.as_deref() != Some("") => Ok(Self { container, pid }),
            _ => Err(Error::Form(text.to_owned())),
        }
    }
}

/// A process that was found; its end is noticed.
#[derive(Debug)]
pub struct Watched {
    /// Its number here.
    pub pid: i32,
    /// How the user named it.
    name: String,
    handle: OwnedFd,
    /// Its end was reported.
    told: bool,
}

impl ProcessSelector {
    /// The container, as it was named, if the number is one inside it.
    pub fn container(&self) -> Option<&str> {
        self.container.as_deref()
    }

    /// The number; above 0.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Finds it.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn find(&self) -> Result<Watched, Error> {
        let pid = match &self.container {
            None => self.pid,
            Some(container) => self.find_inside(container).ok_or_else(|| Error::AbsentInside {
                container: container.clone(),
                pid: self.pid,
            })?,
        };
        let watch = |error| Error::Watch { pid, error };
        let number = Pid::from_raw(pid).ok_or(Error::Absent(pid))?;
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(handle) => Ok(Watched { pid, name: self.to_string(), handle, told: false }),
            Err(rustix::io::Errno::SRCH) => Err(Error::Absent(pid)),
            Err(errno) => Err(watch(errno.into())),
        }
    }

    fn find_inside(&self, container: &str) -> Option<i32> {
        let pattern = container.parse::<Glob>().ok();
        ashmem_proc::process::processes().into_iter().find_map(|pid| {
            if crate::processes::inner_pid(pid)? != self.pid {
                return None;
            }
            let of = container_of(pid)?;
            let matches = |pattern| crate::selection::is_container(pattern, &of.to_string());
            (of.is_meant_by(container) || pattern.as_ref().is_some_and(matches)).then_some(pid)
        })
    }
}

impl Watched {
    /// As the user named it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.handle, PollFlags::IN)];
        poll(&mut polled, Some(&now)).is_ok_and(|ready| ready != 0)
    }

    /// Its name, once it has ended; returned once.
    pub fn ended_now(&mut self) -> Option<&str> {
        if self.told || !self.has_ended() {
            return None;
        }
        self.told = true;
        Some(&self.name)
    }

    /// The process, its threads and its descendants.
    pub fn tree(&self) -> impl Iterator<Item = i32> + use<> {
        tree(self.pid).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, ProcessSelector};

    #[test]
    fn processes_are_named_by_number_or_by_container_and_number() {
        for (text, container, pid) in [
            ("812", None, 812),
            ("web:12", Some("web"), 12),
            ("docker:0123456789ab:1", Some("docker:0123456789ab"), 1),
        ] {
            let wanted: ProcessSelector = text.parse().expect("a process");
            assert_eq!((wanted.container.as_deref(), wanted.pid), (container, pid));
        }
        for text in ["", "0", "-1", "web", ":1", "web:", "99999999999"] {
            assert!(matches!(text.parse::<ProcessSelector>(), Err(Error::Form(_))), "{text}");
        }
    }

    #[test]
    fn who_is_gone_is_said_to_be() {
        let mut child = std::process::Command::new("true").spawn().expect("a program");
        let wanted: ProcessSelector = child.id().to_string().parse().expect("a process");
        let mut watched = wanted.find().expect("not yet waited for");
        child.wait().expect("a child");
        assert!(watched.has_ended());
        assert_eq!(watched.ended_now(), Some(child.id().to_string().as_str()));
        assert_eq!(watched.ended_now(), None, "told already");
        assert!(matches!(wanted.find(), Err(Error::Absent(_))));
    }
}
