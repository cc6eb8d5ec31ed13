// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plot: what unpinning and pinning a page costs, against how many other ranges of the region
//! are unpinned.
//!
//! An SVG of its own, for both axes are logarithmic but begin at none, and it has to be read on
//! white and on dark alike.

use super::results::Results;
use ashmem_bench::{RANGES, Report, figure};
use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 362.0;

/// Highest and lowest cost shown, in ns.
const CHEAP: f64 = 1_000.0;
const DEAR: f64 = 1_000_000.0;

/// Too near to its neighbours for a label.
const UNLABELLED: [u32; 1] = [8192];

/// Grey ink and two hues of middle lightness: each has contrast on a white page and on a dark one.
const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #7d8590 }
    .title { font-size: 16px; font-weight: 600 }
    .grid { stroke: #7d8590; stroke-opacity: .25 }
    .axis { stroke: #7d8590 }
    .line { fill: none; stroke-width: 2.5; stroke-linejoin: round }
    .reference { stroke: #d9730d } .reference-ink { fill: #d9730d }
    .module { stroke: #2f81f7 } .module-ink { fill: #2f81f7 }
    .name { font-weight: 600 }";

/// Draws what was measured.
pub(super) fn svg(results: &Results) -> String {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = frame(&mut body);
    for (report, name, class) in [
        (&results.reference, "original driver", "reference"),
        (&results.module, "this module", "module"),
    ] {
        if let Some(report) = report {
            let _ = series(&mut body, report, name, class);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"Cost of unpin and pin \
         against number of unpinned ranges\">\n<style>\n{STYLE}\n</style>\n{body}</svg>\n"
    )
}

fn frame(out: &mut String) -> std::fmt::Result {
    writeln!(out, "<text class=\"title\" x=\"{LEFT}\" y=\"28\">Unpin and pin one page</text>")?;
    writeln!(
        out,
        "<text x=\"{LEFT}\" y=\"48\">instructions for the pair (1 = 1 ns), by the number of other \
         unpinned ranges</text>"
    )?;
    for (cost, label) in [(1e3, "1,000"), (1e4, "10,000"), (1e5, "100,000"), (1e6, "1,000,000")] {
        let y = height(cost);
        writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        )?;
        writeln!(
            out,
            "<text text-anchor=\"end\" x=\"{}\" y=\"{:.1}\">{label}</text>",
            LEFT - 8.0,
            y + 4.5
        )?;
    }
    for ranges in RANGES {
        let x = place(ranges);
        writeln!(
            out,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{}\"/>",
            BOTTOM + 5.0
        )?;
        if !UNLABELLED.contains(&ranges) {
            writeln!(
                out,
                "<text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{}\">{ranges}</text>",
                BOTTOM + 21.0
            )?;
        }
    }
    writeln!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>"
    )?;
    let middle = f64::midpoint(LEFT, RIGHT);
    writeln!(
        out,
        "<text text-anchor=\"middle\" x=\"{middle}\" y=\"{}\">other unpinned ranges</text>",
        BOTTOM + 44.0
    )
}

fn series(out: &mut String, report: &Report, name: &str, class: &str) -> std::fmt::Result {
    let points: Vec<(f64, f64)> = RANGES
        .iter()
        .filter_map(|ranges| {
            Some((place(*ranges), height(*report.figures.get(&figure::pins(*ranges))?)))
        })
        .collect();
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    writeln!(out, "<polyline class=\"line {class}\" points=\"{}\"/>", path.join(" "))?;
    for (x, y) in &points {
        writeln!(out, "<circle class=\"{class}-ink\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>")?;
    }
    if let Some((x, y)) = points.last() {
        let (x, y) = (x - 6.0, y - 12.0);
        writeln!(
            out,
            "<text class=\"name {class}-ink\" text-anchor=\"end\" x=\"{x:.1}\" \
             y=\"{y:.1}\">{name}</text>"
        )?;
    }
    Ok(())
}

/// Where a number of ranges stands: none at the left edge, then by doublings.
fn place(ranges: u32) -> f64 {
    let step = |ranges: u32| if ranges == 0 { 0.0 } else { f64::from(ranges).log2() + 1.5 };
    let most = RANGES.into_iter().max().unwrap_or(1);
    let edge = 14.0;
    LEFT + edge + step(ranges) / step(most) * (RIGHT - LEFT - 2.0 * edge)
}

fn height(cost: f64) -> f64 {
    BOTTOM - (cost / CHEAP).log10() / (DEAR / CHEAP).log10() * (BOTTOM - TOP)
}
