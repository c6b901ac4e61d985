//! Jenkins: inputs that builds of pipelines wait for; proceeded with or aborted, and followed to the end of the build.
//! docs/jenkins.md says it for people.
//!
//! Jenkins does not tell who said what: what was said from here is remembered (`tells_reviews`).

mod input;
mod provider;
mod settings;
mod wire;

pub use provider::Jenkins;
pub use settings::{InputEnvironment, Settings};

use super::Approvals;
use super::client::{Cache, Client, Problem, there};
use super::execute::send_empty;
use super::gate::{Gate, Key};
use super::system::{ApprovalSystem, Decided, Known, Seen, Words, follow};
use crate::http::{Answer, basic, segment};
use async_trait::async_trait;
use flightdeck_model::{SourceId, Verdict};
use flightdeck_port::{NotDone, WrongSetting};
use input::{At, Id, later, waits};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::{BUILD, Build, Input, Job, id};

/// Builds of a job that are looked through, newest first. Jenkins may have to read each from its disk.
const BUILDS: usize = 20;

/// The inputs that builds of some pipelines wait for.
#[derive(Debug)]
struct Inputs {
    settings: Settings,
    client: Client,
}

/// The inputs that builds of some pipelines wait for, as a source; connects nothing yet.
///
/// # Errors
/// The address is none, or user and token can't stand in a header.
pub fn waiting_inputs(
    source: SourceId,
    read_only: bool,
    settings: Settings,
    token: &str,
) -> Result<Approvals, WrongSetting> {
    let client = client(&settings, token)?;
    Ok(Approvals::new(source, read_only, Inputs { settings, client }))
}

fn client(settings: &Settings, token: &str) -> Result<Client, WrongSetting> {
    Client::new("Jenkins", false, &settings.url, basic("token", &settings.user, token.trim())?)
}

/// Of a job: each folder on the way is one part of the address.
fn path(job: &str, rest: &str) -> String {
    let folders = job.split('/').map(|name| format!("job/{}/", segment(name)));
    folders.collect::<String>() + rest
}

impl Inputs {
    /// What a build waits for.
    async fn pending(&self, job: &str, build: &Build, cache: &mut Cache, now: Timestamp) -> Result<Vec<Gate>, Problem> {
        let path = path(job, &format!("{}/wfapi/pendingInputActions", build.number));
        let inputs: Vec<Input> = self.client.get(cache, &path, &[]).await?;
        let gate = |input: &Input| {
            let alone = inputs.iter().filter(|other| id(&other.id) == id(&input.id)).count() == 1;
            waits(At { job, build, environment: self.settings.environment_of(&input.id), alone, now }, input)
        };
        Ok(inputs.iter().map(gate).collect())
    }
}

#[async_trait]
impl ApprovalSystem for Inputs {
    fn words(&self) -> Words {
        Words {
            system: "Jenkins",
            place: "job",
            kind: "pipeline",
            says_who_may: false,
            tells_reviews: false,
            attempt: "attempt",
            rights: ("jobs (Job/Read)", "docs/jenkins.md"),
            no_hold: "Jenkins knows no hold",
            begins: "the build",
            job: "deployment",
        }
    }

    fn places(&self) -> &[String] {
        &self.settings.jobs
    }

    fn every(&self) -> Duration {
        self.settings.every
    }

    fn client(&self) -> &Client {
        &self.client
    }

    /// The token is of no use but with its user's name.
    async fn login(&self, _: &mut Cache) -> Result<Option<String>, Problem> {
        Ok(Some(self.settings.user.clone()))
    }

    async fn look(
        &self,
        place: &str,
        cache: &mut Cache,
        gates: &BTreeMap<Key, Gate>,
        known: Known<'_>,
    ) -> Result<Seen, Problem> {
        let tree = format!("builds[{BUILD}]{{0,{BUILDS}}}");
        let job: Job = self.client.get(cache, &path(place, "api/json"), &[("tree", &tree)]).await?;
        let only = (job.builds.len() >= BUILDS).then(|| format!("the newest {BUILDS} builds of {place}"));
        let mut seen = Seen { gates: BTreeMap::new(), only };
        for build in job.builds.iter().filter(|build| build.building) {
            for gate in self.pending(place, build, cache, known.now).await? {
                seen.gates.insert(gate.key.clone(), gate);
            }
        }
        follow(self, &mut seen, gates, known).await?;
        Ok(seen)
    }

    async fn one(&self, key: &Key, gate: Option<&Gate>, known: Known<'_>) -> Result<Option<Gate>, Problem> {
        // What counts is what is there now, not what was when it was asked last.
        let cache = &mut Cache::default();
        let Some(of) = Id::of(&key.uid) else { return Ok(None) };
        let address = path(&key.place, &format!("{}/api/json", of.build));
        let Some(build): Option<Build> = there(self.client.get(cache, &address, &[("tree", BUILD)]).await)? else {
            return Ok(None);
        };
        let pending =
            if build.building { self.pending(&key.place, &build, cache, known.now).await? } else { Vec::new() };
        let waits = pending.into_iter().find(|gate| gate.key == *key);
        Ok(waits.or_else(|| gate.map(|gate| later(gate, &build))))
    }

    async fn decide(&self, gate: &Gate, verdict: Verdict, _: &str) -> Result<Decided, NotDone> {
        let unknown = || NotDone::NotSent { why: format!("{} is no input of Jenkins", gate.key.uid) };
        let of = Id::of(&gate.key.uid).ok_or_else(unknown)?;
        let word = match verdict {
            Verdict::Approved => "proceedEmpty",
            Verdict::Rejected => "abort",
        };
        let address = path(&gate.key.place, &format!("{}/input/{}/{word}", of.build, segment(&of.input)));
        send_empty(&self.client, &address, Answer::empty).await?;
        Ok(Decided::default())
    }

    fn consequences(&self, environment: &str, login: &str, verdict: Verdict, _unstarted: bool) -> Vec<String> {
        let comment = "Jenkins takes no comment: the reason stands here alone".to_owned();
        match verdict {
            Verdict::Approved => vec![
                format!("Jenkins lets the build go on in the name of {login}, to {environment} as the settings say"),
                "a yes can't be taken back: only aborting the build stops it".to_owned(),
                comment,
            ],
            Verdict::Rejected => vec![
                format!("Jenkins aborts the input in the name of {login}"),
                "the build ends as aborted, unless its pipeline catches that and goes on".to_owned(),
                comment,
            ],
        }
    }
}
