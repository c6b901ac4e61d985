//! CircleCI: approval jobs that workflows wait for; approved, or their workflow cancelled, and followed to the jobs that
//! they let through. docs/circleci.md says it for people.
//!
//! CircleCI knows no no: cancelling the workflow is the nearest, and who did that it does not tell (`tells_reviews`).

mod hold;
mod provider;
mod settings;
mod wire;

pub use provider::CircleCi;
pub use settings::{ApprovalEnvironment, Settings};

use super::Approvals;
use super::client::{Cache, Client, Problem, there};
use super::execute::send_empty;
use super::gate::{Gate, Key};
use super::system::{ApprovalSystem, Decided, Known, Seen, Words, follow};
use crate::http::{Answer, header, segment};
use async_trait::async_trait;
use flightdeck_model::{SourceId, Verdict};
use flightdeck_port::{NotDone, WrongSetting};
use hold::{At, Id, later, waits};
use hyper::header::HeaderName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::{Job, Page, Pipeline, Workflow};

/// Pages of the jobs and workflows of one pipeline that are read.
const PAGES: usize = 5;

/// The approval jobs that workflows of some projects wait for.
#[derive(Debug)]
struct Holds {
    settings: Settings,
    client: Client,
}

/// What a change is answered with.
#[derive(Deserialize)]
struct Message {
    message: String,
}

/// The approval jobs that workflows of some projects wait for, as a source; connects nothing yet.
///
/// # Errors
/// The address is none, or the token can't stand in a header.
pub fn waiting_approvals(
    source: SourceId,
    read_only: bool,
    settings: Settings,
    token: &str,
) -> Result<Approvals, WrongSetting> {
    let client = client(&settings.url, token)?;
    Ok(Approvals::new(source, read_only, Holds { settings, client }))
}

fn client(url: &str, token: &str) -> Result<Client, WrongSetting> {
    Client::new("CircleCI", false, url, header("token", HeaderName::from_static("circle-token"), token.trim())?)
}

impl Holds {
    /// A whole list, and whether more was left out.
    async fn all<T: DeserializeOwned>(&self, path: &str, cache: &mut Cache) -> Result<(Vec<T>, bool), Problem> {
        let (mut all, mut token) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let query: Vec<_> = token.iter().map(|token| ("page-token", token.as_str())).collect();
            let page: Page<T> = self.client.get(cache, path, &query).await?;
            all.extend(page.items);
            token = page.next_page_token;
            if token.is_none() {
                return Ok((all, false));
            }
        }
        Ok((all, true))
    }

    /// The newest pipelines of a project, and whether there are more.
    async fn pipelines(&self, project: &str, cache: &mut Cache) -> Result<(Vec<Pipeline>, bool), Problem> {
        let path = format!("project/{}/pipeline", project.split('/').map(segment).collect::<Vec<_>>().join("/"));
        let branches = self.settings.branches.iter().map(|branch| vec![("branch", branch.as_str())]);
        let all = if self.settings.branches.is_empty() { vec![Vec::new()] } else { branches.collect() };
        let (mut pipelines, mut more) = (Vec::new(), false);
        for query in all {
            let page: Page<Pipeline> = self.client.get(cache, &path, &query).await?;
            pipelines.extend(page.items);
            more |= page.next_page_token.is_some();
        }
        Ok((pipelines, more))
    }

    async fn jobs(&self, workflow: &str, cache: &mut Cache) -> Result<(Vec<Job>, bool), Problem> {
        self.all(&format!("workflow/{}/job", segment(workflow)), cache).await
    }
}

#[async_trait]
impl ApprovalSystem for Holds {
    fn words(&self) -> Words {
        Words {
            system: "CircleCI",
            place: "project",
            kind: "workflow",
            says_who_may: false,
            tells_reviews: false,
            attempt: "attempt",
            rights: ("pipelines (a personal token)", "docs/circleci.md"),
            no_hold: "CircleCI knows no hold but its own",
            begins: "its jobs",
            job: "deployment",
        }
    }

