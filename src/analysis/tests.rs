use super::*;
use crate::model::Missing;
use jiff::SignedDuration;

fn totals(requests: u64, errors: u64, ms: &[u32]) -> Totals {
    let mut totals = Totals { requests, errors, latency: Histogram::default() };
    for ms in ms {
        totals.latency.record(ms * 1000);
    }
    totals
}

fn template(limits: &[MetricLimit]) -> AnalysisTemplate {
    AnalysisTemplate {
        limits: limits.to_vec(),
        min_requests: 200,
        missing: Missing::Pause,
        window: SignedDuration::from_secs(60),
    }
}

const fn limit(metric: Metric, max: Option<f64>, over: Option<f64>, ratio: Option<f64>) -> MetricLimit {
    MetricLimit { metric, max, over_stable: over, ratio_to_stable: ratio }
}

fn judged(limits: &[MetricLimit], candidate: &Totals, stable: &Totals) -> (MetricVerdict, String) {
    let at = Timestamp::UNIX_EPOCH;
    let report = judge(&template(limits), "golden", candidate, stable, at, at);
    (report.verdict, summary(&report))
}

#[test]
fn verdicts_with_their_sentences() {
    use MetricVerdict::{Fail, Missing, Pass};
    let errors = |max, over, ratio| limit(Metric::ErrorRate, max, over, ratio);
    let p99 = limit(Metric::LatencyP99, Some(300.0), None, Some(1.5));
    let none = totals(0, 0, &[]);
    let good = totals(1000, 3, &[100; 50]);
    for (limits, candidate, stable, verdict, why) in [
        (
            errors(Some(0.01), None, None),
            totals(1000, 41, &[]),
            good.clone(),
            Fail,
            "errors 4.1 % against 0.3 % at stable, limit 1 %",
        ),
        (
            errors(Some(0.01), Some(0.005), None),
            totals(1000, 9, &[]),
            good.clone(),
            Fail,
            "errors 0.9 % against 0.3 % at stable, limit 0.5 % over stable",
        ),
        (
            errors(None, None, Some(2.0)),
            totals(1000, 7, &[]),
            good.clone(),
            Fail,
            "errors 0.7 % against 0.3 % at stable, limit 2 × stable",
        ),
        (
            errors(Some(0.01), None, None),
            totals(200, 2, &[]),
            good.clone(),
            Pass,
            "errors 1 % against 0.3 % at stable, at most 1 %",
        ),
        // Too little data is not a pass, and not a fail either.
        (
            errors(Some(0.01), None, None),
            totals(199, 150, &[]),
            good.clone(),
            Missing,
            "errors: too little data, 199 of 200 requests at the candidate",
        ),
        (
            errors(Some(0.01), None, None),
            none.clone(),
            good.clone(),
            Missing,
            "errors: no data, no request reached the candidate",
        ),
        // Stable has no data: what compares with it is missing, what is absolute still fails.
        (
            errors(Some(0.01), Some(0.005), None),
            totals(1000, 0, &[]),
            none.clone(),
            Missing,
            "errors 0 %, no data of stable to compare with",
        ),
        (errors(Some(0.01), Some(0.005), None), totals(1000, 900, &[]), none.clone(), Fail, "errors 90 %, limit 1 %"),
        (
            p99.clone(),
            totals(300, 0, &[400; 300]),
            good.clone(),
            Fail,
            "p99 397 ms against 99.3 ms at stable, limit 300 ms",
        ),
        (p99.clone(), totals(300, 300, &[]), good.clone(), Missing, "p99: no data, none of 300 requests was answered"),
        (
            errors(None, None, None),
            totals(300, 0, &[]),
            good.clone(),
            Missing,
            "errors 0 % against 0.3 % at stable, no limit is set",
        ),
    ] {
        let (got, said) = judged(std::slice::from_ref(&limits), &candidate, &stable);
        assert_eq!((got, said.as_str()), (verdict, why));
    }
    assert_eq!(judged(&[], &good, &good).0, Missing, "nothing to judge by is no pass");
    let both = [errors(Some(0.01), None, None), p99];
    assert_eq!(judged(&both, &totals(300, 30, &[]), &good).0, Fail, "a fail weighs more than what is missing");
}

#[test]
fn a_judgement_before_the_end_must_be_certain() {
    let template = template(&[limit(Metric::ErrorRate, Some(0.01), None, None)]);
    let stable = totals(1000, 1, &[]);
    // Over the limit, but as likely chance; then beyond doubt; then far beyond with too few requests.
    for (requests, errors, certain) in [(200, 4, false), (200, 20, true), (199, 199, false), (20_000, 260, true)] {
        assert_eq!(clearly_fails(&template, &totals(requests, errors, &[]), &stable), certain, "{errors}/{requests}");
    }
}
