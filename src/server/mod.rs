//! The hub for everyone else: HTTP and server-sent events on a unix socket.
//!
//! Who asks is what the kernel says of the peer; a request can't name its own actor. Every request
//! is answered, also when the hub is busy, and garbage ends one request and nothing else.

mod answer;
mod api;
mod events;
mod logs;
mod metrics;
mod peer;
mod socket;
mod text;
mod upload;
mod wire;

pub use peer::actor_of;
pub use socket::{Access, Bound, SocketError, bind};

use crate::engine::runtime::Engine;
use crate::hub::Hub;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Connections at once; one more is told to come back.
const CONNECTIONS: usize = 512;
/// How long a peer may take to send a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long open requests may go on once the server ends.
const GOODBYE: Duration = Duration::from_secs(2);
/// After an error of the listener, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 27\r\nconnection: close\r\n\r\n\
    too many open connections\r\n";

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Api {
    /// Decides, records and carries out.
    pub hub: Hub,
    /// Artifacts, output of instances, and counters.
    pub engine: Engine,
    /// Cancelled when the server ends: endless answers end with it.
    pub ending: CancellationToken,
}

/// Serves until `api.ending` is cancelled; requests under way get a moment to end.
pub async fn serve(bound: Bound, api: Api) {
    let router = router(api.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = api.ending.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => gone(ended),
            accepted = bound.listener.accept() => match accepted {
                Ok((stream, _)) if connections.len() < CONNECTIONS => {
                    connections.spawn(connection(stream, router.clone(), api.ending.clone()));
                }
                Ok((mut stream, _)) => {
                    tracing::warn!("{CONNECTIONS} connections are open; one more was turned away");
                    // It is told no in any case; whether it hears is its own affair.
                    drop(tokio::time::timeout(ACCEPT_AGAIN, stream.write_all(FULL)).await);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    drop(bound);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, rest).await.is_err() {
        connections.shutdown().await;
    }
}

fn gone(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/events", get(events::events))
        .route("/v1/query", post(api::query))
        .route("/v1/commands", post(api::command))
        .route("/v1/releases", post(upload::release))
        .route("/v1/instances/{id}/log", get(logs::log))
        .route_layer(axum::middleware::from_fn(wire::required))
        .route("/metrics", get(metrics::metrics))
        .route("/healthz", get(api::health))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(axum::middleware::from_fn(wire::versioned))
        .layer(DefaultBodyLimit::disable())
        .with_state(api)
}

async fn connection(stream: UnixStream, router: Router, ending: CancellationToken) {
    let actor = match peer::of(&stream).await {
        Ok(actor) => actor,
        Err(error) => return tracing::warn!(%error, "a connection whose peer is unknown was closed"),
    };
    let service = TowerToHyperService::new(router.layer(axum::Extension(actor)));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = ending.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
