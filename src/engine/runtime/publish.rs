//! What the engine's watchers see: the projection of its state, told as differences.

use flightdeck_model::{
    Body, Entity, EntityRef, LinkState, Renamed, Rollout, RolloutRecord, Scope, Scoped, SourceId, Wait,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Batches that a watcher may be behind before it gets a new snapshot instead.
pub const WATCHER_BATCHES: usize = 1024;
/// Finished rollouts that watchers see, the newest; the journal keeps more.
pub const HISTORY: usize = 2000;
/// A countdown's end that moved by less did not move.
const STEADY: SignedDuration = SignedDuration::from_secs(2);

/// Updates that belong together.
pub type Batch = Arc<[Scoped]>;

#[derive(Debug)]
struct Watcher {
    batches: mpsc::Sender<Batch>,
    /// It missed something and needs a snapshot.
    behind: bool,
}

/// The rows as last told, and those who were told.
#[derive(Debug)]
pub struct Publisher {
    source: SourceId,
    rows: BTreeMap<EntityRef, Entity>,
    /// Finished rollouts, oldest first. They never change, so they are no part of what is compared.
    history: VecDeque<Arc<RolloutRecord>>,
    watchers: Vec<Watcher>,
    /// The watch of the proxy.
    proxy: LinkState,
    since: Timestamp,
}

/// The watch of everything but the proxy's health.
fn rows_scope(source: &SourceId) -> Scope {
    Scope { source: source.clone(), part: String::new() }
}

impl Publisher {
    /// Nothing was told yet; `history` oldest first.
    #[must_use]
    pub fn new(source: SourceId, history: Vec<RolloutRecord>, now: Timestamp) -> Publisher {
        Publisher {
            source,
            rows: BTreeMap::new(),
            history: history.into_iter().map(Arc::new).collect(),
            watchers: Vec::new(),
            proxy: LinkState::Connecting,
            since: now,
        }
    }

    /// Tells a new watcher everything, and what changes from now on.
    pub fn watch(&mut self, batches: mpsc::Sender<Batch>) {
        let mut watcher = Watcher { batches, behind: true };
        self.catch_up(&mut watcher);
        self.watchers.push(watcher);
    }

    fn catch_up(&self, watcher: &mut Watcher) {
        let scope = rows_scope(&self.source);
        let scoped = |body| Scoped { scope: scope.clone(), body };
        let mut all = vec![scoped(Body::SnapshotBegin)];
        all.extend(self.rows.values().cloned().map(Body::Upsert).map(scoped));
        all.extend(self.history.iter().cloned().map(Entity::RolloutRecord).map(Body::Upsert).map(scoped));
        all.push(scoped(Body::SnapshotEnd));
        all.push(scoped(Body::Link(LinkState::live(self.since))));
        all.push(self.proxy_link());
        watcher.behind = watcher.batches.try_send(all.into()).is_err();
    }

    fn proxy_link(&self) -> Scoped {
        let scope = Scope { source: self.source.clone(), part: Scope::PROXY_PART.to_owned() };
        Scoped { scope, body: Body::Link(self.proxy.clone()) }
    }

    /// The proxy's health, where it changed.
    pub fn proxy(&mut self, state: LinkState) {
        let still_stale = matches!((&self.proxy, &state), (LinkState::Stale { .. }, LinkState::Stale { .. }));
        if self.proxy != state && !still_stale {
            self.proxy = state;
            let update = self.proxy_link();
            self.tell(vec![update]);
        }
    }

    /// Tells what is different from last time, and the rollouts that ended since.
    pub fn rows_are(&mut self, entities: Vec<Entity>, ended: Vec<RolloutRecord>) {
        let scope = rows_scope(&self.source);
        // First, so that who sees a row settle finds the record of it.
        let told = self.ended(ended).into_iter();
        let mut updates: Vec<_> = told.map(|body| Scoped { scope: scope.clone(), body }).collect();
        let mut before = std::mem::take(&mut self.rows);
        for entity in entities {
            let key = entity.key();
            match before.remove(&key) {
                Some(old) if same(&old, &entity) => self.rows.insert(key, old),
                old => {
                    if old.is_some_and(|old| is_renamed(&old, &entity)) {
                        updates.push(Scoped { scope: scope.clone(), body: Body::Remove(key.clone()) });
                    }
                    updates.push(Scoped { scope: scope.clone(), body: Body::Upsert(entity.clone()) });
                    self.rows.insert(key, entity)
                }
            };
        }
        updates.extend(before.into_keys().map(|key| Scoped { scope: scope.clone(), body: Body::Remove(key) }));
        self.tell(updates);
    }

    fn ended(&mut self, ended: Vec<RolloutRecord>) -> Vec<Body> {
        let mut told = Vec::new();
        for of in ended {
            // One that is told again takes the place of what was told first.
            self.history.retain(|old| old.run != of.run);
            let of = Arc::new(of);
            self.history.push_back(Arc::clone(&of));
            told.push(Body::Upsert(Entity::RolloutRecord(of)));
        }
        while self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            told.push(Body::Remove(EntityRef::RolloutRecord(oldest.run.clone())));
        }
        told
    }

    /// The finished rollouts of a service go on under another name.
    pub fn renamed(&mut self, renamed: &Renamed) {
        let scope = rows_scope(&self.source);
        let mut told = Vec::new();
        for of in self.history.iter_mut().filter(|of| of.service == renamed.from) {
            Arc::make_mut(of).rename(renamed);
            told.push(Scoped { scope: scope.clone(), body: Body::Upsert(Entity::RolloutRecord(Arc::clone(of))) });
        }
        self.tell(told);
    }

    /// Tells numbers.
    pub fn samples(&mut self, samples: Vec<flightdeck_model::ArmSample>) {
        if !samples.is_empty() {
            let scope = rows_scope(&self.source);
            self.tell(vec![Scoped { scope, body: Body::Samples(samples) }]);
        }
    }

    fn tell(&mut self, updates: Vec<Scoped>) {
        let batch: Batch = updates.into();
        let mut watchers = std::mem::take(&mut self.watchers);
        watchers.retain_mut(|watcher| {
            if watcher.behind && watcher.batches.capacity() == watcher.batches.max_capacity() {
                self.catch_up(watcher);
            } else if !watcher.behind && !batch.is_empty() {
                watcher.behind = watcher.batches.try_send(batch.clone()).is_err();
            }
            !watcher.batches.is_closed()
        });
        self.watchers = watchers;
    }
}

