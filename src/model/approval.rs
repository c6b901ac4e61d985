//! Approvals: one queue over all sources.

use super::{ApprovalId, EnvironmentName, Facts, Run, ServiceName, Version};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Yes.
    Approved,
    /// No.
    Rejected,
}

/// One person's word.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    pub who: String,
    pub verdict: Verdict,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// Who must agree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// How many different people.
    pub count: u32,
    /// One of these roles or names; empty: anybody who reaches the hub.
    pub from: Vec<String>,
    /// May the author be one of them?
    pub allow_self: bool,
}

/// Who decides, where the source counts votes itself and by names of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reviewers {
    /// Those it asks, as it names them, such as `alice` or `team release`.
    pub names: Vec<String>,
    /// As whom it takes what is sent from here, where it said so.
    pub login: Option<String>,
    /// Why it would take neither a yes nor a no from here.
    #[serde(rename = "barred")]
    pub denied: Option<String>,
    /// It says only once it is asked whether it takes one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

/// A release by version and content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// As its owner writes it.
    pub version: Version,
    /// `sha256:…`, or the commit where a source knows no more.
    pub digest: String,
}

/// Where an approval stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ApprovalState {
    /// Votes are missing.
    Pending,
    /// Enough yes.
    Approved,
    /// One no.
    Rejected,
    /// Nobody answered in time.
    Expired,
    /// Its rollout ended or was replaced.
    Superseded {
        /// By what, in words.
        by: String,
    },
}

/// A request for a yes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    /// What goes on when it is granted.
    pub run: Run,
    pub service: ServiceName,
    pub environment: EnvironmentName,
    /// What a yes lets through, in words, such as `step 3 of 6: then 50 % of traffic`.
    pub what: String,
    /// What serves now.
    pub from: Option<ReleaseRef>,
    /// What would.
    pub to: ReleaseRef,
    /// Who asked for the rollout.
    pub author: String,
    /// When it was asked.
    pub requested: Timestamp,
    /// When it lapses.
    pub expires: Option<Timestamp>,
    /// Who must agree.
    pub requirement: Requirement,
    /// Whom its source asks, where that decides who may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reviewers: Option<Box<Reviewers>>,
    /// Who said what so far.
    pub votes: Vec<Vote>,
    /// Where it stands.
    pub state: ApprovalState,
    /// What queues behind it, in words.
    pub behind: Vec<String>,
    /// What a pin is made of.
    pub facts: Facts,
}
