// SPDX-License-Identifier: MIT OR Apache-2.0
//! The figures of record: the tables of `docs/bench.md` and its plot, written from one run.

use super::goals::{self, Row};
use super::results::Results;
use crate::util::workspace;
use anyhow::{Context, Result};
use std::fs;

/// Between these lines the document is the program's; around them it is people's.
const BEGIN: &str = "<!-- cargo xtask bench --record: begin -->";
const END: &str = "<!-- cargo xtask bench --record: end -->";

/// Replaces what the document says was measured.
pub(super) fn write(results: &Results, rows: &[Row], chart: &str) -> Result<()> {
    let docs = workspace::root().join("docs");
    let file = docs.join("bench.md");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let whole = || format!("{} lacks the lines\n{BEGIN}\n{END}", file.display());
    let (before, rest) = text.split_once(BEGIN).with_context(whole)?;
    let (_, after) = rest.split_once(END).with_context(whole)?;
    let kernel = results.module.as_ref().map_or("", |report| &report.kernel);
    let measured = format!(
        "Kernel {kernel}.\n\
         \n\
         {}\n\
         \n\
         Unpin and pin one page among other unpinned ranges, in ns:\n\
         \n\
         {}\n\
         \n\
         The calls of one life, in ns:\n\
         \n\
         {}",
        goals::table(rows),
        goals::ranges(results),
        goals::pieces(results)
    );
    workspace::write_whole(&file, &format!("{before}{BEGIN}\n\n{measured}\n\n{END}{after}"))?;
    let images = docs.join("images");
    fs::create_dir_all(&images).with_context(|| format!("making {}", images.display()))?;
    workspace::write_whole(&images.join("ranges.svg"), chart)?;
    eprintln!("recorded in {} and {}", file.display(), images.join("ranges.svg").display());
    Ok(())
}
