// SPDX-License-Identifier: MIT OR Apache-2.0
//! When unpinned pages are purged: the module's parameters for those who test programs.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;
use ashmem_test_client::region::Region as Client;

use crate::module::{Modules, NAME, Parameter, with_module};
use crate::region::{Mapping, Region, page_size};

const PAGES: usize = 64;

fn set(parameter: &str, value: char) -> Result<Parameter> {
    Parameter::set(parameter, value)?.with_context(|| format!("there is no parameter {parameter}"))
}

/// A region whose pages are all written to.
fn filled(pages: usize) -> Result<(Region, Mapping)> {
    let region = Region::create(pages)?;
    let mapping = region.map(pages, libc::MAP_SHARED)?;
    mapping.fill();
    Ok((region, mapping))
}

/// Whether pages hold what was written.
fn kept(mapping: &Mapping, first: usize, pages: usize) -> Result<bool> {
    let bytes = &mapping.bytes()[first * page_size()..(first + pages) * page_size()];
    let written = bytes.chunks(page_size()).filter(|page| page[0] != 0).count();
    ensure!(written == 0 || written == pages, "{written} of {pages} pages hold what was written");
    Ok(written == pages)
}

/// UNPIN, PIN, and whether the pages hold what was written: what PIN says and memory is must agree.
fn keeps(region: &Region, mapping: &Mapping, first: usize, pages: usize) -> Result<bool> {
    region.pinning(abi::UNPIN, first, pages)?;
    let purged = region.pinning(abi::PIN, first, pages)? == abi::WAS_PURGED;
    let kept = kept(mapping, first, pages)?;
    ensure!(kept != purged, "PIN says purged: {purged}, and the pages are there: {kept}");
    Ok(kept)
}

/// A number of fdinfo.
fn count(region: &Region, word: &str) -> Result<u64> {
    let text = fs::read_to_string(region.fdinfo()).context("reading fdinfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(':'));
    line.with_context(|| format!("fdinfo has no {word}"))?.trim().parse().context("a number")
}

pub(crate) fn at_once(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        for (parameter, expected) in [("unpinning_enable", "Y"), ("unpinning_at_once", "N")] {
            let path = format!("/sys/module/{NAME}/parameters/{parameter}");
            let value = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            ensure!(value.trim() == expected, "{parameter} is {} at first", value.trim());
        }
        let (region, mapping) = filled(PAGES)?;
        ensure!(keeps(&region, &mapping, 0, PAGES)?, "pages are gone by default");
        region.pinning(abi::UNPIN, 40, 8)?;

        let parameter = set("unpinning_at_once", 'Y')?;
        ensure!(!keeps(&region, &mapping, 4, 8)?, "pages are there after UNPIN");
        ensure!(kept(&mapping, 0, 4)? && kept(&mapping, 12, 28)?, "pinned pages are gone");
        ensure!(kept(&mapping, 40, 8)?, "pages unpinned before are gone without an UNPIN");
        // Within the range that was unpinned before, which stays one range (PIN-20).
        ensure!(!keeps(&region, &mapping, 42, 2)?, "pages unpinned twice are there");
        ensure!(!kept(&mapping, 40, 2)?, "a range was purged in part");
        ensure!(count(&region, "purged")? == 6, "pages 40, 41 and 44 to 47 are purged");
        ensure!(count(&region, "unpinned")? == 0, "something waits to be purged");
        // One range with a purged one (PIN-23), and pages that were written since (PIN-30).
        mapping.fill();
        region.pinning(abi::UNPIN, 30, 12)?;
        // Before they are read: a zero that is read has memory.
        ensure!(count(&region, "resident")? == PAGES as u64 - 12, "not these 12 pages are gone");
        ensure!(!kept(&mapping, 30, 12)?, "pages joined to a purged range are there");
        // All of a region, by a length of 0; and one that no page of was ever touched.
        region.pinning(abi::UNPIN, 0, 0)?;
        ensure!(count(&region, "resident")? == 0, "memory is left of a region that is unpinned");
        let untouched = Region::create(PAGES)?;
        let _mapping = untouched.map(PAGES, libc::MAP_SHARED)?;
        untouched.pinning(abi::UNPIN, 0, 0)?;
        ensure!(untouched.pinning(abi::PIN, 0, 0)? == abi::WAS_PURGED, "nothing was purged");

        // Neither where unpinning is off altogether.
        let disabled = set("unpinning_enable", 'N')?;
        let (other, mapping) = filled(PAGES)?;
        ensure!(keeps(&other, &mapping, 0, PAGES)?, "UNPIN purges without unpinning_enable");
        drop((disabled, parameter));
        ensure!(keeps(&other, &mapping, 0, PAGES)?, "UNPIN still purges");
        Ok(())
    })
}

