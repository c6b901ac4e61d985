//! `GET /v1/events`: every update as a server-sent event, resumable by its id.

use super::Api;
use super::answer::Failure;
use super::wire::reads_alerts;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flightdeck_hub::Subscription;
use flightdeck_model::{Envelope, HEARTBEAT_HEADER, RefusalKind};
use futures::{FutureExt as _, stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Seconds of quiet after which a comment tells both sides that the other is there: short, since a
/// screen must not look live for long when the server is frozen.
const HEARTBEAT: u16 = 1;
/// Updates that are there already travel together, up to about this size.
const BATCH: usize = 64 << 10;
/// How long the hub may take to take a subscriber.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);

/// Follows the hub.
pub(super) async fn events(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Failure> {
    let from = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let parsed = value.to_str().ok().and_then(position);
            Some(parsed.ok_or_else(|| Failure::invalid("last-event-id: expected EPOCH:SEQ, two numbers"))?)
        }
    };
    let alerts = reads_alerts(&headers);
    let subscribed = tokio::time::timeout(SUBSCRIBE_WITHIN, api.hub.subscribe(from)).await;
    let Ok(Some(subscription)) = subscribed else {
        let why = "the hub takes no subscriber now; try again";
        return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, RefusalKind::Internal, why));
    };
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    let heartbeat = [(HEARTBEAT_HEADER, HeaderValue::from(HEARTBEAT))];
    Ok((headers, heartbeat, Body::from_stream(body(subscription, api.ending, alerts))).into_response())
}

fn position(id: &str) -> Option<(u64, u64)> {
    let (epoch, seq) = id.split_once(':')?;
    Some((epoch.parse().ok()?, seq.parse().ok()?))
}

fn body(
    subscription: Subscription,
    ending: CancellationToken,
    alerts: bool,
) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    // The first bytes go out at once: a client knows that it is connected.
    let hello = stream::iter([Ok(Bytes::from_static(b": flightdeck\n\n"))]);
    let rest = stream::unfold((subscription, ending), move |(mut subscription, ending)| async move {
        let told = tokio::select! {
            () = ending.cancelled() => return None,
            told = tokio::time::timeout(Duration::from_secs(HEARTBEAT.into()), subscription.next()) => told,
        };
        let chunk = match told {
            // It fell behind or the hub ended: the client comes again with its last id.
            Ok(None) => return None,
            Ok(Some(first)) => batch(first, &mut subscription, alerts),
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        Some((Ok(chunk), (subscription, ending)))
    });
    futures::StreamExt::chain(hello, rest)
}

/// The first update and what else is there already; `alerts`: those, too.
fn batch(first: Arc<Envelope>, subscription: &mut Subscription, alerts: bool) -> Bytes {
    let mut chunk = Vec::new();
    let mut next = Some(first);
    while let Some(envelope) = next {
        if alerts || !envelope.scoped.body.is_of_alerts() {
            write(&mut chunk, &envelope);
        }
        next = if chunk.len() < BATCH { subscription.next().now_or_never().flatten() } else { None };
    }
    Bytes::from(chunk)
}

fn write(chunk: &mut Vec<u8>, envelope: &Envelope) {
    let start = chunk.len();
    chunk.extend_from_slice(format!("id: {}:{}\ndata: ", envelope.epoch, envelope.seq).as_bytes());
    // JSON has no raw line feeds, so one data line holds it.
    match serde_json::to_writer(&mut *chunk, envelope) {
        Ok(()) => chunk.extend_from_slice(b"\n\n"),
        Err(error) => {
            tracing::error!(%error, "an update can't be written as JSON");
            chunk.truncate(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn ids_are_two_numbers() {
        for (id, found) in [
            ("17:4", Some((17, 4))),
            ("0:0", Some((0, 0))),
            ("17", None),
            ("17:", None),
            (":4", None),
            ("-1:4", None),
            ("17:4:1", None),
            ("99999999999999999999:1", None),
        ] {
            assert_eq!(position(id), found, "{id}");
        }
    }
}
