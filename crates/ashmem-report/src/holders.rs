// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who has a moment's regions: treemaps, bars below bars, folded groups.

use std::collections::BTreeMap;

use ashmem_inspect::amount::Bytes;
use ashmem_inspect::group::{Sum, Totals};
use ashmem_inspect::process::Process;
use ashmem_inspect::region::CensusRegion;
use ashmem_trace::family::family;

use crate::cell::{Cell, ColumnKind};
use crate::flame::Flame;
use crate::fold::{Fold, FoldedGroup, counted};
use crate::sheet::{Map, name_of};
use crate::treemap::{Group, Member};

/// What a process has.
#[derive(Default)]
pub(crate) struct ProcessPart<'a> {
    pub(crate) regions: u64,
    pub(crate) descriptors: u64,
    pub(crate) share: u64,
    /// Of what is mapped nowhere, its part, in bytes.
    pub(crate) alone: Sum,
    pub(crate) members: Vec<(&'a CensusRegion, Option<u64>)>,
}

/// A process and what it has.
pub(crate) type ProcessRegions<'a> = (&'a Process, ProcessPart<'a>);

/// A family of names: what it comes to, and its regions.
pub(crate) type Family<'a> = (Totals, Vec<&'a CensusRegion>);

/// Regions by the processes that have them, those with most memory first.
pub(crate) fn by_process<'a>(regions: &[&'a CensusRegion]) -> Vec<ProcessRegions<'a>> {
    let mut parts: BTreeMap<i32, (&Process, ProcessPart<'_>)> = BTreeMap::new();
    for region in regions {
        for holder in &region.holders {
            let process = &*holder.process;
            let (_, part) =
                parts.entry(process.pid).or_insert_with(|| (process, ProcessPart::default()));
            let holders = region.holders.len().max(1) as u64;
            let alone = match region.is_unmapped() {
                true => region.resident.map(|resident| resident / holders),
                false => Some(0),
            };
            part.regions += 1;
            part.descriptors += holder.descriptors.len() as u64;
            part.share += holder.share;
            part.alone.add(alone);
            part.members.push((region, alone.map(|alone| holder.share + alone)));
        }
    }
    let mut parts: Vec<_> = parts.into_values().collect();
    parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.share + part.alone.known().unwrap_or(0)));
    parts
}

/// `app 812 in docker:0123456789ab`.
fn name_of_process(process: &Process) -> String {
    match &process.container {
        Some(container) => format!("{} {} in {container}", process.command, process.pid),
        None => format!("{} {}", process.command, process.pid),
    }
}

/// Treemaps of the regions' memory.
pub(crate) fn maps(families: &[Family<'_>], processes: &[ProcessRegions<'_>]) -> Vec<Map> {
    let member = |region: &CensusRegion, weight| Member {
        name: name_of(&region.name),
        weight,
        is_leak: region.is_unmapped(),
    };
    let families = families.iter().map(|(totals, regions)| Group {
        name: totals.name.clone(),
        members: regions
            .iter()
            .filter_map(|region| Some(member(region, region.resident?)))
            .collect(),
    });
    let processes = processes.iter().map(|(process, part)| Group {
        name: name_of_process(process),
        members: part
            .members
            .iter()
            .filter_map(|(region, weight)| Some(member(region, (*weight)?)))
            .collect(),
    });
    vec![
        Map {
            title: "Memory by name",
            about: "Each rectangle is a region, as large as its resident memory. Dashed: mapped \
                    nowhere. A region whose memory is unknown has none.",
            groups: families.collect(),
        },
        Map {
            title: "Memory by process",
            about: "Each rectangle is a process's share of a region. Dashed: mapped nowhere, \
                    divided by its holders. A region whose memory is unknown has none.",
            groups: processes.collect(),
        },
    ]
}

/// Processes, below them the families of their regions, below these the regions.
pub(crate) fn flame(processes: &[ProcessRegions<'_>]) -> Flame {
    let stacks = processes.iter().flat_map(|(process, part)| {
        let name = name_of_process(process);
        part.members.iter().filter_map(move |(region, weight)| {
            let (family, own) = (family(&region.name), name_of(&region.name));
            Some((name.clone(), family, own, (*weight)?, region.is_unmapped()))
        })
    });
    Flame::of(
        "Memory by process, name and region",
        "Below each process what its regions' names begin with, below that the regions, each as \
         wide as the process's share of its memory. Dashed: mapped nowhere.",
        stacks,
    )
}

/// Families of names, and in each who has them.
pub(crate) fn groups(families: &[Family<'_>]) -> Fold {
    let fold = Fold {
        id: "groups",
        title: "Groups",
        about: "Regions by what their names begin with; a group opens to who holds them. A region \
                of several holders counts at each.",
        columns: vec![
            ("Holder", ColumnKind::Words),
            ("Regions", ColumnKind::Number),
            ("Size", ColumnKind::Number),
            ("Share", ColumnKind::Number),
            ("Mapped nowhere", ColumnKind::Number),
        ],
        groups: Vec::new(),
        left_out: 0,
    };
    fold.fill(families, |(totals, members)| group(totals, members))
}

fn group(totals: &Totals, members: &[&CensusRegion]) -> FoldedGroup {
    let holders = by_process(members);
    let group = FoldedGroup {
        name: totals.name.clone(),
        figures: vec![
            counted(totals.regions, "region"),
            format!("{} resident", totals.resident.shown(Bytes)),
            counted(holders.len(), "holder"),
        ],
        warning: (totals.unmapped > 0).then(|| format!("{} mapped nowhere", totals.unmapped)),
        members: Vec::new(),
        left_out: 0,
    };
    group.fill(&holders, |(process, part)| {
        let mut size = Sum::default();
        part.members.iter().for_each(|(region, _)| size.add(region.size));
        let unmapped = part.members.iter().filter(|(region, _)| region.is_unmapped()).count();
        vec![
            Cell::words(name_of_process(process)),
            Cell::count(part.regions),
            Cell::sum(size),
            Cell::bytes(part.share),
            Cell::count(unmapped as u64),
        ]
    })
}