pub(crate) fn raced(modules: &Modules) -> Result<()> {
    with_module(modules, || {
        race(|region| {
            drop(set("unpinning_at_once", 'Y')?);
            region.purge()?;
            Ok(())
        })
    })
}

/// Threads share a region; each has pages of its own, which it knows to be there or purged.
/// Meanwhile another does `disturb`, again and again.
fn race(disturb: impl Fn(&Region) -> Result<()>) -> Result<()> {
    const THREADS: usize = 4;
    /// Turns of the other: at least so many, and more until a page was purged, which on a host that
    /// runs one thread at a time may take long.
    const TURNS: std::ops::Range<usize> = 200..50_000;
    let region = Region::create(PAGES)?;
    let mapping = region.map(PAGES, libc::MAP_SHARED)?;
    let (region, mapping, disturb) = (&region, &mapping, &disturb);
    let (done, purged) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    // Each thread's pages are every fourth one, so that ranges are neighbours of others'.
    let play = |thread: usize| -> Result<()> {
        let mut round = 0;
        while !done.load(Ordering::Relaxed) {
            let page = thread + THREADS * (round % (PAGES / THREADS));
            round += 1;
            // SAFETY: within the mapping, and this thread's own.
            unsafe { mapping.start().cast_mut().add(page * page_size()).write_volatile(1) }
            if !keeps(region, mapping, page, 1)? {
                purged.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    let disturb = || -> Result<()> {
        for turn in 0..TURNS.end {
            if turn >= TURNS.start && purged.load(Ordering::Relaxed) != 0 {
                break;
            }
            disturb(region)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || play(thread))).collect();
        let disturbed = disturb();
        done.store(true, Ordering::Relaxed);
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))?;
        disturbed
    })?;
    let purged = purged.load(Ordering::Relaxed);
    ensure!(purged != 0, "no page was ever purged");
    Ok(())
}

pub(crate) fn one_region(modules: &Modules) -> Result<()> {
    /// More than the module looks at in one go.
    const MANY: usize = 2000;
    with_module(modules, || {
        let (region, mapping) = filled(MANY)?;
        let (other, others) = filled(PAGES)?;
        other.pinning(abi::UNPIN, 0, PAGES)?;
        ensure!(region.purge_region()? == 0, "pages were purged that are pinned");
        ensure!(Region::open()?.purge_region()? == 0, "a region without a size has pages");
        for page in (0..MANY).step_by(2) {
            region.pinning(abi::UNPIN, page, 1)?;
        }
        let refused = std::thread::spawn({
            let region = Client::from(region.as_fd().try_clone_to_owned()?);
            move || {
                // SAFETY: the call itself, which changes this thread alone.
                let changed = unsafe { libc::syscall(libc::SYS_setresuid, 1000, 1000, 1000) };
                (changed, region.purge_region())
            }
        });
        let (changed, refused) = refused.join().expect("it does not panic");
        ensure!(changed == 0, "the thread could not become another user's");
        ensure!(
            refused.as_ref().is_err_and(|error| error.code == libc::ENOTTY),
            "another user's PURGE_REGION says {:?}",
            refused.map_err(|error| error.to_string())
        );
        ensure!(count(&region, "unpinned")? == MANY as u64 / 2, "it purged all the same");
        ensure!(region.purge_region()? == MANY as i64 / 2, "not what was unpinned was purged");
        ensure!(count(&region, "purged")? == MANY as u64 / 2, "not what was unpinned is purged");
        ensure!(count(&region, "resident")? == MANY as u64 / 2, "not their memory is gone");
        for page in 0..MANY {
            ensure!(kept(&mapping, page, 1)? == (page % 2 == 1), "page {page}");
        }
        ensure!(region.purge_region()? == 0, "pages were purged twice");
        ensure!(region.pinning(abi::PIN, 0, 0)? == abi::WAS_PURGED, "PIN says NOT_PURGED");
        ensure!(other.pinning(abi::PIN, 0, PAGES)? == abi::NOT_PURGED, "another region is purged");
        ensure!(others.is_filled(), "another region's pages are gone");
        race(|region| {
            region.purge_region()?;
            Ok(())
        })
    })
}

