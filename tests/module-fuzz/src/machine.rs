// SPDX-License-Identifier: MIT OR Apache-2.0
//! What root, the kernel and the neighbours do to the device: memory taken away, modules loaded,
//! allocations that fail.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::actor::Actor;
use crate::knob::put;
use crate::step::Step;
use crate::value::{PAGE, pick};

/// The module's name.
pub(crate) const NAME: &str = "ashmem_linux";
/// The memory cgroup each input runs in.
pub(crate) const CGROUP: &str = "/sys/fs/cgroup/fuzz";

pub(crate) fn limit(_actor: &Actor<'_>, step: &Step) -> i64 {
    const MIB: [u32; 6] = [2, 4, 8, 16, 32, 64];
    let file = pick(step.b, &["memory.max", "memory.high", "memory.max", "memory.swap.max"]);
    put(&format!("{CGROUP}/{file}"), &format!("{}M", pick(step.a, &MIB)))
}

/// Uses so much memory for a moment.
pub(crate) fn fill(_actor: &Actor<'_>, step: &Step) -> i64 {
    // As much as fills a memory cgroup; seldom as much as others would notice.
    let mib = if step.a < 240 { step.a % 8 } else { 31 };
    let length = (usize::from(mib) + 1) << 20;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory at an address of the kernel's choice, which nobody else knows.
    unsafe {
        let start = libc::mmap(std::ptr::null_mut(), length, rights, flags, -1, 0);
        if start == libc::MAP_FAILED {
            return -1;
        }
        libc::munmap(start, length).into()
    }
}

pub(crate) fn reclaim(_actor: &Actor<'_>, step: &Step) -> i64 {
    put(&format!("{CGROUP}/memory.reclaim"), &format!("{}", u64::from(step.a) * 16 * PAGE))
}

pub(crate) fn drop_caches(_actor: &Actor<'_>, step: &Step) -> i64 {
    put("/proc/sys/vm/drop_caches", pick(step.a, &["2", "3", "1"]))
}

/// One of the device's shrinkers in debugfs (of them the first is the machine's), where the kernel
/// shows shrinkers (CONFIG_SHRINKER_DEBUG).
pub(crate) fn shrinker(which: u8) -> Option<String> {
    let entries = fs::read_dir("/sys/kernel/debug/shrinker").ok()?;
    let paths = entries.flatten().map(|entry| entry.path().to_string_lossy().into_owned());
    let mut ours: Vec<String> = paths.filter(|path| path.contains("/android-ashmem-")).collect();
    ours.sort_unstable();
    ours.get(usize::from(which) % ours.len().max(1)).cloned()
}

pub(crate) fn scan(_actor: &Actor<'_>, step: &Step) -> i64 {
    let amount = pick(step.a, &[1, 2, 8, 32, 128, 1024, 1 << 20]);
    shrinker(step.c)
        .map_or(-1, |path| put(&format!("{path}/scan"), &format!("0 {} {amount}", step.b & 1)))
}

pub(crate) fn count(_actor: &Actor<'_>, step: &Step) -> i64 {
    shrinker(step.a)
        .and_then(|path| fs::read(format!("{path}/count")).ok())
        .map_or(-1, |text| text.len() as i64)
}

pub(crate) fn compact(_actor: &Actor<'_>, _step: &Step) -> i64 {
    put("/proc/sys/vm/compact_memory", "1")
}

/// The module's file, which init names.
pub(crate) fn module_file() -> String {
    std::env::var("ASHMEM_MODULE").unwrap_or_default()
}

pub(crate) fn load(_actor: &Actor<'_>, _step: &Step) -> i64 {
    load_module()
}

/// Loads the module; -1 if it is there already.
pub(crate) fn load_module() -> i64 {
    let Ok(file) = fs::File::open(module_file()) else { return -1 };
    // SAFETY: a descriptor, a NUL-terminated string and flags.
    unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) }
}

/// Unloads the module, and loads it at once again every other time.
pub(crate) fn unload(_actor: &Actor<'_>, step: &Step) -> i64 {
    let gone = unload_module();
    if step.a & 1 == 0 {
        load_module();
    }
    gone
}

/// Unloads the module; -1 while it is in use.
pub(crate) fn unload_module() -> i64 {
    let Ok(name) = CString::new(NAME) else { return -1 };
    // SAFETY: a NUL-terminated string and flags.
    unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) }
}

/// The module's parameters, by their paths, in order.
pub(crate) fn parameters() -> Vec<String> {
    let entries =
        fs::read_dir(format!("/sys/module/{NAME}/parameters")).into_iter().flatten().flatten();
    let mut paths: Vec<_> =
        entries.map(|entry| entry.path().to_string_lossy().into_owned()).collect();
    paths.sort_unstable();
    paths
}

pub(crate) fn parameter(_actor: &Actor<'_>, step: &Step) -> i64 {
    let paths = parameters();
    if paths.is_empty() {
        return -1;
    }
    let value = pick(
        step.b,
        &["0", "1", "2", "16", "4096", "4294967295", "18446744073709551615", "-1", "x"],
    );
    put(&paths[usize::from(step.a) % paths.len()], value)
}

/// Where the module's tracepoints are switched.
pub(crate) const TRACEPOINTS: &str = "/sys/kernel/tracing/events/ashmem";

pub(crate) fn trace(_actor: &Actor<'_>, step: &Step) -> i64 {
    let event =
        pick(step.a, &["", "/open", "/ioctl", "/mmap", "/purge", "/pin", "/unpin", "/release"]);
    let on = pick(step.b, &["1", "1", "0"]);
    put(&format!("{TRACEPOINTS}{event}/enable"), on)
}

pub(crate) fn read_trace(_actor: &Actor<'_>, _step: &Step) -> i64 {
    fs::read("/sys/kernel/tracing/trace").map_or(-1, |text| text.len() as i64)
}

/// Listens to one of the tracepoints as perf does, for as long as the descriptor is open.
pub(crate) fn perf(actor: &Actor<'_>, step: &Step) -> i64 {
    let event = pick(
        step.a,
        &["open", "ioctl", "mmap", "purge", "pin", "unpin", "release", "set_name", "set_size"],
    );
    let Ok(id) = fs::read_to_string(format!("{TRACEPOINTS}/{event}/id")) else { return -1 };
    // `struct perf_event_attr` in its first form: type and size, config (the event's number),
    // sample_period.
    const TRACEPOINT: u64 = 2;
    const SIZE: u64 = 64;
    let attributes =
        [TRACEPOINT | SIZE << 32, id.trim().parse().unwrap_or_default(), 1, 0, 0, 0, 0, 0];
    // SAFETY: the structure is as long as it says.
    let file =
        unsafe { libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0) };
    actor.world.set_file(step.file, file as i32);
    file.min(0)
}

pub(crate) fn fail_next(actor: &Actor<'_>, step: &Step) -> i64 {
    actor.fail_next.set(u32::from(step.a % 24) + 1);
    0
}

pub(crate) fn become_user(_actor: &Actor<'_>, step: &Step) -> i64 {
    let user = 65_534 - u32::from(step.a % 3);
    // The system calls themselves, which change the calling thread alone.
    // SAFETY: they touch no memory of ours.
    unsafe {
        libc::syscall(libc::SYS_setresgid, user, user, user);
        libc::syscall(libc::SYS_setresuid, user, user, user)
    }
}

pub(crate) fn wait(_actor: &Actor<'_>, step: &Step) -> i64 {
    std::thread::sleep(Duration::from_micros(u64::from(step.a) * 20));
    0
}
