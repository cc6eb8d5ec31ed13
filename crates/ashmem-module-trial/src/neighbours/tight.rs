//! Little memory: a cgroup at its limit, and a purge order that was filled with what is not there.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::SKIPPED;
use super::memory::{self, PIECE, Taken};
use super::part::{End, Gate, Part, USER};
use crate::region::{PAGE, Region};

const CGROUPS: &str = "/sys/fs/cgroup";
const MIB: u64 = 1 << 20;

pub(crate) fn cgroup() -> Result<String> {
    let controllers = fs::read_to_string(format!("{CGROUPS}/cgroup.controllers")).unwrap_or_default();
    if !controllers.split_whitespace().any(|controller| controller == "memory") {
        return Ok(format!("{SKIPPED}this kernel's cgroup2 has no memory controller"));
    }
    fs::write(format!("{CGROUPS}/cgroup.subtree_control"), "+memory").context("switching the memory controller on")?;
    let group = format!("{CGROUPS}/tight");
    fs::create_dir(&group).context("making a cgroup")?;
    fs::write(format!("{group}/memory.max"), (64 * MIB).to_string()).context("limiting the cgroup")?;
    let go = Gate::new()?;
    let process = Part::start(USER, || {
        go.pass()?;
        fill_unpin_and_go_on()
    })?;
    fs::write(format!("{group}/cgroup.procs"), process.id().to_string()).context("moving a process there")?;
    go.open()?;
    let became = match process.end(Duration::from_secs(60))? {
        End::Said(text) => text,
        End::Killed(libc::SIGKILL) => "the process was killed for memory beside its own unpinned pages".to_owned(),
        other => anyhow::bail!("the process in the cgroup: {other:?}"),
    };
    let events = fs::read_to_string(format!("{group}/memory.events")).context("reading memory.events")?;
    fs::remove_dir(&group).context("removing the cgroup")?;
    Ok(format!("{became}; memory.events: {}", events.trim().replace('\n', ", ")))
}

fn fill_unpin_and_go_on() -> Result<String> {
    const UNPINNED: usize = 40 << 20;
    const MORE: usize = 40 << 20;
    let region = Region::create(UNPINNED / PAGE)?;
    let mapping = region.map(UNPINNED / PAGE, libc::MAP_SHARED)?;
    mapping.fill();
    for page in (0..UNPINNED / PAGE).step_by(16) {
        region.pinning(abi::UNPIN, page, 16)?;
    }
    let taken = Taken::reserve(MORE)?;
    for from in (0..MORE).step_by(PIECE) {
        taken.touch(from, PIECE);
    }
    let purged = region.pinning(abi::PIN, 0, 0)?;
    Ok(format!("the process had its memory, and PIN answered {purged}"))
}

pub(crate) fn endless_regions() -> Result<String> {
    let drop_caches: Press<'_> = &dropping_caches;
    let beside = round(false, drop_caches).context("while these regions are there")?;
    let after = round(true, drop_caches).context("after these regions' end")?;
    let pressed = round(true, &|gone| memory::press_until(4, gone)).context("after these regions' end, to a hog")?;
    Ok(format!("128 MiB were given back beside them {beside}, after them {after}, to a hog {pressed}"))
}

/// Looks whether it is enough.
type Look<'a> = &'a mut dyn FnMut() -> Result<bool>;
/// Makes the kernel want memory back, until a look says that it is enough; `false` if none did.
type Press<'a> = &'a dyn Fn(Look<'_>) -> Result<bool>;

/// Has 128 MiB of unpinned pages purged by `press` that were there before another's endless regions were, and still are
/// when these are gone, or beside them; says after how many looks they were.
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
    ensure!(is_gone, "{} of 128 MiB of unpinned pages were purged", full.saturating_sub(left) / MIB);
    ensure!(region.pinning(abi::PIN, 0, 0)? == abi::WAS_PURGED, "PIN did not say that the pages were purged");
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
    ensure!(ready.is_passed(Duration::from_secs(90))?, "the regions: {:?}", owner.end(Duration::ZERO)?);
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
