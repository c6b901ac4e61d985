//! What GitHub told of one environment of one run, and where that stands. Pure.

use super::wire::{DeploymentState, Pending, Place, Review, WorkflowRun};
use flightdeck_model::Verdict;
use jiff::{SignedDuration, Timestamp};

/// Which environment of which attempt of which run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub run: u64,
    pub environment: u64,
    pub attempt: u64,
}

impl Key {
    /// The uid of its target, which all attempts share.
    pub fn uid(self) -> String {
        format!("{}/{}", self.run, self.environment)
    }

    /// Of the uid of a target and the revision of a run.
    pub fn of(uid: &str, revision: &str) -> Option<Key> {
        let (run, environment) = uid.split_once('/')?;
        let (run, environment) = (run.parse().ok()?, environment.parse().ok()?);
        Some(Key { run, environment, attempt: revision.parse().ok()? })
    }

    /// The same, whatever the attempt.
    pub fn is_at(self, other: Key) -> bool {
        (self.run, self.environment) == (other.run, other.environment)
    }
}

/// One environment of a run that waited for it, as GitHub last told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gate {
    /// `owner/name`.
    pub repository: String,
    pub run: WorkflowRun,
    /// The attempt that waited; the run may be at a later one.
    pub attempt: u64,
    pub place: Place,
    /// When it was seen to wait.
    pub asked: Timestamp,
    /// There while it waits.
    pub pending: Option<Pending>,
    /// Those who were asked, also once it waits no more.
    pub reviewers: Vec<String>,
    pub review: Option<Review>,
    /// When the review was seen: GitHub tells no time of it.
    pub reviewed: Option<Timestamp>,
    pub deployment: Option<DeploymentState>,
    /// A later run of the same workflow and branch, by its number, that has what this one has.
    pub newer: Option<u64>,
    /// Since when it stands so.
    pub since: Timestamp,
}

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// For people to say yes or no.
    Asks,
    /// For a timer, or for the rule of an app: no person is asked.
    Timer,
    /// A yes is there, and a timer or a rule still holds it.
    Held,
    /// It waits no more, and no review of it is told.
    Unreviewed,
    /// A yes; its job has not begun.
    Approved,
    /// Its job runs.
    Deploying,
    /// Its job did what it had to.
    Deployed,
    /// Its job did not.
    Failed,
    /// A no; its run has not ended.
    Rejected,
    /// A no, and the end of it.
    Stopped,
    /// Its run ended, by no review.
    Ended,
    /// The run was started again since.
    Rerun,
}

impl Standing {
    /// Nothing more will come.
    pub const fn is_over(self) -> bool {
        matches!(self, Standing::Deployed | Standing::Failed | Standing::Stopped | Standing::Ended | Standing::Rerun)
    }
}

impl Gate {
    pub fn key(&self) -> Key {
        Key { run: self.run.id, environment: self.place.id, attempt: self.attempt }
    }

    pub fn standing(&self) -> Standing {
        if self.run.run_attempt > self.attempt {
            return Standing::Rerun;
        }
        let yes = self.review.as_ref().is_some_and(|review| review.verdict == Verdict::Approved);
        let no = self.review.as_ref().is_some_and(|review| review.verdict == Verdict::Rejected);
        if self.pending.is_some() {
            return match (yes, self.reviewers.is_empty()) {
                (true, _) => Standing::Held,
                (false, true) => Standing::Timer,
                (false, false) => Standing::Asks,
            };
        }
        let failed = matches!(self.deployment, Some(DeploymentState::Error | DeploymentState::Failure));
        let well = self.run.conclusion.as_deref() == Some("success");
        match self.deployment {
            Some(DeploymentState::Success | DeploymentState::Inactive) => Standing::Deployed,
            Some(DeploymentState::InProgress) => Standing::Deploying,
            _ if no && (failed || self.run.is_over()) => Standing::Stopped,
            _ if no => Standing::Rejected,
            _ if failed => Standing::Failed,
            // Not every job of an environment makes a deployment: then its run tells.
            _ if self.run.is_over() && well => Standing::Deployed,
            _ if self.run.is_over() && yes => Standing::Failed,
            _ if self.run.is_over() => Standing::Ended,
            _ if yes => Standing::Approved,
            _ => Standing::Unreviewed,
        }
    }

    /// When its wait timer ends.
    pub fn until(&self) -> Option<Timestamp> {
        let pending = self.pending.as_ref().filter(|pending| pending.wait_timer > 0)?;
        pending.wait_timer_started_at?.checked_add(SignedDuration::from_mins(i64::from(pending.wait_timer))).ok()
    }

    /// Why GitHub would take neither a yes nor a no from an account.
    pub fn denied(&self, login: Option<&str>) -> Option<String> {
        if self.pending.as_ref()?.current_user_can_approve {
            return None;
        }
        let (you, place) = (login.unwrap_or("this token's account"), &self.place.name);
        Some(if login.is_some() && self.run.author() == login {
            format!(
                "{you} started this run, and GitHub does not let it review its own for {place}: another reviewer can"
            )
        } else if login.is_some_and(|login| self.reviewers.iter().any(|name| name == login)) {
            format!("GitHub takes no review of {place} from {you} now; see {}", self.run.html_url)
        } else {
            format!("GitHub does not count {you} among the reviewers of {place}: {} can", self.reviewers.join(", "))
        })
    }
}
