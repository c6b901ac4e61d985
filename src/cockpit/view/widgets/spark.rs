//! Small curves: candidate and stable side by side on one scale, newest at the right, and a gap
//! where there is no data. No data is not zero.

use flightdeck_model::{ArmRole, ArmSample, Target};
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

const LEVELS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// What a curve shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::view) enum Metric {
    /// Failed requests ÷ requests.
    Errors,
    /// Median in milliseconds.
    P50,
    /// 95th percentile in milliseconds.
    P95,
    /// 99th percentile in milliseconds.
    P99,
    /// Requests per second.
    Rate,
}

impl Metric {
    /// The value over several windows; `None`: no requests, so nothing to say. Ratios are exact;
    /// a quantile is the highest of the windows', since quantiles can't be added up.
    pub(in crate::view) fn of<'a>(self, samples: impl Iterator<Item = &'a ArmSample> + Clone) -> Option<f64> {
        let highest = |quantile: fn(&ArmSample) -> Option<u32>| {
            samples.clone().filter_map(quantile).max().map(|micros| f64::from(micros) / 1000.0)
        };
        match self {
            Metric::Errors => {
                let (errors, requests) =
                    samples.fold((0.0, 0.0), |(e, r), sample| (e + count(sample.errors), r + count(sample.requests)));
                (requests > 0.0).then_some(errors / requests)
            }
            Metric::P50 => highest(|sample| sample.p50_us),
            Metric::P95 => highest(|sample| sample.p95_us),
            Metric::P99 => highest(|sample| sample.p99_us),
            Metric::Rate => {
                let (requests, millis) = samples
                    .fold((0.0, 0.0), |(r, m), sample| (r + count(sample.requests), m + f64::from(sample.window_ms)));
                (millis > 0.0).then(|| requests * 1000.0 / millis)
            }
        }
    }

    /// A curve is never drawn larger than if this were its top: noise near zero is no mountain.
    pub(in crate::view) const fn floor(self) -> f64 {
        match self {
            Metric::Errors => 0.02,
            Metric::P50 | Metric::P95 | Metric::P99 => 10.0,
            Metric::Rate => 1.0,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few minutes are far below 2^52")]
fn count(value: u64) -> f64 {
    value as f64
}

/// The samples of both arms of a target.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::view) struct Pair<'a> {
    pub(in crate::view) candidate: Option<&'a VecDeque<ArmSample>>,
    pub(in crate::view) stable: Option<&'a VecDeque<ArmSample>>,
}

impl<'a> Pair<'a> {
    /// Of a board.
    pub(in crate::view) fn of(board: &'a flightdeck_board::Board, target: &Target) -> Pair<'a> {
        Pair { candidate: board.samples(target, &ArmRole::Candidate), stable: board.samples(target, &ArmRole::Stable) }
    }

    /// End of the newest window of either arm: both curves end there.
    pub(in crate::view) fn newest(&self) -> Option<Timestamp> {
        let last = |samples: Option<&VecDeque<ArmSample>>| samples.and_then(|samples| samples.back()).map(|s| s.at);
        last(self.candidate).max(last(self.stable))
    }
}

/// The values of an arm in `count` spans of `span` each, the last of which ends at `end`. A span has the windows that
/// end in it. Of windows that are longer than a span it has the one that was running when it ended, so that what is
/// measured each 15 s is a line, too, and a gap is where a window is missing.
pub(in crate::view) fn buckets(
    samples: Option<&VecDeque<ArmSample>>,
    metric: Metric,
    end: Timestamp,
    span: SignedDuration,
    count: usize,
) -> Vec<Option<f64>> {
    // From the newest span to the oldest, by age.
    let mut spans: Vec<Vec<&ArmSample>> = vec![Vec::new(); count];
    let width = span.as_millis().max(1);
    let age = |sample: &ArmSample| end.duration_since(sample.at).as_millis().max(0);
    let index = |spans: i128| usize::try_from(spans).unwrap_or(usize::MAX);
    let mut samples = samples.into_iter().flatten().rev().peekable();
    let mut newest = true;
    while let Some(sample) = samples.next() {
        let (own, window) = (age(sample), i128::from(sample.window_ms));
        // Oldest first in the ring: nothing before this one is in sight either.
        if index(own / width) >= count {
            break;
        }
        let (first, last) = if window > width {
            let begin = own + window;
            // Whoever is asked each 15 s answers a moment later now and then: that is no gap.
            let late = samples.peek().map(|older| age(older)).filter(|older| *older - begin <= window / 4);
            let first = if newest { own / width } else { (own + width - 1) / width };
            (first, (late.unwrap_or(begin).max(begin) - 1) / width)
        } else {
            (own / width, own / width)
        };
        newest = false;
        for bucket in spans.iter_mut().take(index(last).saturating_add(1)).skip(index(first)) {
            bucket.push(sample);
        }
    }
    spans.into_iter().rev().map(|of| if of.is_empty() { None } else { metric.of(of.into_iter()) }).collect()
}

/// The top of the scale that two small curves share. Latencies leave stable in the lower half, so
/// that a candidate that is slower stands out; a share of errors begins at its floor.
pub(in crate::view) fn top(metric: Metric, candidate: &[Option<f64>], stable: &[Option<f64>]) -> f64 {
    let highest = highest(metric, candidate.iter().chain(stable));
    match metric {
        Metric::P50 | Metric::P95 | Metric::P99 => {
            let (sum, count) =
                stable.iter().flatten().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            if count > 0.0 { highest.max(2.0 * sum / count) } else { highest }
        }
        Metric::Errors | Metric::Rate => highest,
    }
}

/// The highest of several values, at least the metric's floor.
pub(in crate::view) fn highest<'a>(metric: Metric, values: impl Iterator<Item = &'a Option<f64>>) -> f64 {
    values.flatten().copied().fold(metric.floor(), f64::max)
}

/// A curve as text: one column a value, a blank where there is none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 7")]
pub(in crate::view) fn curve(values: &[Option<f64>], top: f64) -> String {
    values
        .iter()
        .map(|value| match value {
            Some(value) => {
                let level = (value / top * 8.0).clamp(0.0, 7.0) as usize;
                LEVELS.get(level).copied().unwrap_or("█")
            }
            None => " ",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::Version;

    fn sample(second: i64, requests: u64, errors: u64) -> ArmSample {
        ArmSample {
            target: Target {
                source: "local".into(),
                kind: "service".into(),
                namespace: None,
                name: "a".into(),
                uid: "a".into(),
                first_name: None,
            },
            role: ArmRole::Candidate,
            version: Version("1".into()),
            at: Timestamp::from_second(second).unwrap(),
            window_ms: 1000,
            requests,
            errors,
            p50_us: None,
            p95_us: (requests > 0).then_some(20_000),
            p99_us: None,
        }
    }

    #[test]
    fn a_curve_ends_at_the_right_and_has_gaps() {
        let samples: VecDeque<_> = [sample(91, 10, 1), sample(94, 0, 0), sample(95, 10, 0), sample(100, 10, 10)].into();
        let end = Timestamp::from_second(100).unwrap();
        let values = buckets(Some(&samples), Metric::Errors, end, SignedDuration::from_secs(1), 12);
        let expected = [None, None, Some(0.1), None, None, None, Some(0.0), None, None, None, None, Some(1.0)];
        assert_eq!(values, expected, "windows without requests are gaps as well");
        assert_eq!(curve(&values, 1.0), "  ▁   ▁    █");
    }

    #[test]
    fn a_long_window_is_in_all_spans_that_it_covers() {
        let long = |second| ArmSample { window_ms: 15_000, ..sample(second, 10, 1) };
        let end = Timestamp::from_second(100).unwrap();
        let seconds = |samples: VecDeque<ArmSample>, span, count| {
            let values = buckets(Some(&samples), Metric::Errors, end, SignedDuration::from_secs(span), count);
            values.iter().map(|value| if value.is_some() { '#' } else { ' ' }).collect::<String>()
        };
        // Each 15 s, one of them late, and one missing.
        let samples: VecDeque<_> = [long(39), long(70), long(85), long(100)].into();
        assert_eq!(seconds(samples.clone(), 10, 6), " #####", "no gap where none is missing");
        assert_eq!(seconds(samples, 5, 16), "###    #########");
        // Each span has one: a peak is not mixed with what was before it.
        let peak: VecDeque<_> = [long(85), ArmSample { errors: 5, ..long(100) }].into();
        let end = Timestamp::from_second(100).unwrap();
        let values = buckets(Some(&peak), Metric::Errors, end, SignedDuration::from_secs(10), 3);
        assert_eq!(values, [Some(0.1), Some(0.5), Some(0.5)]);
    }

    #[test]
    fn buckets_add_up_requests_and_take_the_highest_quantile() {
        let samples: VecDeque<_> = [sample(99, 30, 0), sample(100, 10, 4)].into();
        let end = Timestamp::from_second(100).unwrap();
        let two = SignedDuration::from_secs(2);
        assert_eq!(buckets(Some(&samples), Metric::Errors, end, two, 1), [Some(0.1)]);
        assert_eq!(buckets(Some(&samples), Metric::P95, end, two, 1), [Some(20.0)]);
        assert_eq!(buckets(Some(&samples), Metric::Rate, end, two, 1), [Some(20.0)]);
        assert_eq!(buckets(None, Metric::Rate, end, two, 2), [None, None]);
    }
}
