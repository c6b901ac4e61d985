//! Whoever answers one question about rollouts: their numbers.

use async_trait::async_trait;
use flightdeck_model::{ArmSample, Rollout, SourceId};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Numbers of rows, as they were measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// One a side of a rollout that was found; a side without a sample has no numbers, which is not zero.
    pub samples: Vec<ArmSample>,
    /// What the system warned of, or why rows have no numbers, a sentence each. Nothing that makes a sample wrong:
    /// such a sample is left out.
    pub warnings: Vec<String>,
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
