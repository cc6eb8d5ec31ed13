// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long something takes.

use std::time::Instant;

const ROUNDS: usize = 7;

/// Nanoseconds of one run, in the fastest of several rounds.
pub(crate) fn best<R>(times: usize, mut run: impl FnMut() -> R) -> f64 {
    let round = |_| {
        let start = Instant::now();
        (0..times).for_each(|_| drop(std::hint::black_box(run())));
        start.elapsed().as_nanos() as f64 / times as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}
