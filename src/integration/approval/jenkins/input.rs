//! An input that a build waits for as a gate. Pure.

use super::wire::{Build, Input, id};
use crate::approval::gate::{Ended, Gate, Job, Key, Waiting};
use jiff::Timestamp;

/// Letters and digits of the id that Jenkins makes of an input's message where the pipeline gives none.
const DIGEST: usize = 32;
/// As many of them are enough for a name.
const SHORT: usize = 7;

/// What the uid of a target is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    pub build: u64,
    pub input: String,
}

impl Id {
    pub fn of(uid: &str) -> Option<Id> {
        let (build, input) = uid.split_once('/')?;
        Some(Id { build: build.parse().ok()?, input: input.to_owned() })
    }
}

/// Where an input waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    /// The path of its pipeline.
    pub job: &'a str,
    pub build: &'a Build,
    pub environment: &'a str,
    /// No other one of the build has its id.
    pub alone: bool,
    pub now: Timestamp,
}

/// A build waits for it.
pub(super) fn waits(at: At<'_>, input: &Input) -> Gate {
    let At { job, build, environment, .. } = at;
    let (id, number) = (id(&input.id), build.number);
    let (folder, name) = job.rsplit_once('/').unwrap_or((job, job));
    let title = format!("{job} #{number}");
    Gate {
        key: Key { place: job.to_owned(), uid: format!("{number}/{id}"), attempt: 1 },
        approval: format!("{job}/{number}/{id}"),
        newest_attempt: 1,
        name: format!("{name} {number} {}", short(&id)),
        // A pipeline's own name is often but that of a branch.
        service: folder.rsplit_once('/').map_or(folder, |(_, last)| last).to_owned(),
        environment: environment.to_owned(),
        commit: format!("#{number}"),
        version: build.name(),
        url: build.url.clone(),
        author: None,
        what: format!("{} ({title}){}", input.message, asks_for(input)),
        began: build.timestamp,
        asked: at.now,
        sequence: number,
        reviewers: vec!["whom the pipeline names, or whoever may build it".to_owned()],
        required: 1,
        reviews: Vec::new(),
        reviewed: None,
        waiting: Some(Waiting { until: None, denied: denied(at, &id), yes_denied: yes_denied(build, input) }),
        job: None,
        ended: None,
        unstarted: false,
        started_by: None,
        newer: None,
        since: at.now,
        raw: serde_json::json!({ "build": build, "input": input }),
        title,
    }
}

/// What became of one that waits no more.
pub(super) fn later(gate: &Gate, build: &Build) -> Gate {
    let result = build.result.clone().unwrap_or_else(|| "unknown".to_owned());
    let (well, stopped) = (result == "SUCCESS", result == "ABORTED");
    Gate {
        waiting: None,
        job: build.building.then_some(Job::Running),
        ended: (!build.building).then_some(Ended { conclusion: result, well, stopped }),
        reviews: Vec::new(),
        raw: serde_json::json!({ "build": build }),
        ..gate.clone()
    }
}

/// A digest is nothing that people type.
fn short(id: &str) -> String {
    let is_digest = id.len() == DIGEST && id.chars().all(|c| c.is_ascii_hexdigit());
    if is_digest { id.chars().take(SHORT).collect() } else { id.to_owned() }
}

/// Whose yes it would be, nobody could say.
fn denied(at: At<'_>, id: &str) -> Option<String> {
    let why = "this build waits for several inputs with the id";
    let todo = "give each an `id` of its own in the pipeline, and decide on these in Jenkins";
    (!at.alone).then(|| format!("{why} {id}, which Jenkins does not tell apart: {todo} ({})", at.build.url))
}

fn names(input: &Input) -> Option<String> {
    let asked = input.inputs.as_ref().filter(|inputs| !inputs.is_empty())?;
    Some(asked.iter().map(|of| of.name.as_str()).collect::<Vec<_>>().join(", "))
}

fn asks_for(input: &Input) -> String {
    names(input).map_or_else(String::new, |names| format!(": asks for {names}"))
}

/// A yes would have to say what only the person knows.
fn yes_denied(build: &Build, input: &Input) -> Option<String> {
    let url = &build.url;
    match (&input.inputs, names(input)) {
        (None, _) => Some(format!("Jenkins does not tell whether this input asks for parameters: say yes at {url}")),
        (_, Some(names)) => Some(format!("this input asks for parameters ({names}): say yes at {url}")),
        (Some(_), None) => None,
    }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
