//! A yes or no on its way to its system.

use super::client::{Client, Problem, now};
use super::gate::{Gate, Review};
use super::row::{facts, read_only};
use super::shared::Shared;
use crate::http::{Answer, HttpError};
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Refusal, RefusalKind, Subject, Verdict};
use flightdeck_port::{Accepted, NotDone};
use serde::de::DeserializeOwned;

/// Reads the gate, compares it with what the person saw, and sends the yes or no.
///
/// No system takes a condition with it: between the read and the decision somebody may start the run again, and it
/// would be about that. Nothing else is done in between, so it is a matter of one round trip.
pub(super) async fn execute(shared: &Shared, authorized: &Authorized) -> Result<Accepted, NotDone> {
    let refused = |kind, why: String| Err(Refusal::new(kind, why).into());
    let (command, client) = (authorized.command(), shared.system.client());
    let system = shared.system.words().system;
    if shared.read_only {
        return refused(RefusalKind::Denied, read_only(&shared.source));
    }
    let (run, verdict) = match (&command.subject, command.action) {
        (Subject::Approval { run, .. }, Action::Approve) => (run, Verdict::Approved),
        (Subject::Approval { run, .. }, Action::Reject) => (run, Verdict::Rejected),
        _ => return refused(RefusalKind::NotApplicable, format!("{system} knows no {}", command.action.name())),
    };
    let not_found = |why: String| NotDone::from(Refusal::new(RefusalKind::NotFound, why));
    let key = shared.key(run).ok_or_else(|| not_found(format!("{run} is of no place of {}", shared.source)))?;
    client.rested().map_err(|problem| not_sent(client, &problem))?;
    let looked = shared.live(&key).await.map_err(|problem| not_sent(client, &problem))?;
    let gate = looked.ok_or_else(|| not_found(format!("{run} waits for no review any more")))?;
    checked(shared, authorized, &gate, verdict)?;
    let comment = comment(authorized);
    let outcome = shared.system.decide(&gate, verdict, &comment).await;
    if outcome.is_ok() && !shared.system.words().tells_reviews {
        let who = shared.login.borrow().clone().unwrap_or_else(|| "this token's account".to_owned());
        shared.remember(&key, Review { verdict, who, comment, at: Some(now()) });
    }
    // Whatever it is: what became of it is looked at.
    if !matches!(outcome, Err(NotDone::NotSent { .. })) {
        // Where nobody watches, nobody has to look.
        drop(shared.decided.send(key.place.clone()));
    }
    let login = shared.login.borrow().clone();
    outcome.map(|decided| {
        let left = Gate { unstarted: decided.unstarted, ..gate };
        let left = facts(shared.context(login.as_deref()), &left);
        Accepted { note: decided.note, left, ..Accepted::default() }
    })
}

/// Nothing was asked of it but to be read.
fn not_sent(client: &Client, problem: &Problem) -> NotDone {
    let sentence = client.sentence(problem);
    match problem {
        Problem::Unauthorized(_) | Problem::Forbidden(_) => Refusal::new(RefusalKind::Denied, sentence).into(),
        Problem::Missing(_) => Refusal::new(RefusalKind::NotFound, sentence).into(),
        Problem::Limited(_) | Problem::Unreachable(_) => NotDone::NotSent { why: sentence },
    }
}

/// Is it what the person saw, the newest, and may this token?
fn checked(shared: &Shared, authorized: &Authorized, gate: &Gate, verdict: Verdict) -> Result<(), Refusal> {
    let login = shared.login.borrow().clone();
    let now_true = facts(shared.context(login.as_deref()), gate);
    let changes = authorized.command().pin.as_ref().map(|pin| pin.changes(&now_true)).unwrap_or_default();
    let newer = gate.newer.as_ref();
    let newer =
        newer.map(|newer| format!("{newer} of the same branch has all that {} has: decide on that", gate.title));
    match (changes.is_empty(), newer) {
        (true, None) => {}
        (true, Some(newer)) => return Err(Refusal::new(RefusalKind::NotApplicable, newer)),
        (false, newer) => {
            let refusal = Refusal::pin(changes);
            // What took its place says more than which fact is another.
            let why = newer.map_or_else(|| refusal.why.clone(), |newer| format!("{newer}; {}", refusal.why));
            return Err(Refusal { why, ..refusal });
        }
    }
    let denied = gate.denied().or_else(|| gate.yes_denied().filter(|_| verdict == Verdict::Approved));
    denied.map_or(Ok(()), |why| Err(Refusal::new(RefusalKind::Denied, why)))
}

/// Says on the other side who decided, which the token does not.
fn comment(authorized: &Authorized) -> String {
    let who = format!("{} with flightdeck", authorized.actor().name);
    match authorized.command().reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty()) {
        Some(reason) => format!("{reason} ({who})"),
        None => who,
    }
}

/// Sends a change once; an answer that is no JSON as documented leaves open what became of it.
pub(super) async fn send<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    body: &serde_json::Value,
) -> Result<T, NotDone> {
    answered(client, client.post(path, body).await, Answer::json)
}

/// Sends a change that is all in its address, once, and reads the answer as it is documented.
pub(super) async fn send_empty<T>(
    client: &Client,
    path: &str,
    read: fn(&Answer) -> Result<T, String>,
) -> Result<T, NotDone> {
    answered(client, client.post_empty(path).await, read)
}

/// What was made of a change.
fn answered<T>(
    client: &Client,
    answer: Result<Answer, HttpError>,
    read: fn(&Answer) -> Result<T, String>,
) -> Result<T, NotDone> {
    match answer {
        Ok(answer) => judged(client, &answer, read),
        Err(error @ HttpError::NotSent { .. }) => Err(NotDone::NotSent { why: error.to_string() }),
        Err(error @ HttpError::Lost { .. }) => Err(NotDone::Unknown { why: error.to_string() }),
    }
}

fn judged<T>(client: &Client, answer: &Answer, read: fn(&Answer) -> Result<T, String>) -> Result<T, NotDone> {
    let refused = |kind, why: String| Err(NotDone::from(Refusal::new(kind, why)));
    match client.judged(answer) {
        // A page for a browser comes with 200, too: whoever made it, nobody knows what became of the request.
        Ok(()) => read(answer).map_err(|why| NotDone::Unknown { why }),
        Err(problem @ (Problem::Unauthorized(_) | Problem::Forbidden(_))) => {
            refused(RefusalKind::Denied, client.sentence(&problem))
        }
        Err(problem @ Problem::Missing(_)) => refused(RefusalKind::NotFound, client.sentence(&problem)),
        Err(problem @ Problem::Limited(_)) => Err(NotDone::NotSent { why: client.sentence(&problem) }),
        // Whoever else decided a moment before makes it invalid.
        Err(Problem::Unreachable(why)) if answer.status.is_client_error() => refused(RefusalKind::NotApplicable, why),
        Err(Problem::Unreachable(why)) => Err(NotDone::Unknown { why }),
    }
}
