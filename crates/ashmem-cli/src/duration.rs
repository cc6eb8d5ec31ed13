// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lengths of time as arguments.

use std::time::Duration;

/// Reads a length of time: seconds, such as `60` or `0.5`, or a number with a unit: `500ms`, `90s`,
/// `5m`, `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|character: char| character.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let each = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => f64::NAN,
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * each);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "give seconds, such as 60 or 0.5, or 500ms, 90s, 5m, 2h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn a_number_of_seconds_or_of_a_unit() {
        for (text, milliseconds) in
            [("60", 60_000), ("0.5", 500), ("500ms", 500), ("90s", 90_000), ("1.5m", 90_000)]
        {
            assert_eq!(duration(text).map(|time| time.as_millis()), Ok(milliseconds), "{text}");
        }
        assert_eq!(duration("2h").map(|time| time.as_secs()), Ok(7200));
        for wrong in ["", "0", "-1", "s", "1d", "1 m", "1e999", "nan", "inf", "5mm", "0ms"] {
            assert!(duration(wrong).is_err_and(|error| error.contains("500ms")), "{wrong}");
        }
    }
}
