//! The record of a rollout that ended.

use super::{
    DeploymentKind, DeploymentOutcome, Diagnosis, EnvironmentName, Phase, Ppm, Renamed, Run, ServiceName, Step, Version,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A step of a plan that a rollout was at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its place in the plan, from 0.
    pub index: u32,
    pub step: Step,
    pub began: Timestamp,
    pub ended: Timestamp,
    /// It was done; else it was skipped, or cut short by the rollout's end.
    pub done: bool,
}

/// A finished rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRecord {
    pub run: Run,
    pub service: ServiceName,
    /// What that was called when it ended, where it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<ServiceName>,
    pub environment: EnvironmentName,
    /// What served before.
    pub from: Option<Version>,
    /// What was brought in.
    pub to: Version,
    /// Who asked; `None`: it is not recorded.
    #[serde(default, deserialize_with = "author")]
    pub author: Option<String>,
    /// The program that changed the description, where the backend names that instead: `kubectl-set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub outcome: DeploymentOutcome,
    pub cause: String,
    /// What it was for.
    #[serde(default)]
    pub kind: DeploymentKind,
    /// `sha256:…` of what was brought in.
    #[serde(default)]
    pub digest: Option<String>,
    /// Source commit of what was brought in, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When its commit was made, where known.
    #[serde(default)]
    pub commit_at: Option<Timestamp>,
    /// Address of the pipeline's run that built it, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_run: Option<String>,
    /// The largest share of traffic that it had.
    #[serde(default)]
    pub reached: Option<Ppm>,
    /// From the decision to go back until all traffic was back.
    #[serde(default)]
    pub rollback: Option<SignedDuration>,
    /// How long it waited for people; `None`: it is not recorded.
    #[serde(default)]
    pub waited: Option<SignedDuration>,
    /// Promotions, approvals and other steps that a person did.
    #[serde(default)]
    pub manual_steps: u32,
    /// Steps that it went through, those included; `None`: it is not recorded.
    #[serde(default)]
    pub steps: Option<u32>,
    /// The steps that it was at and whose times are known, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step_times: Vec<StepRecord>,
    /// What was found out about the instance, or the hook, that failed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
}

impl RolloutRecord {
    /// Its service as it is called now, and then where that was another name: `store (shop then)`.
    #[must_use]
    pub fn service_then(&self) -> String {
        let then = self.called.as_ref().map(|called| format!(" ({called} then)"));
        format!("{}{}", self.service, then.unwrap_or_default())
    }

    /// Its service goes on under another name, if it is that one.
    pub fn rename(&mut self, Renamed { from, to }: &Renamed) {
        if self.service == *from {
            self.called.get_or_insert_with(|| from.clone());
            self.service.clone_from(to);
        }
    }
}

/// What is shown where something about an end was not recorded.
pub const NOT_RECORDED: &str = "not recorded";

impl RolloutRecord {
    /// Did it bring back what was there before the earlier one?
    #[must_use]
    pub fn takes_back(&self, earlier: &RolloutRecord) -> bool {
        let well = matches!(self.outcome, DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack);
        let back = earlier.from.as_ref() == Some(&self.to) && self.from.as_ref() == Some(&earlier.to);
        well && back && !matches!(self.kind, DeploymentKind::Drill | DeploymentKind::Restart)
    }
}

impl RolloutRecord {
    /// Who asked, as far as it is recorded, in words.
    #[must_use]
    pub fn who(&self) -> std::borrow::Cow<'_, str> {
        match (&self.author, &self.writer) {
            (Some(author), _) => author.into(),
            (None, Some(writer)) => format!("{writer} (field manager)").into(),
            (None, None) => NOT_RECORDED.into(),
        }
    }

    /// The phase that its rollout ended in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.outcome {
            DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack => Phase::Healthy,
            DeploymentOutcome::Aborted => Phase::Aborted,
            DeploymentOutcome::Failed => Phase::Failed,
            DeploymentOutcome::Superseded => Phase::Superseded,
        }
    }
}

/// Earlier records said so in a word.
fn author<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|author| author != "unknown"))
}
