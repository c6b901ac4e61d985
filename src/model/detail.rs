//! Everything about one run, read live from its backend.

use super::{ArmRole, Evidence, Instance, MetricVerdict, Note, Receipt, Replicas, Rollout, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detail {
    /// The row.
    pub rollout: Rollout,
    /// Its instances, all arms.
    pub instances: Vec<Instance>,
    /// What happened, oldest first.
    pub notes: Vec<Note>,
    /// What was judged, oldest first.
    pub evidence: Vec<Evidence>,
    /// Commands about it, oldest first.
    pub receipts: Vec<Receipt>,
    /// Sets of instances of one template, such as ReplicaSets; newest revision first.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Analyses with their measurements, oldest first.
    #[serde(default)]
    pub analyses: Vec<Analysis>,
    /// Revisions that the backend still knows, newest first.
    #[serde(default)]
    pub history: Vec<Revision>,
    /// The backend's own object, as JSON; secrets are masked.
    pub raw: serde_json::Value,
    /// What could not be read, each as a sentence; the rest is complete.
    #[serde(default)]
    pub gaps: Vec<String>,
}

/// Instances of one template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The backend's name of it.
    pub name: String,
    /// Which side; `None`: an old one that serves nothing.
    pub role: Option<ArmRole>,
    /// What it runs.
    pub version: Version,
    pub revision: Option<String>,
    pub replicas: Replicas,
    /// When it is scaled down, where that is planned.
    pub ends: Option<Timestamp>,
}

/// One analysis of a backend that measures by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Analysis {
    /// The backend's name of it.
    pub name: String,
    /// What it belongs to: `step 2`, `background`, `before promotion`, `after promotion`.
    pub belongs: String,
    /// The backend's own word for where it stands, such as `Running` or `Inconclusive`.
    pub phase: String,
    pub message: String,
    pub started: Option<Timestamp>,
    /// Each metric.
    pub metrics: Vec<AnalysisMetric>,
}

/// One metric of an [`Analysis`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisMetric {
    pub name: String,
    /// The backend's own word, such as `Successful`.
    pub phase: String,
    /// Its verdict; `None` while it runs.
    pub verdict: Option<MetricVerdict>,
    /// Its condition and limits in words, such as `result[0] < 0.05, fails after 3`.
    pub limit: String,
    pub message: String,
    /// What was measured, oldest first.
    pub measurements: Vec<Measurement>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// When it ended, or began where it has not.
    pub at: Option<Timestamp>,
    /// The backend's own word for it.
    pub phase: String,
    /// As a number, where it is one.
    pub value: Option<f64>,
    /// As the backend writes it.
    pub text: String,
}

/// One revision of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its number or name.
    pub revision: String,
    /// What it runs.
    pub version: Version,
    /// When it was made.
    pub at: Option<Timestamp>,
    /// Why, where somebody said so.
    pub cause: Option<String>,
    /// Which side runs it now.
    pub role: Option<ArmRole>,
    /// How its template differs from the current one: lines of a unified diff; secrets are masked.
    pub diff: Vec<String>,
}
