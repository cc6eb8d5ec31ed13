// SPDX-License-Identifier: MIT OR Apache-2.0
//! What of a census is wanted, and in which order.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use ashmem_trace::container_watch::any_in;
use ashmem_trace::glob::Glob;
use ashmem_trace::process_selector::{self, ProcessSelector};
use rustix::io::Errno;

use crate::census::Census;
use crate::region::{CensusRegion, Holder};
use ashmem_proc::process::ProcessDir;

/// Which regions. An empty filter wants all.
#[derive(Clone, Debug, Default)]
pub struct RegionFilter {
    /// Names that match.
    pub name: Option<Glob>,
    /// Held or mapped by one of these.
    pub processes: Vec<ProcessName>,
    /// Held or mapped in this container.
    pub container: Option<String>,
    /// Held and mapped nowhere.
    pub leaks: bool,
}

/// A process: by its number here, or `CONTAINER:PID` by its number in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessName {
    /// Here.
    Here(i32),
    /// In a container.
    Inside(String, i32),
}

/// In which order regions are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// Most memory first.
    #[default]
    Resident,
    /// Largest first.
    Size,
    /// Largest share first.
    Share,
    /// By name.
    Name,
    /// By id.
    Id,
    /// Most processes first.
    Holders,
    /// Most unpinned pages first.
    Unpinned,
    /// Most purged pages first.
    Purged,
    /// The oldest first.
    Age,
}

impl RegionFilter {
    /// The regions that are wanted, in this order.
    pub fn apply<'a>(&self, census: &'a Census, order: SortOrder) -> Vec<&'a CensusRegion> {
        let mut regions: Vec<&CensusRegion> =
            census.regions.iter().filter(|region| self.wants(region)).collect();
        order.sort(&mut regions);
        regions
    }

    /// Who was asked for and is not there or may not be looked at, a sentence each: a list that
    /// shows nothing of them does not tell that.
    pub fn absent(&self, census: &Census) -> Vec<String> {
        let holds = |process: &ProcessName| {
            census
                .regions
                .iter()
                .any(|region| region.holders.iter().any(|holder| process.is(holder)))
        };
        let not_there = |process: &ProcessName| match process.selector().map(|wanted| wanted.find())
        {
            Some(Err(error)) => Some(error.to_string()),
            Some(Ok(found)) if !may_look_at(found.pid) => Some(format!(
                "process {process} may not be looked at: run it as root, outside containers"
            )),
            _ => None,
        };
        let mut absent: Vec<String> =
            self.processes.iter().filter(|process| !holds(process)).filter_map(not_there).collect();
        if let Some(name) = &self.container
            && !census
                .regions
                .iter()
                .any(|region| region.holders.iter().any(|holder| holder.is_in(name)))
            && !any_in(name)
        {
            absent.push(format!("no process is in a container `{name}`"));
        }
        absent
    }

    /// Whether a region is wanted.
    pub fn wants(&self, region: &CensusRegion) -> bool {
        let by_process = |holder: &Holder| self.processes.iter().any(|process| process.is(holder));
        let by_container = |name: &String| region.holders.iter().any(|holder| holder.is_in(name));
        (!self.leaks || region.is_unmapped())
            && self.name.as_ref().is_none_or(|glob| glob.matches(&region.name.to_string()))
            && (self.processes.is_empty() || region.holders.iter().any(by_process))
            && self.container.as_ref().is_none_or(by_container)
    }
}

fn may_look_at(pid: i32) -> bool {
    let looked = ProcessDir::open(pid).and_then(|folder| folder.descriptors());
    !matches!(looked, Err(Errno::ACCESS | Errno::PERM))
}

impl Holder {
    /// Whether it is in the container that this names.
    fn is_in(&self, name: &str) -> bool {
        self.process.container.as_ref().is_some_and(|container| container.is_meant_by(name))
    }
}

impl ProcessName {
    fn is(&self, holder: &Holder) -> bool {
        match self {
            Self::Here(pid) => holder.process.pid == *pid,
            Self::Inside(name, pid) => holder.process.inner_pid == *pid && holder.is_in(name),
        }
    }

    /// For who looks whether it is there.
    fn selector(&self) -> Option<ProcessSelector> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for ProcessName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(pid) => write!(f, "{pid}"),
            Self::Inside(name, pid) => write!(f, "{name}:{pid}"),
        }
    }
}

impl FromStr for ProcessName {
    type Err = process_selector::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named: ProcessSelector = text.parse()?;
        let container = named.container().map(str::to_owned);
        let pid = named.pid();
        Ok(container.map_or(Self::Here(pid), |container| Self::Inside(container, pid)))
    }
}

impl SortOrder {
    /// Puts regions into this order; equal ones stay as they are.
    pub fn sort(self, regions: &mut [&CensusRegion]) {
        regions.sort_by(|one, other| self.compare(one, other));
    }

    /// Which of two comes first.
    pub fn compare(self, one: &CensusRegion, other: &CensusRegion) -> Ordering {
        let by = |key: fn(&CensusRegion) -> (Option<u64>, Option<u64>)| key(other).cmp(&key(one));
        match self {
            // What is unknown comes last.
            Self::Resident => by(|region| (region.resident, region.size)),
            Self::Size => by(|region| (region.size, None)),
            Self::Share => by(|region| (Some(region.share()), None)),
            Self::Name => one.name.cmp(&other.name),
            Self::Id => (one.id.is_none(), one.id).cmp(&(other.id.is_none(), other.id)),
            Self::Holders => by(|region| (Some(region.holders.len() as u64), None)),
            Self::Unpinned => by(|region| (region.pages.map(|pages| pages.unpinned), None)),
            Self::Purged => by(|region| (region.pages.map(|pages| pages.purged), None)),
            Self::Age => {
                let created = |region: &CensusRegion| region.created.unwrap_or(f64::INFINITY);
                created(one).total_cmp(&created(other))
            }
        }
    }
}
