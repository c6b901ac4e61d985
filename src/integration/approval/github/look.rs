//! One look at a repository: which runs wait, for what, and what became of those that waited.

use super::pending::{self, At, Id};
use super::wire::{
    Deployment, DeploymentState, DeploymentStatus, HistoryEntry, Pending, Runs, WorkflowRun, deployed, review,
};
use crate::approval::client::{Cache, Client, Problem, there};
use crate::approval::gate::{Gate, Key};
use crate::approval::system::{Seen, is_shown};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The most that GitHub puts on one page.
const PAGE: usize = 100;
/// Pages of waiting runs that are read, newest runs first.
const PAGES: usize = 5;
/// Deployments of a commit to an environment that are looked through.
const DEPLOYMENTS: &str = "10";

/// What is looked at.
pub(super) struct Looking<'a> {
    pub client: &'a Client,
    /// `owner/name`.
    pub repository: &'a str,
    /// Only these; none named: all.
    pub environments: &'a [String],
    pub login: Option<&'a str>,
}

impl Looking<'_> {
    fn path(&self, rest: &str) -> String {
        format!("repos/{}/{rest}", self.repository)
    }

    /// The runs that wait, and those that were known to.
    pub async fn all(&self, cache: &mut Cache, known: &BTreeMap<Key, Gate>, now: Timestamp) -> Result<Seen, Problem> {
        let (runs, only) = self.waiting(cache).await?;
        let mut gates = BTreeMap::new();
        for run in runs {
            for gate in self.pending(cache, &run, now).await? {
                gates.insert(gate.key.clone(), gate);
            }
        }
        for (key, gate) in known {
            if gates.contains_key(key) || !is_shown(gate, now) {
                continue;
            }
            let later = if gate.standing().is_over() { Some(gate.clone()) } else { self.later(cache, gate).await? };
            gates.extend(later.map(|gate| (key.clone(), gate)));
        }
        Ok(Seen { gates, only })
    }

    async fn waiting(&self, cache: &mut Cache) -> Result<(Vec<WorkflowRun>, Option<String>), Problem> {
        let (mut runs, size) = (Vec::new(), PAGE.to_string());
        for number in 1..=PAGES {
            let number = number.to_string();
            let query =
                [("status", "waiting"), ("exclude_pull_requests", "true"), ("per_page", &size), ("page", &number)];
            let page: Runs = self.client.get(cache, &self.path("actions/runs"), &query).await?;
            let last = page.workflow_runs.len() < PAGE;
            runs.extend(page.workflow_runs);
            if last {
                return Ok((runs, None));
            }
        }
        let only = format!("the newest {} waiting runs of {}", runs.len(), self.repository);
        Ok((runs, Some(only)))
    }

    /// The gates at which a run waits now.
    async fn pending(&self, cache: &mut Cache, run: &WorkflowRun, now: Timestamp) -> Result<Vec<Gate>, Problem> {
        let path = self.path(&format!("actions/runs/{}/pending_deployments", run.id));
        let all: Vec<Pending> = there(self.client.get(cache, &path, &[]).await)?.unwrap_or_default();
        let wanted =
            |pending: &Pending| self.environments.is_empty() || self.environments.contains(&pending.environment.name);
        let all: Vec<Pending> = all.into_iter().filter(wanted).collect();
        // Who may not review it now may have: a timer can hold it after a yes. Reviews of an earlier attempt are
        // told without saying so, hence only those of a first one are believed of what still waits.
        let doubtful = all.iter().any(|pending| !pending.current_user_can_approve && !pending.reviewers.is_empty());
        let history = if doubtful && run.run_attempt == 1 { self.history(cache, run.id).await? } else { Vec::new() };
        let newer = if all.is_empty() { None } else { self.newer(cache, run).await? };
        let at = At { repository: self.repository, login: self.login };
        let gate = |pending: &Pending| {
            let review = review(&history, pending.environment.id);
            let reviewed = review.as_ref().map(|_| now);
            Gate { reviewed, ..pending::waits(at, run, pending, review, newer) }
        };
        Ok(all.iter().map(gate).collect())
    }

    async fn history(&self, cache: &mut Cache, run: u64) -> Result<Vec<HistoryEntry>, Problem> {
        let path = self.path(&format!("actions/runs/{run}/approvals"));
        Ok(there(self.client.get(cache, &path, &[]).await)?.unwrap_or_default())
    }

    /// The number of a later run that has all that this one has: one that a push to the same branch made. Runs that
    /// people start may each be about something else.
    async fn newer(&self, cache: &mut Cache, run: &WorkflowRun) -> Result<Option<u64>, Problem> {
        let Some(branch) = run.head_branch.as_deref().filter(|_| run.event == "push") else { return Ok(None) };
        let path = self.path(&format!("actions/workflows/{}/runs", run.workflow_id));
        let query = [("branch", branch), ("event", "push"), ("exclude_pull_requests", "true"), ("per_page", "1")];
        let newest: Option<Runs> = there(self.client.get(cache, &path, &query).await)?;
        let number = newest.and_then(|runs| runs.workflow_runs.first().map(|newest| newest.run_number));
        Ok(number.filter(|number| *number > run.run_number))
    }

    /// What became of one that waits no more; nothing where its run was deleted.
    async fn later(&self, cache: &mut Cache, gate: &Gate) -> Result<Option<Gate>, Problem> {
        let Some(id) = Id::of(&gate.key.uid) else { return Ok(None) };
        let Some(run) = self.run(cache, id.run).await? else { return Ok(None) };
        let review = review(&self.history(cache, id.run).await?, id.environment);
        let deployment = self.deployment(cache, &run, &gate.environment).await?;
        Ok(Some(pending::later(gate, &run, review, deployment)))
    }

    async fn run(&self, cache: &mut Cache, run: u64) -> Result<Option<WorkflowRun>, Problem> {
        let path = self.path(&format!("actions/runs/{run}"));
        there(self.client.get(cache, &path, &[("exclude_pull_requests", "true")]).await)
    }

    /// How far the deployment is that this attempt of the run made.
    async fn deployment(
        &self,
        cache: &mut Cache,
        run: &WorkflowRun,
        environment: &str,
    ) -> Result<Option<DeploymentState>, Problem> {
        let query = [("sha", run.head_sha.as_str()), ("environment", environment), ("per_page", DEPLOYMENTS)];
        let all: Vec<Deployment> =
            there(self.client.get(cache, &self.path("deployments"), &query).await)?.unwrap_or_default();
        for deployment in all.iter().filter(|deployment| deployment.created_at >= run.began()) {
            let path = self.path(&format!("deployments/{}/statuses", deployment.id));
            let statuses: Vec<DeploymentStatus> =
                there(self.client.get(cache, &path, &[("per_page", "1")]).await)?.unwrap_or_default();
            if let Some(state) = deployed(&statuses, run.id) {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// One gate as it is now; nothing where its run never waited for that environment, or is gone.
    pub async fn one(&self, key: &Key, known: Option<&Gate>, now: Timestamp) -> Result<Option<Gate>, Problem> {
        // What counts is what is there now, not what was when it was asked last.
        let cache = &mut Cache::default();
        let Some(id) = Id::of(&key.uid) else { return Ok(None) };
        let Some(run) = self.run(cache, id.run).await? else { return Ok(None) };
        let waits = self.pending(cache, &run, now).await?;
        match (waits.into_iter().find(|gate| gate.key.is_at(key)), known) {
            (Some(gate), _) => Ok(Some(gate)),
            (None, Some(known)) => self.later(cache, known).await,
            (None, None) => Ok(None),
        }
    }
}
