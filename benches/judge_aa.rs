//! How often a candidate that is as good as stable is rolled back, and how soon one that is worse is.
//!
//! `cargo bench --bench judge_aa`; `ROLLOUTS=1000` for fewer of each. A tenth of that for what is found. Each
//! rollout has a background analysis with the documented limits, stable has 95 % of the requests, and the judge
//! looks each second.
#![expect(clippy::print_stdout, reason = "a bench tells what it found")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "counts and times are small and positive"
)]

use fastrand::Rng;
use flightdeck::analysis::{Sequential, Span, Totals, Verdict, Window, threshold};
use flightdeck::model::{AnalysisTemplate, Histogram, Judge, Metric, MetricLimit, Missing, Ppm};
use jiff::{SignedDuration, Timestamp};
use std::collections::VecDeque;

/// Candidate's requests a second.
const RATES: [f64; 3] = [5.0, 20.0, 100.0];
/// Stable's requests for each of the candidate's.
const STABLE: f64 = 19.0;
const TEN_MINUTES: usize = 600;
const TWO_HOURS: usize = 7200;
/// Median latency, and the spread of its logarithm: the 99th percentile is twice the median.
const MEDIAN_MS: f64 = 50.0;
const SIGMA: f64 = 0.3;

fn template(judge: Judge, errors: MetricLimit, latency: Option<MetricLimit>) -> AnalysisTemplate {
    let limits = std::iter::once(errors).chain(latency).collect();
    let window = SignedDuration::from_mins(1);
    AnalysisTemplate { limits, min_requests: 200, missing: Missing::Pause, window, judge }
}

/// As documented: at most 1 % errors and 0.5 % over stable, p99 at most 300 ms and 1.5 times stable's.
const ERRORS: MetricLimit =
    MetricLimit { metric: Metric::ErrorRate, max: Some(0.01), over_stable: Some(0.005), ratio_to_stable: None };
const LATENCY: MetricLimit =
    MetricLimit { metric: Metric::LatencyP99, max: Some(300.0), over_stable: None, ratio_to_stable: Some(1.5) };
/// No worse than stable at all, and a tenth slower.
const NO_WORSE: MetricLimit =
    MetricLimit { metric: Metric::ErrorRate, max: None, over_stable: Some(0.0), ratio_to_stable: None };
const HARDLY_SLOWER: MetricLimit =
    MetricLimit { metric: Metric::LatencyP99, max: None, over_stable: None, ratio_to_stable: Some(1.1) };

/// How an arm answers.
#[derive(Clone, Copy)]
struct Arm {
    rate: f64,
    errors: f64,
    /// Times the median latency; `None`: latencies are not looked at.
    slower: Option<f64>,
}

/// A number of events whose mean that is.
fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    if mean > 50.0 {
        return (mean + mean.sqrt() * normal(rng)).round().max(0.0) as u64;
    }
    let (mut count, mut chance) = (0, (-mean).exp());
    let (mut sum, at) = (chance, rng.f64());
    while at > sum && count < 1000 {
        count += 1;
        chance *= mean / count as f64;
        sum += chance;
    }
    count
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

fn second(rng: &mut Rng, arm: Arm) -> Totals {
    let requests = poisson(rng, arm.rate);
    let errors = poisson(rng, requests as f64 * arm.errors).min(requests);
    let mut latency = Histogram::default();
    for _ in 0..arm.slower.map_or(0, |_| requests) {
        let ms = MEDIAN_MS * arm.slower.unwrap_or(1.0) * (SIGMA * normal(rng)).exp();
        latency.record((ms * 1000.0) as u32);
    }
    Totals { requests, errors, latency }
}

/// What the rule sees of the last minute.
#[derive(Default)]
struct Sliding {
    seconds: VecDeque<(Totals, Totals)>,
    candidate: Totals,
    stable: Totals,
}

impl Sliding {
    fn add(&mut self, candidate: Totals, stable: Totals) {
        for (sum, of) in [(&mut self.candidate, &candidate), (&mut self.stable, &stable)] {
            sum.add(of.requests, of.errors, &of.latency);
        }
        self.seconds.push_back((candidate, stable));
        if self.seconds.len() > 60 {
            let Some((candidate, stable)) = self.seconds.pop_front() else { return };
            for (sum, of) in [(&mut self.candidate, &candidate), (&mut self.stable, &stable)] {
                (sum.requests, sum.errors) = (sum.requests - of.requests, sum.errors - of.errors);
                for (bucket, count) in &of.latency.0 {
                    sum.latency.0.entry(*bucket).and_modify(|sum| *sum -= count);
                }
            }
        }
    }
}

