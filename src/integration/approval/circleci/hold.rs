//! An approval job that waits as a gate. Pure.

use super::wire::{Job, Pipeline, Workflow};
use crate::approval::gate::{self, Ended, Gate, Key, Review, Waiting};
use flightdeck_model::Verdict;
use jiff::Timestamp;

/// Characters of a commit that people write.
const SHORT: usize = 7;

/// What the uid of a target is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub workflow: String,
    pub request: String,
}

impl Id {
    pub fn of(uid: &str) -> Option<Id> {
        let (workflow, request) = uid.split_once('/')?;
        Some(Id { workflow: workflow.to_owned(), request: request.to_owned() })
    }
}

/// Where one waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub project: &'a str,
    pub pipeline: &'a Pipeline,
    pub workflow: &'a Workflow,
    pub environment: &'a str,
    pub now: Timestamp,
}

/// A workflow waits for it.
pub(super) fn waits(at: At<'_>, job: &Job, request: &str) -> Gate {
    let At { project, pipeline, workflow, environment, now } = at;
    let (number, name) = (pipeline.number, workflow.name.as_str());
    let commit = pipeline.commit().map_or_else(|| format!("#{number}"), str::to_owned);
    let branch = pipeline.branch().map_or_else(String::new, |branch| format!(" of {branch}"));
    Gate {
        key: Key { place: project.to_owned(), uid: format!("{}/{request}", workflow.id), attempt: 1 },
        approval: format!("{project}/{}/{request}", workflow.id),
        newest_attempt: 1,
        title: format!("{name} #{number}"),
        // A workflow that is run again has the same number.
        name: format!("{name} {number} {} {}", job.name, short(&workflow.id)),
        service: project.rsplit_once('/').map_or(project, |(_, name)| name).to_owned(),
        environment: environment.to_owned(),
        version: if pipeline.commit().is_some() { short(&commit) } else { commit.clone() },
        commit,
        url: format!("https://app.circleci.com/pipelines/workflows/{}", workflow.id),
        author: pipeline.author().map(str::to_owned),
        what: format!("{} ({name} #{number}{branch})", job.name),
        began: pipeline.created_at,
        asked: now,
        sequence: number,
        reviewers: vec!["whoever may push to the project".to_owned()],
        required: 1,
        reviews: Vec::new(),
        reviewed: None,
        waiting: Some(Waiting::default()),
        job: None,
        ended: None,
        unstarted: false,
        started_by: None,
        newer: None,
        since: now,
        raw: serde_json::json!({ "pipeline": pipeline, "workflow": workflow, "job": job }),
    }
}

/// As it is now.
pub(super) fn later(gate: &Gate, workflow: &Workflow, job: &Job, jobs: &[Job]) -> Gate {
    let well = workflow.status == "success";
    let ended = Ended { conclusion: workflow.status.clone(), well, stopped: workflow.status == "canceled" };
    let yes = (job.status == "success").then(|| Review {
        verdict: Verdict::Approved,
        who: job.approved_by.clone().unwrap_or_else(|| "somebody".to_owned()),
        comment: String::new(),
        at: None,
    });
    Gate {
        waiting: (job.waits() && !workflow.is_over()).then(Waiting::default),
        // Once it is over its end tells.
        job: yes.as_ref().filter(|_| !workflow.is_over()).map(|_| let_through(job, jobs)),
        ended: workflow.is_over().then_some(ended),
        reviews: yes.into_iter().collect(),
        raw: serde_json::json!({ "workflow": workflow, "job": job }),
        ..gate.clone()
    }
}

/// Has a job begun that begins after it? What that does, and whether there are more behind it, nobody knows.
fn let_through(job: &Job, jobs: &[Job]) -> gate::Job {
    let not_begun = ["blocked", "queued", "not_running", "not_run", "on_hold"];
    let begun = |other: &Job| other.dependencies.contains(&job.id) && !not_begun.contains(&other.status.as_str());
    if jobs.iter().any(begun) { gate::Job::Running } else { gate::Job::Queued }
}

fn short(text: &str) -> String {
    text.chars().take(SHORT).collect()
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
