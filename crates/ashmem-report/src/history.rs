// SPDX-License-Identifier: MIT OR Apache-2.0
//! The regions that a trace saw, one by one, and pictures of them.

use std::collections::BTreeMap;

use ashmem_inspect::amount::Bytes;
use ashmem_trace::event::EventProcess;
use ashmem_trace::family::family;
use ashmem_trace::life::Life;
use ashmem_trace::text::Text;

use crate::cell::{Cell, ColumnKind};
use crate::flame::Flame;
use crate::fold::{Fold, FoldedGroup, counted};
use crate::sheet::{Map, name_of};
use crate::treemap::{Group, Member};

/// Every region by its number.
pub(crate) type Histories = BTreeMap<u64, RegionHistory>;

/// A region as the trace saw it.
#[derive(Debug, Default)]
pub(crate) struct RegionHistory {
    pub(crate) name: Text,
    pub(crate) life: Life,
    /// The largest it was, in bytes.
    pub(crate) size: u64,
    pub(crate) purged: u64,
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) maps: i64,
    /// Mappings whose result nobody saw.
    pub(crate) unseen_maps: u64,
    pub(crate) maker: String,
    pub(crate) since: f64,
    pub(crate) until: Option<f64>,
}

impl RegionHistory {
    /// Whether it was there at the end, and mapped by nobody.
    pub(crate) fn is_leak(&self) -> bool {
        self.maps == 0 && self.unseen_maps == 0 && self.until.is_none()
    }
}

/// Treemaps of the regions' sizes.
pub(crate) fn maps(histories: &Histories) -> Vec<Map> {
    let gather = |group_of: &dyn Fn(&RegionHistory) -> String| {
        let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        for region in histories.values() {
            let is_leak = region.is_leak();
            let member = Member { name: name_of(&region.name), weight: region.size, is_leak };
            groups.entry(group_of(region)).or_default().push(member);
        }
        groups.into_iter().map(|(name, members)| Group { name, members }).collect()
    };
    vec![
        Map {
            title: "Regions by name",
            about: "Each rectangle is a region, as large as the largest size it had. Dashed: a \
                    leak.",
            groups: gather(&|region| family(&region.name)),
        },
        Map {
            title: "Regions by process",
            about: "By the process that made them. Dashed: a leak.",
            groups: gather(&|region| region.maker.clone()),
        },
    ]
}

/// Processes that made regions, below them families of names, below these the regions.
pub(crate) fn flame(histories: &Histories) -> Flame {
    let stacks = histories.values().map(|region| {
        let (family, own) = (family(&region.name), name_of(&region.name));
        (region.maker.clone(), family, own, region.size, region.is_leak())
    });
    Flame::of(
        "Regions by process, name and region",
        "Below each process what the names of the regions begin with that it made, below that the \
         regions, each as wide as the largest size it had. Dashed: a leak.",
        stacks,
    )
}

/// Families of names, and in each who made its regions.
pub(crate) fn groups(histories: &Histories) -> Fold {
    let mut families: BTreeMap<String, Vec<&RegionHistory>> = BTreeMap::new();
    for region in histories.values() {
        families.entry(family(&region.name)).or_default().push(region);
    }
    let mut families: Vec<_> = families.into_iter().collect();
    families.sort_by_key(|(_, regions)| std::cmp::Reverse(size(regions)));
    let fold = Fold {
        id: "groups",
        title: "Groups",
        about: "Regions by what their names begin with; a group opens to who made them.",
        columns: vec![
            ("Made by", ColumnKind::Words),
            ("Regions", ColumnKind::Number),
            ("Size", ColumnKind::Number),
            ("Failed calls", ColumnKind::Number),
            ("Leaks", ColumnKind::Number),
        ],
        groups: Vec::new(),
        left_out: 0,
    };
    fold.fill(&families, |(name, regions)| group(name, regions))
}

fn group(name: &str, regions: &[&RegionHistory]) -> FoldedGroup {
    let mut makers: BTreeMap<&str, Vec<&RegionHistory>> = BTreeMap::new();
    for region in regions {
        makers.entry(&region.maker).or_default().push(region);
    }
    let mut makers: Vec<_> = makers.into_iter().collect();
    makers.sort_by_key(|(_, regions)| std::cmp::Reverse(size(regions)));
    let leaks =
        |regions: &[&RegionHistory]| regions.iter().filter(|region| region.is_leak()).count();
    let group = FoldedGroup {
        name: name.to_owned(),
        figures: vec![
            counted(regions.len(), "region"),
            format!("{} in size", Bytes(size(regions))),
            counted(makers.len(), "maker"),
        ],
        warning: (leaks(regions) > 0).then(|| counted(leaks(regions), "leak")),
        members: Vec::new(),
        left_out: 0,
    };
    group.fill(&makers, |(maker, regions)| {
        let errors = regions.iter().map(|region| region.errors).sum();
        vec![
            Cell::words(maker),
            Cell::count(regions.len() as u64),
            Cell::bytes(size(regions)),
            Cell::count(errors),
            Cell::count(leaks(regions) as u64),
        ]
    })
}

fn size(regions: &[&RegionHistory]) -> u64 {
    regions.iter().fold(0, |sum: u64, region| sum.saturating_add(region.size))
}

/// A process as people name it.
pub(crate) fn who(process: &EventProcess) -> String {
    // Nobody: the agent found it so.
    if process.pid == 0 {
        return "-".to_owned();
    }
    let inside = process.container_pid.map(|pid| format!(" ({pid} inside)")).unwrap_or_default();
    let container =
        process.container.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
    format!("{} {}{inside}{container}", process.command, process.pid)
}
