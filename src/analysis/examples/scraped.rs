//! How often each judge fails a good canary, and how long it takes to find a bad one, on numbers as a watchdog gets them
//! from a Prometheus: counters scraped each 15 or 30 s, a scrape missed now and then, a counter reset now and then.
//!
//! `cargo run --release -p flightdeck-analysis --example scraped -- [CANARIES]`

#![expect(clippy::print_stdout, reason = "it is a program of its own")]
#![expect(clippy::cast_precision_loss, reason = "a count of canaries")]

use flightdeck_analysis::{Measured, Running, Totals};
use flightdeck_model::{AnalysisTemplate, Histogram, Judge, Metric, MetricLimit, Missing, Ppm};
use jiff::{SignedDuration, Timestamp};

/// Requests a second of each side.
const RATES: [f64; 2] = [10.0, 90.0];
/// Failed requests of what is good.
const GOOD: f64 = 0.003;
const MISSED: f64 = 0.05;
const RESET: f64 = 0.01;
/// How long a canary is watched.
const MINUTES: i64 = 60;

/// One pod's counters, as a server scraped them last.
#[derive(Default, Clone, Copy)]
struct Counter {
    now: (u64, u64),
    scraped: (u64, u64),
    asked: (u64, u64),
}

impl Counter {
    /// What the counter grew by since the last question: after a reset what it has by now.
    fn increase(&mut self) -> (u64, u64) {
        let (new, old) = (self.scraped, self.asked);
        self.asked = new;
        if new.0 < old.0 { new } else { (new.0 - old.0, new.1.saturating_sub(old.1)) }
    }
}

fn poisson(random: &mut fastrand::Rng, mean: f64) -> u64 {
    let (limit, mut product, mut count) = ((-mean).exp(), random.f64(), 0);
    while product > limit {
        product *= random.f64();
        count += 1;
    }
    count
}

fn template(judge: Judge) -> AnalysisTemplate {
    let limit =
        MetricLimit { metric: Metric::ErrorRate, max: Some(0.01), over_stable: Some(0.005), ratio_to_stable: None };
    let window = SignedDuration::from_mins(1);
    AnalysisTemplate { limits: vec![limit], min_requests: 100, missing: Missing::Pause, window, judge }
}

/// After how many seconds the canary is failed, if it is.
fn canary(random: &mut fastrand::Rng, judge: Judge, scrape: i64, failing: f64) -> Option<i64> {
    let at = |second: i64| Timestamp::from_second(1_790_000_000 + second).unwrap_or(Timestamp::MAX);
    let mut running = Running::new("watchdog", template(judge));
    let mut sides = [Counter::default(); 2];
    let shift = random.i64(0..scrape);
    for second in 1..=MINUTES * 60 {
        for (side, (rate, failing)) in sides.iter_mut().zip(RATES.into_iter().zip([failing, GOOD])) {
            let requests = poisson(random, rate);
            let failed = (0..requests).filter(|_| random.f64() < failing).count();
            side.now = (side.now.0 + requests, side.now.1 + u64::try_from(failed).unwrap_or(0));
            if (second + shift) % scrape == 0 {
                if random.f64() < RESET {
                    side.now = (0, 0);
                }
                if random.f64() >= MISSED {
                    side.scraped = side.now;
                }
            }
        }
        if second % 15 == 0 {
            let [candidate, stable] = sides.each_mut().map(|side| {
                let (requests, errors) = side.increase();
                Totals { requests, errors, latency: Histogram::default() }
            });
            let (from, to, share) = (at(second - 15), at(second), Ppm::percent(10));
            running.observe(Measured { from, to, share, candidate, stable });
            if running.breach().is_some() {
                return Some(second);
            }
        }
    }
    None
}

fn main() {
    let canaries: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(500);
    println!(
        "{canaries} canaries each, {MINUTES} minutes, {} of {} requests/s, {GOOD} fail at stable",
        RATES[0],
        RATES[0] + RATES[1]
    );
    println!("| judge | scraped each | good ones failed | 2 % fail: found, median s | 5 % fail: found, median s |");
    println!("|---|---|---|---|---|");
    for judge in [Judge::Sequential, Judge::MannWhitney, Judge::Threshold] {
        for scrape in [15, 30] {
            let mut random = fastrand::Rng::with_seed(7);
            let mut all = |failing: f64| {
                let mut found: Vec<i64> =
                    (0..canaries).filter_map(|_| canary(&mut random, judge, scrape, failing)).collect();
                found.sort_unstable();
                let share = 100.0 * found.len() as f64 / canaries as f64;
                (share, found.get(found.len() / 2).copied())
            };
            let (good, (slight, slight_at), (bad, bad_at)) = (all(GOOD).0, all(0.02), all(0.05));
            println!(
                "| {judge:?} | {scrape} s | {good:.1} % | {slight:.0} %, {slight_at:?} | {bad:.0} %, {bad_at:?} |"
            );
        }
    }
}
