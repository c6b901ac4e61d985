//! Questions and commands.

use super::Api;
use super::answer::{Failure, json};
use crate::config::services;
use crate::model::{
    Action, Actor, Command, Decision, LogLines, Query, Receipt, Refusal, RefusalKind, Reply, ServicePlace, Spec,
    Subject,
};
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use std::path::Path;
use std::time::Duration;

/// Largest question or command: a configuration in JSON's clothes.
const BODY: usize = 4 << 20;
/// Largest configuration.
const CONFIG: usize = 1 << 20;
/// Most lines of output in one answer.
const LINES: u32 = 10_000;
/// A question that takes longer is answered with 503: the hub is busy.
const QUERY_WITHIN: Duration = Duration::from_secs(15);
/// A command that takes longer is answered with 504: its outcome is not known yet.
const COMMAND_WITHIN: Duration = Duration::from_secs(50);
/// A healthy hub answers at once.
const HEALTH_WITHIN: Duration = Duration::from_secs(2);

/// `POST /v1/query`.
pub(super) async fn query(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    body: Body,
) -> Result<Json<Reply>, Failure> {
    let query: Query = json(body, BODY).await?;
    let answer = async {
        match query {
            Query::Diff { text, path } => diff(&api, &text, &path).await,
            Query::Logs { instance, lines } => tail(&api, instance, lines).await,
            Query::Configs { revision } => configs(&api, revision).await,
            Query::Prepare { action: Action::Apply, subject: Subject::Config { text, path, remove } } => {
                prepare_apply(&api, actor, (text, path), remove).await
            }
            query => api.hub.query(actor, query).await,
        }
    };
    tokio::time::timeout(QUERY_WITHIN, answer).await.map(Json).map_err(|_| busy(QUERY_WITHIN))
}

fn busy(waited: Duration) -> Failure {
    let why = format!("the hub did not answer within {} s; try again", waited.as_secs());
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, why)
}

fn parsed(text: &str, path: &str) -> Result<Spec, Refusal> {
    sized(text)?;
    services::parse(text, Path::new(path)).map_err(|error| Refusal::new(RefusalKind::Invalid, error.to_string()))
}

/// What is to be confirmed of a configuration: what it changes, and what it would end that runs.
async fn prepare_apply(api: &Api, actor: Actor, (text, path): (String, String), remove: Vec<ServicePlace>) -> Reply {
    let spec = match parsed(&text, &path) {
        Ok(spec) => spec,
        Err(refusal) => return Reply::Refused(refusal),
    };
    let changes = api.engine.diff(spec, &remove).await;
    let query = Query::Prepare { action: Action::Apply, subject: Subject::Config { text, path, remove } };
    let mut reply = api.hub.query(actor, query).await;
    if let Reply::Prepared(prepared) = &mut reply {
        let (removed, rest): (Vec<_>, Vec<_>) = changes.lines.into_iter().partition(|line| line.starts_with("- "));
        if removed.is_empty() && rest.is_empty() {
            prepared.forecast.lines.push("nothing would change".to_owned());
        }
        prepared.forecast.lines.extend(rest);
        prepared.forecast.warnings.extend(removed);
        if let (Some(refusal), Decision::Allow { .. }) = (changes.refused, &prepared.decision) {
            prepared.decision = Decision::Refuse(refusal);
        }
    }
    reply
}

async fn configs(api: &Api, revision: Option<u64>) -> Reply {
    match api.engine.configs(revision).await {
        Ok(configs) => Reply::Configs(configs),
        Err(error) => Reply::Refused(Refusal::new(RefusalKind::Internal, error.to_string())),
    }
}

async fn diff(api: &Api, text: &str, path: &str) -> Reply {
    match parsed(text, path) {
        Ok(spec) => Reply::Lines(LogLines { lines: api.engine.diff(spec, &[]).await.lines }),
        Err(refusal) => Reply::Refused(refusal),
    }
}

fn sized(config: &str) -> Result<(), Refusal> {
    if config.len() <= CONFIG {
        return Ok(());
    }
    let why = format!("the configuration has {} bytes, at most {CONFIG} are taken", config.len());
    Err(Refusal::new(RefusalKind::Invalid, why))
}

async fn tail(api: &Api, instance: String, lines: u32) -> Reply {
    let (engine, name) = (api.engine.clone(), instance.clone());
    let lines = usize::try_from(lines.min(LINES)).unwrap_or(usize::MAX);
    match tokio::task::spawn_blocking(move || engine.tail(&name, lines)).await {
        Ok(Some(lines)) => Reply::Lines(LogLines { lines }),
        Ok(None) => Reply::Refused(super::logs::unknown(&instance)),
        Err(error) => Reply::Refused(Refusal::new(RefusalKind::Internal, format!("the output can't be read: {error}"))),
    }
}

/// `POST /v1/commands`.
pub(super) async fn command(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    body: Body,
) -> Result<Json<Receipt>, Failure> {
    let command: Command = json(body, BODY).await?;
    if let Subject::Config { text, .. } = &command.subject {
        sized(text)?;
    }
    submit(&api, actor, command).await
}

/// Gives a command to the hub.
pub(super) async fn submit(api: &Api, actor: Actor, command: Command) -> Result<Json<Receipt>, Failure> {
    let id = command.id.as_str();
    if id.is_empty() || id.len() > 128 || id.chars().any(|c| !c.is_ascii_graphic()) {
        return Err(Failure::invalid("a command's id has 1 to 128 visible ASCII characters"));
    }
    match tokio::time::timeout(COMMAND_WITHIN, api.hub.submit(actor, command)).await {
        Ok(Ok(receipt)) => Ok(Json(receipt)),
        Ok(Err(refusal)) => Err(refusal.into()),
        Err(_) => {
            let why = format!(
                "no outcome within {} s; it may still be carried out: follow its receipt",
                COMMAND_WITHIN.as_secs()
            );
            Err(Failure::new(StatusCode::GATEWAY_TIMEOUT, RefusalKind::Internal, why))
        }
    }
}

/// `GET /healthz`: does the hub's loop answer?
pub(super) async fn health(State(api): State<Api>) -> Result<&'static str, Failure> {
    let asked = api.hub.query(Actor::system("health"), Query::WhoAmI);
    match tokio::time::timeout(HEALTH_WITHIN, asked).await {
        Ok(Reply::WhoAmI { .. }) => Ok("ok\n"),
        Ok(_) => Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, "the hub has ended")),
        Err(_) => Err(busy(HEALTH_WITHIN)),
    }
}
