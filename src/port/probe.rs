//! Whoever answers one question about rollouts: their numbers.

use async_trait::async_trait;
use flightdeck_model::{ArmRole, ArmSample, Histogram, Indicator, Rollout, SourceId, Tally, Target, Version};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
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

/// How many requests of services were good, over one window of any length that ends now.
#[derive(Debug, Clone)]
pub struct TallyQuestion {
    /// All rows that there are, so that no number is taken for another row's.
    pub rows: Vec<Arc<Rollout>>,
    /// Whose numbers are wanted.
    pub wanted: BTreeSet<Target>,
    pub window: SignedDuration,
    /// By what requests count as good.
    pub indicators: BTreeSet<Indicator>,
}

/// The answer about one row and one indicator, all versions together.
#[derive(Debug, Clone, PartialEq)]
pub struct RowTally {
    pub target: Target,
    pub indicator: Indicator,
    /// `Err`: why it has no numbers of them, in a sentence.
    pub found: Result<Tally, String>,
}

/// Why a row has no numbers, or one of its sides has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unmeasured {
    /// Nothing was found of any side.
    NoSeries,
    /// There are requests, and it is not known which of them failed.
    NoStatus,
    /// The system's labels do not tell the sides apart.
    NotToldApart,
    /// Several rows say that the same numbers are theirs.
    Contested,
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

/// What each question of a probe found, for whoever sets it up.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProbeReport {
    /// By what the sides of rows are told apart: `the label pod without its last part`.
    pub told_apart_by: String,
    /// In the order in which they are asked.
    pub queries: Vec<QueryReport>,
    /// One a row that it could measure; none where the questions about requests and errors were not answered.
    pub rows: Vec<RowReport>,
}

/// One question and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryReport {
    /// What it is about: `requests`.
    pub metric: String,
    /// As it was asked.
    pub query: String,
    pub found: Result<Found, ProbeError>,
}

/// What a question found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// How many series with a number.
    pub series: usize,
    /// When the newest of what they are made of was measured, by the system's clock; `None`: it does not say.
    pub newest: Option<Timestamp>,
    /// Its own words on what may be missing.
    pub warnings: Vec<String>,
}

/// What was found of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct RowReport {
    pub target: Target,
    /// The sides that have numbers.
    pub measured: Vec<ArmRole>,
    /// The sides that have none.
    pub without: Vec<ArmRole>,
    /// Why, each in a sentence, too.
    pub why: Vec<(Unmeasured, String)>,
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
    /// Counts requests over a window as long as an objective's: one query an indicator, never one a row, within a time
    /// limit of its own. Nothing is said of rows that it does not measure at all.
    async fn tally(&self, _question: &TallyQuestion, _now: Timestamp) -> Result<Vec<RowTally>, ProbeError> {
        Err(ProbeError::Refused { why: "this kind of source counts nothing over windows of objectives".to_owned() })
    }
    /// Asks each question once and says what each found, within the same time limit.
    async fn explain(&self, rows: &[Arc<Rollout>], now: Timestamp) -> ProbeReport;
}
