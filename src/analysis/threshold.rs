//! The plain rule: a value beyond its limit fails. For who asks for it with `judge = "threshold"`; looked at
//! again and again it fails at some time what is as good as stable.

use super::span::{Plain, Span, estimate, passed, plain, result};
use super::words::{Bound, values};
use flightdeck_model::{AnalysisReport, AnalysisTemplate, MetricVerdict};

/// Judges a candidate over a span. Too few requests at the candidate, or no numbers of stable where
/// a limit compares with it, is `Missing`; an absolute limit that is broken stays `Fail`.
#[must_use]
pub fn judge(template: &AnalysisTemplate, name: &str, span: &Span<'_>) -> AnalysisReport {
    let judge = |limit| match plain(limit, template, span) {
        (Plain::Within, value, stable) => passed(limit, value, stable),
        (Plain::Missing(why), value, stable) => result(limit, (value, stable), MetricVerdict::Missing, why),
        (Plain::Beyond(bound), value, stable) => {
            let said = value.map_or_else(String::new, |value| values(limit.metric, value, stable, Some(bound)));
            let why = format!("{said}, limit {}", bound.words(limit.metric));
            result(limit, (value, stable), MetricVerdict::Fail, why)
        }
    };
    span.report(name, template.limits.iter().map(judge).collect())
}

/// Is a value beyond its limit?
#[must_use]
pub fn fails(template: &AnalysisTemplate, span: &Span<'_>) -> bool {
    template.limits.iter().any(|limit| matches!(plain(limit, template, span).0, Plain::Beyond(_)))
}

/// Is it failing so clearly that the rest of the span can't be hoped for? Compares the favourable
/// end of each value's 99 % interval (Wilson's for ratios, order statistics for quantiles).
#[must_use]
pub fn clearly_fails(template: &AnalysisTemplate, span: &Span<'_>) -> bool {
    span.candidate.requests >= template.min_requests
        && template.limits.iter().any(|limit| {
            let Some(value) = estimate(limit.metric, span.candidate) else { return false };
            let stable = estimate(limit.metric, span.stable);
            Bound::all(limit).any(|bound| bound.broken(value.low, stable.map(|stable| stable.high)))
        })
}
