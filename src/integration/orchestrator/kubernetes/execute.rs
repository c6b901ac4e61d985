//! Carries out one command: read, compare with the pin, plan, patch with tests.

use super::calls::{Calls, Sent};
use super::hold;
use super::kind::{Asked, Kind, Live, named};
use super::plan::{Plan, Rest};
use super::resource::Resource;
use super::row::RowContext;
use super::settings::KubernetesSettings;
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Command, Fact, FactChange, Facts, Refusal, RefusalKind, Run, Subject, sanitize_line};
use flightdeck_port::{Accepted, NotDone};
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

/// A hub waits a little longer than this for an answer. An abort is three requests; each may be slow.
const WITHIN: Duration = Duration::from_secs(43);
/// How often a command is decided anew because the object changed between the read and the patch.
const AGAIN: u32 = 5;
/// Between two tries of what must not be left undone.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a controller may take until it works on the template of an undo.
const TAKEN_UP: Duration = Duration::from_secs(15);

/// Carries out a command. `client` must not repeat requests by itself.
pub async fn execute(
    client: Client,
    settings: &KubernetesSettings,
    authorized: &Authorized,
    now: Timestamp,
) -> Result<Accepted, NotDone> {
    let command = authorized.command();
    if settings.read_only {
        let why = format!("{} is configured as read-only; nothing was done", settings.source);
        return Err(Refusal::new(RefusalKind::Denied, why).into());
    }
    let calls = Calls::new(client, WITHIN).sent_as(settings.sends_as(authorized.actor())?);
    match &command.subject {
        Subject::Run(run) => Executing { calls, settings, authorized, command, now }.on_run(run).await,
        Subject::Scope { selector, hold: named, .. } => {
            hold::hold(&calls, settings, authorized, (selector, named.as_ref()), now).await
        }
        Subject::Hold { id, .. } => hold::release(&calls, settings, id).await,
        _ => {
            let why = format!("{} does not fit Kubernetes; nothing was done", command.action.name());
            Err(Refusal::new(RefusalKind::Invalid, why).into())
        }
    }
}

/// What pins are compared with. They need neither ReplicaSets nor permissions.
pub(super) fn facts(settings: &KubernetesSettings, live: &Live, now: Timestamp) -> Facts {
    live.workload.row(&RowContext { settings, denied: &[].into(), pods: None, now }, &[]).facts
}

struct Executing<'a> {
    calls: Calls,
    settings: &'a KubernetesSettings,
    authorized: &'a Authorized,
    command: &'a Command,
    now: Timestamp,
}

/// Where an object is.
struct Place {
    kind: &'static dyn Kind,
    namespace: String,
    name: String,
}

