// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs cases, each in a process of its own with a time limit, and keeps what came of them.

use std::time::{Duration, Instant};

use crate::case::{Case, Env, PATIENCE, Stop, Verdict, failed, skip};
use crate::process::{Child, End};
use ashmem_test_client::errno::signal_name;
use ashmem_test_client::fault;

/// What came of one case.
pub(crate) struct Outcome {
    /// The case.
    pub(crate) case: &'static Case,
    /// How it ended.
    pub(crate) verdict: Verdict,
    /// How long it took.
    pub(crate) took: Duration,
}

/// How many ended which way.
#[derive(Default)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Runs one case; whatever it does, this process survives.
pub(crate) fn run(case: &'static Case, env: &Env, limit: Duration) -> Outcome {
    let limit = if case.slow { limit * PATIENCE } else { limit };
    let started = Instant::now();
    let child = Child::start(|_| {
        // SAFETY: makes this process the leader of its own group, so that all it forks can be ended
        // with it.
        unsafe { libc::setpgid(0, 0) };
        fault::install();
        case.run(env)
    });
    let verdict = match child {
        Ok(child) => judge(child.wait(Some(limit)), limit),
        Err(refused) => Err(refused.into()),
    };
    Outcome { case, verdict, took: started.elapsed() }
}

fn judge(end: End, limit: Duration) -> Verdict {
    match end {
        End { late: true, .. } => {
            failed(format!("still running after {} s, killed", limit.as_secs()))
        }
        End { verdict: Some(Err(Stop::Skipped(why))), .. } => skip(why),
        End { verdict: Some(verdict), .. } => verdict,
        End { signal: Some(signal), .. } => {
            failed(format!("the case died of {}", signal_name(signal)))
        }
        _ => failed("the case ended without a verdict"),
    }
}

impl Tally {
    /// Counts one more.
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Ok(()) => self.passed += 1,
            Err(Stop::Failed(_)) => self.failed += 1,
            Err(Stop::Skipped(_)) => self.skipped += 1,
        }
    }

    /// Whether nothing failed.
    pub(crate) fn good(&self) -> bool {
        self.failed == 0
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 { write!(f, ", {} skipped", self.skipped) } else { Ok(()) }
    }
}
