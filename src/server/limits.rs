//! What one user may have under way at once, so that nobody's work is another's to wait for.
//!
//! A place is taken before anything is done, and kept until the last byte of the answer was taken: an answer that
//! nobody reads costs its own asker.

use super::answer::Failure;
use super::peer::{Asker, Peer};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use flightdeck_model::RefusalKind;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at once.
pub(super) const CONNECTIONS: usize = 512;
/// Of these for people who may only watch; the rest is for those who may act.
const WATCHERS: usize = 448;
/// Connections of one user.
const OF_ONE: usize = 128;
/// Connections of one user who may only watch.
const OF_ONE_WATCHER: usize = 32;
/// Questions that are answered to one user at a time; the next ones wait.
const QUESTIONS: usize = 4;
/// Those of them that take long or much: differences of configurations, exports and checks of the ledger.
const HEAVY: usize = 1;
/// Commands and uploads of one user at a time.
const COMMANDS: usize = 32;
/// Endless answers to one user: events and logs.
const STREAMS: usize = 8;
/// Look-ups of one user's groups at a time.
const LOOKUPS: usize = 2;
/// How long a request waits for its place.
const WAIT: Duration = Duration::from_secs(10);
/// Users that are remembered before those without a connection are looked for.
const USERS: usize = 64;

/// A sort of request, each with places of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Question,
    Command,
    Stream,
}

/// The places of one user.
#[derive(Debug)]
pub(super) struct Share {
    connections: Arc<Semaphore>,
    watching: Arc<Semaphore>,
    questions: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
    commands: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl Default for Share {
    fn default() -> Share {
        let places = |count| Arc::new(Semaphore::new(count));
        Share {
            connections: places(OF_ONE),
            watching: places(OF_ONE_WATCHER),
            questions: places(QUESTIONS),
            heavy: places(HEAVY),
            commands: places(COMMANDS),
            streams: places(STREAMS),
            lookups: places(LOOKUPS),
        }
    }
}

/// A place that is free again when this is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// All places. Owned by the loop that accepts connections.
#[derive(Debug)]
pub(super) struct Limits {
    all: Arc<Semaphore>,
    watchers: Arc<Semaphore>,
    users: HashMap<u32, Weak<Share>>,
}

/// A connection's places, and whom they count for.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) share: Arc<Share>,
    watchers: Arc<Semaphore>,
    places: Vec<Place>,
}

impl Limits {
    pub(super) fn new() -> Limits {
        let places = |count| Arc::new(Semaphore::new(count));
        Limits { all: places(CONNECTIONS), watchers: places(WATCHERS), users: HashMap::new() }
    }

    /// Takes a place for a connection of that user. `Err` says what there is too much of.
    pub(super) fn admit(&mut self, uid: u32) -> Result<Admitted, &'static str> {
        let all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| "too many open connections")?;
        let share = self.share(uid);
        let own = Arc::clone(&share.connections).try_acquire_owned().map_err(|_| "too many connections of yours")?;
        Ok(Admitted { share, watchers: Arc::clone(&self.watchers), places: vec![all, own] })
    }

    fn share(&mut self, uid: u32) -> Arc<Share> {
        if let Some(share) = self.users.get(&uid).and_then(Weak::upgrade) {
            return share;
        }
        if self.users.len() >= USERS {
            self.users.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Share::default());
        self.users.insert(uid, Arc::downgrade(&share));
        share
    }
}

impl Admitted {
    /// The same for somebody who may only watch, for whom there are fewer.
    pub(super) fn watches(&mut self) -> Result<(), &'static str> {
        let few = |places: &Arc<Semaphore>, why| Arc::clone(places).try_acquire_owned().map_err(|_| why);
        self.places.push(few(&self.share.watching, "too many connections of yours")?);
        self.places.push(few(&self.watchers, "too many open connections")?);
        Ok(())
    }
}

impl Share {
    /// Waits for the place of a question that takes long or much.
    pub(super) async fn heavy(&self) -> Result<Place, Failure> {
        wait(&self.heavy, WAIT, HEAVY, "question of this sort is").await
    }

    /// Waits for the place of a look-up.
    pub(super) async fn looking_up(&self) -> Option<Place> {
        Arc::clone(&self.lookups).acquire_owned().await.ok()
    }

