// SPDX-License-Identifier: MIT OR Apache-2.0
//! Time lines: values that hold until the next one, and counts in equal spans of time.

/// Points that a line keeps, and spans that counts are gathered in.
const MOST_POINTS: usize = 400;
const MOST_SPANS: usize = 160;

/// A picture over time.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) about: String,
    /// How long the time is, in seconds.
    pub(crate) seconds: f64,
    pub(crate) is_bytes: bool,
    pub(crate) series: Vec<(String, Series)>,
}

/// What is drawn.
#[derive(Debug)]
pub(crate) enum Series {
    Line(ChartLine),
    Counts(Counts),
}

impl Chart {
    /// The largest value, or 0.
    pub(crate) fn most(&self) -> f64 {
        self.series.iter().map(|(_, series)| series.most()).fold(0.0, f64::max)
    }

    /// The smallest value, or 0.
    pub(crate) fn least(&self) -> f64 {
        self.series.iter().map(|(_, series)| series.least()).fold(0.0, f64::min)
    }
}

impl Series {
    pub(crate) fn most(&self) -> f64 {
        match self {
            Self::Line(line) => line.points.iter().map(|(_, value)| *value).fold(0.0, f64::max),
            Self::Counts(counts) => counts.spans.iter().copied().fold(0.0, f64::max),
        }
    }

    fn least(&self) -> f64 {
        match self {
            Self::Line(line) => line.points.iter().map(|(_, value)| *value).fold(0.0, f64::min),
            Self::Counts(_) => 0.0,
        }
    }
}

/// Values over time, the peaks of as many as there are.
#[derive(Debug, Default)]
pub(crate) struct ChartLine {
    /// Seconds and value.
    pub(crate) points: Vec<(f64, f64)>,
}

impl ChartLine {
    /// From now on it is this.
    pub(crate) fn push(&mut self, seconds: f64, value: f64) {
        if self.points.last().is_some_and(|(_, last)| *last == value) {
            return;
        }
        self.points.push((seconds, value));
        if self.points.len() > 2 * MOST_POINTS {
            // Of each two the one farther from 0: no peak is lost.
            let farther = |one: f64, other: f64| if other.abs() > one.abs() { other } else { one };
            let pairs = self.points.chunks(2);
            self.points = pairs
                .map(|pair| (pair[0].0, pair.iter().map(|point| point.1).fold(0.0, farther)))
                .collect();
        }
    }
}

/// Counts in equal spans, which grow with the time.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Seconds that a span takes.
    pub(crate) width: f64,
    pub(crate) spans: Vec<f64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { width: 0.001, spans: Vec::new() }
    }
}

impl Counts {
    /// So many at this time.
    pub(crate) fn add(&mut self, seconds: f64, count: f64) {
        let seconds = if seconds.is_finite() { seconds.max(0.0) } else { 0.0 };
        while seconds / self.width >= MOST_SPANS as f64 {
            self.spans = self.spans.chunks(2).map(|pair| pair.iter().sum()).collect();
            self.width *= 2.0;
        }
        let place = (seconds / self.width) as usize;
        if self.spans.len() <= place {
            self.spans.resize(place + 1, 0.0);
        }
        self.spans[place] += count;
    }
}

#[cfg(test)]
mod tests {
    use super::{ChartLine, Counts, MOST_POINTS, MOST_SPANS};

    #[test]
    fn a_long_line_keeps_its_peak() {
        let mut line = ChartLine::default();
        (0..100_000).for_each(|at| {
            line.push(f64::from(at), f64::from(if at == 77_777 { 9_999 } else { at % 7 }))
        });
        assert!(line.points.len() <= 2 * MOST_POINTS);
        assert!(line.points.iter().any(|(_, value)| *value == 9_999.0));
        let mut line = ChartLine::default();
        (0..10_000).for_each(|at| line.push(f64::from(at), f64::from(-1 - at % 7)));
        assert!(line.points.iter().all(|(_, value)| *value < 0.0), "less stays less");
    }

    #[test]
    fn counts_stay_whole_however_long_it_takes() {
        let mut counts = Counts::default();
        (0..10_000).for_each(|at| counts.add(f64::from(at), 1.0));
        assert!(counts.spans.len() <= MOST_SPANS);
        assert_eq!(counts.spans.iter().sum::<f64>(), 10_000.0);
    }
}
