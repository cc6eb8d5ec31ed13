// SPDX-License-Identifier: MIT OR Apache-2.0
//! The search: inputs that reach something new are kept, and changed into others.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::coverage::{self, Feature};
use crate::input::Input;
use crate::mutation;
use crate::runner::{Finding, Outcome, Runner};

/// How often it is told how things stand.
const TELLING: Duration = Duration::from_secs(10);
/// The most runs that making an input shorter may cost.
const SHORTENING: usize = 48;

/// A search under way.
pub(crate) struct Fuzzer {
    runner: Runner,
    random: Rng,
    corpus: Vec<Input>,
    reached: HashSet<Feature>,
    began: Instant,
    told: Instant,
}

impl Fuzzer {
    pub(crate) fn new(runner: Runner, seed: u64) -> Self {
        let now = Instant::now();
        Self {
            runner,
            random: Rng::with_seed(seed),
            corpus: Vec::new(),
            reached: HashSet::new(),
            began: now,
            told: now,
        }
    }

    /// Runs what is known, each so often.
    pub(crate) fn replay(&mut self, inputs: &[Input], times: u32) -> Result<(), Finding> {
        for input in inputs {
            for _ in 0..times {
                let outcome = self.runner.run(input)?;
                self.reached.extend(outcome.features);
                self.tell(false);
            }
        }
        Ok(())
    }

    /// Searches, from what is known, for so long.
    pub(crate) fn search(&mut self, known: Vec<Input>, length: Duration) -> Result<(), Finding> {
        for input in known {
            if self.began.elapsed() > length {
                break;
            }
            let outcome = self.runner.run(&input)?;
            // Without a record all that is known is worth the same.
            if self.runner.records.is_none()
                || outcome.features.iter().any(|it| !self.reached.contains(it))
            {
                self.corpus.push(input);
            } else {
                self.runner.journal.line("spent", &input);
            }
            self.reached.extend(outcome.features);
            self.tell(false);
        }
        while self.began.elapsed() < length {
            let input = self.next();
            let outcome = self.runner.run(&input)?;
            self.consider(input, outcome)?;
            self.tell(false);
        }
        Ok(())
    }

    fn next(&mut self) -> Input {
        if self.corpus.is_empty() || self.random.u8(..16) == 0 {
            return mutation::fresh(&mut self.random);
        }
        let (base, other) = (self.pick(), self.pick());
        mutation::like(&mut self.random, &self.corpus[base], &self.corpus[other])
    }

    /// One of the corpus: every other time a late one, which leads where the search is now.
    fn pick(&mut self) -> usize {
        const LATE: usize = 32;
        let all = self.corpus.len();
        let first = if self.random.bool() { all.saturating_sub(LATE) } else { 0 };
        self.random.usize(first..all)
    }

    /// Keeps an input that reached something new, as short as it can be made.
    fn consider(&mut self, input: Input, outcome: Outcome) -> Result<(), Finding> {
        let new: HashSet<Feature> = outcome.features.difference(&self.reached).copied().collect();
        if new.is_empty() {
            return Ok(());
        }
        self.reached.extend(&new);
        // One that is not over in time costs as much of it as a thousand others, and all of its kin
        // would.
        if !outcome.whole {
            return Ok(());
        }
        let short = self.shorten(input, &new)?;
        self.runner.journal.line(&format!("keep {}", coverage::sites(&new)), &short);
        self.corpus.push(short);
        Ok(())
    }

    /// Takes out steps for as long as it still reaches what was new. What a race reached may not
    /// come again; the input then stays as it is.
    fn shorten(&mut self, mut input: Input, new: &HashSet<Feature>) -> Result<Input, Finding> {
        let mut runs = 0;
        let mut step = input.len();
        while step > 0 && runs < SHORTENING && input.len() > 1 {
            step -= 1;
            let shorter = input.without(step);
            let outcome = self.runner.run(&shorter)?;
            runs += 1;
            let reaches = new.is_subset(&outcome.features);
            // A shorter one may itself reach something that nothing did before: it is another way,
            // and not lost.
            self.reached.extend(outcome.features);
            if reaches && outcome.whole {
                input = shorter;
            }
        }
        Ok(input)
    }

    /// Tells how things stand, every ten seconds.
    pub(crate) fn tell(&mut self, now: bool) {
        if !now && self.told.elapsed() < TELLING {
            return;
        }
        self.told = Instant::now();
        let Runner { sites, records, runs, late, died, .. } = &self.runner;
        let seconds = self.began.elapsed().as_secs_f64();
        let reached = match records {
            Some(_) => {
                format!(
                    "{} of {} places, {} features",
                    coverage::sites(&self.reached),
                    sites.len(),
                    self.reached.len()
                )
            }
            None => "blind".to_owned(),
        };
        eprintln!(
            "{seconds:.0} s: {runs} runs ({:.0}/s), {late} late, {died} died, corpus {}, {reached}",
            *runs as f64 / seconds,
            self.corpus.len()
        );
    }

    /// Closes the search: how it stands, and what was not reached.
    pub(crate) fn close(mut self) {
        self.tell(true);
        if self.runner.records.is_some() {
            println!("functions not reached in full:");
            for line in self.runner.sites.missed(&self.reached) {
                println!("  {line}");
            }
        }
    }
}