    async fn place(&self, class: Class) -> Result<Place, Failure> {
        match class {
            Class::Question => wait(&self.questions, WAIT, QUESTIONS, "questions are").await,
            Class::Command => wait(&self.commands, WAIT, COMMANDS, "commands are").await,
            // Whoever has so many does not end one of them while another waits.
            Class::Stream => {
                let place = Arc::clone(&self.streams).try_acquire_owned();
                place.map_err(|_| too_many(format!("{STREAMS} streams of yours are open, which is the most")))
            }
        }
    }
}

async fn wait(places: &Arc<Semaphore>, within: Duration, count: usize, what: &str) -> Result<Place, Failure> {
    match tokio::time::timeout(within, Arc::clone(places).acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        _ => Err(too_many(format!("{count} {what} under way for you, and none ended within {} s", within.as_secs()))),
    }
}

fn too_many(why: String) -> Failure {
    Failure::new(StatusCode::TOO_MANY_REQUESTS, RefusalKind::Internal, why)
}

/// Takes the place of a request and looks up who asks; the place is free again when the answer is sent.
pub(super) async fn limited(State(class): State<Class>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return Failure::new(StatusCode::INTERNAL_SERVER_ERROR, RefusalKind::Internal, "nobody asks").into_response();
    };
    let place = match peer.share().place(class).await {
        Ok(place) => place,
        Err(failure) => return failure.into_response(),
    };
    if class != Class::Stream {
        request.extensions_mut().insert(Asker::look_up(&peer).await);
    }
    next.run(request).await.map(|body| Body::new(Kept::new(body, place)))
}

/// A body that keeps a place until it was sent or nobody wants it any more.
pub(super) struct Kept {
    body: Body,
    _place: Place,
}

impl Kept {
    pub(super) fn new(body: Body, place: Place) -> Kept {
        Kept { body, _place: place }
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_only_watch_never_has_all_connections() {
        let mut limits = Limits::new();
        let mut held = Vec::new();
        let mut turned_away = 0;
        for uid in 0..100 {
            for _ in 0..OF_ONE_WATCHER + 5 {
                let mut admitted = limits.admit(uid).unwrap();
                match admitted.watches() {
                    Ok(()) => held.push(admitted),
                    Err(_) => turned_away += 1,
                }
            }
        }
        assert_eq!((held.len(), turned_away), (WATCHERS, 100 * (OF_ONE_WATCHER + 5) - WATCHERS));
        let own =
            |uid| held.iter().filter(|held| Arc::ptr_eq(&held.share, &limits.users[&uid].upgrade().unwrap())).count();
        assert_eq!(own(0), OF_ONE_WATCHER);
        // Who may act has what is left, and no more than one user's share of it.
        let operators: Vec<_> = std::iter::from_fn(|| limits.admit(1000).ok()).collect();
        assert_eq!(operators.len(), CONNECTIONS - WATCHERS);
        drop(held);
        let more: Vec<_> = std::iter::from_fn(|| limits.admit(1000).ok()).collect();
        assert_eq!(operators.len() + more.len(), OF_ONE);
    }

    #[test]
    fn users_that_have_gone_are_forgotten() {
        let mut limits = Limits::new();
        for uid in 0..10_000 {
            limits.admit(uid).unwrap();
        }
        assert!(limits.users.len() <= USERS, "{}", limits.users.len());
    }

    #[tokio::test]
    async fn a_place_is_waited_for_and_then_refused_with_a_reason() {
        let share = Share::default();
        let first = share.heavy().await.unwrap();
        let refused = wait(&share.heavy, Duration::from_millis(20), HEAVY, "is").await.unwrap_err();
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert!(refused.refusal.why.contains("none ended within 0 s"), "{}", refused.refusal.why);
        assert!(share.place(Class::Question).await.is_ok(), "other requests have their own places");
        drop(first);
        assert!(share.heavy().await.is_ok());
        let streams: Vec<_> = (0..STREAMS).map(|_| share.place(Class::Stream)).collect();
        let open = futures::future::join_all(streams).await;
        assert!(open.iter().all(Result::is_ok) && share.place(Class::Stream).await.is_err());
    }
}
