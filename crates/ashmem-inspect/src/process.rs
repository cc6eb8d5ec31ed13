// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process, by its numbers on the host and inside, its command and its container.

use serde::Serialize;

use crate::container::Container;
use ashmem_proc::process::ProcessDir;
use ashmem_proc::status::ProcessStatus;
use ashmem_trace::text::Text;

/// Who holds or maps a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its number here, where the census is taken.
    pub pid: i32,
    /// Its number in the innermost PID namespace it belongs to: [`Process::pid`] if that is ours.
    pub inner_pid: i32,
    /// The real user; `None` where that could not be read.
    pub user: Option<u32>,
    /// Its name as a list of processes shows it; of an Android application, its package.
    pub command: Text,
    /// `None` for the host's own.
    pub container: Option<Container>,
}

impl Process {
    /// Reads who it is; what cannot be read stays empty.
    pub(crate) fn read(pid: i32, folder: &ProcessDir, buffer: &mut Vec<u8>) -> Self {
        let mut process =
            Self { pid, inner_pid: pid, user: None, command: Text::default(), container: None };
        let mut is_inside = false;
        if let Ok(status) = folder.read("status", buffer) {
            let status = ProcessStatus::new(status);
            let numbers = status.inner_tids();
            is_inside = numbers.len() > 1;
            process.inner_pid = numbers.last().copied().unwrap_or(pid);
            process.user = status.user();
        }
        process.command = folder.name().map(Text::from).unwrap_or_default();
        if let Ok(groups) = folder.read("cgroup", buffer) {
            process.container = Container::of_cgroups(groups)
                .or_else(|| is_inside.then(|| Container::of_namespace(groups)));
        }
        process
    }
}
