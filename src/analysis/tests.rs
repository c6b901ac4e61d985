use super::*;
use flightdeck_model::{AnalysisTemplate, Histogram, Judge, Metric, MetricLimit, MetricVerdict, Missing, Ppm};
use jiff::{SignedDuration, Timestamp};

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
        judge: Judge::Sequential,
    }
}

const fn limit(metric: Metric, max: Option<f64>, over: Option<f64>, ratio: Option<f64>) -> MetricLimit {
    MetricLimit { metric, max, over_stable: over, ratio_to_stable: ratio }
}

fn judged(limits: &[MetricLimit], candidate: &Totals, stable: &Totals) -> (MetricVerdict, String) {
    let at = Timestamp::UNIX_EPOCH;
    let span = Span { from: at, to: at, candidate, stable };
    let report = threshold::judge(&template(limits), "golden", &span);
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
        let candidate = totals(requests, errors, &[]);
        let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let span = Span { from, to, candidate: &candidate, stable: &stable };
        assert_eq!(threshold::clearly_fails(&template, &span), certain, "{errors}/{requests}");
    }
}

/// What a sequential judge sees of a candidate, second for second.
struct Course {
    template: AnalysisTemplate,
    sequential: Sequential,
    candidate: Totals,
    stable: Totals,
    share: Ppm,
}

impl Course {
    fn new(limits: &[MetricLimit]) -> Course {
        let (candidate, stable) = (Totals::default(), Totals::default());
        let sequential = Sequential::default();
        Course { template: template(limits), sequential, candidate, stable, share: Ppm::percent(5) }
    }

    fn second(&mut self, candidate: &Totals, stable: &Totals) {
        self.sequential.observe(&self.template, Window { share: self.share, candidate, stable });
        self.candidate.add(candidate.requests, candidate.errors, &candidate.latency);
        self.stable.add(stable.requests, stable.errors, &stable.latency);
    }

    fn judged(&self, over: bool) -> (Verdict, String) {
        let at = Timestamp::UNIX_EPOCH;
        let span = Span { from: at, to: at, candidate: &self.candidate, stable: &self.stable };
        let report = self.sequential.report(&self.template, "golden", 1, &span);
        (self.sequential.verdict(&self.template, 1, &span, over), summary(&report))
    }

    /// Seconds until it fails, at most so many.
    fn until_failed(&mut self, most: usize, mut each: impl FnMut(usize) -> (Totals, Totals)) -> Option<usize> {
        (1..=most).find(|second| {
            let (candidate, stable) = each(*second);
            self.second(&candidate, &stable);
            self.judged(false).0 == Verdict::Fail
        })
    }
}

/// Latencies of which so many are ten times as long.
fn latencies(requests: u32, ms: u32, slow: u32) -> Totals {
    let all: Vec<_> = (0..requests).map(|n| if n < slow { ms * 10 } else { ms }).collect();
    totals(u64::from(requests), 0, &all)
}

#[test]
fn verdicts_at_the_end_and_on_the_way() {
    use Verdict::{Continue, Fail, Inconclusive, Pass};
    let example = [limit(Metric::ErrorRate, Some(0.01), Some(0.005), None)];
    // Seconds with so many errors of ten requests each, and of a hundred at stable: on the way, at the end.
    for (seconds, errors, of_stable, on_the_way, at_the_end, why) in [
        (100, 3, 30, Continue, Pass, "errors 0.3 % against 0.3 % at stable, at most 1 %, at most 0.5 % over stable"),
        (
            60,
            8,
            20,
            Continue,
            Inconclusive,
            "errors 1.3 % against 0.3 % at stable, over the limit 1 %, which 600 requests can be by chance",
        ),
        (
            100,
            60,
            30,
            Fail,
            Fail,
            "errors 6.1 % against 0.3 % at stable, limit 0.5 % over stable: 60 of 990 requests failed",
        ),
        (19, 0, 0, Continue, Inconclusive, "errors: too little data, 190 of 200 requests at the candidate"),
        // What is certain needs no minimum of requests.
        (3, 30, 1, Fail, Fail, "errors 100 % against 0.3 % at stable, limit 1 %: 30 of 30 requests failed"),
    ] {
        let mut course = Course::new(&example);
        let share = |all: u64, second: u64| all * (second + 1) / seconds - all * second / seconds;
        for second in 0..seconds {
            let stable = totals(100, share(of_stable, second), &[]);
            course.second(&totals(10, share(errors, second), &[]), &stable);
        }
        assert_eq!(course.judged(false).0, on_the_way, "{errors} errors");
        assert_eq!(course.judged(true), (at_the_end, why.to_owned()));
    }
    let mut alone = Course::new(&example);
    (0..30).for_each(|_| alone.second(&totals(10, 0, &[]), &totals(0, 0, &[])));
    assert_eq!(alone.judged(true), (Inconclusive, "errors 0 %, no data of stable to compare with".to_owned()));
    assert_eq!(Course::new(&[]).judged(true), (Inconclusive, "nothing to judge by".to_owned()));
}

