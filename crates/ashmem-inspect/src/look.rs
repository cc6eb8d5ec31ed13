// SPDX-License-Identifier: MIT OR Apache-2.0
//! A look at one process: the regions it holds and those it maps.

use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{FileType, SealFlags, Statx, StatxFlags};
use rustix::io::{Errno, Result};

use crate::process::Process;
use crate::region::{Mask, PageCounts, RegionKind, RegionMapping};
use ashmem_inside::state::{self, KernelState};
use ashmem_proc::fdinfo;
use ashmem_proc::maps::{self, Usage};
use ashmem_proc::memory;
use ashmem_proc::process::ProcessDir;
use ashmem_proc::status::ProcessStatus;
use ashmem_trace::text::Text;
use ashmem_trace_wire::ask::SupervisorPlace;
use ashmem_trace_wire::question::socket_of_sign;

/// A process whose descriptors and mappings seem the same is looked at again in one of so many
/// censuses.
pub(crate) const ROUNDS: u64 = 8;

/// What is the same for all processes of this host.
#[derive(Debug)]
pub(crate) struct HostInfo {
    /// Bytes.
    pub(crate) page: u64,
    /// The device number of the device, where the kernel has one.
    device: Option<u64>,
}

/// What tells regions apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum RegionKey {
    /// The inode of the memory, and the file system it is in.
    Memory { device: u64, inode: u64 },
    /// A region of the device that was never mapped: one of its descriptors.
    Open { pid: i32, descriptor: i32 },
}

impl RegionKey {
    /// The key of a memory, by its inode.
    pub(crate) fn of_memory(inode: u64) -> Self {
        Self::Memory { device: memory::shared(), inode }
    }
}

/// What is known of a region by itself.
#[derive(Clone, Debug)]
pub(crate) struct SeenFacts {
    pub(crate) kind: RegionKind,
    pub(crate) name: Arc<Text>,
    pub(crate) size: Option<u64>,
    pub(crate) resident: Option<u64>,
    pub(crate) mask: Option<Mask>,
    pub(crate) pages: Option<PageCounts>,
    /// When its memory was made, in seconds since 1970.
    pub(crate) created: Option<f64>,
    /// The user whom its memory belongs to.
    pub(crate) owner: Option<u32>,
    /// Whether its memory itself shows the region's state (`ashmem run --inside`).
    pub(crate) holds_state: bool,
    /// Whether that includes the size.
    pub(crate) is_complete: bool,
}

impl SeenFacts {
    /// What is known of a region of which nothing but this is.
    pub(crate) fn bare(kind: RegionKind, name: Arc<Text>) -> Self {
        Self {
            kind,
            name,
            size: None,
            resident: None,
            mask: None,
            pages: None,
            created: None,
            owner: None,
            holds_state: false,
            is_complete: false,
        }
    }
}

/// A descriptor of a region.
#[derive(Debug)]
pub(crate) struct Descriptor {
    pub(crate) number: i32,
    pub(crate) key: RegionKey,
    pub(crate) facts: SeenFacts,
}

/// A mapping of a region.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) key: RegionKey,
    pub(crate) kind: RegionKind,
    pub(crate) name: Arc<Text>,
    pub(crate) mapping: RegionMapping,
    pub(crate) share: u64,
}

/// What one process has.
#[derive(Debug, Default)]
pub(crate) struct Look {
    pub(crate) process: Option<Arc<Process>>,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) mapped: Vec<Mapped>,
    /// It is a supervisor, as its own descriptors say, and is asked there.
    pub(crate) supervisor: Option<SupervisorPlace>,
    /// It is another user's, and may not be looked at.
    pub(crate) is_denied: bool,
}

/// The kernel's own name of the device's regions, and of what stands for them without a module.
const DEVICE: &[u8] = b"/dev/ashmem";
const MEMFD: &[u8] = b"/memfd:";
const DELETED: &[u8] = b" (deleted)";

/// Whether a process answers the calls of others, as its descriptors tell.
fn listens(folder: &ProcessDir) -> Result<bool> {
    const LISTENER: &[u8] = b"anon_inode:seccomp notify";
    Ok(folder.descriptors()?.into_iter().any(|number| {
        folder
            .link(&format!("fd/{number}"), Vec::with_capacity(64))
            .is_ok_and(|link| link.as_slice() == LISTENER)
    }))
}

fn effective_user(folder: &ProcessDir, buffer: &mut Vec<u8>) -> Option<u32> {
    ProcessStatus::new(folder.read("status", buffer).ok()?).effective_user()
}

