//! Pure: a candidate's numbers against its limits and against stable's. Missing data never passes.

use crate::model::{AnalysisReport, AnalysisTemplate, Histogram, Metric, MetricLimit, MetricResult, MetricVerdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Two-sided 99 % of the normal distribution: how sure a judgement before the end of its span must be.
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

/// A value with what it may be, given how little was seen.
#[derive(Clone, Copy)]
struct Estimate {
    low: f64,
    value: f64,
    high: f64,
}

/// Judges a candidate over a span. Too few requests at the candidate, or no numbers of stable where
/// a limit compares with it, is `Missing`; an absolute limit that is clearly broken stays `Fail`.
#[must_use]
pub fn judge(
    template: &AnalysisTemplate,
    name: &str,
    candidate: &Totals,
    stable: &Totals,
    from: Timestamp,
    to: Timestamp,
) -> AnalysisReport {
    let metrics: Vec<_> =
        template.limits.iter().map(|limit| judge_metric(limit, template.min_requests, candidate, stable)).collect();
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
        from,
        to,
        candidate_requests: candidate.requests,
        stable_requests: stable.requests,
        verdict,
        metrics,
    }
}

/// Is it failing so clearly that the rest of the span can't be hoped for? Compares the favourable
/// end of each value's 99 % interval (Wilson's for ratios, order statistics for quantiles).
#[must_use]
pub fn clearly_fails(template: &AnalysisTemplate, candidate: &Totals, stable: &Totals) -> bool {
    candidate.requests >= template.min_requests
        && template.limits.iter().any(|limit| {
            let Some(value) = estimate(limit.metric, candidate) else { return false };
            let stable = estimate(limit.metric, stable);
            broken(limit, value.low, stable.map(|stable| stable.high)).is_some()
        })
}

/// The worst of a report in one sentence with its numbers.
#[must_use]
pub fn summary(report: &AnalysisReport) -> String {
    let worst = report.metrics.iter().find(|metric| metric.verdict == report.verdict);
    worst.map_or_else(|| "nothing to judge by".to_owned(), |metric| metric.why.clone())
}

fn judge_metric(limit: &MetricLimit, min_requests: u64, candidate: &Totals, stable: &Totals) -> MetricResult {
    let value = estimate(limit.metric, candidate).map(|estimate| estimate.value);
    let other = estimate(limit.metric, stable).map(|estimate| estimate.value);
    let (verdict, why) = verdict(limit, min_requests, candidate.requests, value, other);
    MetricResult {
        name: metric_name(limit.metric).to_owned(),
        candidate: value,
        stable: other,
        limit: limit_words(limit),
        unit: if limit.metric == Metric::ErrorRate { "ratio" } else { "ms" }.to_owned(),
        verdict,
        why,
    }
}

fn verdict(
    limit: &MetricLimit,
    min_requests: u64,
    requests: u64,
    value: Option<f64>,
    stable: Option<f64>,
) -> (MetricVerdict, String) {
    let word = metric_word(limit.metric);
    let few = requests < min_requests.max(1);
    let Some(value) = value.filter(|_| !few) else {
        let why = match requests {
            0 => format!("{word}: no data, no request reached the candidate"),
            _ if few => format!("{word}: too little data, {requests} of {min_requests} requests at the candidate"),
            _ => format!("{word}: no data, none of {requests} requests was answered"),
        };
        return (MetricVerdict::Missing, why);
    };
    let against = stable.map_or(String::new(), |stable| format!(" against {} at stable", show(limit.metric, stable)));
    let said = format!("{word} {}{against}", show(limit.metric, value));
    if let Some(bound) = broken(limit, value, stable) {
        return (MetricVerdict::Fail, format!("{said}, limit {bound}"));
    }
    let compares = limit.over_stable.is_some() || limit.ratio_to_stable.is_some();
    if compares && stable.is_none() {
        return (MetricVerdict::Missing, format!("{said}, no data of stable to compare with"));
    }
    if !compares && limit.max.is_none() {
        return (MetricVerdict::Missing, format!("{said}, no limit is set"));
    }
    (MetricVerdict::Pass, format!("{said}, {}", limit_words(limit)))
}

/// The first limit that the value breaks, in words.
fn broken(limit: &MetricLimit, value: f64, stable: Option<f64>) -> Option<String> {
    if let Some(max) = limit.max.filter(|max| value > *max) {
        return Some(show(limit.metric, max));
    }
    let stable = stable?;
    if let Some(over) = limit.over_stable.filter(|over| value - stable > *over) {
        return Some(format!("{} over stable", show(limit.metric, over)));
    }
    let ratio = limit.ratio_to_stable.filter(|ratio| value > ratio * stable)?;
    Some(format!("{ratio} × stable"))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn estimate(metric: Metric, totals: &Totals) -> Option<Estimate> {
    let quantile = |q: f64| {
        let n = totals.latency.count() as f64;
        let spread = SURE * (q * (1.0 - q) / n.max(1.0)).sqrt();
        let at = |q: f64| totals.latency.quantile(q.clamp(0.0, 1.0)).map(|us| f64::from(us) / 1000.0);
        Some(Estimate { low: at(q - spread)?, value: at(q)?, high: at(q + spread)? })
    };
    match metric {
        Metric::ErrorRate if totals.requests == 0 => None,
        Metric::ErrorRate => Some(wilson(totals.errors as f64, totals.requests as f64)),
        Metric::LatencyP50 => quantile(0.5),
        Metric::LatencyP95 => quantile(0.95),
        Metric::LatencyP99 => quantile(0.99),
    }
}

/// Wilson's score interval of a ratio (Wilson 1927).
fn wilson(hits: f64, n: f64) -> Estimate {
    let (p, z2) = (hits / n, SURE * SURE);
    let middle = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = SURE / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).max(0.0).sqrt();
    Estimate { low: (middle - half).max(0.0), value: p, high: (middle + half).min(1.0) }
}

const fn metric_name(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "error_rate",
        Metric::LatencyP50 => "latency_p50",
        Metric::LatencyP95 => "latency_p95",
        Metric::LatencyP99 => "latency_p99",
    }
}

const fn metric_word(metric: Metric) -> &'static str {
    match metric {
        Metric::ErrorRate => "errors",
        Metric::LatencyP50 => "p50",
        Metric::LatencyP95 => "p95",
        Metric::LatencyP99 => "p99",
    }
}

fn show(metric: Metric, value: f64) -> String {
    let (value, unit) = if metric == Metric::ErrorRate { (value * 100.0, "%") } else { (value, "ms") };
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 0.1 || v == 0.0 => 1,
        v if v >= 0.01 => 2,
        _ => 4,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} {unit}")
}

fn limit_words(limit: &MetricLimit) -> String {
    let mut words = Vec::new();
    words.extend(limit.max.map(|max| format!("at most {}", show(limit.metric, max))));
    words.extend(limit.over_stable.map(|over| format!("at most {} over stable", show(limit.metric, over))));
    words.extend(limit.ratio_to_stable.map(|ratio| format!("at most {ratio} × stable")));
    if words.is_empty() { "no limit".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests;
