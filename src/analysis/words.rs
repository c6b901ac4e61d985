//! Values, limits and verdicts in words. What is beyond its limit is never shown as if it kept it.

use flightdeck_model::{Metric, MetricLimit};

/// One limit on one metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    /// Absolute.
    Max(f64),
    /// Candidate minus stable.
    Over(f64),
    /// Candidate ÷ stable.
    Ratio(f64),
}

impl Bound {
    /// Each limit that is set.
    pub fn all(limit: &MetricLimit) -> impl Iterator<Item = Bound> + use<> {
        let absolute = limit.max.map(Bound::Max);
        let relative = [limit.over_stable.map(Bound::Over), limit.ratio_to_stable.map(Bound::Ratio)];
        [absolute].into_iter().chain(relative).flatten()
    }

    /// Does it compare with stable?
    pub const fn compares(self) -> bool {
        !matches!(self, Bound::Max(_))
    }

    /// Is the value beyond it? Never where there is nothing to compare with.
    pub fn broken(self, value: f64, stable: Option<f64>) -> bool {
        match (self, stable) {
            (Bound::Max(max), _) => value > max,
            (Bound::Over(over), Some(stable)) => value - stable > over,
            (Bound::Ratio(ratio), Some(stable)) => value > ratio * stable,
            (_, None) => false,
        }
    }

    /// `1 %`, `0.5 % over stable`, `1.5 × stable`.
    pub fn words(self, metric: Metric) -> String {
        match self {
            Bound::Max(max) => show(metric, max),
            Bound::Over(over) => format!("{} over stable", show(metric, over)),
            Bound::Ratio(ratio) => format!("{ratio} × stable"),
        }
    }
}

/// All limits on a metric: `at most 1 %, at most 0.5 % over stable`.
pub(super) fn limit_words(limit: &MetricLimit) -> String {
    let words: Vec<_> = Bound::all(limit).map(|bound| format!("at most {}", bound.words(limit.metric))).collect();
    if words.is_empty() { "no limit".to_owned() } else { words.join(", ") }
}

pub(super) const fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "error_rate",
        Metric::LatencyP50 => "latency_p50",
        Metric::LatencyP95 => "latency_p95",
        Metric::LatencyP99 => "latency_p99",
    }
}

pub(super) const fn metric_word(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "errors",
        Metric::LatencyP50 => "p50",
        Metric::LatencyP95 => "p95",
        Metric::LatencyP99 => "p99",
    }
}

/// `errors 4.1 % against 0.3 % at stable`. Where a limit is broken, with as many digits as it takes for the
/// shown numbers to break it as well.
pub(super) fn values(metric: Metric, value: f64, stable: Option<f64>, broken: Option<Bound>) -> String {
    let seen = |more| broken.is_none_or(|bound| breaks_as_shown(bound, metric, value, stable, more));
    let more = (0..6).find(|more| seen(*more)).unwrap_or(6);
    let against =
        stable.map_or(String::new(), |stable| format!(" against {} at stable", show_more(metric, stable, more)));
    format!("{} {}{against}", metric_word(metric), show_more(metric, value, more))
}

fn breaks_as_shown(bound: Bound, metric: Metric, value: f64, stable: Option<f64>, more: usize) -> bool {
    let rounded = |value: f64| {
        let (scaled, _) = scaled(metric, value);
        // Text with that many digits is always a number.
        format!("{scaled:.*}", digits(scaled) + more).parse().map_or(value, |shown: f64| shown * value / scaled)
    };
    let rounded = |value: f64| if value == 0.0 { 0.0 } else { rounded(value) };
    // A hair less, so that what floats add to a difference does not count.
    bound.broken(rounded(value) * (1.0 - 1e-9), stable.map(rounded))
}

pub(super) fn show(metric: Metric, value: f64) -> String {
    show_more(metric, value, 0)
}

fn scaled(metric: Metric, value: f64) -> (f64, &'static str) {
    if metric == Metric::ErrorRate { (value * 100.0, "%") } else { (value, "ms") }
}

fn digits(value: f64) -> usize {
    match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 0.1 || v == 0.0 => 1,
        v if v >= 0.01 => 2,
        _ => 4,
    }
}

fn show_more(metric: Metric, value: f64, more: usize) -> String {
    let (value, unit) = scaled(metric, value);
    let text = format!("{value:.*}", digits(value) + more);
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_limit_is_not_shown_as_the_limit() {
        use Metric::{ErrorRate, LatencyP99};
        for (metric, value, stable, bound, expected) in [
            (ErrorRate, 0.041, Some(0.003), Bound::Max(0.01), "errors 4.1 % against 0.3 % at stable"),
            (ErrorRate, 0.010_04, Some(0.003), Bound::Max(0.01), "errors 1.004 % against 0.3 % at stable"),
            (ErrorRate, 0.0094, Some(0.0036), Bound::Over(0.005), "errors 0.94 % against 0.36 % at stable"),
            (ErrorRate, 0.0094, Some(0.0032), Bound::Over(0.005), "errors 0.9 % against 0.3 % at stable"),
            (ErrorRate, 0.000_1, None, Bound::Max(0.0), "errors 0.01 %"),
            (LatencyP99, 300.4, None, Bound::Max(300.0), "p99 300.4 ms"),
            (LatencyP99, 150.2, Some(100.0), Bound::Ratio(1.5), "p99 150.2 ms against 100 ms at stable"),
        ] {
            assert!(bound.broken(value, stable), "{expected}");
            assert_eq!(values(metric, value, stable, Some(bound)), expected);
        }
        // Without a breach nobody needs more digits.
        assert_eq!(values(ErrorRate, 0.010_04, None, None), "errors 1 %");
    }
}
