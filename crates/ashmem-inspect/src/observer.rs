// SPDX-License-Identifier: MIT OR Apache-2.0
//! Takes censuses, one after another: the first looks at every process, the next ones mostly at
//! what changed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ashmem_trace::clock::monotonic;
use rustix::io::{Errno, Result};

use crate::census::{self, Census};
use crate::look::{HostInfo, Look, ROUNDS, RegionKey, SeenFacts};
use crate::region::{CensusRegion, RegionKind};
use crate::supervisors::Told;
use ashmem_proc::process::{self, ProcessDir};

/// What is remembered from one census to the next.
#[derive(Debug)]
pub struct Observer {
    host: HostInfo,
    tasks: HashMap<i32, Task>,
    round: u64,
    /// The supervisors that did not answer, and the round in which they are asked again.
    silent: HashMap<i32, u64>,
}

/// A process as it was last looked at.
#[derive(Debug)]
struct Task {
    /// The inode of its folder: another one is another process.
    stamp: u64,
    look: Look,
    /// The round in which that was.
    round: u64,
    hint: Option<(u64, u64)>,
}

/// No census could be taken.
#[derive(Debug, thiserror::Error)]
#[error("/proc could not be read: {0}; a census needs a /proc of this PID namespace mounted there")]
pub struct Error(Errno);