impl HostInfo {
    pub(crate) fn read() -> Self {
        const MISC_MAJOR: u32 = 10;
        let table = std::fs::read_to_string("/proc/misc").unwrap_or_default();
        let minor =
            table.lines().find_map(|line| line.trim().strip_suffix(" ashmem")?.trim().parse().ok());
        Self {
            page: rustix::param::page_size() as u64,
            device: minor.map(|minor| rustix::fs::makedev(MISC_MAJOR, minor)),
        }
    }

    /// Looks at a process. One that ends meanwhile is [`Errno::SRCH`] or [`Errno::NOENT`].
    pub(crate) fn look(&self, pid: i32) -> Result<Look> {
        let folder = ProcessDir::open(pid)?;
        let mut buffer = Vec::new();
        let mut look = Look::default();
        let seen = self.descriptors(pid, &folder, &mut buffer).and_then(|found| {
            (look.descriptors, look.supervisor) = found;
            look.mapped = mapped(&folder, &mut buffer)?;
            Ok(())
        });
        match seen {
            Err(Errno::ACCESS | Errno::PERM) => {
                // Threads of the kernel have no memory of their own, and nothing to hide.
                look.is_denied = folder
                    .read("status", &mut buffer)
                    .is_ok_and(|text| ProcessStatus::new(text).has_memory());
            }
            other => other?,
        }
        if !look.is_empty() {
            look.process = Some(Arc::new(Process::read(pid, &folder, &mut buffer)));
        }
        Ok(look)
    }

    fn descriptors(
        &self,
        pid: i32,
        folder: &ProcessDir,
        buffer: &mut Vec<u8>,
    ) -> Result<(Vec<Descriptor>, Option<SupervisorPlace>)> {
        let (mut found, mut supervisor) = (Vec::new(), None);
        for number in folder.descriptors()? {
            let Some((key, facts)) = self.descriptor(pid, folder, number, buffer) else { continue };
            // What shows the socket has no memory; with some it would be a memfd like others.
            let socket = socket_of_sign(facts.name.as_bytes())
                .filter(|_| facts.kind == RegionKind::Memfd && facts.resident == Some(0));
            if let Some(socket) = socket {
                supervisor = effective_user(folder, buffer).map(|user| SupervisorPlace {
                    pid,
                    socket,
                    user,
                });
                continue;
            }
            found.push(Descriptor { number, key, facts });
        }
        // A supervisor of `ashmem run` makes memories for opens to come, which are nobody's regions
        // yet. It is known by the listener that it answers.
        let is_spare = |descriptor: &Descriptor| {
            descriptor.facts.kind == RegionKind::Agent && descriptor.facts.size == Some(0)
        };
        if found.iter().any(is_spare) && listens(folder)? {
            found.retain(|descriptor| !is_spare(descriptor));
        }
        Ok((found, supervisor))
    }

    /// What a descriptor says of its region; `None` if it is gone or of something else.
    pub(crate) fn descriptor(
        &self,
        pid: i32,
        folder: &ProcessDir,
        number: i32,
        buffer: &mut Vec<u8>,
    ) -> Option<(RegionKey, SeenFacts)> {
        let path = format!("fd/{number}");
        let link = folder.link(&path, Vec::with_capacity(64)).ok()?;
        if let Some(name) = link.strip_prefix(MEMFD) {
            let stat = folder.status(&path).ok().filter(|stat| stat.stx_nlink == 0)?;
            let (kind, name) = of_memfd(name.strip_suffix(DELETED).unwrap_or(name));
            let key = key_of(&stat);
            return Some((key, self.of_memory(kind, Arc::new(name), &stat)));
        }
        if !link.starts_with(b"/") || !contains(&link, b"ashmem") {
            return None;
        }
        let stat = folder.status(&path).ok()?;
        let is_device = FileType::from_raw_mode(stat.stx_mode.into()) == FileType::CharacterDevice;
        let node = rustix::fs::makedev(stat.stx_rdev_major, stat.stx_rdev_minor);
        if !is_device || self.device.is_some_and(|device| device != node) {
            return None;
        }
        let info = fdinfo::of_device(folder.read(&format!("fdinfo/{number}"), buffer).ok()?);
        // Without the device in /proc/misc, what says nothing of a region is none: the null device
        // under this name.
        if self.device.is_none() && info.inode.is_none() && info.size.is_none() {
            return None;
        }
        let key = match info.inode {
            Some(inode) => RegionKey::of_memory(inode),
            None => RegionKey::Open { pid, descriptor: number },
        };
        // Before its first mmap it has no memory.
        let resident = info.resident.map(|pages| pages * self.page).or(if info.inode.is_none() {
            Some(0)
        } else {
            None
        });
        let pages = info.pinned.zip(info.unpinned).zip(info.purged);
        let pages =
            pages.map(|((pinned, unpinned), purged)| PageCounts { pinned, unpinned, purged });
        let (name, mask) = (Arc::new(Text::from(info.name)), info.mask.map(Mask::from_bits));
        Some((
            key,
            SeenFacts {
                size: info.size,
                resident,
                mask,
                pages,
                ..SeenFacts::bare(RegionKind::Device, name)
            },
        ))
    }

