//! What GitHub told of one environment of one run, as a gate. Pure.

use super::wire::{DeploymentState, Pending, Review, WorkflowRun};
use crate::approval::gate::{Ended, Gate, Job, Key, Waiting};
use jiff::{SignedDuration, Timestamp};

/// What the uid of a target is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub run: u64,
    pub environment: u64,
}

impl Id {
    pub fn of(uid: &str) -> Option<Id> {
        let (run, environment) = uid.split_once('/')?;
        Some(Id { run: run.parse().ok()?, environment: environment.parse().ok()? })
    }

    fn uid(self) -> String {
        format!("{}/{}", self.run, self.environment)
    }
}

/// Whose repository it is, and whose token asks.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub repository: &'a str,
    pub login: Option<&'a str>,
}

/// A run waits for an environment.
pub(super) fn waits(
    at: At<'_>,
    run: &WorkflowRun,
    pending: &Pending,
    review: Option<Review>,
    newer: Option<u64>,
) -> Gate {
    let place = &pending.environment;
    let reviewers: Vec<String> = pending.reviewers.iter().map(super::wire::Asked::name).collect();
    let asked = pending.wait_timer_started_at.unwrap_or(run.updated_at);
    let denied = denied(at.login, run, pending, &reviewers);
    let waiting = Waiting { until: until(pending), denied, ..Waiting::default() };
    let id = Id { run: run.id, environment: place.id };
    let mut gate = Gate {
        key: Key { place: at.repository.to_owned(), uid: id.uid(), attempt: run.run_attempt },
        approval: format!("{}/{}.{}/{}", at.repository, run.id, run.run_attempt, place.id),
        newest_attempt: run.run_attempt,
        title: format!("{} #{}", run.workflow(), run.run_number),
        name: format!("{} {} {}", run.workflow(), run.run_number, place.name),
        service: at.repository.split_once('/').map_or(at.repository, |(_, name)| name).to_owned(),
        environment: place.name.clone(),
        commit: run.head_sha.clone(),
        version: run.short_commit(),
        url: run.html_url.clone(),
        author: run.author().map(str::to_owned),
        what: what(run, pending),
        began: run.began(),
        asked,
        sequence: run.id,
        reviewers,
        required: 1,
        reviews: Vec::new(),
        reviewed: None,
        waiting: Some(waiting),
        job: None,
        ended: None,
        unstarted: false,
        started_by: None,
        newer: newer.map(|number| format!("run #{number}")),
        since: asked,
        raw: serde_json::to_value(run).unwrap_or_default(),
    };
    reviewed(&mut gate, review);
    gate
}

/// What became of one that waits no more.
pub(super) fn later(gate: &Gate, run: &WorkflowRun, review: Option<Review>, job: Option<DeploymentState>) -> Gate {
    let conclusion = run.conclusion.clone().unwrap_or_else(|| "unknown".to_owned());
    let well = conclusion == "success";
    let mut gate = Gate {
        newest_attempt: run.run_attempt,
        url: run.html_url.clone(),
        waiting: None,
        newer: None,
        job: job.map(DeploymentState::job),
        ended: run.is_over().then_some(Ended { conclusion, well, stopped: false }),
        raw: serde_json::to_value(run).unwrap_or_default(),
        ..gate.clone()
    };
    reviewed(&mut gate, review);
    gate
}

/// GitHub takes one review for enough.
fn reviewed(gate: &mut Gate, review: Option<Review>) {
    gate.reviews = review.into_iter().collect();
}

/// When its wait timer ends.
fn until(pending: &Pending) -> Option<Timestamp> {
    let started = pending.wait_timer_started_at.filter(|_| pending.wait_timer > 0)?;
    started.checked_add(SignedDuration::from_mins(i64::from(pending.wait_timer))).ok()
}

/// Why GitHub would take neither a yes nor a no from an account.
fn denied(login: Option<&str>, run: &WorkflowRun, pending: &Pending, reviewers: &[String]) -> Option<String> {
    if pending.current_user_can_approve {
        return None;
    }
    let (you, place) = (login.unwrap_or("this token's account"), &pending.environment.name);
    Some(if login.is_some() && run.author() == login {
        format!("{you} started this run, and GitHub does not let it review its own for {place}: another reviewer can")
    } else if login.is_some_and(|login| reviewers.iter().any(|name| name == login)) {
        format!("GitHub takes no review of {place} from {you} now; see {}", run.html_url)
    } else {
        format!("GitHub does not count {you} among the reviewers of {place}: {} can", reviewers.join(", "))
    })
}

/// What a yes lets through.
fn what(run: &WorkflowRun, pending: &Pending) -> String {
    let branch = run.head_branch.as_ref().map_or_else(String::new, |branch| format!(" of {branch}"));
    let minutes = pending.wait_timer;
    let timer = if minutes > 0 { format!(", {minutes} min after its start at the earliest") } else { String::new() };
    let by = format!("{} #{}{branch}, {}", run.workflow(), run.run_number, run.event);
    if run.display_title.is_empty() { format!("{by}{timer}") } else { format!("{} ({by}){timer}", run.display_title) }
}

impl DeploymentState {
    const fn job(self) -> Job {
        match self {
            DeploymentState::Error | DeploymentState::Failure => Job::Failed,
            DeploymentState::Success | DeploymentState::Inactive => Job::Succeeded,
            DeploymentState::InProgress => Job::Running,
            DeploymentState::Queued | DeploymentState::Pending => Job::Queued,
        }
    }
}
