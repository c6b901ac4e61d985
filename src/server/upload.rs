//! `POST /v1/releases`: an artifact on its way into the store.

use super::answer::Failure;
use super::peer::Asker;
use super::{Api, api};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query as Parameters, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use flightdeck_engine::runtime::StagedRelease;
use flightdeck_model::{
    Action, Command, CommandId, Decision, LONGEST_NAME, Query, Receipt, RefusalKind, Reply, Subject, bounded,
};
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

/// Largest artifact: 1 GiB.
const ARTIFACT: u64 = 1 << 30;
/// Longest list of the migrations that a release brings.
const LONGEST_MIGRATIONS: usize = 16 << 10;
/// A peer that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_mins(1);

/// What stands in the request's address.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    id: String,
    service: String,
    version: String,
    commit: Option<String>,
    commit_at: Option<Timestamp>,
    pipeline_run: Option<String>,
    digest: Option<String>,
    /// Names with commas between them; empty: none.
    migrations: Option<String>,
}

/// Takes the bytes, then gives the hub the command that stores them.
pub(super) async fn release(
    State(api): State<Api>,
    Extension(who): Extension<Asker>,
    asked: Result<Parameters<Asked>, QueryRejection>,
    body: Body,
) -> Result<Json<Receipt>, Failure> {
    let Parameters(asked) = asked.map_err(|error| Failure::invalid(error.body_text()))?;
    let (source, service, version) = (api.engine.source().clone(), asked.service.into(), asked.version.into());
    let subject = Subject::Release { source, service, version };
    let id = CommandId(asked.id);
    let command =
        Command { id: id.clone(), action: Action::AddRelease, subject: subject.clone(), pin: None, reason: None };
    command.bounded()?;
    for (field, text) in [("commit", &asked.commit), ("digest", &asked.digest), ("pipeline_run", &asked.pipeline_run)] {
        bounded(field, text.as_deref().unwrap_or_default(), LONGEST_NAME)?;
    }
    bounded("migrations", asked.migrations.as_deref().unwrap_or_default(), LONGEST_MIGRATIONS)?;
    let actor = who.actor_for(Action::AddRelease)?;
    // Whoever may not, or has no use for it, need not send a gigabyte first.
    let prepare = Query::Prepare { action: Action::AddRelease, subject };
    match api.hub.query(actor.clone(), prepare).await {
        Reply::Prepared(prepared) => {
            if let Decision::Refuse(refusal) = prepared.decision {
                return Err(refusal.into());
            }
        }
        Reply::Refused(refusal) => return Err(refusal.into()),
        _ => {
            return Err(Failure::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                RefusalKind::Internal,
                "the hub misunderstood",
            ));
        }
    }
    let mut upload = Upload::create(&api.engine.stage_upload(&id)).await?;
    upload.fill(body).await?;
    let names = |text: String| text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let staged = StagedRelease {
        commit: asked.commit,
        commit_at: asked.commit_at,
        pipeline_run: asked.pipeline_run,
        expected_digest: asked.digest,
        migrations: asked.migrations.map(names),
    };
    api.engine.staged(&id, staged);
    let outcome = api::submit(&api, actor, command).await;
    // Where the outcome is not known yet, the store may be about to take the file.
    upload.done = !matches!(&outcome, Err(failure) if failure.status != StatusCode::GATEWAY_TIMEOUT);
    outcome
}

/// A file that an artifact is written to; removed unless the store has it.
struct Upload {
    file: File,
    path: PathBuf,
    done: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "could not remove an upload");
        }
    }
}

fn wrong(error: &std::io::Error) -> Failure {
    let why = format!("the upload can't be kept: {error}; nothing was stored");
    Failure::new(StatusCode::INTERNAL_SERVER_ERROR, RefusalKind::Internal, why)
}

impl Upload {
    async fn create(path: &Path) -> Result<Upload, Failure> {
        match OpenOptions::new().write(true).create_new(true).open(path).await {
            Ok(file) => Ok(Upload { file, path: path.to_owned(), done: false }),
            // Left where it is: it belongs to the upload that is under way.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let why = "this upload is under way already; a new one needs a new id";
                Err(Failure::new(StatusCode::CONFLICT, RefusalKind::NotApplicable, why))
            }
            Err(error) => Err(wrong(&error)),
        }
    }

    async fn fill(&mut self, body: Body) -> Result<(), Failure> {
        let mut chunks = body.into_data_stream();
        let mut size = 0_u64;
        loop {
            let chunk = tokio::time::timeout(SILENCE, chunks.next()).await.map_err(|_| {
                let why = format!("nothing arrived for {} s; nothing was stored", SILENCE.as_secs());
                Failure::new(StatusCode::REQUEST_TIMEOUT, RefusalKind::Invalid, why)
            })?;
            let Some(chunk) = chunk else { break };
            let chunk = chunk
                .map_err(|error| Failure::invalid(format!("the upload broke off: {error}; nothing was stored")))?;
            size += chunk.len() as u64;
            if size > ARTIFACT {
                let why = format!("the artifact has more than {ARTIFACT} bytes; nothing was stored");
                return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, RefusalKind::Invalid, why));
            }
            self.file.write_all(&chunk).await.map_err(|error| wrong(&error))?;
        }
        self.file.flush().await.map_err(|error| wrong(&error))
    }
}
