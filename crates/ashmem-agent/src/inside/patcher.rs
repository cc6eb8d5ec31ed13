// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which threads get answers, and the patch of a call's site while its process is stopped.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard};

use ashmem_inside::layout::{
    BlobHeader, CALL, GATE_POINTER, JUMP_PAGES, LIMIT, MAGIC, STAT, WINDOW,
};
use ashmem_proc::process::parent;
use ashmem_proc::status::ProcessStatus;
use ashmem_proc::{number, value_of, words};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::implant::{Memory, Site, implant};
use super::mode::InsideMode;
use super::site::{FRONT, PATCHED, SITE, is_site, loads_number, single_thread_flag};
use super::stopped::{StoppedThread, stop_others};
use crate::notification::Notification;
use crate::regions::memfd;
use crate::regions::node::Device;
use crate::seccomp::filter::{self, Fidelity, Gate};
use crate::seccomp::own;
use crate::sys::{kernel_is, lock};
use crate::target_thread::fd_budget::FdBudget;
use crate::target_thread::registers::Registers;
use crate::target_thread::{Target, leader, read_memory};

const OTHERS: [u32; 4] = [own::MMAP, own::IOCTL, own::FSTAT, own::NEWFSTATAT];

/// What a call of the device counts for a thread, and how much it takes: its 32nd. To patch all of
/// a program's sites costs about as much as so many notified calls: who makes fewer pays nothing
/// for it, and nobody pays more than twice.
const DEVICE: i32 = 16;
const ENOUGH: i32 = 32 * DEVICE;
/// As tests want it.
const AT_ONCE: i32 = 1;
/// After a failure it takes as much more, twice as much after each further one.
const DELAY: i32 = 64;
/// Failures after which a thread's calls stay notified.
const FAILURES: u32 = 8;
/// Threads and sites remembered at most.
const REMEMBERED: usize = 4096;
/// Threads of a process that is patched at most.
const THREADS: usize = 64;
/// Processes patched at once at most: a patch takes as long as the process likes.
const AT_ONCE_PATCHED: usize = 4;
/// Patched processes whose memory is held open at most.
const HELD: usize = 64;

/// Puts answers into programs.
pub(crate) struct Inside {
    header: BlobHeader,
    /// Whether opens can be answered: there is a node that tells the device.
    opens: bool,
    /// How many filters the program has from us and from before; others are its own.
    filters: Option<u32>,
    /// Points from which on a thread's sites are patched.
    enough: i32,
    memory: Mutex<Remembered>,
    /// The processes that are being patched.
    patching: Arc<Mutex<HashSet<i32>>>,
    /// Patched ones, whose memory must be reached when it may not be opened any more.
    held: Mutex<Vec<Held>>,
}

/// A patched process.
struct Held {
    process: i32,
    memory: Arc<Memory>,
    /// Its pidfd, which tells its end.
    end: Arc<OwnedFd>,
    _budget: FdBudget,
}

impl Held {
    /// Descriptors that it takes.
    const OPENED: usize = 2;

    fn has_ended(&self) -> bool {
        let mut polled = [PollFd::new(&self.end, PollFlags::IN)];
        poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(1)
    }
}

/// The right to patch a process, which nobody else does meanwhile.
struct Turn {
    process: i32,
    patching: Arc<Mutex<HashSet<i32>>>,
    _budget: FdBudget,
}

impl Turn {
    /// Descriptors that a patch opens at a time: the process's memory, and a file of /proc.
    const OPENED: usize = 2;

    fn take(patching: &Arc<Mutex<HashSet<i32>>>, process: i32) -> Option<Self> {
        let budget = FdBudget::take_some(Self::OPENED)?;
        let mut all = lock(patching);
        let is_free = all.len() < AT_ONCE_PATCHED && all.insert(process);
        is_free.then(|| Self { process, patching: Arc::clone(patching), _budget: budget })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock(&self.patching).remove(&self.process);
    }
}

