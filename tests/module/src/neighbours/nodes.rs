// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two NUMA nodes, one of them full: unpinned pages on their way to it.
//!
//! The kernel locks the pages that it moves, and asks for memory while it holds them. If what gives
//! memory back then waits for these very pages, the caller waits for itself, and everybody who
//! wants the region's pages waits with it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ashmem_core::abi;

use super::memory::{self, PIECE, Policy, Taken};
use super::part::{Gate, Part, SKIPPED, USER, check};
use crate::region::{PAGE, Region};

const PAGES: usize = 8000;
/// How long the move may take: it is some seconds of work.
const MOVE: Duration = Duration::from_secs(90);
/// How long somebody else's PIN may take.
const PIN: Duration = Duration::from_secs(30);

const MPOL_MF_MOVE: libc::c_uint = 2;

/// Where the pages lie at first, and the node that they go to.
const FROM: u32 = 0;
const TO: u32 = 1;

pub(crate) fn move_pages() -> Result<String> {
    onto_full_node(|start| {
        let pages: Vec<_> = (0..PAGES).map(|page| start.wrapping_add(page * PAGE)).collect();
        let (nodes, mut status) = (vec![TO as i32; PAGES], vec![0_i32; PAGES]);
        // SAFETY: as many addresses, nodes and places for answers as are told.
        let answer = check(unsafe {
            libc::syscall(
                libc::SYS_move_pages,
                0,
                PAGES,
                pages.as_ptr(),
                nodes.as_ptr(),
                status.as_mut_ptr(),
                MPOL_MF_MOVE,
            )
        });
        let answer = answer.map_or_else(|error| error.to_string(), |left| left.to_string());
        Ok(format!("move_pages answered {answer}"))
    })
}

pub(crate) fn bind() -> Result<String> {
    onto_full_node(|start| {
        let mask = 1_u64 << TO;
        // SAFETY: a mapping of this process, and a mask of 64 nodes.
        let answer = check(unsafe {
            libc::syscall(
                libc::SYS_mbind,
                start,
                PAGES * PAGE,
                Policy::Bind as i32,
                &raw const mask,
                65,
                MPOL_MF_MOVE,
            )
        });
        let answer = answer.map_or_else(|error| error.to_string(), |done| done.to_string());
        Ok(format!("mbind answered {answer}"))
    })
}

/// Puts a region's unpinned pages on a node, fills the other, and has `mover` move them.
fn onto_full_node(mover: impl FnOnce(*const u8) -> Result<String>) -> Result<String> {
    let nodes = memory::nodes()?;
    if nodes.len() < 2 {
        return Ok(format!(
            "{SKIPPED}the machine has one node of memory: `cargo xtask vm --numa 2` makes two"
        ));
    }
    let region = Region::create(PAGES)?;
    let (ready, go) = (Gate::new()?, Gate::new()?);
    let moving = Part::start(USER, || {
        memory::set_policy(Policy::Bind, FROM)?;
        // Its own mapping alone: pages that two processes have mapped are not moved.
        let mapping = region.map(PAGES, libc::MAP_SHARED)?;
        mapping.fill();
        memory::set_policy(Policy::Default, 0)?;
        for page in [0, PAGES - 1] {
            let node = memory::node_of(mapping.start().wrapping_add(page * PAGE))?;
            ensure!(node == FROM as i32, "page {page} came to lie on node {node}");
        }
        for page in 0..PAGES {
            region.pinning(abi::UNPIN, page, 1)?;
        }
        ready.open()?;
        go.pass()?;
        mover(mapping.start())
    })?;
    ensure!(
        ready.is_passed(MOVE)?,
        "the pages were not unpinned in time: {:?}",
        moving.end(Duration::ZERO)?
    );
    let taken = fill(TO)?;
    go.open()?;
    let said = moving.finish(MOVE).context("the process that moves pages")?;
    let pinned = Part::run(USER, PIN, || Ok(region.pinning(abi::PIN, 0, 0)?.to_string()))
        .context("another process's PIN, after the move")?;
    drop(taken);
    Ok(format!("{said}; PIN then answered {pinned}"))
}

/// Takes a node's memory until the kernel gives another node's instead.
fn fill(node: u32) -> Result<Taken> {
    /// So often in a row memory has come from elsewhere when the node counts as full.
    const ELSEWHERE: usize = 3;
    let taken = Taken::reserve(1 << 30)?;
    memory::set_policy(Policy::Preferred, node)?;
    let mut elsewhere = 0;
    for from in (0..1 << 30).step_by(PIECE) {
        taken.touch(from, PIECE);
        let came_from = memory::node_of(taken.at(from + PIECE - PAGE))?;
        elsewhere = if came_from == node as i32 { 0 } else { elsewhere + 1 };
        if elsewhere == ELSEWHERE {
            break;
        }
    }
    memory::set_policy(Policy::Default, 0)?;
    ensure!(elsewhere == ELSEWHERE, "node {node} was not full after a GiB");
    Ok(taken)
}
