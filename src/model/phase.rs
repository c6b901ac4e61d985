//! Where a rollout stands, how it ends, and by which way it goes back.

use serde::{Deserialize, Serialize};

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentOutcome {
    /// The candidate became stable.
    Succeeded,
    /// It ended with stable as before.
    Aborted,
    /// The engine or a person took a live version back.
    RolledBack,
    /// It could not come up.
    Failed,
    /// A newer one replaced it.
    Superseded,
}

impl DeploymentOutcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            DeploymentOutcome::Succeeded => "succeeded",
            DeploymentOutcome::Aborted => "aborted",
            DeploymentOutcome::RolledBack => "rolled back",
            DeploymentOutcome::Failed => "failed",
            DeploymentOutcome::Superseded => "superseded",
        }
    }
}

/// What a finished rollout was for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// A version was brought in.
    #[default]
    Deploy,
    /// The version before came back.
    Rollback,
    /// The same version, instances replaced.
    Restart,
    /// The way back was rehearsed.
    Drill,
}

impl DeploymentKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            DeploymentKind::Deploy => "deploy",
            DeploymentKind::Rollback => "rollback",
            DeploymentKind::Restart => "restart",
            DeploymentKind::Drill => "drill",
        }
    }
}

/// Where a rollout stands. Ordered as in the backends' own documents, not by risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The backend said something we don't know.
    Unknown,
    /// First version ever is coming up.
    Initializing,
    /// Waits for another rollout or a hold.
    Queued,
    /// Moving.
    Progressing,
    /// Stands still until somebody or something lets it go on.
    Paused,
    /// Up, but not well.
    Degraded,
    /// Ended without success, nothing rolled back.
    Failed,
    /// Ended; stable has the traffic.
    Aborted,
    /// On its way back.
    RollingBack,
    /// Replaced by a newer one.
    Superseded,
    /// Done and serving.
    Healthy,
}

impl Phase {
    /// Not ended: it can still change what users get by itself.
    #[must_use]
    pub const fn in_flight(self) -> bool {
        matches!(self, Phase::Initializing | Phase::Queued | Phase::Progressing | Phase::Paused | Phase::RollingBack)
    }

    /// How a rollout ended that stands there; `None`: it has not, as far as the phase tells.
    #[must_use]
    pub const fn outcome(self) -> Option<DeploymentOutcome> {
        match self {
            Phase::Healthy => Some(DeploymentOutcome::Succeeded),
            Phase::Aborted => Some(DeploymentOutcome::Aborted),
            Phase::Failed => Some(DeploymentOutcome::Failed),
            Phase::Superseded => Some(DeploymentOutcome::Superseded),
            _ => None,
        }
    }

    /// The word that stands on screens.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Unknown => "unknown",
            Phase::Initializing => "initializing",
            Phase::Queued => "queued",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Degraded => "degraded",
            Phase::Failed => "failed",
            Phase::Aborted => "aborted",
            Phase::RollingBack => "rolling back",
            Phase::Superseded => "superseded",
            Phase::Healthy => "healthy",
        }
    }
}

/// How a rollback would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackPath {
    /// The version before is still up: one switch.
    Warm,
    /// It must be started first.
    Start,
    /// What serves is ended first, then it is started: nothing serves in between.
    Recreate,
}
