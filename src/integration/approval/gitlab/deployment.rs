//! A deployment of GitLab as a gate. Pure.
//!
//! Each deployment is a target of its own. While it waits, a later one of the same job and branch to the same
//! environment takes its place: that has all that it has.

use super::wire::{Deployment, Status};
use crate::approval::gate::{Ended, Gate, Job, Key, Review, Waiting};
use flightdeck_model::Verdict;

/// Of a project, asked with the token of that account.
pub(super) fn gate(project: &str, deployment: &Deployment, login: Option<&str>, newer: Option<u64>) -> Gate {
    let Deployment { id, iid, environment, deployable, .. } = deployment;
    let job = deployable.as_ref().map_or("deployment", |job| job.name.as_str());
    let pipeline = deployable.as_ref().and_then(|job| job.pipeline.as_ref());
    let url = deployable.as_ref().and_then(|job| job.web_url.clone());
    let reviews = deployment.reviews();
    let (missing, start) = (deployment.missing(), waits_for_start(deployment));
    let yes = reviews.iter().filter(|review| review.verdict == Verdict::Approved).count();
    let begins = if start { 1 } else { missing };
    let blocked = deployment.status == Status::Blocked && (missing > 0 || start);
    Gate {
        key: Key { place: project.to_owned(), uid: id.to_string(), attempt: 1 },
        approval: format!("{project}/{id}"),
        newest_attempt: 1,
        title: format!("{job} #{iid}"),
        name: format!("{job} {iid} {}", environment.name),
        service: project.rsplit_once('/').map_or(project, |(_, name)| name).to_owned(),
        environment: environment.name.clone(),
        commit: deployment.sha.clone(),
        version: deployment.short_commit(),
        url: url.or_else(|| pipeline.and_then(|pipeline| pipeline.web_url.clone())).unwrap_or_default(),
        author: deployment.user.as_ref().map(|user| user.username.clone()),
        what: what(deployment),
        began: pipeline.and_then(|pipeline| pipeline.created_at).unwrap_or(deployment.created_at),
        asked: deployment.created_at,
        sequence: *id,
        reviewers: reviewers(deployment),
        required: begins.saturating_add(u32::try_from(yes).unwrap_or(u32::MAX)).max(1),
        reviewed: None,
        waiting: blocked.then(|| Waiting { denied: denied(deployment, login), ..Waiting::default() }),
        job: job_of(deployment.status),
        ended: ended(deployment.status),
        unstarted: start,
        started_by: None,
        newer: newer.filter(|_| blocked).map(|newer| format!("deployment {newer}")),
        since: deployment.created_at,
        raw: serde_json::to_value(deployment).unwrap_or_default(),
        reviews,
    }
}

/// One that waits no more: whom it asked is not told any more, and whoever started its job had the last word.
pub(super) fn gone_on(mut now: Gate, before: &Gate, deployment: &Deployment) -> Gate {
    now.reviewers.clone_from(&before.reviewers);
    let moves = matches!(now.job, Some(Job::Running | Job::Succeeded | Job::Failed));
    let starter = || deployment.starter().unwrap_or("somebody").to_owned();
    now.started_by = before.started_by.clone().or_else(|| (before.unstarted && moves).then(starter));
    // Whoever said yes and started it, too, has one say.
    if let Some(who) = now.started_by.clone().filter(|who| !now.reviews.iter().any(|review| review.who == *who)) {
        now.reviews.push(Review { verdict: Verdict::Approved, who, comment: "started its job".to_owned(), at: None });
    }
    now.required = u32::try_from(now.approvals()).unwrap_or(u32::MAX).max(1);
    now
}

/// Every yes is there, or none is asked for, and somebody has to start its job: GitLab starts none by itself.
fn waits_for_start(deployment: &Deployment) -> bool {
    deployment.status == Status::Blocked && deployment.missing() == 0 && deployment.is_manual()
}

fn reviewers(deployment: &Deployment) -> Vec<String> {
    let place = &deployment.environment.name;
    if waits_for_start(deployment) {
        return vec![format!("whoever may deploy to {place}")];
    }
    let asked = deployment.asked();
    if asked.is_empty() { vec![format!("whoever may approve deployments to {place}")] } else { asked }
}

/// Why GitLab would take nothing from an account, as far as it says so beforehand.
fn denied(deployment: &Deployment, login: Option<&str>) -> Option<String> {
    let said = deployment.reviews().into_iter().find(|review| login == Some(review.who.as_str()))?;
    (!waits_for_start(deployment)).then(|| format!("{} has had a say already, and GitLab counts one of each", said.who))
}

/// What a yes lets through.
fn what(deployment: &Deployment) -> String {
    let job = deployment.deployable.as_ref();
    let name = job.map_or("deployment", |job| job.name.as_str());
    let pipeline = job.and_then(|job| job.pipeline.as_ref());
    let pipeline = pipeline.map_or_else(String::new, |pipeline| format!(", pipeline {}", pipeline.id));
    let by = format!("{name} of {}{pipeline}", deployment.branch);
    let start = if waits_for_start(deployment) { ": the start of its job" } else { "" };
    match job.and_then(|job| job.commit.as_ref()).map(|commit| commit.title.as_str()) {
        Some(title) if !title.is_empty() => format!("{title} ({by}){start}"),
        _ => format!("{by}{start}"),
    }
}

const fn job_of(status: Status) -> Option<Job> {
    match status {
        Status::Running => Some(Job::Running),
        Status::Success => Some(Job::Succeeded),
        Status::Failed => Some(Job::Failed),
        Status::Created => Some(Job::Queued),
        Status::Blocked | Status::Canceled | Status::Skipped => None,
    }
}

fn ended(status: Status) -> Option<Ended> {
    let conclusion = match status {
        Status::Canceled => "canceled",
        Status::Skipped => "skipped",
        _ => return None,
    };
    Some(Ended { conclusion: conclusion.to_owned(), well: false, stopped: false })
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
