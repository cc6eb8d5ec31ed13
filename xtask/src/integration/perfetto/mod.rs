// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem trace -o trace.pftrace` as Perfetto's readers see it: decoded with the schema that
//! Perfetto publishes.
//!
//! The schema comes from PyPI (perfetto) into the cache. That package's trace processor is fetched
//! from elsewhere when it is first used, so the rules by which it takes a trace are in
//! `check_schema.py`.

use crate::build::static_program;
use crate::integration::report;
use crate::util::steps::{Step, StepResult};
use crate::util::{process, pypi, workspace};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The package's version.
const SCHEMA: &str = "0.59.1";

/// A trace of what the browser's step is shown, held to that.
pub(crate) fn step() -> Step {
    Step::new("a trace by Perfetto's schema", || {
        let folder = workspace::cache("perfetto")?;
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let schema = pypi::package("perfetto", SCHEMA)?;
        let (work, trace) = (folder.join("work.py"), folder.join("trace.pftrace"));
        fs::write(&work, report::WORK).with_context(|| format!("writing {}", work.display()))?;
        let mut tracing = Command::new(ashmem);
        process::capture(
            tracing.args(["trace", "-o"]).arg(&trace).args(["--", "python3"]).arg(&work),
        )?;
        let said = process::capture(&mut held(&schema, &trace))?;
        refuses_a_slip(&schema, &trace, &folder.join("slip.pftrace"))?;
        Ok(StepResult::Passed(format!("{}, by the schema of perfetto {SCHEMA}", said.trim())))
    })
}

fn held(schema: &Path, trace: &Path) -> Command {
    let mut python = Command::new("python3");
    python
        .env("PYTHONPATH", schema)
        .arg(workspace::root().join("xtask/src/integration/perfetto/check_schema.py"))
        .arg(trace);
    python
}

/// A check that cannot fail proves nothing: a trace without its last packet must be seen to be one.
fn refuses_a_slip(schema: &Path, trace: &Path, slip: &Path) -> Result<()> {
    let bytes = fs::read(trace).with_context(|| format!("reading {}", trace.display()))?;
    let last = last_packet(&bytes).context("the trace ends within a packet")?;
    fs::write(slip, &bytes[..last]).with_context(|| format!("writing {}", slip.display()))?;
    let (said, status) = process::capture_both(&mut held(schema, slip))?;
    ensure!(!status.success(), "a trace without its last packet is taken for whole:\n{said}");
    Ok(())
}

/// Where the last packet begins. Each is field 1, with its length, of one or two bytes, before it.
fn last_packet(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut begin) = (0, None);
    while at < bytes.len() {
        begin = Some(at);
        let (low, high) = (
            usize::from(*bytes.get(at + 1)?),
            usize::from(bytes.get(at + 2).copied().unwrap_or(0)),
        );
        at += if low < 0x80 { 2 + low } else { 3 + (low & 0x7f | high << 7) };
    }
    (at == bytes.len()).then_some(begin?)
}
