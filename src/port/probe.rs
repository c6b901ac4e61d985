//! Whoever answers one question about rollouts: their numbers.

use async_trait::async_trait;
use flightdeck_model::{ArmRole, ArmSample, Histogram, Rollout, SourceId, Target, Version};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Numbers of rows, as they were measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// One a side of a rollout that was found; a side without a sample has no numbers, which is not zero.
    pub samples: Vec<ArmSample>,
    /// What a judge may add up, of sides whose counters were seen before. Empty where a system tells rates only.
    pub increases: Vec<ArmIncrease>,
    /// What the system warned of, or why rows have no numbers, a sentence each. Nothing that makes a sample wrong:
    /// such a sample is left out.
    pub warnings: Vec<String>,
}

/// What the counters of one side grew by between two answers of one probe. Unlike a sample's rates, which may be taken
/// over overlapping windows, two of them never count a request twice, and what one misses another has.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmIncrease {
    pub target: Target,
    pub role: ArmRole,
    pub version: Version,
    pub from: Timestamp,
    pub to: Timestamp,
    pub requests: u64,
    /// Of those, failed; never more than them.
    pub errors: u64,
    /// Of those that were answered, as exactly as the system's buckets say it, each at its bucket's lower bound. Empty
    /// where it has none.
    pub latency: Histogram,
}

/// Why there are no numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// No answer, or one that breaks off: another time it may be there.
    #[error("no answer: {why}")]
    Unreachable { why: String },
    /// It said no, or what it said is no answer.
    #[error("{why}")]
    Refused {
        /// What it said.
        why: String,
    },
}

/// Measures rollouts, whoever steers them. Nothing is changed by it.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// What it is called.
    fn source(&self) -> &SourceId;
    /// How often it is asked, and so how long a window is.
    fn every(&self) -> Duration;
    /// The numbers of these rows in the window that ends `now`: one query a metric, never one a row, within a
    /// time limit of its own. Without a row that it could measure it only sees whether it is answered.
    async fn measure(&self, rows: &[Arc<Rollout>], now: Timestamp) -> Result<Measured, ProbeError>;
}
