//! Receipts: accepted is not done. A receipt follows its command until the effect is seen.

use super::{Action, Actor, Command, DeploymentOutcome, Facts, Forecast, ReceiptId, Run, SourceId, Subject};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What shows that a command took effect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proof {
    /// One sentence with the numbers, such as `route 41: stable 100 %, acknowledged; 0 requests at the candidate since`.
    pub text: String,
}

/// How far a command has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Stage {
    /// The hub has it.
    Requested,
    /// On its way to the backend.
    Sent,
    /// The backend said yes.
    Accepted,
    /// The backend's own state shows it.
    Observed,
    /// Traffic or replicas followed.
    Effective {
        /// What shows it.
        proof: Proof,
    },
    /// Not allowed, or the pin no longer held.
    Refused { why: String },
    /// It could not be done.
    Failed { why: String },
    /// A later command took its place.
    Superseded {
        /// Which, in words.
        by: String,
    },
    /// It was effective and then undone.
    Reverted { by: String },
    /// The effect was not seen in time.
    TimedOut {
        /// The last thing that was seen.
        last: String,
    },
    /// The answer was lost: observed until known, never sent again.
    Unknown { why: String },
}

impl Stage {
    /// It took effect, and this shows it.
    #[must_use]
    pub fn effective(text: impl Into<String>) -> Stage {
        Stage::Effective { proof: Proof { text: text.into() } }
    }

    /// Something else came.
    #[must_use]
    pub fn superseded(by: impl Into<String>) -> Stage {
        Stage::Superseded { by: by.into() }
    }

    /// Nothing more will come.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Stage::Effective { .. }
                | Stage::Refused { .. }
                | Stage::Failed { .. }
                | Stage::Superseded { .. }
                | Stage::Reverted { .. }
                | Stage::TimedOut { .. }
        )
    }

    /// The word that stands on screens.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Stage::Requested => "requested",
            Stage::Sent => "sent",
            Stage::Accepted => "accepted",
            Stage::Observed => "observed",
            Stage::Effective { .. } => "effective",
            Stage::Refused { .. } => "refused",
            Stage::Failed { .. } => "failed",
            Stage::Superseded { .. } => "superseded",
            Stage::Reverted { .. } => "reverted",
            Stage::TimedOut { .. } => "timed out",
            Stage::Unknown { .. } => "unknown",
        }
    }

    /// Why or by what, where the stage says so.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        match self {
            Stage::Effective { proof } => Some(&proof.text),
            Stage::Refused { why } | Stage::Failed { why } | Stage::Unknown { why } => Some(why),
            Stage::Superseded { by } | Stage::Reverted { by } => Some(by),
            Stage::TimedOut { last } => Some(last),
            _ => None,
        }
    }
}

/// A stage and when it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StageRecord {
    pub stage: Stage,
    pub at: Timestamp,
}

/// How the outcome compares with what was said beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grade {
    pub as_forecast: bool,
    pub text: String,
}

/// What happened to one of several targets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TargetResult {
    pub run: Run,
    pub stage: Stage,
}

/// What became of a command at one of several sources.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SourceResult {
    pub source: SourceId,
    /// How far; refused where it can't be done at all, and failed where it was not reached.
    pub stage: Stage,
}

/// The life of one command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its command's id.
    pub id: ReceiptId,
    /// What was asked.
    pub command: Command,
    pub actor: Actor,
    /// Everything it went through, in order; never empty.
    pub stages: Vec<StageRecord>,
    /// What was said beforehand.
    pub forecast: Option<Forecast>,
    /// Forecast against outcome, once final.
    pub grade: Option<Grade>,
    /// For a scope: each target.
    pub targets: Vec<TargetResult>,
    /// For a hold and its release: each source in scope, those too that it could not be asked of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceResult>,
    /// The run that the command created (a deploy, a restart, …), once its backend named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Run>,
    /// The facts of its target as the command left it, once its backend answered with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Facts>,
    /// How the rollout that it is about ended (the one it created, else the one it was asked for), once
    /// that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<DeploymentOutcome>,
}

impl Receipt {
    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        self.stages.last().map_or(&Stage::Requested, |record| &record.stage)
    }

    /// The run that it is about: the one that it created, else the one that it was asked for.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        // These make a run of their own: what becomes of the one before says nothing of them.
        let own = matches!(self.command.action, Action::Retry | Action::Restart | Action::Drill);
        let asked = match &self.command.subject {
            Subject::Run(run) | Subject::Approval { run, .. } if !own => Some(run),
            _ => None,
        };
        self.created.as_ref().or(asked)
    }
}