    fn places(&self) -> &[String] {
        &self.settings.projects
    }

    fn every(&self) -> Duration {
        self.settings.every
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// Who said what is told by ids alone.
    async fn login(&self, _: &mut Cache) -> Result<Option<String>, Problem> {
        Ok(None)
    }

    async fn look(
        &self,
        place: &str,
        cache: &mut Cache,
        gates: &BTreeMap<Key, Gate>,
        known: Known<'_>,
    ) -> Result<Seen, Problem> {
        let (pipelines, mut more) = self.pipelines(place, cache).await?;
        let mut seen = BTreeMap::new();
        for pipeline in &pipelines {
            let path = format!("pipeline/{}/workflow", segment(&pipeline.id));
            let (workflows, cut): (Vec<Workflow>, _) = self.all(&path, cache).await?;
            more |= cut;
            for workflow in workflows.iter().filter(|workflow| workflow.may_wait()) {
                let (jobs, cut) = self.jobs(&workflow.id, cache).await?;
                more |= cut;
                let waiting = jobs.iter().filter(|job| job.waits());
                for (job, request) in waiting.filter_map(|job| Some((job, job.request()?))) {
                    let environment = self.settings.environment_of(&job.name);
                    let at = At { project: place, pipeline, workflow, environment, now: known.now };
                    let gate = waits(at, job, request);
                    seen.insert(gate.key.clone(), gate);
                }
            }
        }
        let only = more.then(|| format!("the newest {} pipelines of {place}", pipelines.len()));
        let mut seen = Seen { gates: seen, only };
        follow(self, &mut seen, gates, known).await?;
        Ok(seen)
    }

    /// What is not known from a list is not looked for: a job does not name its pipeline.
    async fn one(&self, key: &Key, gate: Option<&Gate>, _: Known<'_>) -> Result<Option<Gate>, Problem> {
        // What counts is what is there now, not what was when it was asked last.
        let cache = &mut Cache::default();
        let (Some(of), Some(gate)) = (Id::of(&key.uid), gate) else { return Ok(None) };
        let path = format!("workflow/{}", segment(&of.workflow));
        let Some(workflow): Option<Workflow> = there(self.client.get(cache, &path, &[]).await)? else {
            return Ok(None);
        };
        let Some((jobs, _)) = there(self.jobs(&of.workflow, cache).await)? else { return Ok(None) };
        let job = jobs.iter().find(|job| job.request() == Some(of.request.as_str()));
        Ok(job.map(|job| later(gate, &workflow, job, &jobs)))
    }

    async fn decide(&self, gate: &Gate, verdict: Verdict, _: &str) -> Result<Decided, NotDone> {
        let unknown = || NotDone::NotSent { why: format!("{} is no approval job of CircleCI", gate.key.uid) };
        let Id { workflow, request } = Id::of(&gate.key.uid).ok_or_else(unknown)?;
        let path = match verdict {
            Verdict::Approved => format!("workflow/{}/approve/{}", segment(&workflow), segment(&request)),
            Verdict::Rejected => format!("workflow/{}/cancel", segment(&workflow)),
        };
        let said: Message = send_empty(&self.client, &path, Answer::json).await?;
        Ok(Decided::noting(&super::text::short(&said.message)))
    }

    fn consequences(&self, environment: &str, _: &str, verdict: Verdict, _unstarted: bool) -> Vec<String> {
        let comment = "CircleCI takes no comment: the reason stands here alone".to_owned();
        match verdict {
            Verdict::Approved => vec![
                "CircleCI gets an approval in the name of the token's owner".to_owned(),
                format!("the jobs that wait for it begin, and deploy to {environment} as the settings say"),
                "a yes can't be taken back: only cancelling the workflow stops it".to_owned(),
                comment,
            ],
            Verdict::Rejected => vec![
                "CircleCI knows no no: the whole workflow is cancelled, with all of its jobs that run or wait"
                    .to_owned(),
                format!("nothing more of it is deployed to {environment}; a workflow can be run again there"),
                comment,
            ],
        }
    }
}
