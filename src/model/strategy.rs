//! How a rollout goes, step by step.

use super::Ppm;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// How a version is brought in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Stop all, start all.
    Recreate,
    /// Batch by batch.
    Rolling,
    /// Two full sides and one switch.
    BlueGreen,
    /// Growing shares.
    Canary,
    /// Split by attribute, measured by arm.
    Ab,
    /// Copies of requests only.
    Shadow,
    /// Named cohorts in order.
    Rings,
    /// A backend's own.
    Other,
}

/// One step of a rollout's plan.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Step {
    /// Give the candidate this share.
    SetWeight(Ppm),
    /// Stand still; without a duration until a person promotes.
    Pause { duration: Option<SignedDuration> },
    /// Judge metrics for a span.
    Analysis {
        /// The template's name.
        name: String,
        duration: SignedDuration,
    },
    /// Ask people.
    Approval {
        /// How many must say yes.
        count: u32,
        /// Whose yes counts; empty: anybody's who may act here.
        from: Vec<String>,
        /// How long the request stands; then it lapses and the rollout is aborted.
        expires: Option<SignedDuration>,
    },
    /// Bring the candidate to this share of its full size, without traffic.
    SetScale(Ppm),
    /// Open the preview address to the candidate: it is tried there before users get it.
    Preview,
    /// Rolling: the candidate gets so many instances in all, stable keeps the rest.
    Batch {
        /// The candidate's at the end of this step.
        instances: u32,
        /// So many of stable's go first, before their replacements are ready.
        unavailable: u32,
    },
    /// Recreate: every instance of stable ends before the candidate starts. Nothing serves from here
    /// until that is ready.
    TakeDown,
    /// Run a hook of the placement.
    Hook { name: String },
    /// Something a backend has and we only name.
    Other(String),
}
