// SPDX-License-Identifier: MIT OR Apache-2.0
//! The text of a line without what its way here did to it: a terminal's colours, a word
//! processor's quotation marks, a web page's spaces and escapes.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

static COLOUR: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("\u{1b}\\[[0-9;]*[A-Za-z]").expect("the pattern is tested"));

/// What stands for one sign in HTML. No more names of them come of escaping a line of a log.
static ESCAPED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"&(?:(?P<name>quot|apos|lt|gt|amp|nbsp)|#0*(?P<ten>[0-9]{1,6})|",
        r"#[xX]0*(?P<hex>[0-9a-fA-F]{1,6}));"
    ))
    .expect("the pattern is tested")
});

/// Without colours and HTML's escapes, with straight quotation marks and plain spaces.
pub(crate) fn plain(line: &str) -> Cow<'_, str> {
    let text = clean(line);
    if text.contains('`') { Cow::Owned(text.replace('`', "'")) } else { text }
}

/// The same with the marks of code, which may stand around a whole line.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    if line.is_ascii() && !line.bytes().any(|byte| matches!(byte, 0x1b | b'&')) {
        return Cow::Borrowed(line);
    }
    let text = COLOUR.replace_all(line, "");
    // A page of a page: `&amp;quot;`.
    let text = unescaped(unescaped(text));
    let is_folded = |sign: char| fold(sign) != Some(sign);
    if text.contains(is_folded) {
        return Cow::Owned(text.chars().filter_map(fold).collect());
    }
    text
}

/// What stands between marks of code, if that is the whole line: as many on each side.
pub(crate) fn quoted(line: &str) -> Option<&str> {
    if !line.starts_with('`') {
        return None;
    }
    let inner = line.trim_matches('`');
    let before = line.len() - line.trim_start_matches('`').len();
    let is_whole = line.len() - inner.len() == 2 * before && before <= 3;
    // One mark within would have ended it.
    (is_whole && !inner.is_empty() && (before > 1 || !inner.contains('`'))).then(|| inner.trim())
}

fn unescaped(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.contains('&') {
        return text;
    }
    let sign = |captures: &Captures<'_>| {
        let named = |name| captures.name(name).map(|found| found.as_str());
        let number = |text: &str, radix| u32::from_str_radix(text, radix).ok();
        let sign = match (named("name"), named("ten"), named("hex")) {
            (Some("quot"), ..) => Some('"'),
            (Some("apos"), ..) => Some('\''),
            (Some("lt"), ..) => Some('<'),
            (Some("gt"), ..) => Some('>'),
            (Some("amp"), ..) => Some('&'),
            (Some(_), ..) => Some(' '),
            (_, Some(ten), _) => number(ten, 10).and_then(char::from_u32),
            (_, _, Some(hex)) => number(hex, 16).and_then(char::from_u32),
            _ => None,
        };
        // Nobody writes a control character so, but to have it printed.
        sign.filter(|sign| !sign.is_control()).unwrap_or(' ').to_string()
    };
    match ESCAPED.replace_all(&text, sign) {
        Cow::Borrowed(_) => text,
        Cow::Owned(changed) => Cow::Owned(changed),
    }
}

/// With a letter's or a sign's place held where it is not ASCII. All that is looked for is English,
/// and is found in ASCII many times faster.
pub(crate) fn ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let place = |sign: char| match sign {
        sign if sign.is_ascii() => sign,
        sign if sign.is_alphanumeric() => '_',
        _ => '?',
    };
    Cow::Owned(text.chars().map(place).collect())
}

/// The sign that one stands for; none if it stands for nothing that is seen.
fn fold(sign: char) -> Option<char> {
    Some(match sign {
        '\u{2018}'..='\u{201b}' | '\u{2039}' | '\u{203a}' | '\u{300c}' | '\u{300d}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{ab}' | '\u{bb}' => '"',
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        '\u{ff1a}' | '\u{fe55}' => ':',
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => return None,
        sign => sign,
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{ascii, plain, quoted};

    #[test]
    fn what_a_page_did_to_a_line_is_undone() {
        for (line, text) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            (
                "\u{201c}a\u{201d} \u{2018}b\u{2019} `c` \u{ab}\u{a0}d\u{a0}\u{bb}",
                "\"a\" 'b' 'c' \" d \"",
            ),
            ("a:\u{a0}b\u{202f}c\u{3000}d", "a: b c d"),
            ("\u{feff}a\u{200b}b", "ab"),
            ("错误\u{ff1a}‘x’", "错误:'x'"),
            (
                "a=&quot;b&quot; &lt;c&gt; &#39;d&#x27; &amp;&amp; e&nbsp;f",
                "a=\"b\" <c> 'd' && e f",
            ),
            ("&amp;quot;a&amp;quot;", "\"a\""),
            ("a&#27;[2J&#x1b;&#x110000;&#9999999;b", "a [2J  &#9999999;b"),
            ("a && b &c; &unknown; 100 & 200", "a && b &c; &unknown; 100 & 200"),
        ] {
            assert_eq!(plain(line), text, "{line}");
        }
        assert!(matches!(plain("E/ashmem  (  171): Unable to open"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_line_between_marks_of_code_is_bare() {
        for (line, text) in [
            ("`a b`", Some("a b")),
            ("``recipe for target `x'``", Some("recipe for target `x'")),
            ("``` a ```", Some("a")),
            ("`a` and `b`", None),
            ("`a``", None),
            ("````a````", None),
            ("``", None),
            ("`", None),
            ("", None),
        ] {
            assert_eq!(quoted(line), text, "{line}");
        }
    }

    #[test]
    fn what_is_not_ascii_holds_its_place() {
        assert_eq!(ascii("/dev/binder: żółć… 没有"), "/dev/binder: ____? __");
        assert!(matches!(ascii("/dev/binder"), Cow::Borrowed(_)));
    }

    #[test]
    fn many_escapes_cost_no_more_than_their_line() {
        let line = "&amp;".repeat(800);
        assert_eq!(plain(&line).len(), 800);
        assert_eq!(plain(&"&".repeat(4000)), "&".repeat(4000));
    }
}
