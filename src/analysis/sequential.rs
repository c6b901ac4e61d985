//! The judge that may be asked each second: what is as good as its limits allow fails with a probability of at
//! most [`ALPHA`], over all looks, limits and analyses of a rollout together.
//!
//! A limit on errors is about the rate of failed requests. A limit on a latency's quantile is about the rate of
//! slow ones: that the 99th percentile is at most 300 ms says that at most 1 % take longer, and that it is at most
//! 1.5 times stable's says that 1.5 times where stable's lies is passed at the candidate no more often than that
//! itself is passed at stable. So each limit is a statement on rates, which an [`EProcess`] holds a candidate to,
//! and nothing is assumed of how latencies are spread. A limit counts as broken when it lies outside the confidence
//! sequence, which is the same as its E-value reaching the bound.
//!
//! What is assumed: within one second, requests fail or are slow independently of each other.

use super::e_process::{Allowed, EProcess, Hits, count};
use super::span::{Plain, Span, Totals, estimate, passed, plain, quantile_of, result};
use super::words::{Bound, metric_word, values};
use flightdeck_model::{
    AnalysisReport, AnalysisTemplate, Histogram, Metric, MetricLimit, MetricResult, MetricVerdict, Ppm,
};
use serde::{Deserialize, Serialize};

/// How likely a candidate that keeps its limits is failed in a rollout, however long that lasts.
pub const ALPHA: f64 = 0.01;
/// Where stable's quantile lies is known once so many requests were slower.
const BEYOND: f64 = 2.0;

/// What an analysis has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// At its end within its limits, with enough data.
    Pass,
    /// Beyond a limit, and not by chance.
    Fail,
    /// Neither, and it goes on.
    Continue,
    /// At its end too little data, or a value beyond its limit that may be chance.
    Inconclusive,
}

/// What is known for and against a candidate since its analysis began. Bounded, whatever comes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sequential {
    /// Of each limit, in the template's order.
    tests: Vec<Test>,
    /// The candidate's share when it was last looked at.
    share: Option<Ppm>,
    /// Requests at the candidate.
    #[serde(default)]
    requests: u64,
    /// Stable's latencies since then.
    stable: Histogram,
}

/// One limit and what speaks against its being kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Test {
    against: EProcess,
    /// More hits than allowed since the candidate was last within the limit: what the numbers below go back to.
    excess: f64,
    hits: u64,
    candidate: Totals,
    stable: Totals,
    /// Where stable's quantile lay last, milliseconds.
    reference: Option<f64>,
}

/// What both arms did in one window.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// The candidate's share of the traffic.
    pub share: Ppm,
    /// What it did.
    pub candidate: &'a Totals,
    /// What stable did.
    pub stable: &'a Totals,
}

impl Sequential {
    /// Takes in what happened since the last look, at most a few seconds.
    pub fn observe(&mut self, template: &AnalysisTemplate, window: Window<'_>) {
        if self.share.replace(window.share).is_some_and(|share| share != window.share) {
            // With other shares both arms carry another load: stable is measured anew.
            self.stable = Histogram::default();
            self.tests.iter_mut().for_each(|test| test.against.share_changed());
        }
        self.requests = self.requests.saturating_add(window.candidate.requests);
        let limits = limits(template);
        self.tests.resize_with(limits.len(), Test::default);
        for (test, (metric, bound)) in self.tests.iter_mut().zip(limits) {
            test.observe(metric, bound, window, &self.stable);
        }
        // Afterwards: where the quantile lies must not depend on what it is compared with.
        self.stable.add(&window.stable.latency);
    }

    /// What it has come to, one of so many analyses of its rollout; `over`: at its end.
    #[must_use]
    pub fn verdict(&self, template: &AnalysisTemplate, analyses: usize, span: &Span<'_>, over: bool) -> Verdict {
        let limits = limits(template);
        let bound = bound(&limits, analyses);
        if self.tests.iter().zip(&limits).any(|(test, (metric, _))| self.breaks(template, *metric, test, bound)) {
            return Verdict::Fail;
        }
        let within = |limit| matches!(plain(limit, template, span).0, Plain::Within);
        match over {
            false => Verdict::Continue,
            true if !template.limits.is_empty() && template.limits.iter().all(within) => Verdict::Pass,
            true => Verdict::Inconclusive,
        }
    }

    /// Is a limit broken, and not by chance? Slow requests come in bunches where a machine is busy for a moment, so
    /// a few of them say nothing however slow they are: a latency fails nobody before `min_requests`. Failed
    /// requests do.
    fn breaks(&self, template: &AnalysisTemplate, metric: Metric, test: &Test, bound: f64) -> bool {
        let enough = quantile_of(metric).is_none() || self.requests >= template.min_requests;
        enough && test.against.value() >= bound
    }

