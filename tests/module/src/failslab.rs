// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each request without each piece of memory it asks for: the kernel's own fault injection makes
//! the first allocation of a request fail, then the second, and so on until the request wants no
//! more of them.
//!
//! That reaches the allocations of the kernel's functions that the module calls too, which the
//! module's own test build does not. It wants a kernel with fault injection (`cargo xtask vm
//! --kernel kasan`) and the module loaded. The kernel counts copies from and to user memory along
//! with allocations; one that is made to fail answers EFAULT.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use ashmem_core::abi;
use ashmem_test_client::errno::Answer;

use crate::region::{Mapping, PAGE, Region};

/// The first argument of this program when it is to do this.
pub(crate) const FAILSLAB: &str = "--failslab";

/// Pages of each region.
const PAGES: usize = 8;
/// How many of them are unpinned, from the first on.
const UNPINNED: usize = 4;
/// No request asks for memory more often; one that seems to never comes to an end.
const MOST: u32 = 400;

/// How a request may be refused: without memory, without the copy it asked for, and, where shmem
/// finds no memory for an inode, in shmem's own words.
const REFUSALS: [i32; 3] = [libc::ENOMEM, libc::EFAULT, libc::ENOSPC];

/// A region in use and one at its beginning, made anew for each try.
struct Stage {
    used: Region,
    mapping: Mapping,
    fresh: Region,
}

