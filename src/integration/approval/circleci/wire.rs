//! What CircleCI answers, as far as it is used, and each text made harmless where it comes in.
//!
//! API v2: circleci.com/docs/api/v2.

use crate::approval::text::{line, optional};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Page<T> {
    pub items: Vec<T>,
    /// There is more.
    #[serde(default)]
    pub next_page_token: Option<String>,
}

/// One of `GET /project/{slug}/pipeline`, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pipeline {
    #[serde(deserialize_with = "line")]
    pub id: String,
    pub number: u64,
    pub created_at: Timestamp,
    #[serde(default)]
    trigger: Option<Trigger>,
    #[serde(default)]
    vcs: Option<Vcs>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trigger {
    #[serde(default)]
    actor: Option<Account>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    #[serde(default, deserialize_with = "optional")]
    login: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Vcs {
    #[serde(default, deserialize_with = "optional")]
    branch: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    revision: Option<String>,
}

/// One of `GET /pipeline/{id}/workflow`, and `GET /workflow/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Workflow {
    #[serde(deserialize_with = "line")]
    pub id: String,
    #[serde(deserialize_with = "line")]
    pub name: String,
    /// `on_hold` while it waits, and nothing else of it runs.
    #[serde(deserialize_with = "line")]
    pub status: String,
}

/// One of `GET /workflow/{id}/job`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    #[serde(deserialize_with = "line")]
    pub id: String,
    #[serde(deserialize_with = "line")]
    pub name: String,
    /// `approval`: for people.
    #[serde(rename = "type", deserialize_with = "line")]
    kind: String,
    #[serde(deserialize_with = "line")]
    pub status: String,
    #[serde(default, deserialize_with = "optional")]
    pub approval_request_id: Option<String>,
    /// The id of whoever said yes.
    #[serde(default, deserialize_with = "optional")]
    pub approved_by: Option<String>,
    /// The ids of jobs that it begins after.
    #[serde(default)]
    pub dependencies: Vec<String>,
}

impl Pipeline {
    pub fn author(&self) -> Option<&str> {
        self.trigger.as_ref()?.actor.as_ref()?.login.as_deref()
    }

    pub fn branch(&self) -> Option<&str> {
        self.vcs.as_ref()?.branch.as_deref()
    }

    pub fn commit(&self) -> Option<&str> {
        self.vcs.as_ref()?.revision.as_deref()
    }
}

impl Workflow {
    /// May it have a job that waits? One whose other jobs run or fail is not `on_hold`.
    pub fn may_wait(&self) -> bool {
        matches!(self.status.as_str(), "on_hold" | "running" | "failing")
    }

    pub fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "success" | "failed" | "error" | "canceled" | "unauthorized" | "not_run")
    }
}

impl Job {
    /// What is asked for, where it is one for people.
    pub fn request(&self) -> Option<&str> {
        self.approval_request_id.as_deref().filter(|_| self.kind == "approval")
    }

    pub fn waits(&self) -> bool {
        self.status == "on_hold"
    }
}
