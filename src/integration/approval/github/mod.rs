//! GitHub Actions: runs that wait for an environment with required reviewers, said yes or no to, and followed to the
//! job that they let through. docs/github.md says it for people.
//!
//! Nothing here is about the runs themselves: what waits for no environment is not shown.

mod look;
mod pending;
mod provider;
mod settings;
mod wire;

pub use provider::GitHub;
pub use settings::Settings;

use super::Approvals;
use super::client::{Cache, Client, Problem};
use super::execute::send;
use super::gate::{Gate, Key};
use super::system::{ApprovalSystem, Decided, Known, Seen, Words};
use crate::http::bearer;
use async_trait::async_trait;
use flightdeck_model::{SourceId, Verdict};
use flightdeck_port::{NotDone, WrongSetting};
use hyper::header::{ACCEPT, HeaderName, HeaderValue};
use look::Looking;
use pending::Id;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::Account;

/// Without one each answer is that of the newest version.
const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28"));

/// The waiting deployments of some repositories.
#[derive(Debug)]
struct WaitingDeployments {
    settings: Settings,
    client: Client,
}

/// The waiting deployments of some repositories, as a source; connects nothing yet.
///
/// # Errors
/// The address is none, or the token can't stand in a header.
pub fn waiting_deployments(
    source: SourceId,
    read_only: bool,
    settings: Settings,
    token: &str,
) -> Result<Approvals, WrongSetting> {
    let client = client(&settings.url, token)?;
    Ok(Approvals::new(source, read_only, WaitingDeployments { settings, client }))
}

fn client(url: &str, token: &str) -> Result<Client, WrongSetting> {
    let mut headers = bearer("token", token)?;
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    headers.extend([VERSION]);
    Client::new("GitHub", true, url, headers)
}

impl WaitingDeployments {
    fn looking<'a>(&'a self, repository: &'a str, login: Option<&'a str>) -> Looking<'a> {
        Looking { client: &self.client, repository, environments: &self.settings.environments, login }
    }
}

#[async_trait]
impl ApprovalSystem for WaitingDeployments {
    fn words(&self) -> Words {
        Words {
            system: "GitHub",
            place: "repo",
            kind: "workflow",
            says_who_may: true,
            tells_reviews: true,
            attempt: "attempt",
            rights: ("Actions and Deployments", "docs/github.md"),
            no_hold: "GitHub knows no hold",
            begins: "a runner",
            job: "deployment",
        }
    }

    fn places(&self) -> &[String] {
        &self.settings.repositories
    }

    fn every(&self) -> Duration {
        self.settings.every
    }

    fn client(&self) -> &Client {
        &self.client
    }

    async fn login(&self, cache: &mut Cache) -> Result<Option<String>, Problem> {
        Ok(Some(self.client.get::<Account>(cache, "user", &[]).await?.login))
    }

    async fn look(
        &self,
        place: &str,
        cache: &mut Cache,
        gates: &BTreeMap<Key, Gate>,
        known: Known<'_>,
    ) -> Result<Seen, Problem> {
        self.looking(place, known.login).all(cache, gates, known.now).await
    }

    async fn one(&self, key: &Key, gate: Option<&Gate>, known: Known<'_>) -> Result<Option<Gate>, Problem> {
        self.looking(&key.place, known.login).one(key, gate, known.now).await
    }

    async fn decide(&self, gate: &Gate, verdict: Verdict, comment: &str) -> Result<Decided, NotDone> {
        let unknown = || NotDone::NotSent { why: format!("{} is no run of GitHub", gate.key.uid) };
        let id = Id::of(&gate.key.uid).ok_or_else(unknown)?;
        let path = format!("repos/{}/actions/runs/{}/pending_deployments", gate.key.place, id.run);
        let state = match verdict {
            Verdict::Approved => "approved",
            Verdict::Rejected => "rejected",
        };
        let body = json!({ "environment_ids": [id.environment], "state": state, "comment": comment });
        let deployments: Vec<serde_json::Value> = send(&self.client, &path, &body).await?;
        Ok(Decided { note: Some(format!("deployments: {}", deployments.len())), unstarted: false })
    }

    fn consequences(&self, environment: &str, login: &str, verdict: Verdict, _unstarted: bool) -> Vec<String> {
        match verdict {
            Verdict::Approved => vec![
                format!(
                    "GitHub gets a review of {login}: approved; its job for {environment} begins once a runner takes it"
                ),
                "a yes can't be taken back: only cancelling the run stops it".to_owned(),
            ],
            Verdict::Rejected => vec![
                format!("GitHub gets a review of {login}: rejected; nothing is deployed to {environment}"),
                "its other jobs that need this one do not run, and the run ends as failed".to_owned(),
            ],
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