#[test]
fn a_slow_candidate_is_found_by_its_quantile_and_by_stable_s() {
    let absolute = [limit(Metric::LatencyP99, Some(300.0), None, None)];
    let relative = [limit(Metric::LatencyP99, None, None, Some(1.5))];
    let over = [limit(Metric::LatencyP99, None, Some(100.0), None)];
    // One in a hundred takes 200 ms at stable.
    let stable = || latencies(400, 20, 5);
    // Every so many seconds one of twenty is slow at the candidate.
    for (limits, ms, each, found, why) in [
        (&absolute, 20, 5, false, ""),
        (&absolute, 40, 1, true, "p99 397 ms against 199 ms at stable, limit 300 ms: "),
        (&relative, 20, 5, false, ""),
        (&relative, 28, 5, false, ""),
        (&relative, 40, 1, true, "p99 397 ms against 197 ms at stable, limit 1.5 × stable: "),
        (&over, 28, 5, false, ""),
        (&over, 40, 1, true, "p99 397 ms against 197 ms at stable, limit 100 ms over stable: "),
    ] {
        let mut course = Course::new(limits);
        let failed = course.until_failed(120, |second| (latencies(20, ms, u32::from(second % each == 0)), stable()));
        assert_eq!(failed.is_some_and(|seconds| seconds < 30), found, "{limits:?} {ms} ms: {failed:?}");
        let (_, said) = course.judged(true);
        assert!(!found || said.starts_with(why) && said.ends_with("requests were slower"), "{said}");
    }
}

#[test]
fn a_few_slow_requests_fail_nobody() {
    let mut course = Course::new(&[limit(Metric::LatencyP95, Some(500.0), None, None)]);
    let failed = course.until_failed(100, |_| (totals(5, 0, &[800; 5]), totals(95, 0, &[20; 95])));
    assert_eq!(failed, Some(40), "with the two hundredth request");
}

#[test]
fn what_hits_both_arms_fails_neither_and_what_hits_one_late_fails_it() {
    let relative = [limit(Metric::ErrorRate, None, Some(0.005), None)];
    let mut course = Course::new(&relative);
    // A minute in which half of all fails everywhere, as when what both call is away.
    let both = |second: usize| {
        let bad = second % 120 > 60;
        let errors = if bad { (10, 50) } else { (0, 0) };
        (totals(20, errors.0, &[]), totals(100, errors.1, &[]))
    };
    assert_eq!(course.until_failed(3600, both), None);
    let one = course.until_failed(60, |_| (totals(20, 1, &[]), totals(100, 0, &[])));
    assert!(one.is_some(), "an hour of good numbers hides nothing");
    let (_, said) = course.judged(false);
    assert!(said.contains("5 % against 0 % at stable"), "told since it went wrong: {said}");
}

#[test]
fn what_a_judge_has_seen_is_bounded_and_survives_a_restart() {
    let limits = [
        limit(Metric::ErrorRate, Some(0.01), Some(0.005), Some(2.0)),
        limit(Metric::LatencyP99, Some(300.0), Some(100.0), Some(1.5)),
    ];
    let mut course = Course::new(&limits);
    let mut sizes = Vec::new();
    for second in 0..4000_u32 {
        course.share = if second < 2000 { Ppm::percent(5) } else { Ppm::percent(50) };
        let candidate = latencies(20, 20 + second % 50, u32::from(second % 6 == 0));
        course.second(&candidate, &latencies(400, 20 + second % 50, 4));
        if second % 1000 == 999 {
            let text = serde_json::to_string(&course.sequential).unwrap();
            let restored: Sequential = serde_json::from_str(&text).unwrap();
            course.sequential = restored;
            sizes.push(text.len());
        }
    }
    assert!(sizes.iter().all(|size| *size < 20_000), "{sizes:?}");
    assert_eq!(course.judged(false).0, Verdict::Continue);
}

#[test]
fn windows_of_a_clock_that_is_read_early_join_and_those_that_overlap_count_once() {
    let at = |millis: i64| Timestamp::from_millisecond(1_790_000_000_000 + millis).unwrap();
    let limit = MetricLimit { metric: Metric::ErrorRate, max: Some(0.01), over_stable: None, ratio_to_stable: None };
    let mut running = Running::new("watchdog", template(&[limit]));
    let mut observe = |from, to| {
        let (candidate, stable) = (totals(100, 1, &[]), totals(900, 1, &[]));
        running.observe(Measured { from: at(from), to: at(to), share: Ppm::percent(10), candidate, stable });
        running.report().map(|report| report.candidate_requests)
    };
    assert_eq!(observe(0, 1000), Some(100));
    assert_eq!(observe(950, 1950), Some(200), "read 50 ms early");
    assert_eq!(observe(1500, 2500), Some(200), "half of it was counted");
    assert_eq!(observe(1000, 1950), Some(200));
    assert_eq!(observe(1950, 2950), Some(300));
}
