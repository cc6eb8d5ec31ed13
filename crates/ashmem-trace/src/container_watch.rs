//! Who lives in containers, and which of these are gone.

use ashmem_proc::process::processes;
use std::collections::{BTreeSet, HashMap};

use crate::processes::container_of;
use crate::selection::is_container;

/// The containers that these patterns mean, as far as processes in them were seen.
#[derive(Debug)]
pub struct ContainerWatch {
    wanted: Vec<glob::Pattern>,
    /// Of each process the container that is wanted, if it is in one.
    at: HashMap<i32, Option<String>>,
}

impl ContainerWatch {
    /// Of these containers.
    pub fn new(wanted: Vec<glob::Pattern>) -> Self {
        Self { wanted, at: HashMap::new() }
    }

    /// The containers whose last process has ended since this was asked before, as they are shown.
    pub fn gone(&mut self) -> BTreeSet<String> {
        if self.wanted.is_empty() {
            return BTreeSet::new();
        }
        let before: BTreeSet<String> = self.at.values().flatten().cloned().collect();
        let meant = |pid| {
            let shown = container_of(pid)?.to_string();
            self.wanted.iter().any(|wanted| is_container(wanted, &shown)).then_some(shown)
        };
        // Who is in none is looked at again: a process may be moved into one after its start.
        let known = |pid: &i32| self.at.get(pid).cloned().flatten();
        let at = processes().into_iter().map(|pid| (pid, known(&pid).or_else(|| meant(pid)))).collect();
        self.at = at;
        let after: BTreeSet<String> = self.at.values().flatten().cloned().collect();
        before.difference(&after).cloned().collect()
    }
}

/// Whether any process is in a container that is called so, or whose id, or pod's, begins so.
pub fn any_in(container: &str) -> bool {
    processes().into_iter().any(|pid| container_of(pid).is_some_and(|found| found.is_meant_by(container)))
}
