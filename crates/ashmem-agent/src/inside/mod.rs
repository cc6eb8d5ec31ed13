// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers put into the programs themselves: which program gets the code, and when.
//!
//! A program that uses the device, or whose calls are notified often, gets the blob of
//! [`ashmem_inside`] at one of these calls: as it leaves the call, all its threads are stopped, it
//! is made to map the blob and a page of jumps, and the site of the call is patched to lead there.
//! Other sites follow as they are notified. Whatever does not fit stays with notifications: Go,
//! 32-bit calls, traced and undumpable processes, filters of the program's own.

#[cfg(target_arch = "x86_64")]
mod implant;
#[cfg(target_arch = "x86_64")]
mod site;
#[cfg(target_arch = "x86_64")]
mod stopped;

/// When programs get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once they use the device.
    Auto,
    /// With their first notified call.
    AtOnce,
    /// Never: every call is notified.
    Never,
}

#[cfg(target_arch = "x86_64")]
pub(crate) use processor::Inside;

#[cfg(not(target_arch = "x86_64"))]
pub(crate) use elsewhere::Inside;

#[cfg(target_arch = "x86_64")]
mod processor {
    use std::collections::{HashMap, HashSet};
    use std::sync::{Mutex, MutexGuard};

    use ashmem_inside::layout::{GATE_POINTER, Header, JUMP_PAGES, MAGIC, STAT};
    use ashmem_proc::status::ProcessStatus;
    use ashmem_proc::{number, value_of};
    use rustix::io::{Errno, Result};

    use super::When;
    use super::implant::{Memory, Site, implant};
    use super::site::{PATCHED, SITE, is_site};
    use super::stopped::{Traced, stop_others};
    use crate::notification::Request;
    use crate::regions::memfd;
    use crate::regions::node::Device;
    use crate::seccomp::filter::{Fidelity, Gate};
    use crate::seccomp::syscalls::X86_64;
    use crate::sys::{kernel_is, lock};
    use crate::target_thread::{Target, read_memory};

    const OPEN: [u32; 2] = [2, 257];
    /// mmap, ioctl, fstat and newfstatat.
    const OTHERS: [u32; 4] = [9, 16, 5, 262];
    /// seccomp(2), prctl(2): filters of the program's own.
    const FILTERING: [u32; 2] = [317, 157];
    const MMAP: u32 = 9;
    const MAP_FIXED: u64 = libc::MAP_FIXED as u64;

    /// What a thread's calls count for, and how much it takes: its third call of the device, or
    /// its 48th notified call.
    const DEVICE: i32 = 16;
    const OTHER: i32 = 1;
    const ENOUGH: i32 = 48;
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

    /// Puts answers into programs.
    pub(crate) struct Inside {
        header: Header,
        /// Whether opens can be answered: there is a node that tells the device.
        opens: bool,
        /// How many filters the program has from us and from before; others are its own.
        filters: Option<u32>,
        /// Points from which on a thread's sites are patched.
        enough: i32,
        memory: Mutex<Remembered>,
    }

    #[derive(Default)]
    struct Remembered {
        threads: HashMap<i32, Score>,
        /// Sites that cannot be patched.
        refused: HashSet<(i32, u64)>,
    }

    #[derive(Clone, Copy, Default)]
    struct Score {
        points: i32,
        failures: u32,
    }

    /// A call at whose end its site is patched.
    pub(crate) struct Due {
        tid: i32,
        process: i32,
        site: Site,
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
            when: When,
        ) -> Result<Self> {
            let mut stat = [0; STAT / 8];
            // SAFETY: the structures are plain integers and as long.
            unsafe { stat.as_mut_ptr().cast::<libc::stat>().write(device.stat()) };
            let node = device.node().map(|node| node.parts());
            let mounts = node.map_or(&[][..], |(_, mounts)| mounts);
            let mount = |index: usize| mounts.get(index).copied().filter(|mount| *mount != 0);
            // Where the kernel does not tell mounts, no open is known to be the node's.
            let mounts = mount(0).zip(mount(1));
            let header = Header {
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
            };
            let text = std::fs::read(format!("/proc/{program}/status")).unwrap_or_default();
            let filters = value_of(&text, "Seccomp_filters").and_then(number);
            let enough = if when == When::AtOnce { AT_ONCE } else { ENOUGH };
            Ok(Self { header, opens: mounts.is_some(), filters, enough, memory: Mutex::default() })
        }

