// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pattern for names: `*`, `?`, `[a-z]`, `{one,other}`.

use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A pattern for the names of regions or containers. `*` matches a slash too.
#[derive(Clone, Debug)]
pub struct Glob(GlobMatcher);

impl Glob {
    /// Whether the whole name matches.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }

    /// The pattern as it was given.
    pub fn as_str(&self) -> &str {
        self.0.glob().glob()
    }
}

/// Text that is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Brackets or braces that are not closed.
    #[error(transparent)]
    Form(#[from] globset::Error),
    /// More than any name, escaped, has.
    #[error("a pattern has at most {LONGEST} bytes")]
    Long,
    /// What it is compiled to would have too many groups in each other.
    #[error("the braces of a pattern are at most {DEEPEST} deep in each other")]
    Deep,
}

/// Bytes of a pattern. What it is compiled to then has room, which `compile_matcher` takes for
/// granted: it panics otherwise.
const LONGEST: usize = 4096;
/// Braces in each other; some 100 would make `compile_matcher` panic.
const DEEPEST: usize = 32;

/// How deep its braces are in each other; escaped ones and those in brackets count too.
fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' => now += 1,
            b'}' => now = now.saturating_sub(1),
            _ => {}
        }
        most = most.max(now);
    }
    most
}

impl FromStr for Glob {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > LONGEST {
            return Err(Error::Long);
        }
        if depth(text) > DEEPEST {
            return Err(Error::Deep);
        }
        Ok(Self(GlobBuilder::new(text).literal_separator(false).build()?.compile_matcher()))
    }
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, Error, Glob, LONGEST};

    fn nested(deep: usize) -> String {
        format!("{}b{}", "{a,".repeat(deep), "}".repeat(deep))
    }

    #[test]
    fn the_largest_patterns_work_and_larger_ones_are_refused() {
        for token in ["a", "?", "*a", "[!a]", "[a-z]", "{a,b}", "é", "\\{", "*?"] {
            let most = LONGEST / token.len();
            let largest: Result<Glob, Error> = token.repeat(most).parse();
            assert!(matches!(largest, Ok(_) | Err(Error::Deep)), "{token}: {largest:?}");
            let larger: Result<Glob, Error> = token.repeat(most + 1).parse();
            assert!(matches!(larger, Err(Error::Long | Error::Deep)), "{token}");
        }
        let deep: Glob = nested(DEEPEST).parse().expect("as deep as may be");
        assert!(deep.matches("a") && deep.matches("b") && !deep.matches("c"));
        for deep in [DEEPEST + 1, 200, 1000] {
            assert!(matches!(nested(deep).parse::<Glob>(), Err(Error::Deep)), "{deep}");
        }
        assert!(matches!("{a".parse::<Glob>(), Err(Error::Form(_))));
    }
}
