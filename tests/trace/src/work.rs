// SPDX-License-Identifier: MIT OR Apache-2.0
//! The small program: makes calls, and writes down each as an event should tell it.

use std::fs;
use std::os::fd::AsRawFd;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ashmem_core::abi;
use ashmem_trace::operation::{Operation, PinRange};
use ashmem_trace::text::Text;

use crate::account::{Account, HOSTILE, Recorder};
use crate::program::own_path;
use crate::region::{PAGE, Region, unmap};

/// Does `what` and writes the account to `file`.
pub(crate) fn run(what: &str, file: &str) -> Result<()> {
    let account = match what {
        "device" => device()?,
        "memfd" => crate::memfd::work()?,
        "tree" => return tree(file),
        "loop" => return churn(file),
        "lives" => return lives(file),
        "inside" => return inside(file),
        "forever" => return forever(),
        "scene" => return crate::setup::play(file),
        "guest" => return crate::setup::guest(),
        "memfds" => return crate::memfd::many(file),
        "hold" => return hold(file),
        "refused" => return refused(file),
        "busy" => return busy(file),
        "nothing" => return Ok(()),
        "sleep" => {
            let seconds: f64 = file.parse().context("reading how long to sleep")?;
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds * 100.0));
            return Ok(());
        }
        other => bail!("there is no work `{other}`"),
    };
    fs::write(file, serde_json::to_vec(&account)?).with_context(|| format!("writing {file}"))
}

/// Every call of the device's, those that fail among them.
fn device() -> Result<Account> {
    let mut recorder = Recorder::default();
    let region = Region::open()?;
    recorder.note(Operation::Open {}, region.0.as_raw_fd().into());
    let len = 4 * PAGE as u64;
    let mut note = |operation, result| recorder.note(operation, result);
    note(Operation::GetSize {}, region.ioctl(abi::GET_SIZE, 0));
    note(Operation::SetName { name: Some(Text::from(HOSTILE)) }, region.set_name(HOSTILE));
    note(Operation::SetName { name: None }, region.ioctl(abi::SET_NAME, 8));
    note(Operation::SetSize { bytes: len }, region.ioctl(abi::SET_SIZE, len as usize));
    // Of a size that no region has, so that where nothing has a mapping yet the source need not
    // know one.
    note(Operation::Pin(PinRange::new(0, 4096)), region.pinning(abi::PIN, 0, 4096));
    let address = region.map(4 * PAGE);
    ensure!(address > 0, "mmap: {address}");
    recorder.inode = Some(region.inode(address)?);
    let mut note = |operation, result| recorder.note(operation, result);
    let mapping = address as u64;
    note(Operation::Mmap { address: mapping, len, prot: 3, shared: true, offset: 0 }, address);
    note(Operation::SetSize { bytes: 4096 }, region.ioctl(abi::SET_SIZE, 4096));
    let other = Some(Text::from(b"too late"));
    note(Operation::SetName { name: other }, region.set_name(b"too late"));
    note(Operation::GetSize {}, region.ioctl(abi::GET_SIZE, 0));
    note(Operation::Unpin(PinRange::new(0, 8192)), region.pinning(abi::UNPIN, 0, 8192));
    note(Operation::Unpin(PinRange::new(1, 4096)), region.pinning(abi::UNPIN, 1, 4096));
    note(Operation::Unpin(PinRange::UNKNOWN), region.ioctl(abi::UNPIN, 8));
    note(Operation::GetPinStatus(PinRange::UNKNOWN), region.pinning(abi::GET_PIN_STATUS, 0, 4096));
    note(Operation::Pin(PinRange::new(0, 4096)), region.pinning(abi::PIN, 0, 4096));
    note(Operation::PurgeAllCaches {}, region.ioctl(abi::PURGE_ALL_CACHES, 0));
    note(Operation::Pin(PinRange::new(4096, 0)), region.pinning(abi::PIN, 4096, 0));
    note(Operation::SetProtMask { mask: 1 }, region.ioctl(abi::SET_PROT_MASK, 1));
    note(Operation::SetProtMask { mask: 3 }, region.ioctl(abi::SET_PROT_MASK, 3));
    note(Operation::GetProtMask {}, region.ioctl(abi::GET_PROT_MASK, 0));
    note(Operation::Ioctl { command: 0x77ff }, region.ioctl(0x77ff, 0));
    let refused = region.map(4 * PAGE);
    ensure!(
        refused == -i64::from(libc::EPERM) || refused == -i64::from(libc::EACCES),
        "mmap: {refused}"
    );
    ensure!(unmap(address, 4 * PAGE) == 0, "munmap failed");
    drop(region);
    recorder.note(Operation::Release {}, 0);
    Ok(recorder.account())
}

