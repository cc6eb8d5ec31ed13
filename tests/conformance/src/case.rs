// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case: one behaviour of the original driver, and what each provider is held to.

use std::fmt::Debug;
use std::io;
use std::path::PathBuf;

use ashmem_test_client::errno::{self, Answer, Refused};
use ashmem_test_client::fault::Signal;

/// Who answers behind the device node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Provider {
    /// The original C driver: Debian 5.10's own `ashmem_linux.ko`.
    Reference,
    /// The kernel module of this project.
    Module,
    /// The module-less agent of this project, at its full fidelity.
    Run,
    /// The same at the level that slows nothing but the device itself (`--fidelity fast`).
    RunFast,
    /// The same without a `/dev` of the program's own (`--namespace never`).
    RunBare,
}

impl Provider {
    /// The agent, whatever it was told.
    pub(crate) const AGENT: &[Self] = &[Self::Run, Self::RunFast, Self::RunBare];
    /// Both ways of this project.
    pub(crate) const OURS: &[Self] = &[Self::Module, Self::Run, Self::RunFast, Self::RunBare];

    /// Whether the agent answers: on this host, and not in a machine that is the suite's alone.
    pub(crate) fn is_agent(self) -> bool {
        Self::AGENT.contains(&self)
    }

    /// The name as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Module => "module",
            Self::Run => "run",
            Self::RunFast => "run-fast",
            Self::RunBare => "run-bare",
        }
    }
}

/// What a case is given.
pub(crate) struct Env {
    /// The device node.
    pub(crate) device: PathBuf,
    /// Who is expected behind it.
    pub(crate) provider: Provider,
}

/// Why a case stopped before its end.
#[derive(Clone)]
pub(crate) enum Stop {
    /// Something was not as expected; the text says what was expected and what was seen.
    Failed(String),
    /// The case cannot be run here; the text says why.
    Skipped(String),
}

/// The end of a case: nothing to say, or why it stopped.
pub(crate) type Verdict = Result<(), Stop>;

/// The steps of a case.
pub(crate) type Body = fn(&Env) -> Verdict;

/// One behaviour.
pub(crate) struct Case {
    /// `section.what-it-is-about`.
    pub(crate) id: &'static str,
    /// Rows of the specification that the case confirms.
    pub(crate) rows: &'static [&'static str],
    /// The behaviour, in one sentence.
    pub(crate) sentence: &'static str,
    /// Passes on the original driver.
    pub(crate) body: Body,
    /// Providers that are meant to behave otherwise.
    pub(crate) differs: &'static [Differs],
    /// Whether the case may take [`PATIENCE`] times as long as others.
    pub(crate) slow: bool,
}

/// How many times longer a slow case may take.
pub(crate) const PATIENCE: u32 = 9;

/// A declared difference: for this provider the case passes only if the other behaviour is seen.
#[derive(Clone, Copy)]
pub(crate) struct Differs {
    /// Who differs.
    pub(crate) providers: &'static [Provider],
    /// What it does instead.
    pub(crate) what: &'static str,
    /// Why that is right, or why it cannot be helped.
    pub(crate) reason: &'static str,
    /// Asserts the other behaviour. `None`: the behaviour cannot be met; the case's own steps must
    /// fail.
    pub(crate) check: Option<Body>,
}

impl Case {
    /// A case in which every provider behaves as the original driver.
    pub(crate) const fn new(
        id: &'static str,
        rows: &'static [&'static str],
        sentence: &'static str,
        body: Body,
    ) -> Self {
        Self { id, rows, sentence, body, differs: &[], slow: false }
    }

    /// The same case with declared differences.
    pub(crate) const fn differs(self, differs: &'static [Differs]) -> Self {
        Self { differs, ..self }
    }

    /// The same case with more time.
    pub(crate) const fn slow(self) -> Self {
        Self { slow: true, ..self }
    }

    /// The part of the id before the dot.
    pub(crate) fn section(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// The difference declared for a provider.
    pub(crate) fn difference(&self, provider: Provider) -> Option<&'static Differs> {
        self.differs.iter().find(|differs| differs.providers.contains(&provider))
    }

    /// Runs the steps that count for this provider, in the calling process.
    pub(crate) fn run(&self, env: &Env) -> Verdict {
        let Some(differs) = self.difference(env.provider) else { return (self.body)(env) };
        let Some(check) = differs.check else {
            return match (self.body)(env) {
                Err(Stop::Failed(_)) => Ok(()),
                Err(skipped) => Err(skipped),
                Ok(()) => failed(format!(
                    "passes, though it is declared that {} cannot: {}; remove the declaration",
                    env.provider.name(),
                    differs.reason
                )),
            };
        };
        check(env)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Failed(format!(
            "{}: expected success, got {}",
            refused.call,
            errno::name(refused.code)
        ))
    }
}

impl From<Signal> for Stop {
    fn from(signal: Signal) -> Self {
        Self::Failed(format!("memory access: expected success, got {signal:?}"))
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Ends the case as failed.
pub(crate) fn failed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}

/// Ends the case as skipped.
pub(crate) fn skip<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Skipped(why.into()))
}

/// Expects one value.
pub(crate) fn equal<T: PartialEq + Debug>(what: &str, got: T, want: T) -> Verdict {
    if got == want { Ok(()) } else { failed(format!("{what}: expected {want:?}, got {got:?}")) }
}

/// Expects something to be so.
pub(crate) fn holds(what: &str, so: bool) -> Verdict {
    if so { Ok(()) } else { failed(format!("expected that {what}; it is not so")) }
}

/// Expects a call to be refused with one errno.
pub(crate) fn refused<T: Debug>(what: &str, got: Answer<T>, want: i32) -> Verdict {
    match got {
        Err(refused) if refused.code == want => Ok(()),
        other => failed(format!("{what}: expected {}, got {other:?}", errno::name(want))),
    }
}
