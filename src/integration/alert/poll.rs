//! Looks again and again at what fires, for as long as somebody watches. A look that fails makes the source stale and
//! says why: it never reads as "nothing fires".

use super::client::Problem;
use async_trait::async_trait;
use flightdeck_model::{Alert, AlertSeverity, Body, Entity, LinkState, Scope, Scoped, Silence, SourceId};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Updates that wait for whoever watches; then nothing is asked.
const WAITING: usize = 64;
/// More alerts than that nobody reads: the worst of them are told, and that there are more.
pub(super) const MOST_ALERTS: usize = 2000;
/// However long it asks to be left alone.
const LONGEST_REST: Duration = Duration::from_mins(5);

/// What one look found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    pub alerts: Vec<Alert>,
    pub silences: Vec<Silence>,
}

/// Who is looked at.
#[async_trait]
pub(super) trait Looked: Send + Sync + 'static {
    fn source(&self) -> &SourceId;
    fn every(&self) -> Duration;
    async fn look(&self) -> Result<Seen, Problem>;
    /// Told when something was changed there: it is looked at at once.
    fn changed(&self) -> watch::Receiver<()>;
}

#[expect(clippy::disallowed_methods, reason = "a look is a shell: it says when it was")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// The stream owns the task: when it is dropped nothing is asked any more.
pub(super) fn watch(looked: Arc<dyn Looked>) -> BoxStream<'static, Scoped> {
    futures::stream::once(async move {
        let (updates, receiver) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        let poll = Poll { looked, updates, told: None, link: None, well: None, began: now() };
        tasks.spawn(poll.follow());
        futures::stream::unfold((receiver, tasks), |(mut receiver, tasks)| async {
            receiver.recv().await.map(|scoped| (scoped, (receiver, tasks)))
        })
    })
    .flatten()
    .boxed()
}

/// Nobody listens any more.
struct Unheard;

struct Poll {
    looked: Arc<dyn Looked>,
    updates: mpsc::Sender<Scoped>,
    /// The rows as they were told; nothing before the first time.
    told: Option<Vec<Entity>>,
    link: Option<LinkState>,
    /// When it was well last.
    well: Option<Timestamp>,
    /// Since when it is tried.
    began: Timestamp,
}

impl Poll {
    async fn follow(mut self) {
        let mut changed = self.looked.changed();
        if self.link(LinkState::Connecting).await.is_err() {
            return;
        }
        loop {
            changed.mark_unchanged();
            let outcome = self.looked.look().await;
            let rest = outcome.as_ref().err().and_then(|problem| problem.rest).unwrap_or_default();
            if self.say(outcome).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.looked.every().max(rest.min(LONGEST_REST))) => {}
                _ = changed.changed() => {}
                () = self.updates.closed() => return,
            }
        }
    }

    /// Tells what changed.
    async fn say(&mut self, outcome: Result<Seen, Problem>) -> Result<(), Unheard> {
        let seen = match outcome {
            Ok(seen) => seen,
            Err(Problem { why, .. }) => {
                tracing::warn!(source = %self.looked.source(), why, "alerts could not be read");
                let (since, never) = (self.well.unwrap_or(self.began), self.well.is_none());
                return self.link(LinkState::Stale { since, why, never }).await;
            }
        };
        let at = now();
        self.well = Some(at);
        let (rows, only) = rows(seen);
        if self.told.as_ref() != Some(&rows) {
            self.tell(Body::SnapshotBegin).await?;
            for row in &rows {
                self.tell(Body::Upsert(row.clone())).await?;
            }
            self.tell(Body::SnapshotEnd).await?;
            self.told = Some(rows);
        }
        self.link(LinkState::Live { as_of: at, only }).await
    }

    /// Its health, where that is another.
    async fn link(&mut self, state: LinkState) -> Result<(), Unheard> {
        let same = match (&self.link, &state) {
            (Some(LinkState::Live { only: before, .. }), LinkState::Live { only, .. }) => before == only,
            (before, state) => before.as_ref() == Some(state),
        };
        if same {
            return Ok(());
        }
        self.link = Some(state.clone());
        self.tell(Body::Link(state)).await
    }

    async fn tell(&self, body: Body) -> Result<(), Unheard> {
        let scope = Scope { source: self.looked.source().clone(), part: Scope::ALERTS_PART.to_owned() };
        self.updates.send(Scoped { scope, body }).await.map_err(|_| Unheard)
    }
}

/// As rows: the worst alerts where there are too many, and the silences that matter here.
fn rows(seen: Seen) -> (Vec<Entity>, Option<String>) {
    let Seen { mut alerts, silences } = seen;
    let all = alerts.len();
    let rank = |alert: &Alert| -> (AlertSeverity, Timestamp, String) {
        (alert.severity, alert.since, alert.fingerprint.clone())
    };
    alerts.sort_by_cached_key(rank);
    alerts.truncate(MOST_ALERTS);
    let only = (all > MOST_ALERTS).then(|| format!("the worst {MOST_ALERTS} of {all} alerts"));
    let told =
        |silence: &Silence| silence.made.is_some() || alerts.iter().any(|alert| alert.is_silenced_by(&silence.id));
    let silences: Vec<Entity> =
        silences.into_iter().filter(told).map(|silence| Entity::Silence(Box::new(silence))).collect();
    let alerts = alerts.into_iter().map(|alert| Entity::Alert(Arc::new(alert)));
    (alerts.chain(silences).collect(), only)
}
