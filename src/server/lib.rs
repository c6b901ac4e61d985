//! The hub for everyone else: HTTP and server-sent events on a unix socket.
//!
//! Who asks is what the kernel says of the peer; a request can't name its own actor. Every request
//! is answered, also when the hub is busy, and garbage ends one request and nothing else. What one user can have
//! under way has bounds (`limits`), and those who may only watch are served on a thread of their own.

mod answer;
mod api;
mod events;
mod heavy;
mod limits;
mod logs;
mod metrics;
mod peer;
mod prompt;
mod socket;
mod text;
mod upload;
mod wire;

pub use peer::actor_of;
pub use socket::{Access, Bound, SocketError, bind};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use flightdeck_control::Policy;
use flightdeck_engine::runtime::Engine;
use flightdeck_hub::Hub;
use flightdeck_ledger::Ledger;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use limits::{Admitted, Class, Limits};
use peer::Peer;
use prompt::Prompt;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long a peer may take to send a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a request that are read before somebody wants them; a head must fit.
const READ_AHEAD: usize = 64 << 10;
/// How long open requests may go on once the server ends.
const GOODBYE: Duration = Duration::from_secs(2);
/// After an error of the listener, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// Between two lines of the log about connections that were turned away.
const SAID_AGAIN: Duration = Duration::from_secs(10);

/// What requests are answered from.
#[derive(Debug, Clone)]
pub struct Api {
    /// Decides, records and carries out.
    pub hub: Hub,
    /// Artifacts, output of instances, and counters.
    pub engine: Engine,
    /// Read for exports and checks.
    pub ledger: Ledger,
    /// Tells who may act from who may only watch.
    pub policy: Policy,
    /// Where the connections of those who may only watch are served.
    pub watchers: Handle,
    /// Cancelled when the server ends: endless answers end with it.
    pub ending: CancellationToken,
}

/// Serves until `api.ending` is cancelled; requests under way get a moment to end.
pub async fn serve(bound: Bound, api: Api) {
    let router = router(api.clone());
    let mut connections = JoinSet::new();
    let mut limits = Limits::new();
    let mut said: Option<Instant> = None;
    loop {
        tokio::select! {
            () = api.ending.cancelled() => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => gone(ended),
            accepted = bound.listener.accept() => {
                let admitted = accepted.and_then(|(stream, _)| {
                    let uid = stream.peer_cred()?.uid();
                    Ok((stream, uid, limits.admit(uid)))
                });
                match admitted {
                    Ok((stream, uid, Ok(admitted))) => {
                        connections.spawn(connection(stream, uid, admitted, router.clone(), api.clone()));
                    }
                    Ok((stream, uid, Err(why))) => {
                        if said.is_none_or(|said| said.elapsed() >= SAID_AGAIN) {
                            said = Some(Instant::now());
                            tracing::warn!(uid, why, "a connection was turned away");
                        }
                        turn_away(&stream, why);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a connection");
                        tokio::time::sleep(ACCEPT_AGAIN).await;
                    }
                }
            }
        }
    }
    drop(bound);
    let rest = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE, rest).await.is_err() {
        connections.shutdown().await;
    }
}

/// Says no at once: the few bytes fit into an empty socket, and nobody waits for whoever does not read them.
fn turn_away(stream: &UnixStream, why: &str) {
    let length = why.len() + 2;
    let head = "HTTP/1.1 503 Service Unavailable";
    let answer = format!("{head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{why}\r\n");
    // Whether it is heard is the other side's affair.
    drop(stream.try_write(answer.as_bytes()));
}

fn gone(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn router(api: Api) -> Router {
    let limited = |class| from_fn_with_state(class, limits::limited);
    Router::new()
        .route("/v1/events", get(events::events).route_layer(limited(Class::Stream)))
        .route("/v1/query", post(api::query).route_layer(limited(Class::Question)))
        .route("/v1/commands", post(api::command).route_layer(limited(Class::Command)))
        .route("/v1/releases", post(upload::release).route_layer(limited(Class::Command)))
        .route("/v1/instances/{id}/log", get(logs::log).route_layer(limited(Class::Stream)))
        .route_layer(from_fn(wire::required))
        .route("/metrics", get(metrics::metrics).route_layer(limited(Class::Question)))
        .route("/healthz", get(api::health))
        .fallback(answer::no_such_path)
        .method_not_allowed_fallback(answer::no_such_method)
        .layer(from_fn(wire::versioned))
        .layer(DefaultBodyLimit::disable())
        .with_state(api)
}

/// Finds out who it is, and serves them where they belong.
async fn connection(stream: UnixStream, uid: u32, mut admitted: Admitted, router: Router, api: Api) {
    let Some(peer) = Peer::of(uid, Arc::clone(&admitted.share)).await else {
        return turn_away(&stream, "who you are could not be looked up; try again");
    };
    let acts = uid == rustix::process::geteuid().as_raw() || api.policy.is_operator(peer.actor());
    let router = router.layer(axum::Extension(peer));
    if acts {
        return served(stream, router, api.ending, admitted).await;
    }
    if let Err(why) = admitted.watches() {
        return turn_away(&stream, why);
    }
    let moved = stream.into_std();
    let watching = api.watchers.spawn(async move {
        match moved.and_then(UnixStream::from_std) {
            Ok(stream) => served(stream, router, api.ending, admitted).await,
            Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
        }
    });
    if let Err(error) = AbortOnDropHandle::new(watching).await {
        tracing::error!(%error, "a connection's task failed");
    }
}

/// Keeps the connection's places until it ends.
async fn served(stream: UnixStream, router: Router, ending: CancellationToken, _admitted: Admitted) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(READ_AHEAD)
        .serve_connection(TokioIo::new(Prompt::new(stream)), TowerToHyperService::new(router));
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
