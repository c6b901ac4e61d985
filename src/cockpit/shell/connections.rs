//! One task for each server: what it tells becomes events.

use crate::app::{ConnectionId, ConnectionState, Event};
use flightdeck_client::{ClientEvent, Link};
use flightdeck_model::{Query, Reply};
use futures::StreamExt as _;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

/// A hub that the cockpit joined.
pub(super) struct Server {
    pub(super) link: Link,
    /// Wakes its task to connect anew.
    pub(super) again: Arc<Notify>,
}

/// Follows a server for ever: connects, tells who we are there, hands on every update. The client
/// itself tries again after a loss and resumes; a push on `again` starts over at once.
pub(super) async fn follow(id: ConnectionId, name: String, link: Link, again: Arc<Notify>, events: Sender<Event>) {
    // The cockpit says so itself, before its first frame.
    let mut told = Some(ConnectionState::Connecting);
    loop {
        let mut stream = link.events();
        if !tell(&events, &mut told, id, &name, ConnectionState::Connecting).await {
            return;
        }
        loop {
            let event = tokio::select! {
                () = again.notified() => break,
                event = stream.next() => event,
            };
            let open = match event {
                Some(ClientEvent::Connected) => {
                    let state = introduce(&link).await;
                    tell(&events, &mut told, id, &name, state).await
                }
                Some(ClientEvent::Envelope(envelope)) => events.send(Event::Update { id, envelope }).await.is_ok(),
                Some(ClientEvent::Lost { why, heard }) => {
                    let was_up = matches!(told, Some(ConnectionState::Up { .. }));
                    let heard = match &told {
                        // While it is tried again and again the last word stays where it was.
                        Some(ConnectionState::Down { heard, .. }) => *heard,
                        _ => heard.and_then(ago),
                    };
                    let down = ConnectionState::Down { why: why.clone(), heard };
                    if was_up {
                        tracing::warn!(server = %name, "connection lost: {why}");
                    } else if told.as_ref() != Some(&down) {
                        tracing::warn!(server = %name, "not connected: {why}");
                    }
                    tell(&events, &mut told, id, &name, down).await
                }
                None => break,
            };
            if !open {
                return; // the cockpit ended
            }
        }
    }
}

/// Sends a connection's state unless it was the last one told: a server that stays away is news
/// once, not with every attempt. False when the cockpit ended.
async fn tell(
    events: &Sender<Event>,
    told: &mut Option<ConnectionState>,
    id: ConnectionId,
    name: &str,
    state: ConnectionState,
) -> bool {
    if told.as_ref() == Some(&state) {
        return !events.is_closed();
    }
    *told = Some(state.clone());
    events.send(Event::Connection { id, name: name.to_owned(), state }).await.is_ok()
}

async fn introduce(link: &Link) -> ConnectionState {
    match link.query(Query::WhoAmI).await {
        Ok(Reply::WhoAmI { actor, enforced }) => ConnectionState::Up { actor, enforced },
        Ok(Reply::Refused(refusal)) => down(refusal.why),
        Ok(_) => down("the server did not say who we are to it".to_owned()),
        Err(error) => down(error.in_full()),
    }
}

const fn down(why: String) -> ConnectionState {
    ConnectionState::Down { why, heard: None }
}

#[expect(clippy::disallowed_methods, reason = "the shell has the clock")]
fn ago(time: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_sub(time).ok()
}
