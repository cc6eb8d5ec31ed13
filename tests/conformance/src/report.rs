// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a run looks like: lines for people as the cases end, or one JSON document.

use std::io::{IsTerminal, stdout};

use serde_json::{Value, json};

use crate::case::{Case, Env, Stop};
use crate::runner::{Outcome, Tally};

/// Prints lines for people.
pub(crate) struct Lines {
    colours: bool,
    section: &'static str,
}

impl Lines {
    /// Colours only where somebody looks.
    pub(crate) fn new() -> Self {
        Self { colours: stdout().is_terminal(), section: "" }
    }

    /// One case has ended.
    pub(crate) fn print(&mut self, outcome: &Outcome, env: &Env) {
        let case = outcome.case;
        if case.section() != self.section {
            self.section = case.section();
            println!("\n{}", self.paint("1", self.section));
        }
        let differs = case.difference(env.provider);
        let sentence = differs.map_or(case.sentence, |differs| differs.what);
        let rows = self.paint("2", &case.rows.join(" "));
        match &outcome.verdict {
            Ok(()) => println!("  {} {}  {sentence}  {rows}", self.paint("32", "✓"), case.id),
            Err(Stop::Failed(why)) => {
                println!(
                    "  {} {}  {sentence}  {rows}\n      {}",
                    self.paint("31", "✗"),
                    case.id,
                    self.paint("31", why)
                );
            }
            Err(Stop::Skipped(why)) => {
                println!("  {} {}  skipped: {why}  {rows}", self.paint("33", "-"), case.id)
            }
        }
        if let Some(differs) = differs {
            println!("      {} differs: {}", env.provider.name(), differs.reason);
        }
    }

    /// The end: what failed once more, then the count, which is always the last line.
    pub(crate) fn close(&self, outcomes: &[Outcome], tally: &Tally) {
        println!();
        for outcome in outcomes {
            if let Err(Stop::Failed(why)) = &outcome.verdict {
                println!("{} {}: {why}", self.paint("31", "failed"), outcome.case.id);
            }
        }
        println!("{tally}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// The whole run as one JSON document.
pub(crate) fn document(outcomes: &[Outcome], tally: &Tally, env: &Env) -> Value {
    let cases: Vec<Value> = outcomes.iter().map(|outcome| entry(outcome, env)).collect();
    json!({
        "device": env.device,
        "provider": env.provider.name(),
        "summary": tally.to_string(),
        "cases": cases,
    })
}

/// The list of cases, one a line: id, rows, sentence.
pub(crate) fn list(cases: &[&'static Case]) {
    for case in cases {
        println!("{}\t{}\t{}", case.id, case.rows.join(" "), case.sentence);
    }
}

fn entry(outcome: &Outcome, env: &Env) -> Value {
    let (word, detail) = match &outcome.verdict {
        Ok(()) => ("passed", None),
        Err(Stop::Failed(why)) => ("failed", Some(why)),
        Err(Stop::Skipped(why)) => ("skipped", Some(why)),
    };
    let differs = outcome
        .case
        .difference(env.provider)
        .map(|differs| json!({"what": differs.what, "reason": differs.reason}));
    json!({
        "id": outcome.case.id,
        "rows": outcome.case.rows,
        "sentence": outcome.case.sentence,
        "outcome": word,
        "detail": detail,
        "differs": differs,
        "ms": outcome.took.as_millis() as u64,
    })
}