    /// What the memory behind a descriptor says now that was a memfd's when it was looked at;
    /// `None` if it is gone.
    pub(crate) fn memory_again(
        &self,
        folder: &ProcessDir,
        held: &mut Descriptor,
        round: u64,
    ) -> Option<(RegionKey, SeenFacts)> {
        let path = format!("fd/{}", held.number);
        let stat = folder.status(&path).ok()?;
        let known = &mut held.facts;
        let mut now = self.of_memory(known.kind, known.name.clone(), &stat);
        if known.kind == RegionKind::Memfd {
            if known.mask.is_none() || stat.stx_ino.wrapping_add(round).is_multiple_of(ROUNDS) {
                known.mask = mask_of_memfd(folder, &path);
            }
            now.mask = known.mask;
        }
        Some((key_of(&stat), now))
    }

    /// What a descriptor that was looked at in this very round says, and a memfd's mask besides.
    pub(crate) fn just_seen(&self, folder: &ProcessDir, held: &mut Descriptor) -> SeenFacts {
        if held.facts.kind == RegionKind::Memfd {
            held.facts.mask = mask_of_memfd(folder, &format!("fd/{}", held.number));
        }
        held.facts.clone()
    }

    /// What a mapping's file says of its region; needs rights over the whole machine
    /// (`CAP_CHECKPOINT_RESTORE`).
    pub(crate) fn through_mapping(
        &self,
        folder: &ProcessDir,
        mapped: &Mapped,
    ) -> Result<SeenFacts> {
        let RegionMapping { start, end, .. } = mapped.mapping;
        let path = format!("map_files/{start:x}-{end:x}");
        let stat = folder.status(&path)?;
        let mut facts = self.of_memory(mapped.kind, mapped.name.clone(), &stat);
        if mapped.kind == RegionKind::Device {
            // No descriptor is left: nothing can be unpinned any more, and what was may stay
            // unpinned, unseen.
            facts.pages = None;
        } else if mapped.kind == RegionKind::Memfd {
            facts.mask = mask_of_memfd(folder, &path);
        }
        Ok(facts)
    }

    fn of_memory(&self, kind: RegionKind, name: Arc<Text>, stat: &Statx) -> SeenFacts {
        /// What `st_blocks` counts.
        const BLOCK: u64 = 512;
        let size = stat.stx_size;
        // A memfd cannot be unpinned; of a supervisor's regions only the supervisor knows.
        let pages = (kind == RegionKind::Memfd)
            .then(|| PageCounts { pinned: size.div_ceil(self.page), ..PageCounts::default() });
        // Where programs answer calls themselves, the memory's mode holds the mask.
        let mode = u32::from(stat.stx_mode);
        let holds_state = kind == RegionKind::Agent && state::is_region(mode);
        let mask =
            holds_state.then(|| Mask::from_bits(KernelState::new(mode, size, 0).mask.bits()));
        SeenFacts {
            size: Some(size),
            resident: Some(stat.stx_blocks.saturating_mul(BLOCK)),
            mask,
            pages,
            created: created(stat),
            owner: Some(stat.stx_uid),
            holds_state,
            is_complete: holds_state && state::is_complete(mode),
            ..SeenFacts::bare(kind, name)
        }
    }
}

impl Look {
    pub(crate) fn is_empty(&self) -> bool {
        self.descriptors.is_empty() && self.mapped.is_empty()
    }
}

fn key_of(memory: &Statx) -> RegionKey {
    let device = rustix::fs::makedev(memory.stx_dev_major, memory.stx_dev_minor);
    RegionKey::Memory { device, inode: memory.stx_ino }
}

