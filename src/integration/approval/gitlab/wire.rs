//! What GitLab answers, as far as it is used, and each text made harmless where it comes in.
//!
//! REST API v4: docs.gitlab.com/api/deployments and docs.gitlab.com/api/jobs.

use crate::approval::gate::Review;
use crate::approval::text::{line, optional};
use flightdeck_model::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `GET /projects/{id}/deployments` and `…/deployments/{id}`; only the latter has approvals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deployment {
    pub id: u64,
    /// Its number within the project.
    pub iid: u64,
    #[serde(rename = "ref", default, deserialize_with = "line")]
    pub branch: String,
    #[serde(deserialize_with = "line")]
    pub sha: String,
    pub status: Status,
    pub created_at: Timestamp,
    #[serde(default)]
    pub user: Option<User>,
    pub environment: Environment,
    /// There is none where somebody else made the deployment.
    #[serde(default)]
    pub deployable: Option<Deployable>,
    /// Yes that are missing. Not there where GitLab asks for none, nor without a licence for them.
    #[serde(default)]
    pub pending_approval_count: Option<u32>,
    #[serde(default)]
    approvals: Vec<Said>,
    #[serde(default)]
    approval_summary: Option<Summary>,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// It waits for a yes, or for somebody to start its job.
    Blocked,
    Running,
    Success,
    Failed,
    Canceled,
    Skipped,
    /// Nothing of it has begun, or it is a word of a newer GitLab.
    #[serde(other)]
    Created,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Environment {
    pub id: u64,
    #[serde(deserialize_with = "line")]
    pub name: String,
}

/// `GET /user`, and whoever did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    #[serde(deserialize_with = "line")]
    pub username: String,
}

/// The job that deploys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Deployable {
    pub id: u64,
    #[serde(deserialize_with = "line")]
    pub name: String,
    /// `manual`: somebody has to start it.
    #[serde(default, deserialize_with = "line")]
    pub status: String,
    #[serde(default)]
    pub commit: Option<Commit>,
    #[serde(default)]
    pub pipeline: Option<Pipeline>,
    #[serde(default, deserialize_with = "optional")]
    pub web_url: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Commit {
    #[serde(deserialize_with = "line")]
    pub short_id: String,
    #[serde(default, deserialize_with = "line")]
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pipeline {
    pub id: u64,
    #[serde(default)]
    pub created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "optional")]
    pub web_url: Option<String>,
}

/// One yes or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    user: Option<User>,
    status: Word,
    created_at: Timestamp,
    #[serde(default, deserialize_with = "optional")]
    comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Approved,
    Rejected,
    /// A word of a newer GitLab.
    #[serde(other)]
    Other,
}

/// Several groups of people that are asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Summary {
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    /// Whom it asks.
    #[serde(default, deserialize_with = "line")]
    access_level_description: String,
    #[serde(default)]
    required_approvals: u32,
    #[serde(default)]
    deployment_approvals: Vec<Said>,
}

impl Deployment {
    /// Every yes and no, oldest first. What counts for two rules is one.
    pub fn reviews(&self) -> Vec<Review> {
        let rules = self.approval_summary.iter().flat_map(|summary| &summary.rules);
        let all = self.approvals.iter().chain(rules.flat_map(|rule| &rule.deployment_approvals));
        let mut reviews: Vec<Review> = all.filter_map(Said::review).collect();
        reviews.sort_by(|a, b| (a.at, &a.who).cmp(&(b.at, &b.who)));
        reviews.dedup_by(|a, b| a.who == b.who && a.verdict == b.verdict);
        reviews
    }

    /// How many yes are missing.
    pub fn missing(&self) -> u32 {
        self.pending_approval_count.unwrap_or_else(|| {
            let rules = self.approval_summary.iter().flat_map(|summary| &summary.rules);
            let open = |rule: &Rule| {
                let yes = rule.deployment_approvals.iter().filter(|said| said.status == Word::Approved).count();
                rule.required_approvals.saturating_sub(u32::try_from(yes).unwrap_or(u32::MAX))
            };
            rules.map(open).sum()
        })
    }

    /// Whom it asks, as far as it says so.
    pub fn asked(&self) -> Vec<String> {
        let rules = self.approval_summary.iter().flat_map(|summary| &summary.rules);
        let named = rules.filter(|rule| !rule.access_level_description.is_empty());
        named.map(|rule| format!("{} of {}", rule.required_approvals, rule.access_level_description)).collect()
    }

    /// Would the same be deployed to the same place, of a later commit or once more?
    pub fn is_another_try_of(&self, other: &Deployment) -> bool {
        let job = |of: &Deployment| of.deployable.as_ref().map(|job| job.name.clone());
        (self.environment.id, &self.branch, job(self)) == (other.environment.id, &other.branch, job(other))
    }

    /// Does its job wait for somebody to start it?
    pub fn is_manual(&self) -> bool {
        self.deployable.as_ref().is_some_and(|job| job.status == "manual")
    }

    /// The commit as people write it.
    pub fn short_commit(&self) -> String {
        let told = self.deployable.as_ref().and_then(|job| job.commit.as_ref());
        told.map_or_else(|| self.sha.chars().take(8).collect(), |commit| commit.short_id.clone())
    }
}

impl Status {
    /// It will not come.
    pub const fn is_given_up(self) -> bool {
        matches!(self, Status::Failed | Status::Canceled | Status::Skipped)
    }
}

impl Said {
    fn review(&self) -> Option<Review> {
        let verdict = match self.status {
            Word::Approved => Verdict::Approved,
            Word::Rejected => Verdict::Rejected,
            Word::Other => return None,
        };
        let who = self.user.as_ref().map_or_else(|| "somebody".to_owned(), |user| user.username.clone());
        let comment = self.comment.clone().unwrap_or_default();
        Some(Review { verdict, who, comment, at: Some(self.created_at) })
    }
}