    /// The numbers behind a verdict; what is inconclusive is `Missing` in it.
    #[must_use]
    pub fn report(&self, template: &AnalysisTemplate, name: &str, analyses: usize, span: &Span<'_>) -> AnalysisReport {
        let limits = limits(template);
        let bound = bound(&limits, analyses);
        let failing = |metric: Metric| {
            let of_metric = self.tests.iter().zip(&limits).filter(|(_, (of, _))| *of == metric);
            let beyond = of_metric.filter(|(test, _)| self.breaks(template, metric, test, bound));
            beyond.max_by(|(a, _), (b, _)| a.against.value().total_cmp(&b.against.value()))
        };
        let judge = |limit: &MetricLimit| match (failing(limit.metric), plain(limit, template, span)) {
            (Some((test, (_, bound))), _) => test.failed(limit, *bound),
            (None, (Plain::Within, value, stable)) => passed(limit, value, stable),
            (None, (Plain::Missing(why), value, stable)) => result(limit, (value, stable), MetricVerdict::Missing, why),
            (None, (Plain::Beyond(bound), value, stable)) => {
                let said = value.map_or_else(String::new, |value| values(limit.metric, value, stable, Some(bound)));
                let (of, limits) = (span.candidate.requests, bound.words(limit.metric));
                let why = format!("{said}, over the limit {limits}, which {of} requests can be by chance");
                result(limit, (value, stable), MetricVerdict::Missing, why)
            }
        };
        span.report(name, template.limits.iter().map(judge).collect())
    }
}

/// Every single limit.
fn limits(template: &AnalysisTemplate) -> Vec<(Metric, Bound)> {
    template.limits.iter().flat_map(|limit| Bound::all(limit).map(|bound| (limit.metric, bound))).collect()
}

/// From where on an E-value of one of these limits is no chance.
fn bound(limits: &[(Metric, Bound)], analyses: usize) -> f64 {
    count((limits.len() * analyses).max(1) as u64) / ALPHA
}

impl Test {
    fn observe(&mut self, metric: Metric, bound: Bound, window: Window<'_>, stable: &Histogram) {
        let Some((allowed, candidate, of_stable)) = (match quantile_of(metric) {
            None => Some(errors(bound, window)),
            Some(q) => self.slow(bound, q, window, stable),
        }) else {
            return;
        };
        self.against.observe(allowed, candidate, of_stable);
        let split = if of_stable.requests == 0 { 0.0 } else { count(candidate.requests) / count(of_stable.requests) };
        let expected = allowed.times * split * count(of_stable.hits) + allowed.plus * count(candidate.requests);
        self.excess += count(candidate.hits) - expected;
        if self.excess <= 0.0 {
            *self = Test { against: self.against.clone(), reference: self.reference, ..Test::default() };
            return;
        }
        self.hits = self.hits.saturating_add(candidate.hits);
        // Latencies are many numbers: kept only where they are told.
        let kept = |of: &Totals| if quantile_of(metric).is_some() { of.latency.clone() } else { Histogram::default() };
        for (sum, of) in [(&mut self.candidate, window.candidate), (&mut self.stable, window.stable)] {
            sum.add(of.requests, of.errors, &kept(of));
        }
    }

    /// Requests slower than a quantile may be. `None` as long as nobody knows where stable's lies.
    fn slow(&mut self, bound: Bound, q: f64, window: Window<'_>, stable: &Histogram) -> Option<(Allowed, Hits, Hits)> {
        let slower = |of: &Totals, ms: f64| Hits {
            requests: of.latency.count(),
            // Buckets are 3 % wide: only those wholly beyond count.
            hits: of.latency.count_from(micros(ms)),
        };
        if let Bound::Max(max) = bound {
            let allowed = Allowed { times: 0.0, plus: 1.0 - q };
            return Some((allowed, slower(window.candidate, max), Hits::default()));
        }
        if count(stable.count()) * (1.0 - q) < BEYOND {
            return None;
        }
        let reference = f64::from(stable.quantile_floor(q)?) / 1000.0;
        self.reference = Some(reference);
        let beyond = match bound {
            Bound::Over(over) => reference + over,
            Bound::Ratio(ratio) => reference * ratio,
            Bound::Max(max) => max,
        };
        let allowed = Allowed { times: 1.0, plus: 0.0 };
        Some((allowed, slower(window.candidate, beyond), slower(window.stable, reference)))
    }

    /// That it is beyond its limit, with the numbers since it is.
    fn failed(&self, limit: &MetricLimit, bound: Bound) -> MetricResult {
        let value = |of: &Totals| estimate(limit.metric, of).map(|of| of.value);
        let stable = self.reference.or_else(|| value(&self.stable));
        let value = value(&self.candidate);
        let said = value.map_or_else(
            || metric_word(limit.metric).to_owned(),
            |value| values(limit.metric, value, stable, Some(bound)),
        );
        let (of, how) = match limit.metric {
            Metric::ErrorRate => (self.candidate.requests, "failed"),
            _ => (self.candidate.latency.count(), "were slower"),
        };
        let why = format!("{said}, limit {}: {} of {of} requests {how}", bound.words(limit.metric), self.hits);
        result(limit, (value, stable), MetricVerdict::Fail, why)
    }
}

fn errors(bound: Bound, window: Window<'_>) -> (Allowed, Hits, Hits) {
    let hits = |of: &Totals| Hits { requests: of.requests, hits: of.errors };
    let (times, plus) = match bound {
        Bound::Max(max) => (0.0, max),
        Bound::Over(over) => (1.0, over),
        Bound::Ratio(ratio) => (ratio, 0.0),
    };
    (Allowed { times, plus }, hits(window.candidate), hits(window.stable))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float beyond the range is cut to it")]
fn micros(ms: f64) -> u32 {
    (ms * 1000.0).ceil() as u32
}