/// After how many seconds and requests at the candidate it was rolled back, if ever.
fn rolled_back(
    rng: &mut Rng,
    template: &AnalysisTemplate,
    candidate: Arm,
    stable: Arm,
    seconds: usize,
) -> Option<(usize, u64)> {
    let (mut sequential, mut sliding, mut requests) = (Sequential::default(), Sliding::default(), 0);
    let nothing = Totals::default();
    for now in 1..=seconds {
        let (of_candidate, of_stable) = (second(rng, candidate), second(rng, stable));
        requests += of_candidate.requests;
        let (from, to) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let fails = if template.judge == Judge::Sequential {
            let seen = Window { share: Ppm::percent(5), candidate: &of_candidate, stable: &of_stable };
            sequential.observe(template, seen);
            let span = Span { from, to, candidate: &nothing, stable: &nothing };
            sequential.verdict(template, 1, &span, false) == Verdict::Fail
        } else {
            sliding.add(of_candidate, of_stable);
            let span = Span { from, to, candidate: &sliding.candidate, stable: &sliding.stable };
            now >= 60 && threshold::fails(template, &span) || threshold::clearly_fails(template, &span)
        };
        if fails {
            return Some((now, requests));
        }
    }
    None
}

fn share(hits: usize, of: usize) -> String {
    format!("{:6.2} %", hits as f64 / of as f64 * 100.0)
}

fn good_ones(rng: &mut Rng, rollouts: usize) {
    println!("Rolled back though as good as stable, of {rollouts} rollouts: in 10 minutes, in 2 hours");
    for (what, latency, part) in [("errors", None, 1), ("errors and p99", Some(LATENCY), 20)] {
        for rate in RATES {
            for errors in [0.001, 0.003, 0.005] {
                let mut line = format!("{what:15} {rate:4}/s {:.1} %:", errors * 100.0);
                for judge in [Judge::Threshold, Judge::Sequential] {
                    let template = template(judge, ERRORS, latency.clone());
                    let slower = latency.as_ref().map(|_| 1.0);
                    let candidate = Arm { rate, errors, slower };
                    let stable = Arm { rate: rate * STABLE, ..candidate };
                    let of = (rollouts / part).max(1);
                    let seconds = if latency.is_some() { TEN_MINUTES } else { TWO_HOURS };
                    let ends: Vec<_> =
                        (0..of).filter_map(|_| rolled_back(rng, &template, candidate, stable, seconds)).collect();
                    let soon = ends.iter().filter(|(second, _)| *second <= TEN_MINUTES).count();
                    let late = if seconds == TWO_HOURS { share(ends.len(), of) } else { format!("(of {of})") };
                    line = format!("{line}  {judge:?} {} {late}", share(soon, of));
                }
                println!("{line}");
            }
        }
    }
}

/// What is worse: its name, its limits, times the errors, times the latency.
type Worse = (&'static str, MetricLimit, Option<MetricLimit>, f64, f64);

fn bad_ones(rng: &mut Rng, rollouts: usize) {
    println!("Found, of {rollouts} rollouts with 0.3 % errors at stable: share, median seconds and requests");
    let worse: [Worse; 11] = [
        ("errors × 2, as documented", ERRORS, None, 2.0, 1.0),
        ("errors × 3, as documented", ERRORS, None, 3.0, 1.0),
        ("errors × 10, as documented", ERRORS, None, 10.0, 1.0),
        ("errors × 100, as documented", ERRORS, None, 100.0, 1.0),
        ("errors × 2, none over stable", NO_WORSE, None, 2.0, 1.0),
        ("errors × 3, none over stable", NO_WORSE, None, 3.0, 1.0),
        ("errors × 10, none over stable", NO_WORSE, None, 10.0, 1.0),
        ("p99 × 1.5, as documented", ERRORS, Some(LATENCY), 1.0, 1.5),
        ("p99 × 3, as documented", ERRORS, Some(LATENCY), 1.0, 3.0),
        ("p99 × 1.5, at most 1.1 times", NO_WORSE, Some(HARDLY_SLOWER), 1.0, 1.5),
        ("p99 × 3, at most 1.1 times", NO_WORSE, Some(HARDLY_SLOWER), 1.0, 3.0),
    ];
    for (what, errors, latency, times, slower) in worse {
        for rate in RATES {
            let mut line = format!("{what:30} {rate:4}/s:");
            for judge in [Judge::Threshold, Judge::Sequential] {
                let template = template(judge, errors.clone(), latency.clone());
                let slow = |times| latency.as_ref().map(|_| times);
                let candidate = Arm { rate, errors: 0.003 * times, slower: slow(slower) };
                let stable = Arm { rate: rate * STABLE, errors: 0.003, slower: slow(1.0) };
                // What is not found soon is not worth waiting for here.
                let (of, seconds) = if latency.is_some() { (rollouts / 10, 300) } else { (rollouts, TWO_HOURS) };
                let mut ends: Vec<_> =
                    (0..of).filter_map(|_| rolled_back(rng, &template, candidate, stable, seconds)).collect();
                ends.sort_unstable();
                let median = (ends.len() * 2 > of).then(|| ends.get(of / 2)).flatten();
                let median = median.map_or("-".to_owned(), |(seconds, requests)| format!("{seconds} s {requests}"));
                line = format!("{line}  {judge:?} {} {median:14}", share(ends.len(), of));
            }
            println!("{line}");
        }
    }
}

fn main() {
    let rollouts = std::env::var("ROLLOUTS").ok().and_then(|rollouts| rollouts.parse().ok()).unwrap_or(10_000);
    let mut rng = Rng::with_seed(7);
    good_ones(&mut rng, rollouts);
    bad_ones(&mut rng, (rollouts / 10).max(1));
}
