//! A yes or no on its way to GitHub.

use super::client::Problem;
use super::gate::{Gate, Key};
use super::row::{facts, read_only};
use super::shared::Shared;
use crate::http::{Answer, HttpError};
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Refusal, RefusalKind, Run, Subject};
use flightdeck_port::{Accepted, NotDone};
use serde_json::json;

/// Reads the gate, compares it with what the person saw, and posts the review.
///
/// GitHub's call takes no condition: between the read and the post somebody may start the run again, and the review
/// would be of that. Nothing else is done in between, so it is a matter of one round trip.
pub(super) async fn execute(shared: &Shared, authorized: &Authorized) -> Result<Accepted, NotDone> {
    let refused = |kind, why: String| Err(Refusal::new(kind, why).into());
    let command = authorized.command();
    if shared.read_only {
        return refused(RefusalKind::Denied, read_only(&shared.source));
    }
    let (run, verdict) = match (&command.subject, command.action) {
        (Subject::Approval { run, .. }, Action::Approve) => (run, "approved"),
        (Subject::Approval { run, .. }, Action::Reject) => (run, "rejected"),
        _ => return refused(RefusalKind::NotApplicable, format!("GitHub knows no {}", command.action.name())),
    };
    let not_found = |why: String| NotDone::from(Refusal::new(RefusalKind::NotFound, why));
    let (repository, key) =
        shared.place(run).ok_or_else(|| not_found(format!("{run} is of no repository of {}", shared.source)))?;
    shared.client.rested().map_err(|problem| not_sent(&problem))?;
    let looked = shared.live(repository, key).await;
    let gate = looked
        .map_err(|problem| not_sent(&problem))?
        .ok_or_else(|| not_found(format!("{run} waits for no review any more")))?;
    checked(shared, authorized, &gate)?;
    let path = format!("repos/{repository}/actions/runs/{}/pending_deployments", key.run);
    let body = json!({ "environment_ids": [key.environment], "state": verdict, "comment": comment(authorized) });
    let answer = match shared.client.post(&path, &body).await {
        Ok(answer) => answer,
        Err(error @ HttpError::NotSent { .. }) => return Err(NotDone::NotSent { why: error.to_string() }),
        Err(error @ HttpError::Lost { .. }) => {
            shared.decided.send_replace(());
            return Err(NotDone::Unknown { why: error.to_string() });
        }
    };
    let outcome = answered(shared, &answer, run);
    shared.decided.send_replace(());
    outcome
}

/// Nothing was asked of GitHub but to be read.
fn not_sent(problem: &Problem) -> NotDone {
    let sentence = problem.sentence();
    match problem {
        Problem::Unauthorized(_) | Problem::Forbidden(_) => Refusal::new(RefusalKind::Denied, sentence).into(),
        Problem::Missing(_) => Refusal::new(RefusalKind::NotFound, sentence).into(),
        Problem::Limited(_) | Problem::Unreachable(_) => NotDone::NotSent { why: sentence },
    }
}

/// Is it what the person saw, the newest, and may this token?
fn checked(shared: &Shared, authorized: &Authorized, gate: &Gate) -> Result<(), Refusal> {
    let login = shared.login.borrow().clone();
    let now_true = facts(shared.context(login.as_deref()), gate);
    let changes = authorized.command().pin.as_ref().map(|pin| pin.changes(&now_true)).unwrap_or_default();
    if !changes.is_empty() {
        return Err(Refusal::pin(changes));
    }
    if let Some(number) = gate.newer {
        let why = format!("run #{number} of the same branch has all that #{} has: decide on that", gate.run.run_number);
        return Err(Refusal::new(RefusalKind::NotApplicable, why));
    }
    gate.denied(login.as_deref()).map_or(Ok(()), |why| Err(Refusal::new(RefusalKind::Denied, why)))
}

/// Says on GitHub's side who decided, which its token does not.
fn comment(authorized: &Authorized) -> String {
    let who = format!("{} with flightdeck", authorized.actor().name);
    match authorized.command().reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{reason} ({who})"),
        None => who,
    }
}

/// What GitHub made of it.
fn answered(shared: &Shared, answer: &Answer, run: &Run) -> Result<Accepted, NotDone> {
    let refused = |kind, why: String| Err(NotDone::from(Refusal::new(kind, why)));
    match shared.client.judged(answer) {
        // A page for a browser comes with 200, too: whoever made it, nobody knows what became of the request.
        Ok(()) => match answer.json::<Vec<serde_json::Value>>() {
            Ok(deployments) => {
                Ok(Accepted { note: Some(format!("deployments: {}", deployments.len())), ..Accepted::default() })
            }
            Err(why) => Err(NotDone::Unknown { why }),
        },
        Err(problem @ (Problem::Unauthorized(_) | Problem::Forbidden(_))) => {
            refused(RefusalKind::Denied, problem.sentence())
        }
        Err(Problem::Missing(said)) => refused(RefusalKind::NotFound, format!("GitHub has no such {run} ({said})")),
        Err(problem @ Problem::Limited(_)) => Err(NotDone::NotSent { why: problem.sentence() }),
        // Whoever else decided a moment before makes it invalid.
        Err(Problem::Unreachable(why)) if answer.status.is_client_error() => refused(RefusalKind::NotApplicable, why),
        Err(Problem::Unreachable(why)) => Err(NotDone::Unknown { why }),
    }
}

impl Shared {
    /// Which gate of which repository a run is, where it is one of here.
    pub fn place(&self, run: &Run) -> Option<(&str, Key)> {
        let namespace = run.target.namespace.as_deref()?;
        let repository = self.settings.repositories.iter().find(|name| *name == namespace)?;
        (run.target.source == self.source).then_some((repository, Key::of(&run.target.uid, &run.revision)?))
    }
}
