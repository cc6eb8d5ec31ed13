// SPDX-License-Identifier: MIT OR Apache-2.0
//! A census: every region of the host once, at one moment.

use std::collections::HashMap;

use ashmem_trace::family::family;
use ashmem_trace::text::Text;
use rustix::io::Errno;
use serde::{Serialize, Serializer};

use crate::group::{Totals, by_family};
use crate::holding::Holding;
use crate::look::{Look, RegionKey, SeenFacts};
use crate::pattern::pattern;
use crate::process::Process;
use crate::region::{CensusRegion, Holder, RegionKind};
use crate::same_file;

/// Every region once.
#[derive(Clone, Debug, Serialize)]
pub struct Census {
    /// Seconds since 1970.
    pub taken: f64,
    /// Seconds by a clock that nobody sets.
    #[serde(skip)]
    pub seconds: f64,
    /// Bytes.
    pub page_size: u64,
    /// By id, those that never were mapped last.
    pub regions: Vec<CensusRegion>,
    /// How many processes were looked at.
    pub processes: usize,
    /// How many there are besides that this user may not look at.
    pub unseen_processes: usize,
    /// How many there are besides that could not be read, and what came back: open files or memory
    /// ran out (EMFILE, ENFILE, ENOMEM).
    #[serde(skip)]
    pub unread: Option<(usize, Errno)>,
}

impl Census {
    /// What could not be seen of these of its regions, a sentence each, with what to do about it.
    pub fn limits(&self, regions: &[&CensusRegion]) -> Vec<String> {
        let mut limits = Vec::new();
        let count =
            |what: fn(&CensusRegion) -> bool| regions.iter().filter(|region| what(region)).count();
        if self.unseen_processes > 0 {
            let whose = if rustix::process::geteuid().is_root() && is_host_root() {
                "skipped: permission denied even to root, which here lacks CAP_SYS_PTRACE, or is \
                 kept out by a security module"
            } else if rustix::process::geteuid().is_root() {
                "skipped: permission denied even to this root; run it on the host, outside \
                 containers and user namespaces"
            } else {
                "skipped: they are other users'; run it as root to see what they hold"
            };
            let all = self.processes + self.unseen_processes;
            limits.push(format!("{} of {all} processes {whose}", self.unseen_processes));
        }
        if let Some((number, error)) = self.unread {
            let all = self.processes + self.unseen_processes + number;
            limits.push(format!(
                "{number} of {all} processes skipped: reading /proc failed ({error}); `ulimit -n` \
                 shows how many files may be open at once"
            ));
        }
        let blind = count(|region| region.size.is_none());
        if blind > 0 {
            limits.push(format!(
                "size and memory unknown for {blind} regions that are mapped but not open: only \
                 root (or CAP_CHECKPOINT_RESTORE) can read them"
            ));
        }
        let by_agent = count(|region| region.kind == RegionKind::Agent && region.pages.is_none());
        if by_agent > 0 {
            limits.push(format!(
                "pin state unknown for {by_agent} regions of `ashmem run` or `ashmem agent`: \
                 their supervisor did not answer, has ended, or is another user's, whom only root \
                 may ask"
            ));
        }
        limits
    }

    /// What everything comes to.
    pub fn totals(&self) -> Totals {
        Totals::of("all", self.regions.iter())
    }
}

/// Joins what was seen of all processes. `facts` knows regions better than the looks do.
pub(crate) fn join<'a>(
    looks: impl Iterator<Item = &'a Look> + Clone,
    facts: &HashMap<RegionKey, SeenFacts>,
) -> Vec<CensusRegion> {
    let aliases = aliases(looks.clone());
    let mut places: HashMap<RegionKey, usize> = HashMap::new();
    let mut regions: Vec<CensusRegion> = Vec::new();
    for look in looks {
        let Some(process) = &look.process else { continue };
        for descriptor in &look.descriptors {
            let key = *aliases.get(&descriptor.key).unwrap_or(&descriptor.key);
            let known = facts.get(&key).unwrap_or(&descriptor.facts);
            let place = *places.entry(key).or_insert_with(|| {
                regions.push(region(key, known));
                regions.len() - 1
            });
            complete(&mut regions[place], &descriptor.facts);
            holder(&mut regions[place], process).descriptors.push(descriptor.number);
        }
        for mapped in &look.mapped {
            let place = *places.entry(mapped.key).or_insert_with(|| {
                let name = mapped.name.clone();
                let bare = SeenFacts::bare(mapped.kind, name);
                regions.push(region(mapped.key, facts.get(&mapped.key).unwrap_or(&bare)));
                regions.len() - 1
            });
            let holder = holder(&mut regions[place], process);
            holder.mappings.push(mapped.mapping);
            holder.share += mapped.share;
        }
    }
    for region in &mut regions {
        region.holders.sort_by_key(|holder| holder.process.pid);
        region.holders.iter_mut().for_each(|holder| holder.descriptors.sort_unstable());
    }
    regions.sort_by_key(|region| {
        (
            region.id.is_none(),
            region.id,
            region.holders[0].process.pid,
            region.holders[0].descriptors.first().copied(),
        )
    });
    regions
}

