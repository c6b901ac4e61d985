//! What came back, counted.

use super::client::{Ending, Kind, Outcome};
use crate::model::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures told in words.
const EXAMPLES: usize = 10;
/// Failures told with their times.
const FAILURES: usize = 10_000;

/// The result of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Begun, streams included.
    pub sent: u64,
    /// Answered 2xx and whole.
    pub ok: u64,
    /// Answered with an error that the service marked as injected.
    pub injected: u64,
    /// Everything else that ended.
    pub failed: Failed,
    /// Not ended yet, or cut by the end of the run.
    pub unfinished: u64,
    /// Of `ok`, streamed answers.
    pub streams: u64,
    /// Kept-alive connections that the server had closed before the next request: no failure.
    pub reopened: u64,
    /// Of ok and injected answers, without streams, from the intended time.
    pub latency_us: LatencyMicros,
    /// Answers by `x-sample-version`.
    pub versions: BTreeMap<String, u64>,
    /// The first failures in words.
    pub examples: Vec<String>,
    /// The first failures with their times.
    #[serde(default)]
    pub failures: Vec<Failure>,
}

/// One failure, to be compared with what happened at that time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Its field in [`Failed`].
    pub kind: String,
    /// A streamed answer.
    pub stream: bool,
    /// When it was to be sent: seconds on `CLOCK_MONOTONIC`.
    pub sent: f64,
    /// When it ended, likewise.
    pub ended: f64,
}

/// Failures by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Refused, or the connection ended without an answer.
    pub reset: u64,
    /// Not done in time.
    pub timeout: u64,
    /// The answer broke off.
    pub short_body: u64,
    /// A status other than 2xx that is not marked as injected.
    pub status: u64,
}

impl Failed {
    /// All kinds.
    pub fn total(&self) -> u64 {
        self.reset + self.timeout + self.short_body + self.status
    }
}

/// Quantiles in microseconds; `None` without requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyMicros {
    /// Median.
    pub p50: Option<u32>,
    /// 95th percentile.
    pub p95: Option<u32>,
    /// 99th percentile.
    pub p99: Option<u32>,
    /// 99.9th percentile.
    pub p999: Option<u32>,
    /// Longest.
    pub max: Option<u32>,
}

/// The counts so far.
#[derive(Debug, Default)]
pub struct Tally {
    summary: Summary,
    latency: Histogram,
}

impl Tally {
    /// A request began.
    pub fn sent(&mut self) {
        self.summary.sent += 1;
        self.summary.unfinished += 1;
    }

    /// A request ended.
    pub fn ended(&mut self, outcome: Outcome) {
        let Outcome { kind, ending, version, latency, ended, reopened, target } = outcome;
        let all = &mut self.summary;
        all.unfinished = all.unfinished.saturating_sub(1);
        all.reopened += u64::from(reopened);
        if let Some(version) = version {
            *all.versions.entry(version).or_default() += 1;
        }
        let mut example = |what: &str, why: String| {
            if all.examples.len() < EXAMPLES {
                all.examples.push(format!("{what}: {} {kind:?}: {why}", target.uri));
            }
            if all.failures.len() < FAILURES {
                let (ended, sent) = (ended.as_secs_f64(), ended.saturating_sub(latency).as_secs_f64());
                all.failures.push(Failure { kind: what.replace(' ', "_"), stream: kind == Kind::Stream, sent, ended });
            }
        };
        match ending {
            Ending::Ok | Ending::Injected if kind != Kind::Stream => {
                self.latency.record(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
                let count = if ending == Ending::Ok { &mut all.ok } else { &mut all.injected };
                *count += 1;
            }
            Ending::Ok => (all.ok, all.streams) = (all.ok + 1, all.streams + 1),
            Ending::Injected => all.injected += 1,
            Ending::Reset(why) => {
                example("reset", why);
                all.failed.reset += 1;
            }
            Ending::Timeout => {
                example("timeout", format!("after {latency:?}"));
                all.failed.timeout += 1;
            }
            Ending::ShortBody(why) => {
                example("short body", why);
                all.failed.short_body += 1;
            }
            Ending::Status(status, reason) => {
                example("status", format!("{status} {reason}"));
                all.failed.status += 1;
            }
        }
    }

    /// The result so far.
    pub fn summary(&self, elapsed: Duration) -> Summary {
        let quantile = |q| self.latency.quantile(q);
        let latency_us = LatencyMicros {
            p50: quantile(0.5),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: quantile(1.0),
        };
        Summary { elapsed_s: elapsed.as_secs_f64(), latency_us, ..self.summary.clone() }
    }
}