pub(crate) fn by_command(modules: &Modules) -> Result<()> {
    let purge = |words: &[&str], user: u32| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(&modules.ashmem);
        let output = command.arg("purge").args(words).uid(user).output().context("ashmem purge")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
    };
    with_module(modules, || {
        let (unnamed, kept) = filled(PAGES)?;
        let region = Region::open()?;
        region.set_name(c"purge-me")?;
        region.set_size(PAGES * page_size())?;
        region.map(PAGES, libc::MAP_SHARED)?.fill();
        unnamed.pinning(abi::UNPIN, 0, PAGES)?;
        region.pinning(abi::UNPIN, 8, 4)?;
        region.pinning(abi::UNPIN, 20, 1)?;

        let refused = purge(&["--name", "purge-*"], 1000)?;
        ensure!(refused.0 == Some(0) && count(&region, "unpinned")? == 5, "a user: {refused:?}");
        let mine = std::process::id().to_string();
        let refused = purge(&["--pid", &mine], 1000)?;
        ensure!(refused.0 == Some(1) && count(&region, "unpinned")? == 5, "a user: {refused:?}");
        let (code, said) = purge(&["--name", "purge-*"], 0)?;
        ensure!(code == Some(0), "{code:?}: {said}");
        ensure!(said.starts_with("purged 5 pages (") && said.ends_with(" of 1 region\n"), "{said}");
        ensure!(count(&region, "purged")? == 5, "{said}: something else was purged");
        ensure!(region.pinning(abi::PIN, 20, 1)? == abi::WAS_PURGED, "PIN says NOT_PURGED");
        ensure!(count(&unnamed, "purged")? == 0 && kept.is_filled(), "others' pages are gone");
        let (code, said) = purge(&["--pid", &mine], 0)?;
        ensure!(code == Some(0) && said.starts_with("purged 64 pages ("), "{code:?}: {said}");
        ensure!(count(&unnamed, "purged")? == PAGES as u64, "{said}: pages are left");
        Ok(())
    })
}

pub(crate) fn never(modules: &Modules) -> Result<()> {
    const MANY: usize = 4096;
    with_module(modules, || {
        let (region, mapping) = filled(MANY)?;
        let drop_caches = || fs::write("/proc/sys/vm/drop_caches", "2").context("dropping caches");
        region.pinning(abi::UNPIN, 0, MANY)?;
        let disabled = set("unpinning_enable", 'N')?;
        drop_caches()?;
        ensure!(region.pinning(abi::PIN, 0, MANY)? == abi::NOT_PURGED, "PIN says WAS_PURGED");
        ensure!(mapping.is_filled(), "the shrinker took pages");
        region.pinning(abi::UNPIN, 0, 1)?;
        ensure!(region.purge()? == 1, "PURGE_ALL_CACHES counts something else than one page");
        ensure!(region.pinning(abi::PIN, 0, 1)? == abi::WAS_PURGED, "it purged nothing");
        // The same memory as before, to see that the kernel asked at all.
        mapping.fill();
        region.pinning(abi::UNPIN, 0, MANY)?;
        drop(disabled);
        drop_caches()?;
        ensure!(region.pinning(abi::PIN, 0, MANY)? == abi::WAS_PURGED, "the shrinker took nothing");
        Ok(())
    })
}
