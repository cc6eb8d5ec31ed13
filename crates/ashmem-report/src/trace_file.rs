// SPDX-License-Identifier: MIT OR Apache-2.0
//! A file that `ashmem trace --json -o FILE` wrote, as far as it can be read.

use std::io::{self, BufRead, Read};

use ashmem_trace::json::{JsonLine, TraceStart};
use serde::Deserialize;

use crate::past::Past;

/// A line is never longer: two names, a few numbers.
const LONGEST: u64 = 1 << 20;

/// No page can be made of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read at all.
    #[error("reading it: {0}")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error(
        "its first line is not of a trace: `ashmem trace --json -o trace.json` writes one (not \
         *.pftrace, nor lines for people)"
    )]
    NoTrace,
    /// It has sums instead of calls.
    #[error(
        "it is a trace of --growth, which has sums instead of calls: `ashmem trace --json -o \
         trace.json` without --growth writes what a page is made of"
    )]
    Growth,
}

/// The word that tells lines apart, where the rest is of a later version.
#[derive(Deserialize)]
struct Word {
    r#type: String,
}

/// Reads a trace from its first line to its last, or to where it was cut off. What cannot be read
/// is left out and told.
///
/// # Errors
/// See [`Error`].
pub fn read(mut from: impl BufRead) -> Result<Past, Error> {
    let mut past = Past::new(first(&mut from)?);
    let mut bytes = Vec::new();
    for number in 2_u64.. {
        match line(&mut from, &mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            // What was read before it stands.
            Err(error) => {
                past.limit(format!("The trace could be read up to line {number} only: {error}."));
                break;
            }
        }
        let is_whole = bytes.last() == Some(&b'\n');
        match serde_json::from_slice(&bytes) {
            Ok(JsonLine::Growth(_)) => return Err(Error::Growth),
            Ok(line) => past.take(line),
            Err(_) if !is_whole => {
                past.limit(format!(
                    "The file is cut off in the middle of line {number}: what stands before it is \
                     shown."
                ));
                break;
            }
            // Later versions may have more.
            Err(_)
                if serde_json::from_slice::<Word>(&bytes)
                    .is_ok_and(|word| !is_known(&word.r#type)) => {}
            Err(_) => past.unreadable(number),
        }
    }
    Ok(past)
}

fn first(from: &mut impl BufRead) -> Result<TraceStart, Error> {
    let mut bytes = Vec::new();
    line(from, &mut bytes)?;
    match serde_json::from_slice(&bytes) {
        Ok(JsonLine::Start(start)) => Ok(start),
        _ => Err(Error::NoTrace),
    }
}

fn line(from: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<usize> {
    bytes.clear();
    from.by_ref().take(LONGEST).read_until(b'\n', bytes)
}

fn is_known(word: &str) -> bool {
    matches!(word, "start" | "event" | "lost" | "growth" | "end")
}

#[cfg(test)]
mod tests {
    use super::{Error, read};

    const START: &str = concat!(
        r#"{"type":"start","version":1,"time":"2026-11-23T08:31:00Z","mono_ns":1000000000,"#,
        r#""host":"h","sources":["agent"]}"#,
        "\n"
    );
    const END: &str = "{\"type\":\"end\",\"mono_ns\":3000000000,\"events\":3,\"lost\":0}\n";

    fn event(at: u64, operation: &str, arguments: &str, result: i64) -> String {
        format!(
            concat!(
                r#"{{"type":"event","time":"2026-11-23T08:31:01Z","mono_ns":{at},"#,
                r#""source":"agent","pid":7,"tid":7,"container_pid":null,"container":null,"#,
                r#""command":"app","op":"{operation}","args":{arguments},"#,
                r#""region":{{"id":1,"inode":9,"name":"picture-<b>\\n","size":65536}},"#,
                r#""result":{result},"errno":null,"duration_ns":900}}"#,
                "\n"
            ),
            at = at,
            operation = operation,
            arguments = arguments,
            result = result
        )
    }

    fn page(text: &str) -> String {
        read(text.as_bytes()).expect("a trace").sheet().html()
    }

    fn events() -> String {
        event(1_500_000_000, "UNPIN", "{\"offset\":0,\"len\":8192}", 0)
            + &event(2_000_000_000, "PURGE", "{\"offset\":0,\"len\":8192}", 8192)
            + &event(2_500_000_000, "SET_SIZE", "{\"bytes\":4096}", -22)
    }

    #[test]
    fn a_trace_is_played_through() {
        let html = page(&format!("{START}{}{END}", events()));
        for text in ["picture-&lt;b&gt;\\n", "64K", "EINVAL", "purged: 8K at 1.0", "<dd>3</dd>"] {
            assert!(html.contains(text), "{text} is not in {html}");
        }
        assert!(!html.contains("class=\"limits\""), "{html}");
    }

    #[test]
    fn a_leak_that_the_source_cannot_see_is_said_to_be_unknown() {
        let map = r#"{"address":4096,"len":4096,"prot":3,"shared":true,"offset":0}"#;
        let mapped = event(1_500_000_000, "MMAP", map, 4096);
        let html = page(&format!("{START}{mapped}{END}"));
        assert!(html.contains("None that this trace can tell."), "{html}");
        assert!(
            html.contains("Of 1 regions that were mapped") && html.contains("0 to 1"),
            "{html}"
        );
        // A mapping of which nobody knows whether it was made.
        let unseen = mapped.replace("\"result\":4096", "\"result\":null");
        assert_ne!(unseen, mapped);
        let html = page(&format!("{START}{unseen}{END}"));
        assert!(html.contains("None that this trace can tell."), "{html}");
        // Where the ends of mappings are seen, the same trace tells.
        let syscalls = START.replace("\"agent\"", "\"syscalls\"");
        let html = page(&format!("{syscalls}{mapped}{END}"));
        assert!(html.contains("None: every region that this trace saw was mapped"), "{html}");
        let unmapped = event(1_600_000_000, "MUNMAP", r#"{"address":4096,"len":4096}"#, 0);
        let html = page(&format!("{syscalls}{mapped}{unmapped}{END}"));
        assert!(!html.contains("None: every region"), "{html}");
    }

    #[test]
    fn what_was_cut_off_is_shown_as_far_as_it_goes_and_said() {
        let whole = format!("{START}{}", events());
        let html = page(&whole[..whole.len() - 40]);
        assert!(
            html.contains("cut off in the middle of line 4")
                && html.contains("\"Name\">picture-&lt;b&gt;"),
            "{html}"
        );
        assert!(html.contains("The trace has no end"));
    }

    #[test]
    fn losses_and_lines_that_are_none_are_said() {
        let lost = "{\"type\":\"lost\",\"mono_ns\":1,\"source\":\"agent\",\"events\":41}\n";
        let later = "{\"type\":\"of a later version\"}\n";
        let html = page(&format!("{START}{lost}\u{0}no line\n{later}{END}"));
        assert!(html.contains("41 events were lost while tracing"), "{html}");
        assert!(
            html.contains("1 lines could not be read and were left out, the first is line 3."),
            "{html}"
        );
        assert!(html.contains("The trace saw no call."));
        let uncounted = lost.replace(":41}", ":null}");
        let html = page(&format!("{START}{uncounted}{END}"));
        assert!(html.contains("<dt>events lost</dt><dd>?</dd>"), "{html}");
        let html = page(&format!("{START}{lost}{uncounted}{END}"));
        assert!(html.contains("≥41 events were lost while tracing"), "{html}");
    }

    #[test]
    fn another_file_is_refused() {
        for text in ["", "\n", "08:31 app 7 open = 0\n", "{}", "\u{0}\u{1}"] {
            assert!(matches!(read(text.as_bytes()), Err(Error::NoTrace)), "{text:?}");
        }
    }

    #[test]
    fn a_trace_of_growth_is_refused_with_what_to_do() {
        let growth = concat!(
            r#"{"type":"growth","time":"2026-11-23T08:31:01Z","mono_ns":2000000000,"regions":1,"#,
            r#""bytes":4096,"families":[],"families_left_out":0}"#,
            "\n"
        );
        let error = read(format!("{START}{growth}{END}").as_bytes()).expect_err("it has no calls");
        assert!(matches!(error, Error::Growth), "{error}");
        assert!(error.to_string().contains("without --growth"), "{error}");
    }

    #[test]
    fn growth_is_drawn_of_what_was_made_and_not_of_what_was_there() {
        let map = r#"{"address":4096,"len":4096,"prot":3,"shared":true,"offset":0}"#;
        let line = |at, operation, arguments| event(at, operation, arguments, 0);
        let known = |made: bool, text: String| {
            text.replace("\"size\":65536", &format!("\"size\":65536,\"made_in_trace\":{made}"))
        };
        let met = line(1_500_000_000, "MMAP", map);
        let html = page(&format!("{START}{}{END}", known(false, met.clone())));
        assert!(!html.contains("Growth by name"), "it was there before: {html}");
        let html = page(&format!("{START}{}{END}", known(true, met.clone())));
        assert!(html.contains("picture +64K"), "a stranger made it meanwhile: {html}");
        let ended = met.clone() + &line(1_600_000_000, "RELEASE", "{}");
        let html = page(&format!("{START}{}{END}", known(false, ended)));
        assert!(html.contains("picture -64K"), "it is gone: {html}");
        // What shows no end draws no growth, and says so.
        let of_calls = known(true, met).replace("\"agent\"", "\"syscalls\"");
        let start = START.replace("\"agent\"", "\"syscalls\"");
        let html = page(&format!("{start}{of_calls}{END}"));
        assert!(!html.contains("Growth by name"), "{html}");
        assert!(html.contains("what grew by name is not drawn"), "{html}");
    }

    #[test]
    fn the_largest_sizes_add_up() {
        let opened = event(1_500_000_000, "OPEN", "{}", 3);
        let huge = opened.replace("65536", &(1_u64 << 63).to_string());
        let more = huge.replace("\"id\":1,", "\"id\":2,");
        let html = page(&format!("{START}{huge}{more}{END}"));
        assert!(html.contains("at most 16E"), "{html}");
    }

    #[test]
    fn a_long_trace_has_a_page_of_bounded_size() {
        let mut text = START.to_owned();
        for number in 0..20_000_u64 {
            let line = event(
                1_000_000_000 + number * 1_000_000,
                "PURGE",
                "{\"offset\":0,\"len\":4096}",
                0,
            );
            text.push_str(&line.replace("\"id\":1,", &format!("\"id\":{number},")));
        }
        let html = page(&text);
        assert!(html.len() < 1 << 20, "{} bytes", html.len());
    }
}
