//! Questions that take long or whose answers are large: one of a user at a time, on a thread that nothing else
//! waits for, given up with the connection.

use super::Api;
use super::answer::Failure;
use super::limits::{Kept, Place};
use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flightdeck_engine::runtime::{ConfigText, Engine};
use flightdeck_ledger::{Against, Export, Ledger, LedgerError, newest_lines, verify_until};
use flightdeck_model::{EnvironmentName, LogLines, Query, Refusal, RefusalKind, Reply, ServiceName};
use futures::stream;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

/// Most lines of output in one answer.
const LINES: u32 = 10_000;
/// Most records of the ledger in one answer, and most bytes of them.
const RECORDS: (u32, usize) = (10_000, 8 << 20);
/// Bytes of an export that are read at once.
const PART: usize = 128 << 10;

/// A question of that sort.
pub(super) enum Heavy {
    Diff(ConfigText),
    Logs { instance: String, lines: u32 },
    Outputs { service: ServiceName, environment: EnvironmentName },
    Configs { revision: Option<u64> },
    Verify(Against),
    Export,
    Records { limit: u32 },
}

/// Is it one? Else it is given back.
pub(super) fn of(query: Query) -> Result<Heavy, Box<Query>> {
    Ok(match query {
        Query::Diff { name, text, path } => Heavy::Diff(ConfigText { name, text, path }),
        Query::Logs { instance, lines } => Heavy::Logs { instance, lines },
        Query::Outputs { service, environment } => Heavy::Outputs { service, environment },
        Query::Configs { revision } => Heavy::Configs { revision },
        Query::VerifyLedger => Heavy::Verify(Against::default()),
        Query::VerifyLedgerAgainst { witness, key } => Heavy::Verify(Against { witness, key }),
        Query::ExportLedger => Heavy::Export,
        Query::Ledger { limit } => Heavy::Records { limit },
        other => return Err(Box::new(other)),
    })
}

/// Answers. The place is free once the work has ended, also where nobody waits for it any more, and the answer
/// was sent.
pub(super) async fn answer(api: &Api, question: Heavy, place: Place) -> Result<Response, Failure> {
    let (lines, place) = match question {
        Heavy::Export => return export(&api.ledger, place).await,
        Heavy::Configs { revision } => {
            let configs = api.engine.configs(revision).await.map_err(|error| internal(&error))?;
            let answer = Json(Reply::Configs(configs)).into_response();
            return Ok(answer.map(|body| Body::new(Kept::new(body, place))));
        }
        Heavy::Outputs { service, environment } => {
            let outputs = api.engine.outputs(service, environment).await.map_err(|error| internal(&error))?;
            let answer = Json(Reply::Outputs(outputs)).into_response();
            return Ok(answer.map(|body| Body::new(Kept::new(body, place))));
        }
        Heavy::Diff(config) => diff(&api.engine, config, place).await?,
        Heavy::Logs { instance, lines } => tail(&api.engine, instance, lines, place).await?,
        Heavy::Verify(against) => verify(&api.ledger, against, place).await?,
        Heavy::Records { limit } => records(&api.ledger, limit, place).await?,
    };
    let reply = lines.map_or_else(Reply::Refused, |lines| Reply::Lines(LogLines { lines }));
    Ok(Json(reply).into_response().map(|body| Body::new(Kept::new(body, place))))
}

type Lines = Result<Vec<String>, Refusal>;

fn internal(error: &dyn std::error::Error) -> Refusal {
    Refusal::new(RefusalKind::Internal, error.to_string())
}

/// Works on a thread that may be busy. Where nobody waits any more, the place goes with the work.
async fn aside<T: Send + 'static>(
    place: Place,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, Place), Refusal> {
    spawn_blocking(move || (work(), place)).await.map_err(|error| internal(&error))
}