        /// Counts a notified call of a program; whether its site is to be patched at its end.
        pub(crate) fn due(
            &self,
            request: &Request,
            target: &Target<'_>,
            is_of_device: bool,
        ) -> Option<Due> {
            let is_known = OTHERS.contains(&request.nr) || self.opens && OPEN.contains(&request.nr);
            if request.arch != X86_64 || !is_known || !self.count(request, is_of_device) {
                return None;
            }
            let (tid, pointer) = (request.tid, request.instruction_pointer);
            match self.find(request, target) {
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

        fn count(&self, request: &Request, is_of_device: bool) -> bool {
            let mut memory = self.memory();
            if memory.threads.len() >= REMEMBERED && !memory.threads.contains_key(&request.tid) {
                memory.threads.clear();
            }
            let score = memory.threads.entry(request.tid).or_default();
            score.points = score.points.saturating_add(if is_of_device { DEVICE } else { OTHER });
            score.points >= self.enough
                && score.failures < FAILURES
                && !memory.refused.contains(&(request.tid, request.instruction_pointer))
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
        fn find(&self, request: &Request, target: &Target<'_>) -> Result<Due> {
            let tid = request.tid;
            let syscall = request.instruction_pointer.checked_sub(2).ok_or(Errno::INVAL)?;
            let from = syscall.checked_sub(PATCHED as u64).ok_or(Errno::INVAL)?;
            let mut bytes = [0; SITE];
            if read_memory(tid, from, &mut bytes)? != SITE || !is_site(&bytes, request.nr) {
                return Err(Errno::INVAL);
            }
            let text = std::fs::read(format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
            let value = |key| value_of(&text, key).and_then(number::<u32>);
            let process = ProcessStatus::new(&text).process().ok_or(Errno::SRCH)?;
            if value("TracerPid") != Some(0) || value("Seccomp_filters") != self.filters {
                return Err(Errno::BUSY);
            }
            let parent = value("PPid").map_or(0, |parent| parent as i32);
            if parent != 0 && shares_memory(process, parent) == Ok(true) {
                return Err(Errno::BUSY);
            }
            if !target.is_waiting() {
                return Err(Errno::SRCH);
            }
            let patched = [bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]];
            Ok(Due { tid, process, site: Site { syscall, patched } })
        }

        /// Sends a call's answer and patches its site. It happens in a thread of its own, with
        /// whose end every stop ends.
        pub(crate) fn patch(&self, due: &Due, send: impl FnOnce() + Send) {
            let done = std::thread::scope(|scope| {
                let work = scope.spawn(|| {
                    let caller = Traced::begin(due.tid);
                    send();
                    self.patch_stopped(due, caller?)
                });
                work.join().unwrap_or(Err(Errno::IO))
            });
            if let Err(error) = done {
                self.failed(due.tid, error);
            }
        }

        fn patch_stopped(&self, due: &Due, mut caller: Traced) -> Result<()> {
            caller.wait()?;
            let registers = caller.after_call()?;
            if registers.rip != due.site.syscall + 2 {
                return Err(Errno::AGAIN);
            }
            let _others = stop_others(due.process, due.tid, THREADS)?;
            let memory = Memory::open(due.tid)?;
            implant(&memory, &caller, &registers, due.process, &self.header, &due.site)
        }

        /// Whether a call ends the answers inside its process: then they are switched off, before
        /// the kernel runs the call.
        pub(crate) fn withdraw_for(&self, request: &Request, target: &Target<'_>) {
            let ends = request.arch == X86_64
                && (FILTERING.contains(&request.nr)
                    || request.nr == MMAP
                        && request.args[0] >> 32 == GATE_POINTER >> 32
                        && request.args[3] & MAP_FIXED != 0);
            if !ends {
                return;
            }
            let switched = Memory::open(request.tid)
                .and_then(|memory| if target.is_waiting() { memory.switch_off() } else { Ok(()) });
            if let Err(error) = switched {
                tracing::debug!(tid = request.tid, %error, "answers inside a program stay on");
            }
            if let Some(score) = self.memory().threads.get_mut(&request.tid) {
                score.failures = FAILURES;
            }
        }

        fn memory(&self) -> MutexGuard<'_, Remembered> {
            lock(&self.memory)
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
}

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    use rustix::io::Result;

    use super::When;
    use crate::notification::Request;
    use crate::regions::node::Device;
    use crate::seccomp::filter::{Fidelity, Gate};
    use crate::target_thread::Target;

    pub(crate) enum Inside {}

    pub(crate) enum Due {}

    impl Inside {
        pub(crate) fn gate() -> Option<Gate> {
            None
        }

        pub(crate) fn new(_: &Device, _: i32, _: Fidelity, _: When) -> Result<Self> {
            Err(rustix::io::Errno::NOSYS)
        }

        pub(crate) fn due(&self, _: &Request, _: &Target<'_>, _: bool) -> Option<Due> {
            match *self {}
        }

        pub(crate) fn patch(&self, due: &Due, _: impl FnOnce() + Send) {
            match *due {}
        }

        pub(crate) fn withdraw_for(&self, _: &Request, _: &Target<'_>) {
            match *self {}
        }
    }
}
