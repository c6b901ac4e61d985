//! Questions and commands.

use super::answer::{Failure, json};
use super::limits::{Kept, Place};
use super::peer::{Asker, Peer};
use super::wire::reads_alerts;
use super::{Api, heavy};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use flightdeck_engine::runtime::{ConfigText, ThisMachine};
use flightdeck_model::{
    Action, Actor, Command, Decision, Query, Receipt, Refusal, RefusalKind, Reply, ServicePlace, Subject,
};
use std::time::Duration;

/// Largest question or command: a configuration in JSON's clothes.
const BODY: usize = 4 << 20;
/// A question that takes longer is answered with 503: the hub is busy.
const QUERY_WITHIN: Duration = Duration::from_secs(15);
/// A command that takes longer is answered with 504: its outcome is not known yet.
const COMMAND_WITHIN: Duration = Duration::from_secs(50);
/// A healthy hub answers at once.
const HEALTH_WITHIN: Duration = Duration::from_secs(2);

/// `POST /v1/query`.
pub(super) async fn query(
    State(api): State<Api>,
    Extension(who): Extension<Asker>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let query: Query = json(body, BODY).await?;
    if let Err(refusal) = query.bounded() {
        return Ok(Json(Reply::Refused(refusal)).into_response());
    }
    let answer = async {
        let query = match query {
            Query::Prepare { action: Action::Apply, subject: Subject::Config { name, text, path, remove } } => {
                let place = peer.share().heavy().await?;
                return prepare_apply(&api, who.actor(), ConfigText { name, text, path }, remove, place).await;
            }
            query => query,
        };
        let reply = match heavy::of(query) {
            Ok(question) => return heavy::answer(&api, question, peer.share().heavy().await?).await,
            Err(query) => api.hub.query(who.actor(), *query).await,
        };
        let reply = match reply {
            Reply::Board(mut rows) if !reads_alerts(&headers) => {
                rows.retain(|row| !row.is_of_alerts());
                Reply::Board(rows)
            }
            reply => reply,
        };
        Ok(Json(reply).into_response())
    };
    tokio::time::timeout(QUERY_WITHIN, answer).await.unwrap_or_else(|_| Err(busy(QUERY_WITHIN)))
}

fn busy(waited: Duration) -> Failure {
    let why = format!("the hub did not answer within {} s; try again", waited.as_secs());
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, why)
}

/// What is to be confirmed of a configuration: what it changes, and what it would end that runs.
async fn prepare_apply(
    api: &Api,
    actor: Actor,
    config: ConfigText,
    remove: Vec<ServicePlace>,
    place: Place,
) -> Result<Response, Failure> {
    let internal = |error: &dyn std::error::Error| Refusal::new(RefusalKind::Internal, error.to_string());
    let ConfigText { name, text, path } = config.clone();
    let beside = api.engine.configs_beside(&name).await?;
    let (again, beside_again) = (config.clone(), beside.clone());
    let read = tokio::task::spawn_blocking(move || config.read(None, &beside)).await;
    let changes = api.engine.diff(read.map_err(|error| internal(&error))??, remove.clone()).await?;
    let query = Query::Prepare { action: Action::Apply, subject: Subject::Config { name, text, path, remove } };
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
        // What the server can read is told to those only who may apply.
        if matches!(prepared.decision, Decision::Allow { .. }) {
            let check = move || again.read(Some(&ThisMachine), &beside_again);
            if let Err(refusal) = tokio::task::spawn_blocking(check).await.map_err(|error| internal(&error))? {
                prepared.decision = Decision::Refuse(refusal);
            }
        }
    }
    Ok(Json(reply).into_response().map(|body| Body::new(Kept::new(body, place))))
}

/// `POST /v1/commands`.
pub(super) async fn command(
    State(api): State<Api>,
    Extension(who): Extension<Asker>,
    body: Body,
) -> Result<Json<Receipt>, Failure> {
    let command: Command = json(body, BODY).await?;
    command.bounded()?;
    let actor = who.actor_for(command.action)?;
    submit(&api, actor, command).await
}

/// Gives a command to the hub.
pub(super) async fn submit(api: &Api, actor: Actor, command: Command) -> Result<Json<Receipt>, Failure> {
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