/// More threads than this only wait for each other in the kernel.
const MOST_THREADS: usize = 4;

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer {
    /// One that has seen nothing yet.
    pub fn new() -> Self {
        Self { host: HostInfo::read(), tasks: HashMap::new(), round: 0, silent: HashMap::new() }
    }

    /// Takes a census. A process that ends meanwhile is left out.
    ///
    /// From the second one on, a process is only looked at whole if it is new, if the number of its
    /// descriptors or the size of its address space changed, or every eighth time. The state of
    /// each known region is read every time.
    ///
    /// # Errors
    /// There is no `/proc`.
    pub fn census(&mut self) -> std::result::Result<Census, Error> {
        let processes = process::processes_with_inodes().map_err(Error)?;
        self.forget_others_than(&processes);
        let due = self.due(&processes);
        let mut unread = None;
        for ((pid, stamp), look) in self.look_at(&due) {
            match look {
                Ok(look) => {
                    let hint =
                        ProcessDir::open(pid).and_then(|folder| folder.hint(&mut Vec::new())).ok();
                    self.tasks.insert(pid, Task { stamp, look, round: self.round, hint });
                }
                Err(error) => {
                    self.tasks.remove(&pid);
                    // What has ended is not missed.
                    if !matches!(error, Errno::SRCH | Errno::NOENT) {
                        unread = Some((unread.map_or(0, |(number, _)| number) + 1, error));
                    }
                }
            }
        }
        let facts = self.facts();
        self.round += 1;
        let looks = self.tasks.values().map(|task| &task.look);
        let mut regions = census::join(looks, &facts);
        let mut told = self.ask(&regions);
        for region in &mut regions {
            let key = region.id.map(RegionKey::of_memory);
            told.complete(region, key.and_then(|key| facts.get(&key)), self.host.page);
        }
        let unseen_processes = self.tasks.values().filter(|task| task.look.is_denied).count();
        Ok(Census {
            taken: census::now(),
            seconds: monotonic() as f64 / 1e9,
            page_size: self.host.page,
            regions,
            processes: self.tasks.len() - unseen_processes,
            unseen_processes,
            unread,
        })
    }

    fn forget_others_than(&mut self, processes: &[(i32, u64)]) {
        let stamps: HashMap<i32, u64> = processes.iter().copied().collect();
        self.tasks.retain(|pid, task| stamps.get(pid) == Some(&task.stamp));
    }

    /// The processes that must be looked at whole.
    fn due(&self, processes: &[(i32, u64)]) -> Vec<(i32, u64)> {
        let mut buffer = Vec::new();
        let mut is_due = |pid: i32| {
            let Some(task) = self.tasks.get(&pid) else { return true };
            if (pid as u64).wrapping_add(self.round).is_multiple_of(ROUNDS) {
                return true;
            }
            let hint = ProcessDir::open(pid).and_then(|folder| folder.hint(&mut buffer)).ok();
            !task.look.is_denied && hint != task.hint
        };
        processes.iter().copied().filter(|(pid, _)| is_due(*pid)).collect()
    }

    /// Asks the supervisors about these regions. One that does not answer is asked again eight
    /// censuses later.
    fn ask(&mut self, regions: &[CensusRegion]) -> Told {
        let theirs = regions.iter().filter(|region| region.kind == RegionKind::Agent);
        let inodes: HashSet<u64> = theirs.filter_map(|region| region.id).collect();
        let supervisors = self.tasks.values().filter_map(|task| task.look.supervisor);
        let is_due = |pid| self.silent.get(&pid).is_none_or(|until| self.round >= *until);
        let asked: Vec<_> = supervisors.filter(|supervisor| is_due(supervisor.pid)).collect();
        if inodes.is_empty() {
            return Told::default();
        }
        let told = Told::by(&asked, inodes);
        for supervisor in asked {
            match told.has_heard(&supervisor) {
                true => drop(self.silent.remove(&supervisor.pid)),
                false => _ = self.silent.insert(supervisor.pid, self.round + ROUNDS),
            }
        }
        self.silent.retain(|pid, _| self.tasks.contains_key(pid));
        told
    }

    /// Looks at these processes, on several threads where they are many.
    fn look_at(&self, processes: &[(i32, u64)]) -> Vec<((i32, u64), Result<Look>)> {
        const FEW: usize = 32;
        let next = AtomicUsize::new(0);
        // This process first and by itself: to look at a memfd is to hold it for a moment, and no
        // thread is to see what another holds so.
        let own = std::process::id() as i32;
        let all = processes.iter().copied();
        let (own, processes): (Vec<_>, Vec<_>) = all.partition(|(pid, _)| *pid == own);
        let looks = own.into_iter().map(|process| (process, self.host.look(process.0)));
        let found = Mutex::new(looks.collect::<Vec<_>>());
        let work = || {
            while let Some(process) = processes.get(next.fetch_add(1, Ordering::Relaxed)) {
                let look = self.host.look(process.0);
                found.lock().unwrap_or_else(PoisonError::into_inner).push((*process, look));
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        thread::scope(|scope| {
            if processes.len() > FEW {
                // Where no further thread may be made, this one does it all.
                let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).map(drop).ok();
                (1..threads).map_while(spawn).for_each(drop);
            }
            work();
        });
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of each region now, by one of its descriptors, or through one of its mappings. Of
    /// a memfd that was looked at before, its status is enough; its seals are read again every
    /// eighth time. What was looked at in this round is not asked again.
    fn facts(&mut self) -> HashMap<RegionKey, SeenFacts> {
        let mut facts: HashMap<RegionKey, SeenFacts> = HashMap::new();
        let mut buffer = Vec::new();
        let mut by_mapping = Vec::new();
        for (pid, task) in &mut self.tasks {
            let (look, is_new) = (&mut task.look, task.round == self.round);
            if look.is_empty() {
                continue;
            }
            let Ok(folder) = ProcessDir::open(*pid) else { continue };
            for held in &mut look.descriptors {
                if facts.contains_key(&held.key) {
                    continue;
                }
                let now = match held.facts.kind {
                    _ if is_new => Some((held.key, self.host.just_seen(&folder, held))),
                    RegionKind::Device => {
                        self.host.descriptor(*pid, &folder, held.number, &mut buffer)
                    }
                    _ => self.host.memory_again(&folder, held, self.round),
                };
                // The number may be another region's by now.
                if let Some((key, now)) = now
                    && key == held.key
                {
                    facts.insert(key, now);
                }
            }
            by_mapping.extend(look.mapped.iter().map(|mapped| (*pid, mapped)));
        }
        let mut open: Option<(i32, ProcessDir)> = None;
        for (pid, mapped) in by_mapping {
            if facts.contains_key(&mapped.key) {
                continue;
            }
            if open.as_ref().is_none_or(|(of, _)| *of != pid) {
                open = ProcessDir::open(pid).ok().map(|folder| (pid, folder));
            }
            let seen = open.as_ref().map(|(_, folder)| self.host.through_mapping(folder, mapped));
            if let Some(Ok(now)) = seen {
                facts.insert(mapped.key, now);
            }
        }
        facts
    }
}
