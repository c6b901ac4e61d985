//! GitLab: deployments that wait for approvals, or for somebody to start their job; said yes or no to, and followed to
//! the job that they let through. docs/gitlab.md says it for people.

mod deployment;
mod provider;
mod settings;
mod wire;

pub use provider::GitLab;
pub use settings::Settings;

use super::Approvals;
use super::client::{Cache, Client, Problem, there};
use super::execute::send;
use super::gate::{Gate, Key, Review};
use super::system::{ApprovalSystem, Decided, Known, Seen, Words, follow};
use super::text::short;
use crate::http::{header, segment};
use async_trait::async_trait;
use deployment::{gate, gone_on};
use flightdeck_model::{Refusal, RefusalKind, SourceId, Verdict};
use flightdeck_port::{NotDone, WrongSetting};
use hyper::header::HeaderName;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::{Deployment, Status, User};

/// The most that GitLab puts on one page.
const PAGE: usize = 100;
/// Pages of waiting deployments that are read, newest first.
const PAGES: usize = 5;

/// The waiting deployments of some projects.
#[derive(Debug)]
struct Deployments {
    settings: Settings,
    client: Client,
}

/// The waiting deployments of some projects, as a source; connects nothing yet.
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
    Ok(Approvals::new(source, read_only, Deployments { settings, client }))
}

fn client(url: &str, token: &str) -> Result<Client, WrongSetting> {
    Client::new("GitLab", false, url, header("token", HeaderName::from_static("private-token"), token.trim())?)
}

/// Of a project: its path stands in one part of the address.
fn path(project: &str, rest: &str) -> String {
    format!("projects/{}/{rest}", segment(project))
}

/// Is there a yes with that comment?
fn has(deployment: Option<&Deployment>, comment: &str) -> bool {
    let said = |review: &Review| review.verdict == Verdict::Approved && review.comment == short(comment);
    deployment.is_some_and(|deployment| deployment.reviews().iter().any(said))
}

impl Deployments {
    fn is_wanted(&self, deployment: &Deployment) -> bool {
        let only = &self.settings.environments;
        only.is_empty() || only.contains(&deployment.environment.name)
    }

    async fn blocked(&self, project: &str, cache: &mut Cache) -> Result<(Vec<Deployment>, Option<String>), Problem> {
        let (mut all, size) = (Vec::new(), PAGE.to_string());
        for number in 1..=PAGES {
            let number = number.to_string();
            let query =
                [("status", "blocked"), ("order_by", "id"), ("sort", "desc"), ("per_page", &size), ("page", &number)];
            let page: Vec<Deployment> = self.client.get(cache, &path(project, "deployments"), &query).await?;
            let last = page.len() < PAGE;
            all.extend(page);
            if last {
                return Ok((all, None));
            }
        }
        let only = format!("the newest {} waiting deployments of {project}", all.len());
        Ok((all, Some(only)))
    }

    async fn detail(&self, project: &str, id: u64, cache: &mut Cache) -> Result<Option<Deployment>, Problem> {
        there(self.client.get(cache, &path(project, &format!("deployments/{id}")), &[]).await)
    }

    /// The newest deployments of a project, to whatever environment.
    async fn newest(&self, project: &str, cache: &mut Cache) -> Result<Vec<Deployment>, Problem> {
        let query = [("order_by", "id"), ("sort", "desc"), ("per_page", "100")];
        Ok(there(self.client.get(cache, &path(project, "deployments"), &query).await)?.unwrap_or_default())
    }
}

/// A later deployment of the same job and branch to the same environment that may still come, or has: it has all that
/// this one has.
fn newer(newest: &[Deployment], of: &Deployment) -> Option<u64> {
    let later = |one: &&Deployment| one.id > of.id && one.is_another_try_of(of) && !one.status.is_given_up();
    newest.iter().find(later).map(|one| one.id)
}