async fn diff(engine: &Engine, config: ConfigText, place: Place) -> Result<(Lines, Place), Refusal> {
    let beside = engine.configs_beside(&config.name).await?;
    let (read, place) = aside(place, move || config.read(None, &beside)).await?;
    let lines = match read {
        Ok(spec) => engine.diff(spec, Vec::new()).await.map(|changes| changes.lines),
        Err(refusal) => Err(refusal),
    };
    Ok((lines, place))
}

async fn tail(engine: &Engine, instance: String, lines: u32, place: Place) -> Result<(Lines, Place), Refusal> {
    let (engine, name) = (engine.clone(), instance.clone());
    let lines = usize::try_from(lines.min(LINES)).unwrap_or(usize::MAX);
    let (read, place) = aside(place, move || engine.tail(&name, lines)).await?;
    Ok((read.ok_or_else(|| super::logs::unknown(&instance)), place))
}

async fn verify(ledger: &Ledger, against: Against, place: Place) -> Result<(Lines, Place), Refusal> {
    let (dir, wanted) = (ledger.dir().to_owned(), CancellationToken::new());
    let _gone = wanted.clone().drop_guard();
    let check = move || verify_until(&dir, &against, &|| wanted.is_cancelled());
    let (checked, place) = aside(place, check).await?;
    Ok((checked.map(|verified| verified.lines()).map_err(|broken| internal(&broken)), place))
}

async fn records(ledger: &Ledger, limit: u32, place: Place) -> Result<(Lines, Place), Refusal> {
    let (most, bytes) = RECORDS;
    if limit > most {
        let why = format!("{limit} records were asked for, one answer has at most {most}; an export has all");
        return Ok((Err(Refusal::new(RefusalKind::Invalid, why)), place));
    }
    // Nothing is read, but what was sent to the ledger before is in it then.
    ledger.records(0).await.map_err(|error| internal(&error))?;
    let dir = ledger.dir().to_owned();
    let (read, place) = aside(place, move || newest_lines(&dir, limit, bytes)).await?;
    Ok((read.map_err(|error| internal(&error)), place))
}

/// The same JSON as any other reply, written as it is read: neither the ledger nor the answer is in memory whole.
async fn export(ledger: &Ledger, place: Place) -> Result<Response, Failure> {
    // Without a new checkpoint the export has the newest there is, and the copy is still one.
    if let Err(error) = ledger.checkpoint().await {
        tracing::warn!(%error, "the export gets no new checkpoint");
    }
    let dir = ledger.dir().to_owned();
    let opened = spawn_blocking(move || Export::open(&dir)).await.map_err(|error| internal(&error))?;
    let export = opened.map_err(|error| internal(&error))?;
    let parts = stream::unfold(Some((export, true)), async |state| {
        let (mut export, first) = state?;
        let read = spawn_blocking(move || part(&mut export, first).map(|part| (part, export)));
        match read.await.map_err(std::io::Error::other).and_then(|read| read.map_err(std::io::Error::other)) {
            Ok(((text, true), export)) => Some((Ok(text), Some((export, false)))),
            Ok(((text, false), _)) => Some((Ok(text), None)),
            // The answer breaks off: a client sees that its end is missing.
            Err(error) => Some((Err(error), None)),
        }
    });
    let body = Kept::new(Body::from_stream(parts), place);
    Ok(([(header::CONTENT_TYPE, "application/json")], Body::new(body)).into_response())
}

/// The next piece of JSON, and whether there are more.
fn part(export: &mut Export, first: bool) -> Result<(Bytes, bool), LedgerError> {
    let mut text = if first { r#"{"type":"lines","data":{"lines":["#.to_owned() } else { String::new() };
    let Some(lines) = export.part(PART)? else { return Ok((Bytes::from(text + "]}}"), false)) };
    for (index, line) in lines.iter().enumerate() {
        text.push_str(if first && index == 0 { "" } else { "," });
        text.push_str(&serde_json::Value::from(line.as_str()).to_string());
    }
    Ok((Bytes::from(text), true))
}
