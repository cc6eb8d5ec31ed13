// SPDX-License-Identifier: MIT OR Apache-2.0
//! The processes a trace has met: what they are called, what they are inside their containers, and
//! which are followed.
//!
//! What a source reports of new processes, new names and ends comes first, because it is true even
//! for processes that are gone before /proc can be read; the rest is read from /proc.

use ashmem_proc::process;
use ashmem_proc::status::ProcessStatus;
use std::collections::{HashMap, HashSet};

use crate::container::Container;
use crate::event::EventProcess;
use crate::text::Text;

/// Processes remembered at most; those that have ended go first.
const MOST: usize = 16_384;

/// What is known of processes.
#[derive(Debug, Default)]
pub struct Processes {
    known: HashMap<i32, KnownProcess>,
    follow: Option<HashSet<i32>>,
}

#[derive(Clone, Debug, Default)]
struct KnownProcess {
    command: Option<Text>,
    container_pid: Option<i32>,
    container: Option<Text>,
    /// Whether /proc was read.
    is_looked_up: bool,
    has_ended: bool,
}

impl Processes {
    /// Of all the machine's processes.
    pub fn all() -> Self {
        Self::default()
    }

    /// Follows these processes and threads, and all they start.
    pub fn following(ids: impl IntoIterator<Item = i32>) -> Self {
        Self { follow: Some(ids.into_iter().collect()), ..Self::default() }
    }

    /// Whether this process, or this thread, is followed.
    pub fn follows(&self, pid: i32, tid: i32) -> bool {
        self.follow.as_ref().is_none_or(|ids| ids.contains(&pid) || ids.contains(&tid))
    }

    /// A thread has started another thread, or a process.
    pub fn forked(&mut self, parent: i32, child: i32, command: &[u8]) {
        if let Some(follow) = &mut self.follow
            && follow.contains(&parent)
        {
            follow.insert(child);
        }
        // The number may have been another process's. The names of unfollowed processes' children
        // are stored too: they may be met only once they are gone, when /proc has nothing.
        self.forget_the_ended();
        let container = self.known.get(&parent).and_then(|parent| parent.container.clone());
        self.known.insert(
            child,
            KnownProcess {
                command: Some(Text::from(command)),
                container,
                ..KnownProcess::default()
            },
        );
    }

    /// A thread is called otherwise: it executed a program, or chose a name.
    pub fn renamed(&mut self, tid: i32, command: &[u8]) {
        if let Some(known) = self.known.get_mut(&tid) {
            known.command = Some(Text::from(command));
            // The kernel may have cut it.
            known.is_looked_up = false;
        }
    }

    /// Makes room where there is none.
    fn forget_the_ended(&mut self) {
        if self.known.len() >= MOST {
            self.known.retain(|_, known| !known.has_ended);
            if self.known.len() >= MOST {
                self.known.clear();
            }
        }
    }

    /// A thread has ended.
    pub fn ended(&mut self, tid: i32) {
        if let Some(known) = self.known.get_mut(&tid) {
            known.has_ended = true;
        }
    }

    /// A process as events carry it; `inside` is its number in its own pid namespace, where the
    /// source knows it.
    pub fn meet(&mut self, pid: i32, tid: i32, inside: Option<i32>) -> EventProcess {
        self.forget_the_ended();
        let known = self.known.entry(pid).or_default();
        if !known.is_looked_up {
            known.look_up(pid);
        }
        if let Some(inside) = inside {
            known.container_pid = (inside != pid && inside != 0).then_some(inside);
        }
        EventProcess {
            pid,
            tid,
            container_pid: known.container_pid,
            container: known.container.clone(),
            command: known.command.clone().unwrap_or_default(),
        }
    }
}

/// Follows processes and all their descendants, or all processes, where the source reports no new
/// processes: it reads /proc while they live.
#[derive(Debug)]
pub struct Followed(Option<HashSet<i32>>);

impl Followed {
    /// These, or all.
    pub fn of(roots: Option<HashSet<i32>>) -> Self {
        Self(roots)
    }

    /// Whether all are.
    pub fn are_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this process is followed.
    pub fn has(&mut self, pid: i32) -> bool {
        let Some(known) = &mut self.0 else { return true };
        let mut at = pid;
        while !known.contains(&at) {
            match process::parent(at) {
                Some(parent) if parent > 0 => at = parent,
                _ => return false,
            }
        }
        known.insert(pid);
        true
    }
}

impl KnownProcess {
    fn look_up(&mut self, pid: i32) {
        self.is_looked_up = true;
        // Of a process that is gone, what its start told stays.
        let Some(whole) = command_of(pid) else { return };
        // It may have another name since.
        let is_this = |told: &Text| {
            let (whole, told) = (whole.as_bytes(), told.as_bytes());
            whole.starts_with(told) || whole.ends_with(told)
        };
        if self.command.as_ref().is_none_or(is_this) {
            self.command = Some(whole);
        }
        self.container_pid = inner_pid(pid);
        self.container =
            container_of(pid).map(|container| Text::from(container.to_string().as_bytes()));
    }
}

/// A process's name, while it lives.
pub fn command_of(pid: i32) -> Option<Text> {
    process::name(pid).map(Text::from)
}

/// The container that a process is in, while it lives.
pub fn container_of(pid: i32) -> Option<Container> {
    let groups = process::control_groups(pid)?;
    Container::of_cgroups(&groups)
        .or_else(|| inner_pid(pid).map(|_| Container::of_namespace(&groups)))
}

/// A process's number in its own pid namespace, where that is another one.
pub fn inner_pid(pid: i32) -> Option<i32> {
    match ProcessStatus::read(pid)?.inner_tids().as_slice() {
        [outer, .., inner] if outer != inner || *outer != pid => Some(*inner),
        _ => None,
    }
}

/// A process, its threads, and all that descend from it, as /proc shows them now.
pub fn tree(root: i32) -> HashSet<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in process::processes() {
        if let Some(parent) = process::parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = HashSet::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        found.extend(process::threads(pid));
        if found.insert(pid) || pid == root || children.contains_key(&pid) {
            waiting.extend(children.remove(&pid).unwrap_or_default());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_child_that_is_gone_is_called_what_it_was() {
        // Larger than any number that a kernel gives out.
        let (stranger, child) = (1 << 29, (1 << 29) + 1);
        let mut processes = Processes::following([1]);
        processes.forked(stranger, child, b"shell");
        processes.renamed(child, b"program");
        processes.ended(child);
        assert_eq!(processes.meet(child, child, None).command.as_bytes(), b"program");
        assert!(!processes.follows(child, child));
    }

    #[test]
    fn the_ended_go_when_there_are_too_many() {
        let mut processes = Processes::all();
        for child in 0..3 * MOST as i32 {
            processes.forked(0, (1 << 29) + child, b"brief");
            processes.ended((1 << 29) + child);
        }
        assert!(processes.known.len() <= MOST);
    }
}
