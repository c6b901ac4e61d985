//! What was measured and judged.

use super::Run;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One limit of an analysis, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// `error_rate`, `latency_p99`, …
    pub name: String,
    /// The candidate's value (a ratio, or milliseconds for latencies).
    pub candidate: Option<f64>,
    /// Stable's value over the same span.
    pub stable: Option<f64>,
    /// The limit in words with its unit, such as `at most 1 %`.
    pub limit: String,
    /// The most that the limit allows whatever stable does; `None`: it goes by stable only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Unit of the values: `ratio` or `ms`.
    pub unit: String,
    pub verdict: MetricVerdict,
    /// One sentence with the numbers.
    pub why: String,
}

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricVerdict {
    /// Within its limits, with enough data.
    Pass,
    /// Over a limit.
    Fail,
    /// Too little data to say, or what was seen may be chance.
    Missing,
}

/// A judgement over a span, with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisReport {
    /// The template's name.
    pub template: String,
    /// Judged from.
    pub from: Timestamp,
    /// Judged to.
    pub to: Timestamp,
    /// Requests that reached the candidate.
    pub candidate_requests: u64,
    /// Requests that reached stable.
    pub stable_requests: u64,
    /// Worst of its metrics.
    pub verdict: MetricVerdict,
    /// Each limit.
    pub metrics: Vec<MetricResult>,
}

/// What speaks for or against a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Unique within its source.
    pub id: String,
    pub run: Run,
    /// When it was found.
    pub at: Timestamp,
    /// `analysis`, later `scan`, `signature`, …
    pub kind: String,
    /// The numbers, for `analysis`.
    pub analysis: Option<AnalysisReport>,
    pub summary: String,
}
