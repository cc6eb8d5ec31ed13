// SPDX-License-Identifier: MIT OR Apache-2.0
//! Words without which a pattern matches no text. They are looked for in a line all at once, so
//! that of some hundred patterns a few are tried.

use aho_corasick::AhoCorasick;
use regex_syntax::hir::{Hir, HirKind};

/// More words than this say too little to be worth a look.
const MOST: usize = 64;

/// The words of many patterns, and which words each of them needs.
pub(super) struct NeededWords {
    finder: AhoCorasick,
    count: usize,
    /// For each pattern the numbers of its words, of which a text must hold one. None: any text
    /// may match.
    of_pattern: Vec<Vec<usize>>,
}

impl NeededWords {
    /// Those of these patterns.
    pub(super) fn of<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let mut words = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut place = |word: Vec<u8>| {
            *places.entry(word.clone()).or_insert_with(|| {
                words.push(word);
                words.len() - 1
            })
        };
        let of_pattern =
            patterns.map(|pattern| needed(pattern).into_iter().map(&mut place).collect()).collect();
        let finder = AhoCorasick::builder().ascii_case_insensitive(true).build(&words);
        Self { finder: finder.expect("the words are few"), count: words.len(), of_pattern }
    }

    /// Which of the words a text holds.
    pub(super) fn held(&self, text: &str) -> HeldWords {
        // A pattern takes a few signs beyond ASCII for letters of it.
        if !text.is_ascii() {
            return HeldWords(None);
        }
        let mut held = vec![false; self.count];
        for found in self.finder.find_overlapping_iter(text) {
            if let Some(held) = held.get_mut(found.pattern().as_usize()) {
                *held = true;
            }
        }
        HeldWords(Some(held))
    }

    /// Whether the pattern of this number may match a text that holds these.
    pub(super) fn may_match(&self, pattern: usize, held: &HeldWords) -> bool {
        let (Some(held), Some(words)) = (&held.0, self.of_pattern.get(pattern)) else {
            return true;
        };
        words.is_empty() || words.iter().any(|word| held.get(*word).is_some_and(|held| *held))
    }
}

/// The words that a text holds; `None` where that says nothing.
pub(super) struct HeldWords(Option<Vec<bool>>);

/// Words of which each text that a pattern matches holds at least one, whatever its case. None: it
/// may match without any.
fn needed(pattern: &str) -> Vec<Vec<u8>> {
    let Ok(hir) = regex_syntax::parse(pattern) else {
        return Vec::new();
    };
    let mut words = one_of(&hir).unwrap_or_default();
    words.iter_mut().for_each(|word| word.make_ascii_lowercase());
    words
}

fn one_of(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => literal.0.is_ascii().then(|| vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => one_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => one_of(&repetition.sub),
        // The part whose shortest word is longest is the rarest in a log.
        HirKind::Concat(parts) => parts
            .iter()
            .filter_map(one_of)
            .max_by_key(|words| (words.iter().map(Vec::len).min(), std::cmp::Reverse(words.len()))),
        HirKind::Alternation(parts) => {
            let words: Option<Vec<_>> = parts.iter().map(one_of).collect();
            words.map(|words| words.concat()).filter(|words| words.len() <= MOST)
        }
        HirKind::Empty | HirKind::Class(_) | HirKind::Look(_) | HirKind::Repetition(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{NeededWords, needed};

    fn words(pattern: &str) -> Vec<String> {
        needed(pattern).into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    }

    #[test]
    fn a_pattern_needs_its_longest_part() {
        assert_eq!(words(r"^a+ (Module|key) .*not found$"), ["not found"]);
        assert_eq!(words(r"(open|mmap)\w* failed"), [" failed"]);
        assert_eq!(words("cannot (open|mmap)?"), ["cannot "]);
        assert_eq!(words(r"\b(exec|fork)\b"), ["exec", "fork"]);
    }

    #[test]
    fn what_may_be_left_out_is_not_needed() {
        assert_eq!(words("(abc)?"), [] as [&str; 0]);
        assert_eq!(words("(abc|d*)"), [] as [&str; 0]);
        assert_eq!(words(r"\d+"), [] as [&str; 0]);
        assert_eq!(words(""), [] as [&str; 0]);
        assert_eq!(words("é"), [] as [&str; 0]);
    }

    #[test]
    fn a_text_that_may_match_is_not_left_out() {
        let patterns = ["Module .* not found", "killed|ki", "x*"];
        let needed = NeededWords::of(patterns.into_iter());
        let may = |text: &str| {
            let held = needed.held(text);
            [0, 1, 2].map(|pattern| needed.may_match(pattern, &held))
        };
        assert_eq!(may("MODULE x NOT FOUND"), [true, false, true]);
        assert_eq!(may("skill"), [false, true, true]);
        assert_eq!(may(""), [false, false, true]);
        // The Kelvin sign is a k to a pattern.
        assert_eq!(may("\u{212a}illed"), [true, true, true]);
    }
}
