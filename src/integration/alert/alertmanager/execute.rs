//! A silence on its way to Alertmanager, and its end.

use super::super::client::{Problem, judged};
use super::super::poll::now;
use super::Shared;
use super::wire::{Made, WireSilence, silence};
use crate::http::{Answer, HttpError};
use flightdeck_control::Authorized;
use flightdeck_model::{Action, Refusal, RefusalKind, SilenceId, Subject, sanitize_line};
use flightdeck_port::{Accepted, NotDone};
use hyper::StatusCode;

pub(super) async fn execute(shared: &Shared, authorized: &Authorized) -> Result<Accepted, NotDone> {
    let command = authorized.command();
    if shared.read_only {
        return refused(RefusalKind::Denied, format!("{} is read-only here", shared.source));
    }
    match (&command.subject, command.action) {
        (Subject::Alert { fingerprint, .. }, Action::Silence) => make(shared, authorized, fingerprint).await,
        (Subject::Silence { id, .. }, Action::Unsilence) => end(shared, id).await,
        _ => refused(RefusalKind::NotApplicable, format!("Alertmanager knows no {}", command.action.name())),
    }
}

fn refused<T>(kind: RefusalKind, why: impl Into<String>) -> Result<T, NotDone> {
    Err(Refusal::new(kind, why.into()).into())
}

/// Nothing was asked but to be read.
fn not_sent(problem: &Problem) -> NotDone {
    if problem.denied {
        return Refusal::new(RefusalKind::Denied, problem.why.clone()).into();
    }
    NotDone::NotSent { why: problem.why.clone() }
}

/// Its labels are read live: those of the row are cut to what a person can read.
async fn make(shared: &Shared, authorized: &Authorized, fingerprint: &str) -> Result<Accepted, NotDone> {
    let alerts = shared.alerts().await.map_err(|problem| not_sent(&problem))?;
    let Some(alert) = alerts.iter().find(|alert| alert.fingerprint == fingerprint) else {
        return refused(RefusalKind::NotFound, "the alert does not fire any more: there is nothing to silence");
    };
    let Some(new) = silence(authorized.command(), &authorized.actor().name, alert, now()) else {
        return refused(RefusalKind::Invalid, "it names no alert");
    };
    let body = serde_json::to_value(new).map_err(|error| NotDone::NotSent { why: error.to_string() })?;
    let answer = sent(shared.client.post("api/v2/silences", &body).await)?;
    // A page for a browser comes with 200, too: whoever made it, nobody knows what became of the request.
    let made: Made = answer.json().map_err(|why| NotDone::Unknown { why })?;
    Ok(Accepted { note: Some(format!("silence {}", sanitize_line(&made.silence_id))), ..Accepted::default() })
}

/// Only what a command of ours made is ended: others have their reasons.
async fn end(shared: &Shared, id: &SilenceId) -> Result<Accepted, NotDone> {
    // It becomes a part of an address.
    if id.as_str().is_empty() || !id.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return refused(RefusalKind::Invalid, format!("{} is no id of a silence", sanitize_line(id.as_str())));
    }
    let path = format!("api/v2/silence/{id}");
    let all: Vec<WireSilence> =
        shared.client.get("api/v2/silences", &[]).await.map_err(|problem| not_sent(&problem))?;
    let Some(known) = all.iter().find(|silence| silence.id == id.as_str() && !silence.is_over()) else {
        return refused(RefusalKind::NotFound, format!("silence {id} has ended already"));
    };
    if known.made().is_none() {
        let why = format!("silence {id} was not made with flightdeck: end it where it was made");
        return refused(RefusalKind::Denied, why);
    }
    sent(shared.client.delete(&path).await)?;
    Ok(Accepted::default())
}

/// What Alertmanager made of something that changes it.
fn sent(outcome: Result<Answer, HttpError>) -> Result<Answer, NotDone> {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error @ HttpError::NotSent { .. }) => return Err(NotDone::NotSent { why: error.to_string() }),
        Err(error @ HttpError::Lost { .. }) => return Err(NotDone::Unknown { why: error.to_string() }),
    };
    let Err(problem) = judged(&answer) else { return Ok(answer) };
    let Problem { why, .. } = problem;
    match answer.status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => refused(RefusalKind::Denied, why),
        StatusCode::NOT_FOUND => refused(RefusalKind::NotFound, why),
        StatusCode::TOO_MANY_REQUESTS => Err(NotDone::NotSent { why }),
        status if status.is_client_error() => refused(RefusalKind::Invalid, why),
        // Whoever stands before it, or it itself, may have come half way.
        _ => Err(NotDone::Unknown { why }),
    }
}