#[derive(Default)]
struct Remembered {
    threads: HashMap<i32, Score>,
    /// Sites that cannot be patched.
    refused: HashSet<(i32, u64)>,
    /// Processes whose answers were switched off.
    withdrawn: HashSet<i32>,
}

#[derive(Clone, Copy, Default)]
struct Score {
    points: i32,
    /// Whether it has made enough calls of the device. Then all its calls count, 1 each: after
    /// a failure there may be no call of the device any more that is notified.
    is_user: bool,
    failures: u32,
}

/// A call at whose end its site is patched.
pub(crate) struct Due {
    tid: i32,
    process: i32,
    site: Site,
    _turn: Turn,
}

impl Inside {
    /// The address behind the instruction from which answers make their calls.
    pub(crate) fn gate() -> Option<Gate> {
        // A call that is being answered must not be interrupted by the stop (5.19), memfds need
        // F_SEAL_FUTURE_WRITE, and kcmp(2) tells who shares memory.
        let is_possible = kernel_is(5, 19)
            && shares_memory(std::process::id() as i32, std::process::id() as i32) == Ok(true)
            && memfd::can_keep_state();
        is_possible.then_some(Gate(GATE_POINTER))
    }

    /// For a program with this device, which is filtered and not executed yet.
    ///
    /// # Errors
    /// EMFILE, ENFILE.
    pub(crate) fn new(
        device: &Device,
        program: i32,
        fidelity: Fidelity,
        when: InsideMode,
    ) -> Result<Self> {
        let mut stat = [0; STAT / 8];
        // SAFETY: the structures are plain integers and as long.
        unsafe { stat.as_mut_ptr().cast::<libc::stat>().write(device.stat()) };
        let node = device.node().map(|node| node.parts());
        let mounts = node.map_or(&[][..], |(_, mounts)| mounts);
        let mount = |index: usize| mounts.get(index).copied().filter(|mount| *mount != 0);
        // Where the kernel does not tell mounts, no open is known to be the node's.
        let mounts = mount(0).zip(mount(1));
        let header = BlobHeader {
            magic: MAGIC,
            jump_pages: [0; JUMP_PAGES],
            node_dev: node.map_or(u64::MAX, |(stat, _)| stat.st_dev),
            node_ino: node.map_or(u64::MAX, |(stat, _)| stat.st_ino),
            node_mounts: mounts.map_or([u64::MAX; 2], |(short, long)| [short, long]),
            plain_mount: plain_mount(program).unwrap_or(u64::MAX),
            memfd_dev: memfd::device()?,
            memfd_flags: memfd::flags_of_state().bits().into(),
            stat,
            is_full: (fidelity == Fidelity::Full).into(),
            tells_threads: tells_threads().into(),
            page_shift: rustix::param::page_size().ilog2().into(),
        };
        let text = ashmem_proc::read(format!("/proc/{program}/status")).unwrap_or_default();
        let filters = value_of(&text, "Seccomp_filters").and_then(number);
        let enough = if when == InsideMode::AtOnce { AT_ONCE } else { ENOUGH };
        Ok(Self {
            header,
            opens: mounts.is_some(),
            filters,
            enough,
            memory: Mutex::default(),
            patching: Arc::default(),
            held: Mutex::default(),
        })
    }

    /// Counts a notified call of a program; whether its site is to be patched at its end.
    pub(crate) fn due(
        &self,
        notification: &Notification,
        target: &Target<'_>,
        is_of_device: bool,
    ) -> Option<Due> {
        let is_known = OTHERS.contains(&notification.nr)
            || self.opens && own::OPENS.contains(&notification.nr);
        if notification.arch != own::ARCH || !is_known || !self.count(notification, is_of_device) {
            return None;
        }
        let (tid, pointer) = (notification.tid, notification.instruction_pointer);
        match self.find(notification, target) {
            Ok(due) => Some(due),
            // For good.
            Err(Errno::INVAL) => {
                let mut memory = self.memory();
                if memory.refused.len() >= REMEMBERED {
                    memory.refused.clear();
                }
                memory.refused.insert((tid, pointer));
                None
            }
            Err(error) => {
                self.failed(tid, error);
                None
            }
        }
    }

