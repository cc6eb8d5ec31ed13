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

impl FromStr for Glob {
    type Err = globset::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(GlobBuilder::new(text).literal_separator(false).build()?.compile_matcher()))
    }
}
