// SPDX-License-Identifier: MIT OR Apache-2.0
//! The client half of the agent's benchmark: times what a program does, and prints one JSON object.
//!
//! `run-bench plain` needs no device: memfd's own life cycle and calls that are not ours.
//! `run-bench device` needs /dev/ashmem. `run-bench ioctls` is a few calls, for tracers that take
//! long over each. `run-bench floor` is a notification that is answered without looking, and calls
//! under a filter that allows everything. `run-bench crowd` is what one process gets done, and what
//! four at once do, each about a region of its own. `run-bench new` is the first regions of a new
//! process. Run the first bare, the others under `ashmem run`, and take ratios; all figures are
//! nanoseconds for one operation, the best of several rounds.

mod calls;
mod crowd;
mod floor;
mod newcomer;
mod others;
mod timing;

use ashmem_core::abi;
use rustix::param::page_size;

use calls::{
    ashmem, call, close, fstat, ioctl, map, map_file, open_close, set_size, stat_of, unmap,
};
use others::{getppid, ioctl_not_ours, null, read, write};
use timing::best;

fn main() {
    let figures = match std::env::args().nth(1).as_deref() {
        Some("plain") => plain(),
        Some("device") => device(),
        Some("ioctls") => {
            vec![("ioctl_of_the_device", best(500, || ioctl(0, abi::GET_SIZE.into(), 0)))]
        }
        Some("floor") => {
            let mut figures = vec![("notification", floor::notification())];
            figures.extend(floor::allowed());
            figures
        }
        Some("crowd") => {
            vec![("calls_of_one", crowd::round(1)), ("calls_of_four", crowd::round(4))]
        }
        Some("new") => {
            let lives = |count| newcomer::first(count, || lifecycle(sized_ashmem));
            vec![("new_1", lives(1)), ("new_16", lives(16)), ("new_64", lives(64))]
        }
        _ => {
            eprintln!("usage: run-bench plain|device|ioctls|floor|crowd|new");
            std::process::exit(2);
        }
    };
    let body: Vec<String> =
        figures.iter().map(|(name, nanos)| format!("  \"{name}\": {nanos:.1}")).collect();
    println!("{{\n{}\n}}", body.join(",\n"));
}

type Figures = Vec<(&'static str, f64)>;

fn plain() -> Figures {
    vec![
        ("memfd_lifecycle", best(2_000, || lifecycle(memfd))),
        ("memfd_touch_64_mib", best(1, || touch(memfd(), 64 << 20))),
        ("ioctl_not_ours", ioctl_not_ours()),
        ("ioctl_of_the_device", best(20_000, || ioctl(0, abi::GET_SIZE.into(), 0))),
        ("getppid", getppid()),
        ("read", read()),
        ("write", write()),
        ("open_read_only", best(20_000, || open_close(c"/dev/null", libc::O_RDONLY))),
        ("open_read_write", best(20_000, || open_close(c"/dev/null", libc::O_RDWR))),
        ("stat", best(20_000, || stat_of(c"/dev/null"))),
        ("fstat", best(20_000, || fstat(null() as i32))),
        ("memfd_seals", {
            let fd = memfd().into();
            best(100_000, || {
                call(libc::SYS_fcntl, [fd, libc::F_GET_SEALS.into(), 0, 0, 0, 0]);
            })
        }),
        ("mmap_file", best(5_000, || unmap(map_file(file(), page_size()), page_size()))),
    ]
}

fn device() -> Figures {
    let mapped = ashmem();
    set_size(mapped, page_size());
    let _ = map(mapped, page_size());
    let pin = [0_u32; 2];
    vec![
        ("ashmem_lifecycle", best(1_000, || lifecycle(named_ashmem))),
        ("ashmem_lifecycle_unnamed", best(1_000, || lifecycle(sized_ashmem))),
        ("ashmem_touch_64_mib", best(1, || touch(ashmem(), 64 << 20))),
        ("ashmem_open_close", best(2_000, || close(ashmem()))),
        ("ashmem_get_size", best(5_000, || ioctl(mapped, abi::GET_SIZE.into(), 0))),
        (
            "ashmem_unpin_pin",
            best(2_000, || {
                ioctl(mapped, abi::UNPIN.into(), pin.as_ptr() as i64);
                ioctl(mapped, abi::PIN.into(), pin.as_ptr() as i64);
            }),
        ),
        ("ashmem_mmap_munmap", best(2_000, || unmap(map(mapped, page_size()), page_size()))),
        ("ashmem_fstat", best(5_000, || fstat(mapped))),
        // Of what is no region, in a program that uses regions.
        ("user_open_read_write", best(20_000, || open_close(c"/dev/null", libc::O_RDWR))),
        ("user_fstat", best(20_000, || fstat(null() as i32))),
        ("user_mmap_file", best(5_000, || unmap(map_file(file(), page_size()), page_size()))),
    ]
}

fn lifecycle(make: fn() -> i32) {
    let fd = make();
    let at = map(fd, page_size());
    // SAFETY: the page was just mapped, readable and writable.
    unsafe { at.write_volatile(1) };
    unmap(at, page_size());
    close(fd);
}

/// Page faults and stores, over so many bytes.
fn touch(fd: i32, len: usize) {
    if call(libc::SYS_ftruncate, [fd.into(), len as i64, 0, 0, 0, 0]) != 0 {
        set_size(fd, len);
    }
    let at = map(fd, len);
    for offset in (0..len).step_by(page_size()) {
        // SAFETY: the offset lies in the mapping.
        unsafe { at.add(offset).write_volatile(1) };
    }
    unmap(at, len);
    close(fd);
}

fn memfd() -> i32 {
    let fd = call(libc::SYS_memfd_create, [c"bench".as_ptr() as i64, 1, 0, 0, 0, 0]) as i32;
    call(libc::SYS_ftruncate, [fd.into(), page_size() as i64, 0, 0, 0, 0]);
    fd
}

fn sized_ashmem() -> i32 {
    let fd = ashmem();
    set_size(fd, page_size());
    fd
}

fn named_ashmem() -> i32 {
    let fd = ashmem();
    ioctl(fd, abi::SET_NAME.into(), c"bench".as_ptr() as i64);
    set_size(fd, page_size());
    fd
}

/// A file that can be mapped.
fn file() -> i32 {
    static FILE: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let path = c"/proc/self/exe".as_ptr() as i64;
    let open = || call(libc::SYS_openat, [libc::AT_FDCWD.into(), path, 0, 0, 0, 0]);
    *FILE.get_or_init(open) as i32
}