    fn count(&self, notification: &Notification, is_of_device: bool) -> bool {
        let mut memory = self.memory();
        if memory.threads.len() >= REMEMBERED && !memory.threads.contains_key(&notification.tid) {
            memory.threads.clear();
        }
        let score = memory.threads.entry(notification.tid).or_default();
        if is_of_device || self.enough == AT_ONCE {
            score.points = score.points.saturating_add(DEVICE);
        } else if score.is_user {
            score.points = score.points.saturating_add(1);
        }
        score.is_user |= score.points >= self.enough;
        score.points >= self.enough
            && score.failures < FAILURES
            && !memory.refused.contains(&(notification.tid, notification.instruction_pointer))
    }

    fn failed(&self, tid: i32, error: Errno) {
        tracing::debug!(tid, %error, "a call site was not patched");
        if let Some(score) = self.memory().threads.get_mut(&tid) {
            score.points = self.enough - (DELAY << score.failures.min(FAILURES));
            score.failures += 1;
        }
    }

    /// Looks whether a call's site can be patched.
    ///
    /// # Errors
    /// EINVAL: never. Others: not now.
    fn find(&self, notification: &Notification, target: &Target<'_>) -> Result<Due> {
        let tid = notification.tid;
        let syscall =
            notification.instruction_pointer.checked_sub(CALL as u64).ok_or(Errno::INVAL)?;
        let from = syscall.checked_sub(PATCHED as u64).ok_or(Errno::INVAL)?;
        let (front, bytes) = site_at(tid, from)?;
        if !is_site(&front, &bytes, notification.nr) {
            return Err(Errno::INVAL);
        }
        let text = ashmem_proc::read(format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
        let value = |key| value_of(&text, key).and_then(number::<u32>);
        if own::OPENS.contains(&notification.nr) && loads_number(&bytes) {
            let mut is_alone = [0];
            let flag = single_thread_flag(&front, from).ok_or(Errno::INVAL)?;
            let is_read = read_memory(tid, flag, &mut is_alone)? == 1;
            if !is_read || is_alone == [0] || value("Threads") != Some(1) {
                return Err(Errno::INVAL);
            }
        }
        let process = ProcessStatus::new(&text).process().ok_or(Errno::SRCH)?;
        if value("TracerPid") != Some(0) || value("Seccomp_filters") != self.filters {
            return Err(Errno::BUSY);
        }
        // As after vfork(2); who else does is asked once it is stopped.
        if parent(process).is_some_and(|parent| shares_memory(process, parent) == Ok(true)) {
            return Err(Errno::BUSY);
        }
        if !target.is_waiting() {
            return Err(Errno::SRCH);
        }
        let turn = Turn::take(&self.patching, process).ok_or(Errno::AGAIN)?;
        let patched = *bytes.first_chunk().ok_or(Errno::INVAL)?;
        Ok(Due { tid, process, site: Site { syscall, patched }, _turn: turn })
    }

    /// Sends a call's answer, which tells whether the caller got it, and patches the call's
    /// site. With the end of the thread that does this, every stop ends; how long it takes, the
    /// process decides.
    pub(crate) fn patch(&self, due: &Due, target: &Target<'_>, send: impl FnOnce() -> bool) {
        let caller = StoppedThread::begin(due.tid, || target.is_waiting());
        let done = match (send(), caller) {
            (true, Ok(caller)) => self.patch_stopped(due, caller),
            (true, Err(error)) => Err(error),
            (false, _) => return,
        };
        if let Err(error) = done {
            self.failed(due.tid, error);
        }
    }

    fn patch_stopped(&self, due: &Due, caller: StoppedThread) -> Result<()> {
        caller.wait()?;
        let registers = caller.after_call()?;
        if registers.next_instruction() != due.site.syscall + CALL as u64 {
            return Err(Errno::AGAIN);
        }
        let others = stop_others(due.process, due.tid, THREADS)?;
        let tids = || others.iter().chain([&caller]).map(StoppedThread::tid);
        if !tids().all(|tid| self.is_filtered_by_us(tid, others.len() + 1)) {
            return Err(Errno::BUSY);
        }
        self.is_own_memory(due, &caller, &registers, tids())?;
        let memory = Memory::open(due.tid)?;
        implant(&memory, &caller, &registers, due.process, &self.header, &due.site)?;
        self.hold(due.process, memory);
        Ok(())
    }

    /// Whether a thread has no filters but those it began with, in a process of so many
    /// threads.
    fn is_filtered_by_us(&self, tid: i32, threads: usize) -> bool {
        let text = ashmem_proc::read(format!("/proc/{tid}/status")).unwrap_or_default();
        let value = |key| value_of(&text, key).and_then(number::<u32>);
        value("Seccomp_filters") == self.filters && value("Threads") == Some(threads as u32)
    }

    /// Whether nobody but these stopped threads runs on the process's memory.
    ///
    /// # Errors
    /// EBUSY: somebody does.
    fn is_own_memory(
        &self,
        due: &Due,
        caller: &StoppedThread,
        registers: &Registers,
        mut tids: impl Iterator<Item = i32>,
    ) -> Result<()> {
        let shares = |other| shares_memory(due.process, other) == Ok(true);
        let with_child = |tid| {
            let path = format!("/proc/{}/task/{tid}/children", due.process);
            let text = std::fs::read(path).unwrap_or_default();
            words(&text).filter_map(number::<i32>).any(shares)
        };
        if parent(due.process).is_some_and(shares) || tids.any(with_child) {
            return Err(Errno::BUSY);
        }
        // The kernel tells a process of one thread whether it shares its memory with anybody.
        let is_alone = self.header.tells_threads != 0 && self.is_filtered_by_us(caller.tid(), 1);
        if is_alone {
            let args = [libc::CLONE_THREAD as u64, 0, 0, 0, 0, 0];
            caller.call(registers, own::UNSHARE.into(), args).map_err(|_| Errno::BUSY)?;
        }
        Ok(())
    }

    /// Holds a patched process's memory open.
    fn hold(&self, process: i32, memory: Memory) {
        self.forget_ended();
        self.memory().withdrawn.remove(&process);
        let mut held = lock(&self.held);
        // Of an earlier image.
        held.retain(|held| held.process != process);
        if held.len() < HELD
            && let Some(budget) = FdBudget::take_some(Held::OPENED)
            && let Some(pid) = Pid::from_raw(process)
            && let Ok(end) = pidfd_open(pid, PidfdFlags::empty())
        {
            let (memory, end) = (Arc::new(memory), Arc::new(end));
            held.push(Held { process, memory, end, _budget: budget });
        }
    }

    /// Closes the memories of processes that have ended. Returns what becomes readable with the end
    /// of each of the others.
    pub(crate) fn forget_ended(&self) -> Vec<Arc<OwnedFd>> {
        let mut held = lock(&self.held);
        held.retain(|held| !held.has_ended());
        held.iter().map(|held| Arc::clone(&held.end)).collect()
    }

    /// Whether a call may end the answers inside its process.
    pub(crate) fn may_end_with(&self, notification: &Notification) -> bool {
        notification.arch == own::ARCH
            && filter::ends_answers(notification.nr, &notification.args, WINDOW, LIMIT as u64)
    }

    /// Switches the answers inside a process off, before the kernel runs a call that ends them.
    /// It reads and writes the program's memory, which takes as long as the program likes.
    ///
    /// # Errors
    /// What the call is to answer: the process may have the code, and it cannot be switched
    /// off. EPERM: the call would let the program be killed by its own filter. ENOMEM: it would
    /// put other memory where the program's calls lead.
    pub(crate) fn withdraw_for(
        &self,
        notification: &Notification,
        target: &Target<'_>,
    ) -> Result<()> {
        let Ok(process) = leader(notification.tid) else { return Ok(()) };
        let held = lock(&self.held)
            .iter()
            .find(|held| held.process == process)
            .map(|held| Arc::clone(&held.memory));
        // Not under the lock: even this takes as long as the program likes.
        let held = held.filter(|memory| !memory.is_gone());
        if !target.is_waiting() {
            return Ok(());
        }
        let is_held = held.is_some();
        let switched = match held {
            Some(memory) => memory.switch_off(),
            None => Memory::open(notification.tid)
                .and_then(|memory| if target.is_waiting() { memory.switch_off() } else { Ok(()) }),
        };
        let mut memory = self.memory();
        if let Some(score) = memory.threads.get_mut(&notification.tid) {
            score.failures = FAILURES;
        }
        let Err(error) = switched else {
            if memory.withdrawn.len() >= REMEMBERED {
                memory.withdrawn.clear();
            }
            memory.withdrawn.insert(process);
            lock(&self.held).retain(|held| held.process != process);
            return Ok(());
        };
        // Who may not be looked at has no code, unless it was there before: in this process, or
        // in the one that it was forked from.
        let was_patched = |process| lock(&self.held).iter().any(|held| held.process == process);
        let may_have_code = is_held
            || !memory.withdrawn.contains(&process) && parent(process).is_some_and(was_patched);
        tracing::debug!(
            tid = notification.tid,
            %error,
            may_have_code,
            "answers are not switched off"
        );
        match filter::is_harmful(notification.nr, &notification.args) {
            Some(error) if may_have_code => Err(error),
            _ => Ok(()),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Remembered> {
        lock(&self.memory)
    }
}

/// What stands in front of a site, as far as it can be read, and the site.
fn site_at(tid: i32, from: u64) -> Result<(Vec<u8>, [u8; SITE])> {
    let whole = from.checked_sub(FRONT as u64).ok_or(Errno::INVAL)?;
    // The page before may not be there.
    for start in [whole, whole.max(from & !4095)] {
        let len = (from - start) as usize;
        let mut bytes = vec![0; len + SITE];
        if read_memory(tid, start, &mut bytes) == Ok(bytes.len()) {
            let (front, site) = bytes.split_at(len);
            let site = site.try_into().map_err(|_| Errno::INVAL)?;
            return Ok((front.to_vec(), site));
        }
    }
    Err(Errno::INVAL)
}

/// unshare(2): whether it tells if a process has one thread and memory of its own: then it does
/// nothing, or else it fails. Asked in a process of one thread, which is a child of this one.
fn tells_threads() -> bool {
    // SAFETY: the child calls what the child of a process of many threads may, and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(libc::unshare(libc::CLONE_THREAD).abs());
        }
        let mut status = -1;
        child > 0 && libc::waitpid(child, &mut status, 0) == child && status == 0
    }
}

/// The mount on which a program finds the null device under its own name.
fn plain_mount(program: i32) -> Option<u64> {
    let path = format!("/proc/{program}/root/dev/null");
    let found = rustix::fs::statx(
        rustix::fs::CWD,
        path,
        rustix::fs::AtFlags::empty(),
        rustix::fs::StatxFlags::MNT_ID,
    );
    found.ok().map(|status| status.stx_mnt_id)
}

/// kcmp(2): whether two processes run on the same memory, as after vfork(2).
fn shares_memory(process: i32, other: i32) -> Result<bool> {
    const KCMP_VM: i32 = 1;
    // SAFETY: the call touches no memory.
    let got = unsafe { libc::syscall(libc::SYS_kcmp, process, other, KCMP_VM, 0, 0) };
    if got < 0 { Err(crate::sys::last_errno()) } else { Ok(got == 0) }
}