/// A request by its name, and what it does on a stage.
type Request = (&'static str, fn(&Stage) -> io::Result<()>);

const REQUESTS: &[Request] = &[
    ("open and close", |_| done(Region::open())),
    ("SET_NAME", |stage| done(stage.fresh.set_name(c"changed"))),
    ("GET_NAME", |stage| done(stage.used.name())),
    ("SET_SIZE", |stage| done(stage.fresh.set_size(PAGES * PAGE))),
    ("GET_SIZE", |stage| done(stage.used.size())),
    ("SET_PROT_MASK", |stage| done(stage.fresh.set_mask(3))),
    ("GET_PROT_MASK", |stage| done(stage.used.mask())),
    ("GET_FILE_ID", |stage| done(stage.used.file_id())),
    ("the first mmap, shared", |stage| done(stage.fresh.map(PAGES, libc::MAP_SHARED))),
    ("the first mmap, private", |stage| done(stage.fresh.map(PAGES, libc::MAP_PRIVATE))),
    ("another mmap", |stage| done(stage.used.map(PAGES, libc::MAP_SHARED))),
    ("UNPIN of pages apart", |stage| done(stage.used.pinning(abi::UNPIN, 6, 1))),
    ("UNPIN that joins", |stage| done(stage.used.pinning(abi::UNPIN, 2, 4))),
    ("PIN inside a range", |stage| done(stage.used.pinning(abi::PIN, 1, 2))),
    ("PIN of all", |stage| done(stage.used.pinning(abi::PIN, 0, PAGES))),
    ("GET_PIN_STATUS", |stage| done(stage.used.pinning(abi::GET_PIN_STATUS, 0, PAGES))),
    ("PURGE_ALL_CACHES", |stage| done(stage.used.purge())),
    ("read", |stage| done(stage.used.read_at(&mut [0; PAGE], 0))),
    ("fdinfo", |stage| fs::read(stage.used.fdinfo()).map(drop)),
    ("map_files opened, written and truncated", |stage| {
        let file = File::options().read(true).write(true).open(stage.mapping.map_file())?;
        // What `fill` has written to the last page already.
        file.write_at(&[(PAGES - 1) as u8 | 1], ((PAGES - 1) * PAGE) as u64)?;
        file.set_len((PAGES * PAGE) as u64)
    }),
    ("the kernel's shrinkers", |_| fs::write("/proc/sys/vm/drop_caches", "2")),
];

/// A call that was made for nothing but to be made.
fn done<T>(answer: Answer<T>) -> io::Result<()> {
    Ok(answer.map(drop)?)
}

/// Walks all requests; the last line is `N passed, N failed`.
pub(crate) fn run() -> ExitCode {
    match walk_all() {
        Ok(failed) => {
            println!("{} passed, {failed} failed", REQUESTS.len() - failed);
            if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("ashmem-module-test: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn walk_all() -> Result<usize> {
    let switch = Switch::new()?;
    let (mut failed, mut all) = (0, 0);
    for (name, request) in REQUESTS {
        match walk(&switch, *request) {
            Ok(Walk { points, refused }) => {
                all += points;
                println!("✓ {name}: {points} points of failure, {refused} of them refused");
            }
            Err(error) => {
                failed += 1;
                println!("✗ {name}\n      {error:#}");
            }
        }
    }
    // An open alone has a dozen.
    ensure!(all > 50, "only {all} failures in all: the kernel does not inject them");
    Ok(failed)
}

/// What became of one request.
struct Walk {
    points: u32,
    refused: u32,
}

/// Lets the request fail at each of its points in turn.
fn walk(switch: &Switch, request: fn(&Stage) -> io::Result<()>) -> Result<Walk> {
    let mut refused = 0;
    for point in 1..=MOST {
        let stage = Stage::new().context("making regions with all the memory there is")?;
        switch.fail(point)?;
        let answer = request(&stage);
        let happened = switch.stop()?;
        match answer {
            Ok(()) => {}
            Err(error)
                if happened
                    && error.raw_os_error().is_some_and(|error| REFUSALS.contains(&error)) =>
            {
                refused += 1
            }
            Err(error) => bail!("with point {point} failing (it did: {happened}): {error}"),
        }
        stage.check().with_context(|| format!("afterwards, with point {point} failing"))?;
        if !happened {
            return Ok(Walk { points: point - 1, refused });
        }
    }
    bail!("it still asks for memory after {MOST} failures")
}

impl Stage {
    fn new() -> Result<Self> {
        let used = Region::create(PAGES)?;
        let mapping = used.map(PAGES, libc::MAP_SHARED)?;
        mapping.fill();
        used.pinning(abi::UNPIN, 0, UNPINNED)?;
        Ok(Self { used, mapping, fresh: Region::create(PAGES)? })
    }

    /// Whatever was refused, both regions still do all that regions do, and what was pinned
    /// throughout is there.
    fn check(&self) -> Result<()> {
        let last = PAGES - 1;
        ensure!(self.mapping.bytes()[last * PAGE] == last as u8 | 1, "a pinned page was lost");
        ensure!(self.used.name()? == b"trial", "the name changed");
        let name = self.fresh.name()?;
        ensure!(name == b"trial" || name == b"changed", "SET_NAME left {name:?}");
        self.used.pinning(abi::PIN, 0, 0)?;
        self.mapping.fill();
        self.fresh.map(PAGES, libc::MAP_SHARED).context("mapping the fresh region")?.fill();
        for region in [&self.used, &self.fresh] {
            ensure!(region.size()? == (PAGES * PAGE) as i64, "the size changed");
            region.pinning(abi::UNPIN, 0, 0)?;
            region.purge()?;
            ensure!(
                region.pinning(abi::PIN, 0, 0)? == abi::WAS_PURGED,
                "a purge did not take place"
            );
            ensure!(
                region.pinning(abi::GET_PIN_STATUS, 0, 0)? == abi::IS_PINNED,
                "PIN did not pin"
            );
        }
        ensure!(self.mapping.bytes().iter().all(|&byte| byte == 0), "purged memory is still there");
        Ok(())
    }
}

/// The kernel's fault injection for this thread.
struct Switch(File);

impl Switch {
    fn new() -> Result<Self> {
        for what in ["failslab", "fail_page_alloc"] {
            // By default what may wait for memory is left out, which is all there is here.
            let folder = format!("/sys/kernel/debug/{what}");
            fs::write(format!("{folder}/ignore-gfp-wait"), "N")
                .with_context(|| format!("setting up {folder}"))?;
        }
        fs::write("/sys/kernel/debug/fail_page_alloc/min-order", "0")
            .context("setting up fail_page_alloc")?;
        for what in ["failslab", "fail_page_alloc", "fail_usercopy"] {
            // A trace of each on a serial console would take longer than all the rest.
            let quiet = format!("/sys/kernel/debug/{what}/verbose");
            fs::write(&quiet, "0").with_context(|| format!("setting {quiet}"))?;
        }
        let path = "/proc/thread-self/fail-nth";
        Ok(Self(
            File::options()
                .read(true)
                .write(true)
                .open(path)
                .with_context(|| format!("opening {path}"))?,
        ))
    }

    /// Makes the n-th point of failure from here on fail.
    fn fail(&self, n: u32) -> Result<()> {
        self.0.write_at(n.to_string().as_bytes(), 0).context("arming the fault injection").map(drop)
    }

    /// Ends it, and says whether the failure happened.
    fn stop(&self) -> Result<bool> {
        let mut left = [0; 16];
        // The kernel answers what is left to count. The copy of that answer counts too, and fails
        // if it is the n-th.
        let happened = self.0.read_at(&mut left, 0).is_ok() && left.starts_with(b"0");
        // So does the copy of this.
        if self.0.write_at(b"0", 0).is_err() {
            self.0.write_at(b"0", 0).context("ending the fault injection")?;
        }
        Ok(happened)
    }
}
