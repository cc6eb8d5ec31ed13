// SPDX-License-Identifier: MIT OR Apache-2.0
//! Little memory: a cgroup at its limit, and a purge order that was filled with what is not there.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::memory::{self, PIECE, Taken};
use super::part::{End, Gate, Part, SKIPPED, USER};
use crate::region::{Mapping, PAGE, Region};

const CGROUPS: &str = "/sys/fs/cgroup";
const MIB: u64 = 1 << 20;

pub(crate) fn cgroup() -> Result<String> {
    let controllers =
        fs::read_to_string(format!("{CGROUPS}/cgroup.controllers")).unwrap_or_default();
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        return Ok(format!("{SKIPPED}this kernel's cgroup2 has no memory controller"));
    }
    fs::write(format!("{CGROUPS}/cgroup.subtree_control"), "+memory")
        .context("switching the memory controller on")?;
    // Older unpinned pages, of the machine's own cgroup and of another, which is not at its limit.
    let of_machine = Unpinned::make(OTHERS)?;
    let (neighbour, tight) = (Group::make("neighbour", 4 * LIMIT)?, Group::make("tight", LIMIT)?);
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let beside = Part::start(USER, || {
        go.pass()?;
        let unpinned = Unpinned::make(OTHERS)?;
        ready.open()?;
        go.pass()?;
        unpinned.is_intact()
    })?;
    neighbour.take_in(&beside)?;
    go.open()?;
    ensure!(ready.is_passed(PATIENCE)?, "the neighbour: {:?}", beside.end(Duration::ZERO)?);

    // Both come to their limits at the same time.
    let start = Gate::new()?;
    let groups = [tight, Group::make("rival", LIMIT)?];
    let mut processes = Vec::new();
    for group in &groups {
        let process = Part::start(USER, || {
            start.pass()?;
            fill_unpin_and_go_on()
        })?;
        group.take_in(&process)?;
        processes.push(process);
    }
    for _ in &groups {
        start.open()?;
    }
    let mut became = String::new();
    for (group, process) in groups.iter().zip(processes) {
        became = match process.end(PATIENCE)? {
            End::Said(text) => format!("{text}; memory.events: {}", group.events()?),
            End::Killed(libc::SIGKILL) => anyhow::bail!(
                "the process was killed for memory beside its own unpinned pages; memory.events: \
                 {}",
                group.events()?
            ),
            other => anyhow::bail!("the process in the cgroup: {other:?}"),
        };
    }
    go.open()?;
    beside.finish(PATIENCE).context("the cgroup beside it, whose unpinned pages are older")?;
    of_machine.is_intact().context("the machine's own cgroup, whose unpinned pages are older")?;

    for group in groups.into_iter().chain([neighbour]) {
        group.remove()?;
    }
    Ok(format!("{became}; older unpinned pages of others stayed"))
}

/// What a cgroup at its limit may have.
const LIMIT: u64 = 64 * MIB;
const UNPINNED: usize = (40 << 20) / PAGE;
const OTHERS: usize = (16 << 20) / PAGE;
const PATIENCE: Duration = Duration::from_secs(60);

/// A memory cgroup.
struct Group(String);

impl Group {
    fn make(name: &str, limit: u64) -> Result<Self> {
        let path = format!("{CGROUPS}/{name}");
        fs::create_dir(&path).with_context(|| format!("making the cgroup {name}"))?;
        fs::write(format!("{path}/memory.max"), limit.to_string())
            .context("limiting the cgroup")?;
        Ok(Self(path))
    }

    fn take_in(&self, process: &Part) -> Result<()> {
        fs::write(format!("{}/cgroup.procs", self.0), process.id().to_string())
            .context("moving a process to a cgroup")
    }

    fn events(&self) -> Result<String> {
        let events = fs::read_to_string(format!("{}/memory.events", self.0))
            .context("reading memory.events")?;
        Ok(events.trim().replace('\n', ", "))
    }

    fn remove(self) -> Result<()> {
        fs::remove_dir(&self.0).with_context(|| format!("removing {}", self.0))
    }
}

/// A region whose pages were all written, and are unpinned.
struct Unpinned {
    region: Region,
    _mapping: Mapping,
}

impl Unpinned {
    fn make(pages: usize) -> Result<Self> {
        let region = Region::create(pages)?;
        let mapping = region.map(pages, libc::MAP_SHARED)?;
        mapping.fill();
        for page in (0..pages).step_by(16) {
            region.pinning(abi::UNPIN, page, 16)?;
        }
        Ok(Self { region, _mapping: mapping })
    }

