//! What both sides did over a span, and how that compares with limits, chance left out of account.

use super::words::{Bound, limit_words, metric_name, metric_word, values};
use flightdeck_model::{AnalysisReport, AnalysisTemplate, Histogram, Metric, MetricLimit, MetricResult, MetricVerdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Two-sided 99 % of the normal distribution: how sure the threshold rule must be before the end of its span.
const SURE: f64 = 2.576;

/// What an arm did over a span.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that ended.
    pub requests: u64,
    /// Of those, failed.
    pub errors: u64,
    /// Latency of those that were answered.
    pub latency: Histogram,
}

impl Totals {
    /// Adds another span's numbers.
    pub fn add(&mut self, requests: u64, errors: u64, latency: &Histogram) {
        self.requests = self.requests.saturating_add(requests);
        self.errors = self.errors.saturating_add(errors);
        self.latency.add(latency);
    }
}

/// A span and what both arms did in it.
#[derive(Debug, Clone, Copy)]
pub struct Span<'a> {
    /// Judged from.
    pub from: Timestamp,
    /// Judged to.
    pub to: Timestamp,
    /// The candidate's.
    pub candidate: &'a Totals,
    /// Stable's.
    pub stable: &'a Totals,
}

impl Span<'_> {
    /// Is there too little to judge some limit by: too few requests at the candidate, none that was answered, or
    /// nothing of stable where a limit compares with it?
    #[must_use]
    pub fn lacks_data(&self, template: &AnalysisTemplate) -> bool {
        template.limits.is_empty()
            || template.limits.iter().any(|limit| matches!(plain(limit, template, self).0, Plain::Missing(_)))
    }

    pub(super) fn report(&self, name: &str, metrics: Vec<MetricResult>) -> AnalysisReport {
        let any = |verdict| metrics.iter().any(|metric: &MetricResult| metric.verdict == verdict);
        let verdict = if any(MetricVerdict::Fail) {
            MetricVerdict::Fail
        } else if metrics.is_empty() || any(MetricVerdict::Missing) {
            MetricVerdict::Missing
        } else {
            MetricVerdict::Pass
        };
        AnalysisReport {
            template: name.to_owned(),
            from: self.from,
            to: self.to,
            candidate_requests: self.candidate.requests,
            stable_requests: self.stable.requests,
            verdict,
            metrics,
        }
    }
}

/// The worst of a report in one sentence with its numbers.
#[must_use]
pub fn summary(report: &AnalysisReport) -> String {
    let worst = report.metrics.iter().find(|metric| metric.verdict == report.verdict);
    worst.map_or_else(|| "nothing to judge by".to_owned(), |metric| metric.why.clone())
}

/// A value with what it may be, given how little was seen.
#[derive(Clone, Copy)]
pub(super) struct Estimate {
    pub low: f64,
    pub value: f64,
    pub high: f64,
}

/// How a metric's values compare with its limits, chance left out of account.
pub(super) enum Plain {
    Within,
    Beyond(Bound),
    /// There is too little to say so, in words.
    Missing(String),
}

/// The same with the values: the candidate's and stable's.
pub(super) fn plain(
    limit: &MetricLimit,
    template: &AnalysisTemplate,
    span: &Span<'_>,
) -> (Plain, Option<f64>, Option<f64>) {
    let [value, stable] = [span.candidate, span.stable].map(|of| estimate(limit.metric, of).map(|of| of.value));
    let (word, requests) = (metric_word(limit.metric), span.candidate.requests);
    let plain = match value {
        _ if requests == 0 => Plain::Missing(format!("{word}: no data, no request reached the candidate")),
        _ if requests < template.min_requests => Plain::Missing(format!(
            "{word}: too little data, {requests} of {} requests at the candidate",
            template.min_requests
        )),
        None => Plain::Missing(format!("{word}: no data, none of {requests} requests was answered")),
        Some(value) => {
            let mut bounds = Bound::all(limit).peekable();
            let missing = match bounds.peek() {
                None => Some("no limit is set"),
                Some(_) if stable.is_none() && Bound::all(limit).any(Bound::compares) => {
                    Some("no data of stable to compare with")
                }
                Some(_) => None,
            };
            // What is absolute is broken whatever stable does.
            match (bounds.find(|bound| bound.broken(value, stable)), missing) {
                (Some(bound), _) => Plain::Beyond(bound),
                (None, Some(why)) => Plain::Missing(format!("{}, {why}", values(limit.metric, value, stable, None))),
                (None, None) => Plain::Within,
            }
        }
    };
    (plain, value, stable)
}

pub(super) fn result(
    limit: &MetricLimit,
    (candidate, stable): (Option<f64>, Option<f64>),
    verdict: MetricVerdict,
    why: String,
) -> MetricResult {
    MetricResult {
        name: metric_name(limit.metric).to_owned(),
        candidate,
        stable,
        limit: limit_words(limit),
        max: limit.max,
        unit: if limit.metric == Metric::ErrorRate { "ratio" } else { "ms" }.to_owned(),
        verdict,
        why,
    }
}

/// Within its limits, with the numbers.
pub(super) fn passed(limit: &MetricLimit, value: Option<f64>, stable: Option<f64>) -> MetricResult {
    let said = value.map_or_else(String::new, |value| values(limit.metric, value, stable, None));
    result(limit, (value, stable), MetricVerdict::Pass, format!("{said}, {}", limit_words(limit)))
}

/// Of a latency: which part of the requests is faster.
pub(super) const fn quantile_of(metric: Metric) -> Option<f64> {
    match metric {
        Metric::ErrorRate => None,
        Metric::LatencyP50 => Some(0.5),
        Metric::LatencyP95 => Some(0.95),
        Metric::LatencyP99 => Some(0.99),
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn estimate(metric: Metric, totals: &Totals) -> Option<Estimate> {
    let Some(q) = quantile_of(metric) else {
        return (totals.requests > 0).then(|| wilson(totals.errors as f64, totals.requests as f64));
    };
    let n = totals.latency.count() as f64;
    let spread = SURE * (q * (1.0 - q) / n.max(1.0)).sqrt();
    let at = |q: f64| totals.latency.quantile(q.clamp(0.0, 1.0)).map(|us| f64::from(us) / 1000.0);
    Some(Estimate { low: at(q - spread)?, value: at(q)?, high: at(q + spread)? })
}

/// Wilson's score interval of a ratio (Wilson 1927).
fn wilson(hits: f64, n: f64) -> Estimate {
    let (p, z2) = (hits / n, SURE * SURE);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = SURE / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).max(0.0).sqrt();
    Estimate { low: (middle - half).max(0.0), value: p, high: (middle + half).min(1.0) }
}