/// When it was made, in seconds since 1970, where the kernel keeps that.
fn created(memory: &Statx) -> Option<f64> {
    let is_kept = StatxFlags::from_bits_retain(memory.stx_mask).contains(StatxFlags::BTIME);
    let time = memory.stx_btime;
    is_kept.then(|| time.tv_sec as f64 + f64::from(time.tv_nsec) / 1e9)
}

/// The rights that new mappings of a plain memfd may have.
pub(crate) fn mask_of_memfd(folder: &ProcessDir, link: &str) -> Option<Mask> {
    let is_sealed = is_sealed(folder.open_memory(link).ok()?)?;
    Some(if is_sealed { Mask::ALL.without_write() } else { Mask::ALL })
}

fn is_sealed(file: impl AsFd) -> Option<bool> {
    let seals = rustix::fs::fcntl_get_seals(file).ok()?;
    Some(seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE))
}

/// The mappings of regions. smaps walks every page table of the process, so it is read only where
/// maps shows a region.
fn mapped(folder: &ProcessDir, buffer: &mut Vec<u8>) -> Result<Vec<Mapped>> {
    let wanted = |line: &maps::MapsEntry<'_>| of_mapping(line).is_some();
    if !maps::mappings(folder.read("maps", buffer)?).any(|line| wanted(&line)) {
        return Ok(Vec::new());
    }
    let found = maps::usages(folder.read("smaps", buffer)?, wanted);
    Ok(found
        .iter()
        .filter_map(|(line, usage)| Some(of_line(line, usage, of_mapping(line)?)))
        .collect())
}

fn of_line(line: &maps::MapsEntry<'_>, usage: &Usage, (kind, name): (RegionKind, Text)) -> Mapped {
    let maps::MapsEntry { start, end, rights, offset, device, inode, .. } = *line;
    // A private mapping's own copies are not the region's.
    let share = usage.pss.saturating_sub(usage.anonymous);
    let mapping = RegionMapping { start, end, offset, rights };
    Mapped { key: RegionKey::Memory { device, inode }, kind, name: Arc::new(name), mapping, share }
}

/// The region that a mapping is of, by its path.
fn of_mapping(line: &maps::MapsEntry<'_>) -> Option<(RegionKind, Text)> {
    if line.inode == 0 {
        return None;
    }
    let path = line.path.strip_suffix(DELETED)?;
    if let Some(name) = path.strip_prefix(MEMFD) {
        return Some(of_memfd(Text::from_proc(name).as_bytes()));
    }
    match path.strip_prefix(DEVICE)? {
        b"" => Some((RegionKind::Device, Text::default())),
        name => Some((RegionKind::Device, Text::from_proc(name.strip_prefix(b"/")?))),
    }
}

/// Whose a memfd is, and the region's name.
fn of_memfd(name: &[u8]) -> (RegionKind, Text) {
    let device = DEVICE.strip_prefix(b"/").unwrap_or(DEVICE);
    match name.strip_prefix(device) {
        Some(b"") => (RegionKind::Agent, Text::default()),
        Some([b'/', name @ ..]) => (RegionKind::Agent, Text::from(name)),
        _ => (RegionKind::Memfd, Text::from(name)),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::{RegionKind, Text, of_mapping, of_memfd};
    use ashmem_proc::maps::MapsEntry as Line;

    #[test]
    fn memfds_and_regions_are_told_apart_by_their_paths() {
        let of = |path: &'static [u8]| of_mapping(&Line { inode: 7, path, ..Line::default() });
        assert_eq!(of(b"/dev/ashmem (deleted)"), Some((RegionKind::Device, Text::default())));
        assert_eq!(of(b"/dev/ashmem/a b (deleted)"), Some((RegionKind::Device, Text::from("a b"))));
        assert_eq!(of(b"/dev/ashmem"), None, "the node itself");
        assert_eq!(of(b"/dev/ashmem2 (deleted)"), None);
        assert_eq!(
            of(b"/memfd:dev/ashmem/x\\012y (deleted)"),
            Some((RegionKind::Agent, Text::from("x\ny")))
        );
        assert_eq!(
            of(b"/memfd:wayland (deleted)"),
            Some((RegionKind::Memfd, Text::from("wayland")))
        );
        assert_eq!(of(b"/usr/lib/libc.so.6"), None);
        assert_eq!(of_memfd(b"dev/ashmem"), (RegionKind::Agent, Text::default()));
        assert_eq!(of_memfd(b"dev/ashmem2"), (RegionKind::Memfd, Text::from("dev/ashmem2")));
    }
}
