// SPDX-License-Identifier: MIT OR Apache-2.0
//! Named steps, run one after another or in parallel, every one of them whatever became of the
//! others; then a table and one closing line.

use std::collections::VecDeque;
use std::fmt;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// How a step came out.
pub(crate) enum StepResult {
    /// It held; a few words on what was seen.
    Passed(String),
    /// It did not; all there is to say about why.
    Failed(String),
    /// It could not be tried; why, in one line.
    Skipped(String),
    /// Nobody asked for it.
    LeftOut,
}

impl From<anyhow::Result<StepResult>> for StepResult {
    fn from(result: anyhow::Result<Self>) -> Self {
        result.unwrap_or_else(|error| Self::Failed(format!("{error:#}")))
    }
}

impl fmt::Display for StepResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
            Self::LeftOut => "left out",
        })
    }
}

/// One thing to try.
pub(crate) struct Step {
    name: String,
    /// None for one that is left out.
    attempt: Option<Box<dyn FnOnce() -> anyhow::Result<StepResult> + Send>>,
}

impl Step {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A step by its name and what it does. An error is a failure with the error's text.
    pub(crate) fn new(
        name: impl Into<String>,
        attempt: impl FnOnce() -> anyhow::Result<StepResult> + Send + 'static,
    ) -> Self {
        Self { name: name.into(), attempt: Some(Box::new(attempt)) }
    }
}

/// The steps as they are to be taken: one that is not asked for is left out, and counted as such.
pub(crate) fn only(
    is_asked_for: impl Fn(&str) -> bool,
    steps: Vec<Step>,
) -> impl Iterator<Item = Step> {
    steps.into_iter().map(move |step| {
        if is_asked_for(&step.name) { step } else { Step { attempt: None, ..step } }
    })
}

/// A step that was taken.
struct Taken {
    name: String,
    result: StepResult,
    time: Duration,
}

/// Runs steps, and knows how those taken so far came out.
#[derive(Default)]
pub(crate) struct Runner(Vec<Taken>);

impl Runner {
    /// Runs steps one after another.
    pub(crate) fn sequential(&mut self, steps: impl IntoIterator<Item = Step>) {
        self.parallel(1, steps);
    }

    /// Runs steps, as many at a time as `lanes` allows, begun in the order given.
    pub(crate) fn parallel(&mut self, lanes: usize, steps: impl IntoIterator<Item = Step>) {
        let waiting: Mutex<VecDeque<(usize, Step)>> =
            Mutex::new(steps.into_iter().enumerate().collect());
        let taken: Mutex<Vec<(usize, Taken)>> = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..lanes {
                scope.spawn(|| {
                    loop {
                        // In a statement of its own: in a `while let` the list would stay locked
                        // through the step.
                        let next = lock(&waiting).pop_front();
                        let Some((place, step)) = next else { break };
                        let step = take(step);
                        lock(&taken).push((place, step));
                    }
                });
            }
        });
        let mut taken = taken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        taken.sort_by_key(|(place, _)| *place);
        self.0.extend(taken.into_iter().map(|(_, step)| step));
    }

    /// Whether everything tried so far held.
    pub(crate) fn is_clean(&self) -> bool {
        !self.0.iter().any(|step| matches!(step.result, StepResult::Failed(_)))
    }

    /// Prints the table and, alone on the last line, `N passed, N failed, N skipped`.
    pub(crate) fn close(self) -> ExitCode {
        let count = |wanted: fn(&StepResult) -> bool| {
            self.0.iter().filter(|step| wanted(&step.result)).count()
        };
        let passed = count(|result| matches!(result, StepResult::Passed(_)));
        let failed = count(|result| matches!(result, StepResult::Failed(_)));
        let skipped = count(|result| matches!(result, StepResult::Skipped(_)));
        let left_out = count(|result| matches!(result, StepResult::LeftOut));
        let was_asked_for = |step: &&Taken| !matches!(step.result, StepResult::LeftOut);
        let shown = || self.0.iter().filter(was_asked_for);
        let width = shown().map(|step| step.name.len()).max().unwrap_or_default();
        println!();
        for Taken { name, result, time } in shown() {
            let note = match result {
                StepResult::Passed(note) | StepResult::Skipped(note) => note,
                StepResult::Failed(text) => text.lines().next().unwrap_or_default(),
                StepResult::LeftOut => continue,
            };
            println!("{name:width$}  {result:7}  {:7.1} s  {note}", time.as_secs_f64());
        }
        if left_out > 0 {
            println!("{left_out} others were not asked for; they count as skipped");
        }
        println!("{passed} passed, {failed} failed, {} skipped", skipped + left_out);
        if self.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Takes one step and tells of it as soon as it is over.
fn take(step: Step) -> Taken {
    let Step { name, attempt } = step;
    let Some(attempt) = attempt else {
        return Taken { name, result: StepResult::LeftOut, time: Duration::ZERO };
    };
    eprintln!("{name} ...");
    let started = Instant::now();
    let result = StepResult::from(attempt());
    let time = started.elapsed();
    match &result {
        StepResult::LeftOut => {}
        StepResult::Failed(text) => {
            eprintln!("{name}: FAILED after {:.1} s\n{}", time.as_secs_f64(), text.trim_end())
        }
        StepResult::Passed(note) | StepResult::Skipped(note) => {
            eprintln!("{name}: {result} after {:.1} s  {note}", time.as_secs_f64());
        }
    }
    Taken { name, result, time }
}

/// A list stays whole when a thread that held it dies.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Runner, Step, StepResult};

    #[test]
    fn steps_run_side_by_side() {
        let both = std::sync::Arc::new(std::sync::Barrier::new(2));
        let meet = || {
            let both = std::sync::Arc::clone(&both);
            Step::new("meets the other", move || {
                both.wait();
                Ok(StepResult::Passed(String::new()))
            })
        };
        let mut runner = Runner::default();
        runner.parallel(2, [meet(), meet()]);
        assert!(runner.is_clean());
    }

    #[test]
    fn every_step_is_taken_and_kept_in_order() {
        let mut runner = Runner::default();
        runner.sequential([Step::new("fails", || anyhow::bail!("no"))]);
        runner.parallel(
            3,
            (0..9).map(|n| Step::new(n.to_string(), move || Ok(StepResult::Passed(n.to_string())))),
        );
        let names: Vec<_> = runner.0.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["fails", "0", "1", "2", "3", "4", "5", "6", "7", "8"]);
        assert!(!runner.is_clean());
    }
}
