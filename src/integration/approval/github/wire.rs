//! What GitHub answers, as far as it is used, and each text made harmless where it comes in.
//!
//! REST API, version 2022-11-28: docs.github.com/rest/actions/workflow-runs and docs.github.com/rest/deployments.

use crate::approval::gate;
use crate::approval::text::{line, optional};
use flightdeck_model::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /repos/{owner}/{repo}/actions/runs` and `…/actions/workflows/{id}/runs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Runs {
    pub workflow_runs: Vec<WorkflowRun>,
}

/// A run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkflowRun {
    pub id: u64,
    /// Of the workflow.
    #[serde(default, deserialize_with = "optional")]
    pub name: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    pub head_branch: Option<String>,
    #[serde(deserialize_with = "line")]
    pub head_sha: String,
    pub run_number: u64,
    #[serde(default = "first")]
    pub run_attempt: u64,
    #[serde(deserialize_with = "line")]
    pub event: String,
    #[serde(default, deserialize_with = "optional")]
    pub status: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    pub conclusion: Option<String>,
    pub workflow_id: u64,
    #[serde(deserialize_with = "line")]
    pub html_url: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    #[serde(default)]
    pub run_started_at: Option<Timestamp>,
    #[serde(default)]
    pub actor: Option<Account>,
    #[serde(default)]
    pub triggering_actor: Option<Account>,
    #[serde(default, deserialize_with = "line")]
    pub display_title: String,
}

fn first() -> u64 {
    1
}

impl WorkflowRun {
    /// What people call the workflow.
    pub fn workflow(&self) -> &str {
        self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("workflow")
    }

    /// Who started this attempt.
    pub fn author(&self) -> Option<&str> {
        self.triggering_actor.as_ref().or(self.actor.as_ref()).map(|account| account.login.as_str())
    }

    /// When this attempt began.
    pub fn began(&self) -> Timestamp {
        self.run_started_at.unwrap_or(self.created_at)
    }

    /// The commit as people write it.
    pub fn short_commit(&self) -> String {
        self.head_sha.chars().take(7).collect()
    }

    pub fn is_over(&self) -> bool {
        self.status.as_deref() == Some("completed")
    }
}

/// A user, or `GET /user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    #[serde(deserialize_with = "line")]
    pub login: String,
}

/// `GET …/actions/runs/{id}/pending_deployments`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Pending {
    pub environment: Place,
    /// Minutes.
    pub wait_timer: u32,
    pub wait_timer_started_at: Option<Timestamp>,
    pub current_user_can_approve: bool,
    pub reviewers: Vec<Asked>,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Place {
    pub id: u64,
    #[serde(deserialize_with = "line")]
    pub name: String,
}

/// One of those who may decide.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Asked {
    #[serde(default, deserialize_with = "optional")]
    r#type: Option<String>,
    reviewer: Reviewer,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Reviewer {
    #[serde(default, deserialize_with = "optional")]
    login: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    slug: Option<String>,
}

impl Asked {
    /// `alice`, or `team release`.
    pub fn name(&self) -> String {
        let name = self.reviewer.login.as_ref().or(self.reviewer.slug.as_ref()).map_or("somebody", String::as_str);
        if self.r#type.as_deref() == Some("Team") { format!("team {name}") } else { name.to_owned() }
    }
}

/// `GET …/actions/runs/{id}/approvals`: the reviews of a run, of all its attempts, without a time.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct HistoryEntry {
    environments: Vec<Place>,
    state: ReviewState,
    user: Option<Account>,
    #[serde(default, deserialize_with = "line")]
    comment: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ReviewState {
    Approved,
    Rejected,
    /// A comment, or what a newer GitHub says.
    #[serde(other)]
    Pending,
}

pub(super) use gate::Review;

/// The last word on an environment.
pub(super) fn review(history: &[HistoryEntry], environment: u64) -> Option<Review> {
    history.iter().rev().find_map(|entry| {
        let verdict = match entry.state {
            ReviewState::Approved => Verdict::Approved,
            ReviewState::Rejected => Verdict::Rejected,
            ReviewState::Pending => return None,
        };
        let about = entry.environments.iter().any(|place| place.id == environment);
        let who = entry.user.as_ref().map_or_else(|| "somebody".to_owned(), |user| user.login.clone());
        about.then(|| Review { verdict, who, comment: entry.comment.clone(), at: None })
    })
}

/// `GET …/deployments`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Deployment {
    pub id: u64,
    pub created_at: Timestamp,
}

/// `GET …/deployments/{id}/statuses`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DeploymentStatus {
    pub state: DeploymentState,
    #[serde(default, deserialize_with = "optional")]
    log_url: Option<String>,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeploymentState {
    Error,
    Failure,
    /// A newer one took its place.
    Inactive,
    InProgress,
    Success,
    Queued,
    /// Nothing of it has begun, or it is a word of a newer GitHub.
    #[serde(other)]
    Pending,
}

/// How far the deployment is that a run made: the log that a status names is that of one of its jobs.
pub(super) fn deployed(statuses: &[DeploymentStatus], run: u64) -> Option<DeploymentState> {
    let of_run = format!("/runs/{run}/");
    let newest = statuses.first()?;
    let ours = newest.log_url.as_ref().is_none_or(|url| url.is_empty() || url.contains(&of_run));
    ours.then_some(newest.state)
}