/// Regions that were never mapped are known by descriptors: of each, one stands for all.
fn aliases<'a>(looks: impl Iterator<Item = &'a Look>) -> HashMap<RegionKey, RegionKey> {
    let keys = looks.flat_map(|look| &look.descriptors).map(|descriptor| descriptor.key);
    let places = keys.filter_map(|key| match key {
        RegionKey::Open { pid, descriptor } => Some((pid, descriptor)),
        RegionKey::Memory { .. } => None,
    });
    let key = |(pid, descriptor): (i32, i32)| RegionKey::Open { pid, descriptor };
    let groups = same_file::gather(places.collect());
    groups
        .iter()
        .flat_map(|group| group.iter().map(move |place| (key(*place), key(group[0]))))
        .collect()
}

fn region(key: RegionKey, facts: &SeenFacts) -> CensusRegion {
    let id = match key {
        RegionKey::Memory { inode, .. } => Some(inode),
        RegionKey::Open { .. } => None,
    };
    let SeenFacts { kind, name, size, resident, mask, pages, created, .. } = facts.clone();
    let (supervisor, holders) = (None, Vec::new());
    CensusRegion { id, kind, name, size, resident, mask, pages, created, supervisor, holders }
}

/// A mapping says little of a region, a descriptor all: whichever was met first.
fn complete(region: &mut CensusRegion, facts: &SeenFacts) {
    if region.size.is_none() {
        // The path in maps cannot tell a line feed from its escape.
        region.name = facts.name.clone();
    }
    region.size = region.size.or(facts.size);
    region.resident = region.resident.or(facts.resident);
    region.mask = region.mask.or(facts.mask);
    region.created = region.created.or(facts.created);
    region.pages = region.pages.or(facts.pages);
}

/// The holder of this process, whose looks come one at a time.
fn holder<'a>(region: &'a mut CensusRegion, process: &std::sync::Arc<Process>) -> &'a mut Holder {
    if region.holders.last().is_none_or(|last| last.process.pid != process.pid) {
        let process = process.clone();
        region.holders.push(Holder {
            process,
            descriptors: Vec::new(),
            mappings: Vec::new(),
            share: 0,
        });
    }
    let last = region.holders.len() - 1;
    &mut region.holders[last]
}

/// Whether this process's users are the host's.
fn is_host_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Seconds since 1970.
pub(crate) fn now() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// The version of [`Document`]: it grows when a field changes its meaning or goes, not when one
/// comes.
pub const VERSION: u32 = 1;

/// The document that scripts read: the census, its groups, its limits. docs/schemas/list.json
/// describes it.
#[derive(Serialize)]
pub struct Document<'a> {
    /// [`VERSION`].
    pub version: u32,
    /// Seconds since 1970.
    pub taken: f64,
    /// Bytes.
    pub page_size: u64,
    /// The regions wanted.
    #[serde(serialize_with = "with_totals")]
    pub regions: Vec<&'a CensusRegion>,
    /// By name, largest first.
    pub groups: Vec<Totals>,
    /// What they come to.
    pub total: Totals,
    /// What may be leaks, those mapped nowhere first, then what grew most. Where the regions wanted
    /// are leaks alone, what is mapped and grew is told here besides.
    pub leaks: Vec<Holding>,
    /// What could not be seen.
    pub limits: Vec<String>,
}

impl<'a> Document<'a> {
    /// The document of these regions of a census, and of these leaks.
    pub fn new(census: &Census, regions: Vec<&'a CensusRegion>, leaks: Vec<Holding>) -> Self {
        let groups = by_family(&regions).into_iter().map(|(totals, _)| totals).collect();
        let total = Totals::of("total", regions.iter().copied());
        let Census { taken, page_size, .. } = *census;
        let limits = census.limits(&regions);
        Self { version: VERSION, taken, page_size, regions, groups, total, leaks, limits }
    }
}

/// A region with what a reader would otherwise have to add up.
#[derive(Serialize)]
struct Summed<'a> {
    #[serde(flatten)]
    region: &'a CensusRegion,
    family: String,
    pattern: Text,
    share: u64,
    mappers: usize,
    is_unmapped: bool,
}

fn with_totals<S: Serializer>(regions: &[&CensusRegion], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(regions.iter().map(|region| Summed {
        region,
        family: family(&region.name),
        pattern: pattern(&region.name),
        share: region.share(),
        mappers: region.mappers(),
        is_unmapped: region.is_unmapped(),
    }))
}
