//! The operations by their numbers, and who performs them.

use std::cell::Cell;

use crate::input::Step;
use crate::kcov::Kcov;
use crate::world::World;
use crate::{files, machine, mappings, player, requests, ring, userfault};

/// One kind of step.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// How often it is drawn, compared with the others: what takes long is drawn seldom.
    pub(crate) weight: u32,
    act: fn(&Actor<'_>, &Step) -> i64,
}

const fn op(name: &'static str, weight: u32, act: fn(&Actor<'_>, &Step) -> i64) -> Operation {
    Operation { name, weight, act }
}

/// Every kind of step. Inputs name them by their places: new ones come last, and none is taken out.
pub(crate) const OPERATIONS: &[Operation] = &[
    op("open", 12, files::open),
    op("close", 8, files::close),
    op("dup", 4, files::dup),
    op("SET_NAME", 6, requests::set_name),
    op("GET_NAME", 4, requests::get_name),
    op("SET_SIZE", 10, requests::set_size),
    op("GET_SIZE", 2, requests::get_size),
    op("SET_PROT_MASK", 6, requests::set_prot_mask),
    op("GET_PROT_MASK", 2, requests::get_prot_mask),
    op("PIN", 16, requests::pin),
    op("UNPIN", 20, requests::unpin),
    op("GET_PIN_STATUS", 6, requests::pin_status),
    op("PURGE_ALL_CACHES", 6, requests::purge),
    op("GET_FILE_ID", 3, requests::file_id),
    op("any ioctl", 4, requests::any),
    op("pin at any address", 4, requests::pin_at),
    op("ioctl of a 32-bit caller", 5, requests::compat),
    op("many unpinned ranges", 4, requests::unpin_many),
    op("mmap", 14, mappings::map),
    op("munmap", 6, mappings::unmap),
    op("mremap", 6, mappings::remap),
    op("madvise", 10, mappings::advise),
    op("mprotect", 6, mappings::protect),
    op("mbind", 3, mappings::bind),
    op("move_pages", 3, mappings::move_pages),
    op("mlock", 3, mappings::lock),
    op("msync", 2, mappings::sync),
    op("mincore", 2, mappings::in_core),
    op("remap_file_pages", 2, mappings::remap_file_pages),
    op("touch", 14, mappings::touch),
    op("/proc/self/mem", 4, mappings::foreign),
    op("process_vm_readv", 2, mappings::vm_read),
    op("userfaultfd", 4, userfault::register),
    op("answer a user fault", 4, userfault::answer),
    op("close the userfaultfd", 2, userfault::close),
    op("fork", 5, player::fork),
    op("io_uring", 5, ring::submit),
    op("open in map_files", 8, files::open_mapped),
    op("read", 4, files::read),
    op("pread", 4, files::pread),
    op("write", 4, files::write),
    op("pwrite", 4, files::pwrite),
    op("lseek", 4, files::seek),
    op("fallocate", 5, files::allocate),
    op("ftruncate", 4, files::truncate),
    op("fchmod", 3, files::mode),
    op("fsetxattr", 2, files::attribute),
    op("fcntl", 3, files::control),
    op("splice", 3, files::splice),
    op("send over a socket", 3, files::send),
    op("open in /proc/self/fd", 3, files::reopen),
    op("fstat", 2, files::stat),
    op("read fdinfo", 4, files::info),
    op("read maps", 2, files::maps),
    op("limit memory", 3, machine::limit),
    op("use memory", 2, machine::fill),
    op("reclaim memory", 4, machine::reclaim),
    op("drop caches", 3, machine::drop_caches),
    op("shrinker's scan", 5, machine::scan),
    op("shrinker's count", 2, machine::count),
    op("compact memory", 1, machine::compact),
    op("load the module", 1, machine::load),
    op("unload the module", 1, machine::unload),
    op("module parameter", 2, machine::parameter),
    op("tracepoints", 2, machine::trace),
    op("make the next fail", 8, machine::fail_next),
    op("become a user", 3, machine::become_user),
    op("wait", 3, machine::wait),
    op("close in a group", 2, files::close_range),
    op("many pinned again", 3, requests::pin_many),
    op("read the trace", 1, machine::read_trace),
    op("perf event", 2, machine::perf),
];

/// Operations that are no call of the device's at all, in which a made failure finds what the kernel itself cannot bear
/// (6.12: a WARNING of the scheduler's tracepoints).
const UNFAILING: &[&str] = &["tracepoints", "perf event", "limit memory", "fork"];

/// A thread that performs steps.
pub(crate) struct Actor<'a> {
    pub(crate) world: &'a World,
    /// Whether it is the only one: nobody then answers a user fault it waits for.
    pub(crate) alone: bool,
    /// Which fallible call of the next step is to fail, 0 for none.
    pub(crate) fail_next: Cell<u32>,
    /// What it has still to do.
    pub(crate) rest: Cell<&'a [Step]>,
    /// The record of a forked process.
    pub(crate) forked: Option<&'a Kcov>,
}

impl<'a> Actor<'a> {
    /// Performs all that it has still to do.
    pub(crate) fn play(&self) {
        while let Some((step, rest)) = self.rest.get().split_first() {
            self.rest.set(rest);
            self.perform(step);
        }
    }

    /// Performs one step, and tells what came of it: what the call returned, -1 for its errors.
    fn perform(&self, step: &Step) -> i64 {
        let fails = if UNFAILING.contains(&step.name()) { 0 } else { self.fail_next.take() };
        if fails != 0 {
            machine::set_fail(fails);
        }
        let result = (OPERATIONS[step.code].act)(self, step);
        if fails != 0 {
            machine::set_fail(0);
        }
        result
    }

    /// The descriptor the step is about.
    pub(crate) fn file(&self, step: &Step) -> i32 {
        self.world.file(step.file)
    }
}
