// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tracepoints `ashmem:*`, as tracefs shows them.

use std::ffi::CStr;
use std::fs;

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use crate::module::{Modules, with_module};
use crate::region::{Region, page_size};

const TRACEFS: &str = "/sys/kernel/tracing";

/// What the work below does, as each line of the trace ends; addresses are left out.
fn expected() -> Vec<(&'static str, String)> {
    let page = page_size();
    let (whole, half) = (8 * page, 4 * page);
    vec![
        ("open", "result=0".to_owned()),
        ("set_name", "name=trial result=0".to_owned()),
        ("ioctl", "result=0".to_owned()),
        ("set_size", format!("size={whole} result=0")),
        ("ioctl", format!("cmd=0x40087703 arg={whole:#x} result=0")),
        ("mmap", format!("len={whole} offset=0 prot=READ|WRITE shared result=0")),
        ("set_size", format!("size={page} result=-22")),
        ("ioctl", format!("cmd=0x40087703 arg={page:#x} result=-22")),
        ("set_prot_mask", "mask=0x3 result=0".to_owned()),
        ("ioctl", "cmd=0x40087705 arg=0x3 result=0".to_owned()),
        ("unpin", format!("offset=0 len={half} result=0")),
        ("ioctl", "result=0".to_owned()),
        ("pin", format!("offset={page} len={page} result=0")),
        ("ioctl", "result=0".to_owned()),
        ("purge", "first=0 pages=1".to_owned()),
        ("purge", "first=2 pages=2".to_owned()),
        ("ioctl", "cmd=0x770a arg=0x0 result=3".to_owned()),
        ("pin", format!("offset=0 len={page} result=1")),
        ("ioctl", "result=1".to_owned()),
        ("release", String::new()),
        ("open", "result=0".to_owned()),
        ("set_name", r"name=x\012region=1 \033[2J\134\303\251 result=0".to_owned()),
        ("ioctl", "result=0".to_owned()),
        ("release", String::new()),
    ]
}

/// A name that would be two lines, clear a terminal, and look like an escape: and a letter that is
/// no ASCII.
const FORGED: &CStr = c"x\nregion=1 \x1b[2J\\\xc3\xa9";

pub(crate) fn events(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        work()?;
        ensure!(lines()?.is_empty(), "events were recorded while tracing is off");
        switch("1")?;
        let result = work();
        switch("0")?;
        result?;
        let (lines, expected) = (lines()?, expected());
        ensure!(
            lines.len() == expected.len(),
            "{} events instead of {}: {lines:#?}",
            lines.len(),
            expected.len()
        );
        for (line, (event, end)) in lines.iter().zip(&expected) {
            ensure!(
                line.contains(&format!(" {event}: ")) && line.ends_with(end),
                "expected {event} … {end}, got {line}"
            );
        }
        fs::write(format!("{TRACEFS}/trace"), "").context("emptying the trace")
    })
}

fn work() -> Result<()> {
    let region = Region::create(8)?;
    let mapping = region.map(8, libc::MAP_SHARED)?;
    ensure!(region.set_size(page_size()).is_err(), "a mapped region took a new size");
    region.set_mask(3)?;
    region.pinning(abi::UNPIN, 0, 4)?;
    region.pinning(abi::PIN, 1, 1)?;
    region.purge()?;
    region.pinning(abi::PIN, 0, 1)?;
    drop((mapping, region));
    Region::open()?.set_name(FORGED)?;
    Ok(())
}

fn switch(on: &str) -> Result<()> {
    fs::write(format!("{TRACEFS}/events/ashmem/enable"), on).context("switching events/ashmem")
}

/// The recorded events of this module.
fn lines() -> Result<Vec<String>> {
    let trace = fs::read_to_string(format!("{TRACEFS}/trace")).context("reading the trace")?;
    Ok(trace
        .lines()
        .filter(|line| line.contains("region="))
        .map(|line| line.trim_end().to_owned())
        .collect())
}