impl Executing<'_> {
    async fn on_run(&self, run: &Run) -> Result<Accepted, NotDone> {
        let kind = named(&run.target.kind);
        let kind = kind.ok_or_else(|| not_found(&format!("{} is not a kind of Kubernetes", run.target.kind)))?;
        let namespace = run.target.namespace.clone().unwrap_or_default();
        let place = Place { kind, namespace, name: run.target.name.clone() };
        let mut stale = String::new();
        for _ in 0..=AGAIN {
            if !self.calls.has_time() {
                break;
            }
            let live = self.read(&place, run).await?;
            self.check(run, &live)?;
            let needs = live.workload.needs(self.command.action);
            let history = self.history(needs.history, &place, &live).await?;
            let reference = match &needs.reference {
                Some((resource, name)) => self.calls.get(*resource, &place.namespace, name).await?,
                None => None,
            };
            let asked = Asked {
                action: self.command.action,
                live: &live,
                history: &history,
                reference: reference.as_ref(),
                now: self.now,
            };
            let plan = live.workload.plan(&asked)?;
            let candidate = facts(self.settings, &live, self.now).0.get(&Fact::Candidate).cloned().unwrap_or_default();
            if self.command.action == Action::LetThrough {
                hold::tell_let_through(&self.calls, self.settings, &live, run, &self.because("let through")).await;
            }
            match self.calls.patch(&plan.request).await {
                Sent::Done(answer) => {
                    let same = plan.request.resource == kind.resource();
                    let answer = if same { Live::parse(kind, answer).ok() } else { None };
                    let left = self.left(answer.as_ref(), &plan);
                    let more = self.finish(run, &place, answer, &candidate, &plan).await?;
                    let note = plan.note.into_iter().chain(more).reduce(|note, more| format!("{note}; {more}"));
                    return Ok(Accepted { note, left, ..Accepted::default() });
                }
                Sent::Stale(why) => stale = why,
                Sent::NotDone(unknown @ NotDone::Unknown { .. }) => {
                    // It may have arrived: what must follow it must follow then.
                    self.finish(run, &place, None, &candidate, &plan).await?;
                    return Err(unknown);
                }
                Sent::NotDone(other) => return Err(other),
            }
        }
        let why = format!("{}/{} kept changing ({stale}); nothing was done", place.namespace, place.name);
        Err(Refusal::new(RefusalKind::NotApplicable, sanitize_line(&why)).into())
    }

    /// `let through by alice: hotfix`.
    fn because(&self, what: &str) -> String {
        let because = self.command.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        sanitize_line(&format!("{what} by {}{because}", self.authorized.actor().name))
    }

    async fn read(&self, place: &Place, run: &Run) -> Result<Live, NotDone> {
        let found = self.calls.get(place.kind.resource(), &place.namespace, &place.name).await?;
        let raw = found.ok_or_else(|| not_found(&format!("{run} is gone")))?;
        Live::parse(place.kind, raw).map_err(|error| {
            let why = sanitize_line(&format!("{run} can't be understood: {error}; nothing was done"));
            Refusal::new(RefusalKind::Internal, why).into()
        })
    }

    /// Is it what the person saw?
    fn check(&self, run: &Run, live: &Live) -> Result<(), Refusal> {
        let facts = facts(self.settings, live, self.now);
        let changes = self.command.pin.as_ref().map(|pin| pin.changes(&facts)).unwrap_or_default();
        if !changes.is_empty() {
            return Err(Refusal::pin(changes));
        }
        let uid = facts.0.get(&Fact::Workload);
        if uid != Some(&run.target.uid) {
            let pinned = run.target.uid.clone();
            return Err(Refusal::pin(vec![FactChange { fact: Fact::Workload, pinned, current: uid.cloned() }]));
        }
        Ok(())
    }

    /// What the answer says of the workload as the command left it.
    fn left(&self, answer: Option<&Live>, plan: &Plan) -> Facts {
        let facts = answer.map(|live| facts(self.settings, live, self.now)).unwrap_or_default();
        match &plan.target {
            // Its status tells of the template before until its controller has looked.
            Some(target) => facts.with(Fact::Candidate, sanitize_line(&target.hash)),
            None => facts,
        }
    }

    async fn history(&self, of: Option<Resource>, place: &Place, live: &Live) -> Result<Vec<Value>, NotDone> {
        let Some(resource) = of else { return Ok(Vec::new()) };
        let uid = live.workload.meta().uid.clone().unwrap_or_default();
        self.calls.owned(resource, &place.namespace, &uid, live.raw.pointer("/spec/selector")).await
    }

    /// Carries out what is left of a command whose first part went through, and says what could not be.
    /// Tried until the time is up: an abort of a paused rollout leaves its users on the candidate until it
    /// is done.
    async fn finish(
        &self,
        run: &Run,
        place: &Place,
        mut known: Option<Live>,
        candidate: &str,
        plan: &Plan,
    ) -> Result<Option<String>, NotDone> {
        if !plan.finish {
            return Ok(None);
        }
        let target = plan.target.as_ref().filter(|target| target.through).map(|target| target.hash.as_str());
        let taken_up_by = Instant::now() + TAKEN_UP;
        let mut why = "there was no time left".to_owned();
        while self.calls.has_time() {
            let live = match known.take() {
                Some(live) => live,
                None => match self.read(place, run).await {
                    Ok(live) => live,
                    Err(NotDone::Refused(refusal)) if refusal.kind == RefusalKind::NotFound => return Ok(None),
                    Err(error) => {
                        why = error.to_string();
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let request = match live.workload.rest(self.command.action, &live, candidate, target) {
                Rest::Nothing => return Ok(None),
                Rest::Send(request) => request,
                Rest::NotYet if Instant::now() < taken_up_by => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Rest::NotYet => return Ok(Some(by_steps("its controller has yet to take it up"))),
            };
            match self.calls.patch(&request).await {
                Sent::Done(_) => return Ok(None),
                Sent::Stale(words) => why = words,
                Sent::NotDone(NotDone::Refused(refusal)) if request.status && target.is_some() => {
                    return Ok(Some(by_steps(&refusal.why)));
                }
                Sent::NotDone(NotDone::Refused(refusal)) => {
                    why = refusal.why;
                    break;
                }
                Sent::NotDone(error) => {
                    why = error.to_string();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Err(NotDone::Unknown { why: half_done(self.command.action, &why) })
    }
}

/// A way back that is not promoted in full.
fn by_steps(why: &str) -> String {
    format!("it begins by the steps of its plan, and others stay where they are until promote full ({why})")
}

fn half_done(action: Action, why: &str) -> String {
    match action {
        Action::Abort => format!(
            "it is aborted, but it is still paused, and until it is not the candidate keeps its pods: abort again ({why})"
        ),
        Action::Rollback => {
            format!(
                "its template went back, but it may stand still or go by its steps alone: resume or promote it ({why})"
            )
        }
        _ => format!("it is promoted, but it is still paused, so that nothing moves: resume it ({why})"),
    }
}

fn not_found(why: &str) -> NotDone {
    Refusal::new(RefusalKind::NotFound, sanitize_line(&format!("{why}; nothing was done"))).into()
}
