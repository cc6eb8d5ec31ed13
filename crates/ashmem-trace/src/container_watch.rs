// SPDX-License-Identifier: MIT OR Apache-2.0
//! Watches containers, and reports those whose last process has ended.

use ashmem_proc::process::processes;
use std::collections::{BTreeSet, HashMap};

use crate::glob::Glob;
use crate::processes::container_of;
use crate::selection::is_container;

/// The selected containers, as far as processes in them were found.
#[derive(Debug)]
pub struct ContainerWatch {
    wanted: Vec<Glob>,
    /// For each process its container, if that is selected.
    at: HashMap<i32, Option<String>>,
}

impl ContainerWatch {
    /// Watches the containers that match these patterns.
    pub fn new(wanted: Vec<Glob>) -> Self {
        Self { wanted, at: HashMap::new() }
    }

    /// Finds the containers whose last process has ended since the previous call, by their shown
    /// names.
    pub fn gone(&mut self) -> BTreeSet<String> {
        if self.wanted.is_empty() {
            return BTreeSet::new();
        }
        let before: BTreeSet<String> = self.at.values().flatten().cloned().collect();
        let meant = |pid| {
            let shown = container_of(pid)?.to_string();
            self.wanted.iter().any(|wanted| is_container(wanted, &shown)).then_some(shown)
        };
        // A process outside containers is read again: it may be moved into one after its start.
        let known = |pid: &i32| self.at.get(pid).cloned().flatten();
        let at =
            processes().into_iter().map(|pid| (pid, known(&pid).or_else(|| meant(pid)))).collect();
        self.at = at;
        let after: BTreeSet<String> = self.at.values().flatten().cloned().collect();
        before.difference(&after).cloned().collect()
    }
}

/// Whether any process is in a container with this name, or whose id, or whose pod's id, begins so.
pub fn any_in(container: &str) -> bool {
    processes()
        .into_iter()
        .any(|pid| container_of(pid).is_some_and(|found| found.is_meant_by(container)))
}
