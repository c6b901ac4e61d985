//! What a person wants to run, checked: the content of `flightdeck.toml`.

use super::{EnvironmentName, ServiceName, Step, Tier};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A whole configuration. `Default` is the empty one of a new server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Environments by name.
    pub environments: BTreeMap<EnvironmentName, EnvironmentSpec>,
    /// Services by name.
    pub services: BTreeMap<ServiceName, ServiceSpec>,
    /// Analysis templates by name.
    pub analyses: BTreeMap<String, AnalysisTemplate>,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// Promotion order, lowest first.
    pub order: u32,
    /// How much care it asks for.
    pub tier: Tier,
    /// How many rollouts may be in flight at once; more wait in line.
    pub concurrent_rollouts: Option<u32>,
    /// May an author approve their own rollout?
    pub allow_self: bool,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Program and arguments, inside the unpacked artifact; `{port}`, `{instance}`, `{version}`
    /// and `{environment}` are filled in.
    pub run: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Variable → `file:PATH`; absolute by the time it is in here. Read at each start.
    pub secrets: BTreeMap<String, String>,
    /// How readiness is checked.
    pub health: HealthSpec,
    /// How an instance is ended.
    pub stop: StopSpec,
    /// Where it runs.
    pub placements: BTreeMap<EnvironmentName, Placement>,
}

/// How readiness is checked: `GET path` answers 2xx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// Path with a leading slash.
    pub path: String,
    /// Between two checks.
    pub interval: SignedDuration,
    /// So many good ones in a row make it ready.
    pub healthy: u32,
    /// So many bad ones in a row make it unhealthy.
    pub unhealthy: u32,
    /// Of one check.
    pub timeout: SignedDuration,
}

/// How an instance is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
    pub signal: String,
    /// Between that signal and SIGKILL; also the bound of draining.
    pub grace: SignedDuration,
}

/// What happens to a rollout in flight when a newer one is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The newer one takes its place.
    #[default]
    Supersede,
    /// The newer one waits.
    Queue,
}

/// A service in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Where its users reach it.
    pub listen: SocketAddr,
    /// Instances of a full pool.
    pub replicas: u32,
    /// A candidate that makes no progress for so long fails.
    pub progress_deadline: SignedDuration,
    /// The version before stays up so long after a success.
    pub keep_warm: SignedDuration,
    /// Supersede or queue.
    pub concurrency: Concurrency,
    /// The canary's plan.
    pub steps: Arc<[Step]>,
    /// Template that is judged from the first weight on; failing it rolls back.
    pub background_analysis: Option<String>,
}

/// What tells one user from another, so that each stays on one side of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum StickyKey {
    /// The value of a cookie of the service's own.
    Cookie(String),
    /// The value of a request header.
    Header(String),
}

/// Limits on a candidate's metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisTemplate {
    /// Each limit.
    pub limits: Vec<MetricLimit>,
    /// Fewer requests at the candidate in the span are too few to judge.
    pub min_requests: u64,
    /// What too little data means.
    pub missing: Missing,
    /// Length of the sliding span of a background analysis.
    pub window: SignedDuration,
}

/// What too little data means. Never a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Stand still and ask a person.
    #[default]
    Pause,
    /// Roll back.
    Fail,
}

/// A metric of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Failed requests ÷ requests, 0 to 1.
    ErrorRate,
    /// Median, milliseconds.
    LatencyP50,
    /// 95th percentile, milliseconds.
    LatencyP95,
    /// 99th percentile, milliseconds.
    LatencyP99,
}

/// Limits on one metric; each that is set must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricLimit {
    /// Which.
    pub metric: Metric,
    /// Absolute: a ratio for errors, milliseconds for latencies.
    pub max: Option<f64>,
    /// Candidate minus stable, same unit.
    pub over_stable: Option<f64>,
    /// Candidate ÷ stable.
    pub ratio_to_stable: Option<f64>,
}