/// Equal but for the ends of countdowns, which are computed from what is left and so tremble.
fn same(old: &Entity, new: &Entity) -> bool {
    if old == new {
        return !is_renamed(old, new);
    }
    let (Entity::Rollout(old), Entity::Rollout(new)) = (old, new) else { return false };
    steady(old, new)
}

/// An instance of a renamed service is what it was, and boards would keep the row that they have.
fn is_renamed(old: &Entity, new: &Entity) -> bool {
    matches!((old, new), (Entity::Instance(old), Entity::Instance(new)) if old.target.name != new.target.name)
}

fn steady(old: &Rollout, new: &Rollout) -> bool {
    let near = |old: &Timestamp, new: &Timestamp| new.duration_since(*old).abs() < STEADY;
    let close = |(old, new): (&Wait, &Wait)| match (old, new) {
        (Wait::Until { at: old }, Wait::Until { at: new }) => near(old, new),
        (Wait::Analysis { name, until: Some(old) }, Wait::Analysis { name: other, until: Some(new) }) => {
            name == other && near(old, new)
        }
        (old, new) => old == new,
    };
    if old.waits.len() != new.waits.len() || !old.waits.iter().zip(&new.waits).all(close) {
        return false;
    }
    Rollout { waits: old.waits.clone(), ..new.clone() } == *old
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_board::Board;
    use flightdeck_model::{EnvironmentName, Instance, Service, ServiceName, Target};

    fn service(name: &str, environments: &[&str]) -> Entity {
        Entity::Service(Service {
            kind: None,
            source: "local".into(),
            name: name.into(),
            configuration: None,
            environments: environments.iter().map(|name| EnvironmentName::from(*name)).collect(),
            addresses: Vec::new(),
            places: Vec::new(),
        })
    }

    fn received(receiver: &mut mpsc::Receiver<Batch>) -> Vec<String> {
        let mut words = Vec::new();
        while let Ok(batch) = receiver.try_recv() {
            words.extend(batch.iter().map(|update| match &update.body {
                Body::SnapshotBegin => "begin".to_owned(),
                Body::SnapshotEnd => "end".to_owned(),
                Body::Upsert(Entity::Service(service)) => format!("+{}", service.name),
                Body::Remove(EntityRef::Service(_, name)) => format!("-{name}"),
                Body::Upsert(Entity::RolloutRecord(of)) => format!("+{}", of.run.revision),
                Body::Remove(EntityRef::RolloutRecord(run)) => format!("-{}", run.revision),
                Body::Link(_) => format!("link {}", update.scope.part),
                other => format!("{other:?}"),
            }));
        }
        words
    }

    #[test]
    fn a_watcher_gets_a_snapshot_then_only_differences_and_a_snapshot_again_when_it_was_too_slow() {
        let mut publisher = Publisher::new("local".into(), Vec::new(), Timestamp::UNIX_EPOCH);
        publisher.rows_are(vec![service("a", &[]), service("b", &[])], Vec::new());
        let (sender, mut receiver) = mpsc::channel(2);
        publisher.watch(sender);
        assert_eq!(received(&mut receiver), ["begin", "+a", "+b", "end", "link ", "link proxy"]);
        publisher.rows_are(vec![service("a", &[]), service("b", &["dev"])], Vec::new());
        publisher.rows_are(vec![service("b", &["dev"])], Vec::new());
        publisher.rows_are(vec![service("b", &["dev"])], Vec::new());
        assert_eq!(received(&mut receiver), ["+b", "-a"]);
        for name in ["c", "d", "e", "f"] {
            publisher.rows_are(vec![service(name, &[])], Vec::new());
        }
        assert_eq!(received(&mut receiver), ["+c", "-b", "+d", "-c"]);
        publisher.rows_are(vec![service("g", &[])], Vec::new());
        assert_eq!(received(&mut receiver), ["begin", "+g", "end", "link ", "link proxy"]);
        drop(receiver);
        publisher.rows_are(vec![], Vec::new());
        assert!(publisher.watchers.is_empty());
    }

    #[test]
    fn what_is_shown_of_a_renamed_service_is_told_although_it_is_the_same() {
        let instance = |name: &str, first: Option<&str>| {
            let target = Target { name: name.into(), first_name: first.map(str::to_owned), ..finished(1).run.target };
            Entity::Instance(Box::new(Instance {
                id: "shop-production-1".into(),
                target,
                role: flightdeck_model::ArmRole::Stable,
                version: "1.0".into(),
                state: flightdeck_model::InstanceState::Ready,
                pid: Some(7),
                address: None,
                restarts: 0,
                started: None,
                limits: Vec::new(),
                logs: None,
                draining: None,
            }))
        };
        let mut publisher = Publisher::new("local".into(), vec![finished(1)], Timestamp::UNIX_EPOCH);
        publisher.rows_are(vec![instance("shop", None)], Vec::new());
        let (sender, mut receiver) = mpsc::channel(8);
        publisher.watch(sender);
        let mut board = Board::default();
        let mut seen = || {
            while let Ok(batch) = receiver.try_recv() {
                for update in batch.iter() {
                    board.apply(update);
                }
            }
            let names = board.instances().map(|row| row.target.name.clone());
            let ended = board
                .deployments()
                .map(|row| format!("{} {:?}", row.service, row.called.as_ref().map(ServiceName::as_str)));
            names.chain(ended).collect::<Vec<_>>()
        };
        assert_eq!(seen(), ["shop", "shop None"]);
        publisher.renamed(&Renamed { from: "shop".into(), to: "store".into() });
        publisher.rows_are(vec![instance("store", Some("shop"))], Vec::new());
        assert_eq!(seen(), ["store", "store Some(\"shop\")"]);
    }

    fn finished(revision: usize) -> RolloutRecord {
        crate::journal::kit::ended(revision, 0)
    }

    #[test]
    fn finished_rollouts_are_told_once_and_the_oldest_leave() {
        let mut publisher = Publisher::new("local".into(), (1..HISTORY).map(finished).collect(), Timestamp::UNIX_EPOCH);
        let (sender, mut receiver) = mpsc::channel(8);
        publisher.watch(sender);
        assert_eq!(received(&mut receiver).len(), HISTORY - 1 + 4, "all that are known, in the snapshot");
        publisher.rows_are(vec![service("a", &[])], vec![finished(HISTORY)]);
        publisher.rows_are(vec![service("a", &[])], vec![finished(HISTORY)]);
        publisher.rows_are(vec![service("a", &[])], Vec::new());
        publisher.rows_are(vec![service("a", &[])], vec![finished(HISTORY + 1)]);
        // What ended comes before the rows that show it.
        assert_eq!(received(&mut receiver), ["+r-2000", "+a", "+r-2000", "+r-2001", "-r-1"]);
    }
}