    fn is_intact(&self) -> Result<String> {
        let pinned = self.region.pinning(abi::PIN, 0, 0)?;
        ensure!(pinned == abi::NOT_PURGED, "PIN answered {pinned}");
        Ok(String::new())
    }
}

fn fill_unpin_and_go_on() -> Result<String> {
    const PINNED: usize = (8 << 20) / PAGE;
    let pinned = Region::create(PINNED)?;
    let kept = pinned.map(PINNED, libc::MAP_SHARED)?;
    kept.fill();
    let unpinned = Unpinned::make(UNPINNED)?;
    take_more()?;
    let answer = unpinned.region.pinning(abi::PIN, 0, 0)?;
    ensure!(answer == abi::WAS_PURGED, "there was room for more, and PIN answered {answer}");
    ensure!(kept.is_filled(), "pinned pages were taken");
    Ok(format!("the process had its memory, and PIN answered {answer}"))
}

/// Takes more than there is room for beside what is unpinned.
fn take_more() -> Result<()> {
    const MORE: usize = 40 << 20;
    let taken = Taken::reserve(MORE)?;
    for from in (0..MORE).step_by(PIECE) {
        taken.touch(from, PIECE);
    }
    Ok(())
}

pub(crate) fn endless_regions() -> Result<String> {
    let drop_caches: Press<'_> = &dropping_caches;
    let beside = round(false, drop_caches).context("while these regions are there")?;
    let after = round(true, drop_caches).context("after these regions' end")?;
    let pressed = round(true, &|gone| memory::press_until(4, gone))
        .context("after these regions' end, to a hog")?;
    Ok(format!(
        "128 MiB were given back beside them {beside}, after them {after}, to a hog {pressed}"
    ))
}

/// Looks whether it is enough.
type Look<'a> = &'a mut dyn FnMut() -> Result<bool>;
/// Makes the kernel want memory back, until a look says that it is enough; `false` if none did.
type Press<'a> = &'a dyn Fn(Look<'_>) -> Result<bool>;

/// Has 128 MiB of unpinned pages purged by `press` that were there before another's endless regions
/// were, and still are when these are gone, or beside them; says after how many looks they were.
fn round(after: bool, press: Press<'_>) -> Result<String> {
    const PAGES: usize = (128 << 20) / PAGE;
    let region = Region::create(PAGES)?;
    let mapping = region.map(PAGES, libc::MAP_SHARED)?;
    mapping.fill();
    for page in (0..PAGES).step_by(64) {
        region.pinning(abi::UNPIN, page, 64)?;
    }
    let mut owner = Some(endless()?);
    if after && let Some(owner) = owner.take() {
        owner.put_down(Duration::from_secs(60)).context("the owner of these regions")?;
    }
    let full = memory::of_machine("Shmem:")?;
    let (mut looks, mut left) = (0, full);
    let is_gone = press(&mut || {
        looks += 1;
        left = memory::of_machine("Shmem:")?;
        Ok(full.saturating_sub(left) > 120 * MIB)
    })?;
    ensure!(
        is_gone,
        "{} of 128 MiB of unpinned pages were purged",
        full.saturating_sub(left) / MIB
    );
    ensure!(
        region.pinning(abi::PIN, 0, 0)? == abi::WAS_PURGED,
        "PIN did not say that the pages were purged"
    );
    if let Some(owner) = owner {
        owner.put_down(Duration::from_secs(60)).context("the owner of these regions")?;
    }
    Ok(format!("at look {looks}"))
}

/// A process that has more pages unpinned than a 64-bit number can count, all of them sparse.
fn endless() -> Result<Part> {
    const REGIONS: usize = 8300;
    let ready = Gate::new()?;
    let owner = Part::start(USER, || {
        let mut regions = Vec::new();
        for _ in 0..REGIONS {
            let region = Region::open()?;
            region.set_size(i64::MAX as usize)?;
            let mapping = region.map(1, libc::MAP_SHARED | libc::MAP_NORESERVE)?;
            region.pinning(abi::UNPIN, 0, 0)?;
            regions.push((region, mapping));
        }
        ready.open()?;
        // Until it is put down.
        loop {
            std::thread::park();
        }
    })?;
    ensure!(
        ready.is_passed(Duration::from_secs(90))?,
        "the regions: {:?}",
        owner.end(Duration::ZERO)?
    );
    Ok(owner)
}

/// Asks for caches to be dropped until `gone`.
fn dropping_caches(gone: Look<'_>) -> Result<bool> {
    for _ in 0..100 {
        fs::write("/proc/sys/vm/drop_caches", "2").context("dropping caches")?;
        if gone()? {
            return Ok(true);
        }
    }
    Ok(false)
}