/// Children and grandchildren that live only for a moment, each with a region of its own; the
/// account holds their numbers.
fn tree(file: &str) -> Result<()> {
    let depth: u32 =
        std::env::var("TRIAL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    let region = Region::open()?;
    ensure!(region.set_name(format!("depth {depth}").as_bytes()) == 0, "SET_NAME failed");
    if depth < 3 {
        for child in 0..3 {
            let name = format!("{file}.{child}");
            let status = Command::new(own_path()?)
                .args(["work", "tree", &name])
                .env("TRIAL_DEPTH", (depth + 1).to_string())
                .status()
                .context("starting a child")?;
            ensure!(status.success(), "a child failed");
        }
    }
    let account = Account { pid: std::process::id() as i32, done: Vec::new() };
    fs::write(file, serde_json::to_vec(&account)?).with_context(|| format!("writing {file}"))
}

/// In the control group of TRIAL_GROUP, has a child that is number 1 of a pid namespace of its own;
/// `file` gets its number here.
fn inside(file: &str) -> Result<()> {
    let group = std::env::var("TRIAL_GROUP").context("TRIAL_GROUP names no control group")?;
    fs::write(format!("{group}/cgroup.procs"), "0").with_context(|| format!("entering {group}"))?;
    // SAFETY: concerns the children that are started from now on.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWPID) } == 0;
    ensure!(unshared, "unshare: {}", std::io::Error::last_os_error());
    let mut child =
        Command::new(own_path()?).args(["work", "forever", ""]).spawn().context("starting it")?;
    fs::write(file, format!("{}\n", child.id())).with_context(|| format!("writing {file}"))?;
    child.wait().context("waiting for it")?;
    Ok(())
}

/// A region after the other, until killed.
fn forever() -> Result<()> {
    loop {
        let region = Region::open()?;
        ensure!(region.set_name(b"inside") == 0, "SET_NAME failed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Makes three regions of one family, and holds them until its input ends.
fn hold(file: &str) -> Result<()> {
    let mut regions = Vec::new();
    for number in 0..3 {
        let region = Region::open()?;
        let name = format!("gralloc-{number}");
        let is_made =
            region.set_name(name.as_bytes()) == 0 && region.ioctl(abi::SET_SIZE, 2 * PAGE) == 0;
        ensure!(is_made, "preparing failed");
        regions.push(region);
    }
    fs::write(file, "made").with_context(|| format!("writing {file}"))?;
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        .context("waiting for the input's end")?;
    Ok(())
}

/// What every host does all day, and nothing of it with regions: programs started, files opened,
/// mapped and closed, requests to pipes.
fn busy(file: &str) -> Result<()> {
    let turns: u32 =
        std::env::var("TRIAL_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(1000);
    let own = own_path()?;
    let (pipe, _writer) = rustix::pipe::pipe().context("making a pipe")?;
    for _ in 0..turns {
        let status = Command::new(&own).args(["work", "nothing", ""]).status();
        ensure!(status.context("starting a program")?.success(), "it failed");
        for _ in 0..100 {
            let opened = fs::File::open(&own).context("opening a file")?;
            let fd = opened.as_raw_fd();
            // SAFETY: a new mapping at an address of the kernel's choice.
            let start = unsafe {
                libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0)
            };
            ensure!(start != libc::MAP_FAILED, "mmap failed");
            ensure!(unmap(start as i64, PAGE) == 0, "munmap failed");
            let mut waiting: libc::c_int = 0;
            let (reader, request) = (pipe.as_raw_fd(), libc::FIONREAD as _);
            // SAFETY: the request writes one int.
            let asked = unsafe { libc::ioctl(reader, request, &raw mut waiting) };
            ensure!(asked == 0, "FIONREAD failed");
        }
    }
    fs::write(file, "done").with_context(|| format!("writing {file}"))
}

/// Opens a device that is not there.
fn refused(file: &str) -> Result<()> {
    // The device by a boot's id that this is not, and paths that only look like the device's.
    for missing in [
        "/dev/ashmem00000000-0000-4000-8000-000000000000",
        "/dev/ashmem-that-is-not-there",
        "/tmp/no/dev/ashmem-linux/README.md",
    ] {
        let opened = fs::OpenOptions::new().read(true).write(true).open(missing);
        ensure!(opened.is_err(), "{missing} is there");
    }
    fs::write(file, "done").with_context(|| format!("writing {file}"))
}

/// UNPIN and PIN as fast as they go, as often as TRIAL_TURNS says; with TRIAL_HELD once its input
/// ends.
fn churn(file: &str) -> Result<()> {
    let turns: u64 =
        std::env::var("TRIAL_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(1000);
    let region = Region::open()?;
    ensure!(
        region.set_name(b"churn") == 0 && region.ioctl(abi::SET_SIZE, PAGE) == 0,
        "preparing failed"
    );
    let address = region.map(PAGE);
    ensure!(address > 0, "mmap: {address}");
    if std::env::var_os("TRIAL_HELD").is_some() {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
            .context("waiting for the input's end")?;
    }
    for _ in 0..turns {
        ensure!(region.pinning(abi::UNPIN, 0, 4096) == 0, "UNPIN failed");
        ensure!(region.pinning(abi::PIN, 0, 4096) >= 0, "PIN failed");
    }
    fs::write(file, serde_json::to_vec(&Account::default())?)
        .with_context(|| format!("writing {file}"))
}

/// Lives of regions as fast as they go, as often as TRIAL_TURNS says: open, name, size, map, touch,
/// unmap, close. Writes the nanoseconds of one.
fn lives(file: &str) -> Result<()> {
    let turns: u32 =
        std::env::var("TRIAL_TURNS").ok().and_then(|turns| turns.parse().ok()).unwrap_or(1000);
    let started = std::time::Instant::now();
    for _ in 0..turns {
        let region = Region::open()?;
        ensure!(
            region.set_name(b"lives") == 0 && region.ioctl(abi::SET_SIZE, PAGE) == 0,
            "preparing failed"
        );
        let address = region.map(PAGE);
        ensure!(address > 0, "mmap: {address}");
        // SAFETY: the mapping is a page, writable, and this program's own.
        unsafe { (address as usize as *mut u8).write_volatile(1) };
        ensure!(unmap(address, PAGE) == 0, "munmap failed");
    }
    let ns = started.elapsed().as_nanos() as f64 / f64::from(turns);
    fs::write(file, format!("{ns}")).with_context(|| format!("writing {file}"))
}
