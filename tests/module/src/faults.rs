// SPDX-License-Identifier: MIT OR Apache-2.0
//! The module without memory: its test build makes every n-th allocation fail.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use ashmem_core::abi;
use ashmem_test_client::errno::Answer;

use crate::module::{self, Modules, NAME};
use crate::region::{Region, page_size};

fn with_faults(modules: &Modules, work: impl FnOnce() -> Result<()>) -> Result<()> {
    module::load(&modules.faults, "").context("loading the test build of the module")?;
    let result = work();
    fail_every(0)?;
    result?;
    module::unload_soon(NAME)
}

/// Makes every n-th allocation fail; 0: none.
fn fail_every(n: u32) -> Result<()> {
    fs::write(format!("/sys/module/{NAME}/parameters/fail_every"), n.to_string())
        .context("setting fail_every")
}

/// A call's answer, or `None` for ENOMEM; any other error is one.
fn or_no_memory<T>(call: &str, result: Answer<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Ok(None),
        Err(error) => bail!("{call}: expected success or ENOMEM, got {error}"),
    }
}

pub(crate) fn every_call(modules: &Modules) -> Result<()> {
    with_faults(modules, || {
        let mut refused = 0_u32;
        for n in 1..=40 {
            fail_every(n)?;
            for _ in 0..20 {
                refused += life()?;
            }
        }
        ensure!(refused > 100, "only {refused} calls were refused: the faults did not happen");
        Ok(())
    })
}

/// One region's life; answers how many of its calls had no memory.
fn life() -> Result<u32> {
    let mut refused = 0;
    let Some(region) = or_no_memory("open", Region::open())? else { return Ok(1) };
    let named = or_no_memory("SET_NAME", region.set_name(c"fault"))?.is_some();
    refused += u32::from(!named);
    let name = region.name()?;
    ensure!(
        name == if named { &b"fault"[..] } else { abi::DEFAULT_NAME },
        "SET_NAME left {name:?}"
    );
    region.set_size(8 * page_size())?;
    let Some(mapping) = or_no_memory("mmap", region.map(8, libc::MAP_SHARED))? else {
        return Ok(refused + 1);
    };
    mapping.fill();
    for (command, first, pages) in
        [(abi::UNPIN, 0, 8), (abi::PIN, 3, 2), (abi::UNPIN, 2, 4), (abi::PIN, 0, 8)]
    {
        refused +=
            u32::from(or_no_memory("pinning", region.pinning(command, first, pages))?.is_none());
    }
    ensure!(mapping.is_filled(), "memory changed though nothing was purged");
    Ok(refused)
}

pub(crate) fn pins_are_untouched(modules: &Modules) -> Result<()> {
    with_faults(modules, || {
        let region = Region::create(8)?;
        let _mapping = region.map(8, libc::MAP_SHARED)?;
        let status = |page| region.pinning(abi::GET_PIN_STATUS, page, 1);

        fail_every(1)?;
        let refused = region.pinning(abi::UNPIN, 0, 8);
        fail_every(0)?;
        expect_no_memory("UNPIN", refused)?;
        for page in 0..8 {
            ensure!(status(page)? == abi::IS_PINNED, "a refused UNPIN unpinned page {page}");
        }

        region.pinning(abi::UNPIN, 0, 8)?;
        fail_every(1)?;
        let refused = region.pinning(abi::PIN, 3, 2);
        fail_every(0)?;
        expect_no_memory("PIN inside a range", refused)?;
        for page in 0..8 {
            ensure!(status(page)? == abi::IS_UNPINNED, "a refused PIN pinned page {page}");
        }
        let purged = region.purge()?;
        ensure!(purged == 8, "{purged} of 8 unpinned pages were counted after the refused PIN");
        Ok(())
    })
}

fn expect_no_memory(call: &str, result: Answer<i64>) -> Result<()> {
    match or_no_memory(call, result)? {
        None => Ok(()),
        Some(answer) => bail!("{call} answered {answer} though every allocation fails"),
    }
}
