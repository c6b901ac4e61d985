//! Starts the program again and again, for as long as somebody watches.

use super::program::Program;
use super::session::{Session, SessionEnd};
use super::shared::Shared;
use flightdeck_model::{Body, LinkState, Scope, Scoped};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// The first pause before it is started again; each one is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(250);
/// The longest one.
const LONGEST: Duration = Duration::from_secs(30);
/// Updates that wait for whoever watches; then the program waits.
const WAITING: usize = 64;

#[expect(clippy::disallowed_methods, reason = "a watch is a shell: it stamps the health of its link")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The only scope of such a source.
pub(super) fn scope(shared: &Shared) -> Scope {
    Scope { source: shared.settings.source.clone(), part: String::new() }
}

/// The stream owns the task: when it is dropped the program and its group are killed.
pub(super) fn watch(shared: Arc<Shared>) -> BoxStream<'static, Scoped> {
    futures::stream::once(async move {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut task = JoinSet::new();
        task.spawn(keep(shared, sender));
        futures::stream::unfold((receiver, task), |(mut receiver, task)| async {
            receiver.recv().await.map(|scoped| (scoped, (receiver, task)))
        })
    })
    .flatten()
    .boxed()
}

/// Runs one life after the other; ends when nobody listens.
async fn keep(shared: Arc<Shared>, updates: mpsc::Sender<Scoped>) {
    let link = |state| Scoped { scope: scope(&shared), body: Body::Link(state) };
    if updates.send(link(LinkState::Connecting)).await.is_err() {
        return;
    }
    let mut pause = FIRST;
    let (mut stale_since, mut never) = (None, true);
    loop {
        let life = shared.next();
        let end = match Program::start(&shared.settings.command) {
            Ok((program, pipes)) => Session::new(&shared, life, program, pipes, &updates).run().await,
            Err(error) => {
                SessionEnd { why: format!("cannot start {}: {error}", shared.name()), complete: false, heard: true }
            }
        };
        shared.disconnect(life, &end.why);
        if !end.heard {
            return;
        }
        if end.complete {
            (pause, stale_since, never) = (FIRST, None, false);
        }
        tracing::warn!(source = %shared.settings.source, why = end.why, ?pause, "the program ended; it is started again");
        let since = *stale_since.get_or_insert_with(now);
        if updates.send(link(LinkState::Stale { since, why: end.why, never })).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = updates.closed() => return,
        }
        pause = (pause * 2).min(LONGEST);
    }
}
