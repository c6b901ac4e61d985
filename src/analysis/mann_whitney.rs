//! The judge of Kayenta: values of short windows, side by side. What is higher at the candidate in a way that chance
//! does not explain, by more than a quarter of the typical difference, is a failure; and only where it breaks its limit.
//!
//! It is made for one look at the end of a span. Looked at again and again it fails what is as good as stable more
//! often than its confidence says; [`Sequential`](super::Sequential) does not.

use super::rank_sum::{RankSum, rank_sum};
use super::sequential::{Verdict, Window};
use super::span::{Plain, Span, Totals, estimate, passed, plain, result};
use super::words::{Bound, metric_word, values};
use flightdeck_model::{AnalysisReport, AnalysisTemplate, MetricLimit, MetricResult, MetricVerdict};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Two-sided, over all metrics of a template together.
const CONFIDENCE: f64 = 0.98;
/// The interval must lie above so much of the estimated difference.
const TOLERANCE: f64 = 0.25;
/// One value stands for so long at least.
const PIECE: SignedDuration = SignedDuration::from_secs(10);
/// Fewer values of each side say nothing.
const LEAST: usize = 8;
/// The newest values that are compared.
const MOST: usize = 360;

/// What is known for and against a candidate since its analysis began. Bounded, whatever comes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MannWhitney {
    /// The window that is being put together: since when, and what happened in it.
    began: SignedDuration,
    candidate: Totals,
    stable: Totals,
    /// Of each limit, in the template's order.
    values: Vec<Sides>,
}

/// Values of both sides, a window each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Sides {
    candidate: VecDeque<f64>,
    stable: VecDeque<f64>,
}

impl MannWhitney {
    /// Takes in what happened since the last look; `at`: how long the analysis lasts by now.
    pub fn observe(&mut self, template: &AnalysisTemplate, window: Window<'_>, at: SignedDuration) {
        for (sum, of) in [(&mut self.candidate, window.candidate), (&mut self.stable, window.stable)] {
            sum.add(of.requests, of.errors, &of.latency);
        }
        if at.saturating_sub(self.began) < PIECE {
            return;
        }
        self.began = at;
        let (candidate, stable) = (std::mem::take(&mut self.candidate), std::mem::take(&mut self.stable));
        self.values.resize_with(template.limits.len(), Sides::default);
        for (sides, limit) in self.values.iter_mut().zip(&template.limits) {
            // A window in which one side had no request is no value, and no zero.
            let [candidate, stable] = [&candidate, &stable].map(|of| estimate(limit.metric, of).map(|of| of.value));
            if let (Some(candidate), Some(stable)) = (candidate, stable) {
                sides.take(candidate, stable);
            }
        }
    }

    /// What it has come to; `over`: at its end.
    #[must_use]
    pub fn verdict(&self, template: &AnalysisTemplate, span: &Span<'_>, over: bool) -> Verdict {
        let results = self.results(template, span);
        let all = |verdict| results.iter().all(|result| result.verdict == verdict);
        if results.iter().any(|result| result.verdict == MetricVerdict::Fail) {
            Verdict::Fail
        } else if !over {
            Verdict::Continue
        } else if !results.is_empty() && all(MetricVerdict::Pass) {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        }
    }

    /// The numbers behind a verdict; what is inconclusive is `Missing` in it.
    #[must_use]
    pub fn report(&self, template: &AnalysisTemplate, name: &str, span: &Span<'_>) -> AnalysisReport {
        span.report(name, self.results(template, span))
    }

    fn results(&self, template: &AnalysisTemplate, span: &Span<'_>) -> Vec<MetricResult> {
        let none = Sides::default();
        let metrics = template.limits.len();
        let judge = |(index, limit): (usize, &MetricLimit)| {
            let sides = self.values.get(index).unwrap_or(&none);
            judge(limit, template, span, sides, metrics)
        };
        template.limits.iter().enumerate().map(judge).collect()
    }
}

impl Sides {
    fn take(&mut self, candidate: f64, stable: f64) {
        for (values, value) in [(&mut self.candidate, candidate), (&mut self.stable, stable)] {
            values.push_back(value);
            if values.len() > MOST {
                values.pop_front();
            }
        }
    }

    fn compared(&self, metrics: usize) -> Option<RankSum> {
        #[expect(clippy::cast_precision_loss, reason = "a handful of metrics")]
        let confidence = 1.0 - (1.0 - CONFIDENCE) / metrics.max(1) as f64;
        let of = |values: &VecDeque<f64>| values.iter().copied().collect::<Vec<_>>();
        (self.candidate.len() >= LEAST).then(|| rank_sum(&of(&self.candidate), &of(&self.stable), confidence))?
    }
}

fn judge(
    limit: &MetricLimit,
    template: &AnalysisTemplate,
    span: &Span<'_>,
    sides: &Sides,
    metrics: usize,
) -> MetricResult {
    let (plain, value, stable) = plain(limit, template, span);
    let windows = sides.candidate.len();
    let told = |bound: Option<Bound>| {
        value.map_or_else(|| metric_word(limit.metric).to_owned(), |value| values(limit.metric, value, stable, bound))
    };
    match (plain, sides.compared(metrics)) {
        (Plain::Missing(why), _) => result(limit, (value, stable), MetricVerdict::Missing, why),
        (plain, None) => {
            let bound = if let Plain::Beyond(bound) = plain { Some(bound) } else { None };
            let why = format!("{}, {windows} of the {LEAST} windows that it takes to compare", told(bound));
            result(limit, (value, stable), MetricVerdict::Missing, why)
        }
        (Plain::Within, Some(_)) => passed(limit, value, stable),
        (Plain::Beyond(bound), Some(compared)) => {
            let high = compared.low > TOLERANCE * compared.shift.abs();
            let (verdict, how) = if high {
                (MetricVerdict::Fail, "higher in")
            } else {
                (MetricVerdict::Missing, "which may be chance in")
            };
            let why = format!("{}, limit {}: {how} {windows} windows", told(Some(bound)), bound.words(limit.metric));
            result(limit, (value, stable), verdict, why)
        }
    }
}