#[async_trait]
impl ApprovalSystem for Deployments {
    fn words(&self) -> Words {
        Words {
            system: "GitLab",
            place: "project",
            kind: "deployment",
            says_who_may: false,
            tells_reviews: true,
            attempt: "deployment",
            rights: ("deployments", "docs/gitlab.md"),
            no_hold: "GitLab knows no hold",
            begins: "a runner",
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

    async fn login(&self, cache: &mut Cache) -> Result<Option<String>, Problem> {
        Ok(Some(self.client.get::<User>(cache, "user", &[]).await?.username))
    }

    async fn look(
        &self,
        place: &str,
        cache: &mut Cache,
        gates: &BTreeMap<Key, Gate>,
        known: Known<'_>,
    ) -> Result<Seen, Problem> {
        let (blocked, only) = self.blocked(place, cache).await?;
        let mut seen = Seen { gates: BTreeMap::new(), only };
        let wanted: Vec<&Deployment> = blocked.iter().filter(|one| self.is_wanted(one)).collect();
        let newest = if wanted.is_empty() { Vec::new() } else { self.newest(place, cache).await? };
        for one in wanted {
            // Of the list nobody knows who has said what.
            let Some(one) = self.detail(place, one.id, cache).await? else { continue };
            // It has gone on since it was listed: what became of it is looked for below.
            if one.status != Status::Blocked {
                continue;
            }
            let gate = gate(place, &one, known.login, newer(&newest, &one));
            seen.gates.insert(gate.key.clone(), gate);
        }
        follow(self, &mut seen, gates, known).await?;
        Ok(seen)
    }

    async fn one(&self, key: &Key, gate_before: Option<&Gate>, known: Known<'_>) -> Result<Option<Gate>, Problem> {
        // What counts is what is there now, not what was when it was asked last.
        let cache = &mut Cache::default();
        let Ok(id) = key.uid.parse() else { return Ok(None) };
        let Some(deployment) = self.detail(&key.place, id, cache).await? else { return Ok(None) };
        let newest = self.newest(&key.place, cache).await?;
        let now = gate(&key.place, &deployment, known.login, newer(&newest, &deployment));
        if now.key != *key {
            return Ok(None);
        }
        Ok(Some(match gate_before.filter(|_| now.waiting.is_none()) {
            Some(before) => gone_on(now, before, &deployment),
            None => now,
        }))
    }

    /// A yes, and then the start of the job, which a yes alone does not do.
    async fn decide(&self, of: &Gate, verdict: Verdict, comment: &str) -> Result<Decided, NotDone> {
        let project = of.key.place.as_str();
        let not_sent = |problem: &Problem| NotDone::NotSent { why: self.client.sentence(problem) };
        let gone = || NotDone::from(Refusal::new(RefusalKind::NotFound, format!("{} is gone", of.title)));
        let id: u64 = of.key.uid.parse().map_err(|_| gone())?;
        let read = async || self.detail(project, id, &mut Cache::default()).await;
        let now = read().await.map_err(|problem| not_sent(&problem))?.ok_or_else(gone)?;
        let approval = path(project, &format!("deployments/{id}/approval"));
        if verdict == Verdict::Rejected {
            if now.missing() == 0 {
                let why =
                    "GitLab asks nobody for a yes here, only for the start of its job: cancel its pipeline to stop it";
                return Err(Refusal::new(RefusalKind::NotApplicable, why).into());
            }
            let body = json!({ "status": "rejected", "comment": comment });
            let _: serde_json::Value = send(&self.client, &approval, &body).await?;
            return Ok(Decided::default());
        }
        if now.missing() == 0 {
            self.play(project, &now).await?;
            return Ok(Decided { note: Some("its job was started".to_owned()), unstarted: false });
        }
        let body = json!({ "status": "approved", "comment": comment });
        let sent: Result<serde_json::Value, NotDone> = send(&self.client, &approval, &body).await;
        let after = read().await;
        // An answer that is lost says nothing; a yes with this comment does.
        match sent {
            Err(NotDone::Unknown { .. })
                if !has(Some(&now), comment) && after.as_ref().is_ok_and(|after| has(after.as_ref(), comment)) => {}
            sent => drop(sent?),
        }
        // The yes is given from here on, whatever becomes of the job.
        let after = match after {
            Ok(Some(after)) => after,
            Ok(None) => return Ok(Decided::noting("approved; the deployment is not told of any more")),
            Err(problem) => {
                let why = self.client.sentence(&problem);
                return Ok(Decided { unstarted: true, ..Decided::noting(&format!("approved; not read again: {why}")) });
            }
        };
        if after.missing() > 0 {
            return Ok(Decided::noting(&format!("approved; so many more are asked for: {}", after.missing())));
        }
        if !after.is_manual() {
            return Ok(Decided::noting("approved"));
        }
        Ok(match self.play(project, &after).await {
            Ok(()) => Decided::noting("approved, and its job was started"),
            Err(error @ NotDone::Unknown { .. }) => return Err(error),
            Err(error) => {
                let note = format!("approved; its job was not started: {error}");
                Decided { unstarted: true, ..Decided::noting(&note) }
            }
        })
    }

    fn consequences(&self, environment: &str, login: &str, verdict: Verdict, unstarted: bool) -> Vec<String> {
        match verdict {
            Verdict::Approved if unstarted => vec![
                format!("GitLab starts its job for {environment} in the name of {login}"),
                "that can't be taken back: only cancelling the job stops it".to_owned(),
            ],
            Verdict::Rejected if unstarted => {
                vec!["GitLab asks nobody for a yes here, and takes no no: it is refused".to_owned()]
            }
            Verdict::Approved => vec![
                format!(
                    "GitLab gets an approval of {login}; once none is missing, its job for {environment} is started"
                ),
                "a yes can't be taken back: only cancelling the job stops it".to_owned(),
            ],
            Verdict::Rejected => vec![format!(
                "GitLab gets a rejection of {login}: the job fails, and nothing is deployed to {environment}"
            )],
        }
    }
}

impl Deployments {
    async fn play(&self, project: &str, deployment: &Deployment) -> Result<(), NotDone> {
        let none = || Refusal::new(RefusalKind::NotApplicable, "GitLab tells of no job that could be started");
        let job = deployment.deployable.as_ref().ok_or_else(none)?;
        let path = path(project, &format!("jobs/{}/play", job.id));
        let _: serde_json::Value = send(&self.client, &path, &json!({})).await?;
        Ok(())
    }
}
