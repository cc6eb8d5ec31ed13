// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the supervisors of `ashmem run` and `ashmem agent` say of their regions: what `/proc` does
//! not show of them, pins above all.
//!
//! A supervisor is believed about regions whose memory belongs to its own user, and root's about
//! all: so nobody can have lies shown about the regions of others. How it is asked, and who may,
//! is [`ashmem_trace_wire::ask`]'s.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ashmem_core::region::Prot;
use ashmem_proc::process;
use ashmem_trace_wire::ask::{self, SupervisorPlace};
use ashmem_trace_wire::question::{AnswerPart, Question, RegionState, ToldRange};

use crate::look::SeenFacts;
use crate::region::{CensusRegion, Mask, PageCounts, RegionKind};

/// How long supervisors may take to answer, all together.
const PATIENCE: Duration = Duration::from_secs(1);
/// Generations of processes between a region's holder and its supervisor.
const MOST_GENERATIONS: usize = 64;

/// What all supervisors said that answered.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Those that answered, by their processes.
    answered: HashMap<i32, SupervisorPlace>,
    /// What was said of a region, by its inode: once, if nobody lies.
    states: HashMap<u64, Vec<(SupervisorPlace, RegionState)>>,
    /// The supervisor that a process descends from, as far as it was asked for.
    ancestors: HashMap<i32, Option<SupervisorPlace>>,
}

impl Told {
    /// Asks these supervisors about the regions of these inodes.
    pub(crate) fn by(supervisors: &[SupervisorPlace], inodes: HashSet<u64>) -> Self {
        if supervisors.is_empty() || inodes.is_empty() {
            return Self::default();
        }
        let wanted = move |part: &AnswerPart| match part {
            AnswerPart::Region(state) => inodes.contains(&state.inode),
            _ => false,
        };
        let mut told = Self::default();
        for answer in ask::ask(supervisors, Question::Regions, PATIENCE, wanted) {
            told.answered.insert(answer.supervisor.pid, answer.supervisor);
            for part in answer.parts {
                if let AnswerPart::Region(state) = part {
                    told.states.entry(state.inode).or_default().push((answer.supervisor, state));
                }
            }
        }
        told
    }

    /// Whether this supervisor has answered.
    pub(crate) fn has_heard(&self, supervisor: &SupervisorPlace) -> bool {
        self.answered.get(&supervisor.pid) == Some(supervisor)
    }

    /// Completes a region by what its supervisor said; `seen` is what its memory shows.
    pub(crate) fn complete(
        &mut self,
        region: &mut CensusRegion,
        seen: Option<&SeenFacts>,
        page_size: u64,
    ) {
        let Some(inode) = region.id.filter(|_| region.kind == RegionKind::Agent) else { return };
        let owner = seen.and_then(|seen| seen.owner);
        let holders = &region.holders;
        let is_believed = |supervisor: &SupervisorPlace| {
            supervisor.user == 0
                || match owner {
                    Some(owner) => owner == supervisor.user,
                    None => {
                        holders.iter().all(|holder| holder.process.user == Some(supervisor.user))
                    }
                }
        };
        let claims = self.states.get(&inode).map_or(&[][..], Vec::as_slice);
        let sane = |state: &RegionState| {
            let pages = state.size.div_ceil(page_size.max(1));
            state.unpinned.checked_add(state.purged).is_some_and(|some| some <= pages)
        };
        let claim =
            claims.iter().find(|(supervisor, state)| is_believed(supervisor) && sane(state));
        if let Some((supervisor, state)) = claim {
            let by_itself = seen.is_some_and(|seen| seen.is_complete);
            if !by_itself || region.size.is_none() {
                region.size = Some(state.size);
            }
            let shown = region.mask.map_or(Prot::ALL.bits(), Mask::bits);
            region.mask = Some(Mask::from_bits(state.mask & shown));
            region.pages = pages(region.size, state, page_size);
            region.supervisor = Some(*supervisor);
            return;
        }
        // Where programs answer calls themselves, the supervisor knows those regions that a call
        // about pins was about: of the others all pages are pinned.
        if seen.is_some_and(|seen| seen.holds_state) {
            let pids: Vec<i32> = holders.iter().map(|holder| holder.process.pid).collect();
            let ancestor = pids.into_iter().find_map(|pid| self.ancestor(pid));
            if ancestor.is_some_and(|ancestor| is_believed(&ancestor)) {
                let none = RegionState { inode, size: 0, mask: 0, unpinned: 0, purged: 0 };
                region.pages = pages(region.size, &none, page_size);
                region.supervisor = ancestor;
            }
        }
    }

    /// The next supervisor that a process descends from. A supervisor adopts its orphans, so that
    /// all its programs descend from it.
    fn ancestor(&mut self, pid: i32) -> Option<SupervisorPlace> {
        let (mut at, mut passed) = (pid, Vec::new());
        let found = loop {
            if let Some(known) = self.ancestors.get(&at) {
                break *known;
            }
            if let Some(supervisor) = self.answered.get(&at) {
                break Some(*supervisor);
            }
            passed.push(at);
            match process::parent(at) {
                Some(parent) if parent > 0 && passed.len() < MOST_GENERATIONS => at = parent,
                _ => break None,
            }
        };
        passed.into_iter().for_each(|pid| _ = self.ancestors.insert(pid, found));
        found
    }
}

/// The unpinned ranges of a region, as its supervisor says.
pub(crate) fn ranges(supervisor: SupervisorPlace, inode: u64) -> Option<Vec<ToldRange>> {
    let wanted = |part: &AnswerPart| matches!(part, AnswerPart::Range(_));
    let answer = ask::ask(&[supervisor], Question::Ranges(inode), PATIENCE, wanted).pop()?;
    let ranges = answer.parts.into_iter().filter_map(|part| match part {
        AnswerPart::Range(range) => Some(range),
        _ => None,
    });
    Some(ranges.collect())
}

fn pages(size: Option<u64>, state: &RegionState, page_size: u64) -> Option<PageCounts> {
    let RegionState { unpinned, purged, .. } = *state;
    let pinned = size?.div_ceil(page_size.max(1)).saturating_sub(unpinned).saturating_sub(purged);
    Some(PageCounts { pinned, unpinned, purged })
}
