//! Looks at each place again and again, for as long as somebody watches. Each is a part of its own, so that one
//! that can't be read makes no other stale.

use super::client::{Cache, Problem, now};
use super::gate::{Gate, Key};
use super::row::{rows, settle};
use super::shared::Shared;
use super::system::Known;
use flightdeck_model::{Body, Entity, LinkState, Scope, Scoped};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often is looked while something that was decided is on its way.
const MOVING: Duration = Duration::from_secs(3);
/// Updates that wait for whoever watches; then nothing is asked.
const WAITING: usize = 64;

/// The stream owns the tasks: when it is dropped nothing is asked any more.
pub(super) fn watch(shared: Arc<Shared>) -> BoxStream<'static, Scoped> {
    futures::stream::once(async move {
        let (sender, receiver) = mpsc::channel(WAITING);
        let mut tasks = JoinSet::new();
        for place in shared.system.places() {
            let part = Part::new(Arc::clone(&shared), place.clone(), sender.clone());
            tasks.spawn(part.follow());
        }
        futures::stream::unfold((receiver, tasks), |(mut receiver, tasks)| async {
            receiver.recv().await.map(|scoped| (scoped, (receiver, tasks)))
        })
    })
    .flatten()
    .boxed()
}

/// Nobody listens any more.
struct Unheard;

/// Waits for a decision that was sent about a place. So many at once that some were missed may have been.
async fn told_of(place: &str, decided: &mut broadcast::Receiver<String>) {
    loop {
        match decided.recv().await {
            Ok(of) if of != place => {}
            Err(RecvError::Closed) => std::future::pending().await,
            Ok(_) | Err(RecvError::Lagged(_)) => return,
        }
    }
}

/// One place.
struct Part {
    shared: Arc<Shared>,
    place: String,
    updates: mpsc::Sender<Scoped>,
    cache: Cache,
    gates: BTreeMap<Key, Gate>,
    /// The rows as they were told; nothing before the first time.
    told: Option<Vec<Entity>>,
    link: Option<LinkState>,
    /// When it was well last.
    well: Option<Timestamp>,
    /// Since when it is tried.
    began: Timestamp,
    /// Whose token it is was asked.
    introduced: bool,
    /// Requests of the last look that counted for a limit.
    charged: u32,
}

impl Part {
    fn new(shared: Arc<Shared>, place: String, updates: mpsc::Sender<Scoped>) -> Part {
        Part {
            shared,
            place,
            updates,
            cache: Cache::default(),
            gates: BTreeMap::new(),
            told: None,
            link: None,
            well: None,
            began: now(),
            introduced: false,
            charged: 0,
        }
    }

    async fn follow(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut decided = shared.decided.subscribe();
        if self.link(LinkState::Connecting).await.is_err() {
            return;
        }
        loop {
            let turn = shared.turns.acquire().await;
            let outcome = self.look().await;
            drop(turn);
            self.charged = self.cache.charged();
            if self.say(outcome).await.is_err() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause()) => {}
                // What was decided is looked at, whatever the pause.
                () = told_of(&self.place, &mut decided) => {}
                () = self.updates.closed() => return,
            }
        }
    }

    fn pause(&self) -> Duration {
        let (system, every) = (&self.shared.system, self.shared.system.every());
        // What was decided a moment ago is rare, and waits for no other place.
        let moves = self.gates.values().any(|gate| gate.standing().moves());
        let (wanted, places) = if moves { (every.min(MOVING), 1) } else { (every, system.places().len()) };
        wanted.max(system.client().pace(self.charged, places))
    }

    async fn look(&mut self) -> Result<Option<String>, Problem> {
        if !self.introduced {
            self.introduce().await?;
        }
        let (at, login) = (now(), self.shared.login.borrow().clone());
        let known = Known { login: login.as_deref(), now: at };
        let mut seen = self.shared.system.look(&self.place, &mut self.cache, &self.gates, known).await?;
        for (key, gate) in &mut seen.gates {
            self.shared.recall(gate);
            settle(gate, self.gates.get(key), at);
        }
        self.shared.forget(&self.place, &seen.gates);
        self.shared.known.send_modify(|known| {
            known.retain(|key, _| key.place != self.place);
            known.extend(seen.gates.clone());
        });
        self.gates = seen.gates;
        self.cache.forget_unused();
        Ok(seen.only)
    }

    /// Asks whose token it is, which does not change. That of an app is nobody's, and may read all the same.
    async fn introduce(&mut self) -> Result<(), Problem> {
        match self.shared.system.login(&mut self.cache).await {
            Ok(login) => drop(self.shared.login.send_replace(login)),
            Err(Problem::Forbidden(_) | Problem::Missing(_)) => {}
            Err(problem) => return Err(problem),
        }
        self.introduced = true;
        Ok(())
    }

    /// Tells what changed.
    async fn say(&mut self, outcome: Result<Option<String>, Problem>) -> Result<(), Unheard> {
        let only = match outcome {
            Ok(only) => only,
            Err(problem) => {
                let (words, place) = (self.shared.system.words(), &self.place);
                tracing::warn!(place, why = problem.sentence(words.system), "{} could not be read", words.system);
                return self.link(problem.link(words, place, self.well, self.began)).await;
            }
        };
        let at = now();
        self.well = Some(at);
        let rows = {
            let login = self.shared.login.borrow();
            rows(self.shared.context(login.as_deref()), &self.gates)
        };
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
        let scope = Scope { source: self.shared.source.clone(), part: self.place.clone() };
        self.updates.send(Scoped { scope, body }).await.map_err(|_| Unheard)
    }
}
