// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names that pose as lines of what others read.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::part::{Gate, Part, USER};
use crate::region::Region;

const NAME: &std::ffi::CStr = c"x\nsize:\t77\nforged:\t1\n7f0000000000-7f0000001000 forged\n\
      forged-1 [000] ..... 1.0: open: region=0";
/// What begins the lines above, where a line begins.
const FORGED: [&str; 3] = ["forged", "7f0000000000-7f0000001000", "size:\t77"];

/// What the kernel and the driver print in fdinfo, each once at most.
const KEYS: [&str; 12] = [
    "pos",
    "flags",
    "mnt_id",
    "ino",
    "inode",
    "name",
    "size",
    "prot_mask",
    "pinned",
    "unpinned",
    "purged",
    "resident",
];

const TRACEFS: &str = "/sys/kernel/tracing";

pub(crate) fn forged() -> Result<String> {
    trace("1")?;
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let forger = Part::start(USER, || {
        let region = Region::open()?;
        region.set_name(NAME)?;
        region.set_size(4096)?;
        let _mapping = region.map(1, libc::MAP_SHARED)?;
        ready.open()?;
        go.pass()?;
        Ok(String::new())
    })?;
    ready.pass()?;
    trace("0")?;
    let process = forger.id();
    let (mut seen, mut wrong) = (0, Vec::new());
    let mut look = |file: &str, text: &str| {
        for line in text.lines() {
            seen += 1;
            if FORGED.iter().any(|forged| line.trim_start().starts_with(forged)) {
                wrong.push(format!("{file}: {line}"));
            }
        }
    };
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))
        .context("listing the forger's descriptors")?
    {
        let path = entry?.path();
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        look("fdinfo", &text);
        if !text.contains("prot_mask:") {
            continue;
        }
        let mut keys: Vec<&str> =
            text.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
        let unknown: Vec<_> = keys.iter().copied().filter(|key| !KEYS.contains(key)).collect();
        ensure!(unknown.is_empty(), "fdinfo has lines of {unknown:?}:\n{text}");
        let lines = keys.len();
        keys.sort_unstable();
        keys.dedup();
        ensure!(keys.len() == lines, "fdinfo has a line twice:\n{text}");
    }
    let maps =
        fs::read_to_string(format!("/proc/{process}/maps")).context("reading the forger's maps")?;
    ensure!(maps.contains("/dev/ashmem/x"), "the region is not in maps:\n{maps}");
    look("maps", &maps);
    let trace = fs::read_to_string(format!("{TRACEFS}/trace")).context("reading the trace")?;
    ensure!(trace.contains(" set_name: "), "the name is not in the trace:\n{trace}");
    look("trace", &trace);
    fs::write(format!("{TRACEFS}/trace"), "").context("emptying the trace")?;
    go.open()?;
    drop(forger);
    ensure!(wrong.is_empty(), "a name made lines of its own:\n{}", wrong.join("\n"));
    Ok(format!("{seen} lines, none of them the name's"))
}

fn trace(on: &str) -> Result<()> {
    fs::write(format!("{TRACEFS}/events/ashmem/enable"), on).context("switching events/ashmem")
}
