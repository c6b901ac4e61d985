//! Updates on their way to subscribers.

use flightdeck_board::Board;
use flightdeck_model::{ArmSample, Body, Envelope, HubId, LinkState, Scope, Scoped};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Windows of each arm that a snapshot carries: what sparklines and short charts show.
const SNAPSHOT_SAMPLES: usize = 180;

/// Stamps envelopes, keeps the newest, and hands them out.
pub(super) struct Feed {
    hub: HubId,
    epoch: u64,
    seq: u64,
    ring: VecDeque<Arc<Envelope>>,
    keep: usize,
    lag: usize,
    subscribers: Vec<mpsc::Sender<Arc<Envelope>>>,
    /// Scopes that are being told whole: subscribers need every row of them.
    whole: BTreeSet<Scope>,
}

/// A running series of updates.
#[derive(Debug)]
pub struct Subscription {
    backlog: VecDeque<Arc<Envelope>>,
    receiver: mpsc::Receiver<Arc<Envelope>>,
}

impl Subscription {
    /// The next update. `None`: the subscriber fell too far behind or the hub has ended; subscribe
    /// again with the last epoch and sequence.
    pub async fn next(&mut self) -> Option<Arc<Envelope>> {
        match self.backlog.pop_front() {
            Some(envelope) => Some(envelope),
            None => self.receiver.recv().await,
        }
    }
}

impl Feed {
    pub fn new(hub: HubId, epoch: u64, keep: usize, lag: usize) -> Feed {
        let (ring, subscribers, whole) = (VecDeque::new(), Vec::new(), BTreeSet::new());
        Feed { hub, epoch, seq: 0, ring, keep, lag: lag.max(1), subscribers, whole }
    }

    /// Is the update of use to subscribers, given whether it changed the board? A row that is told
    /// again changes nothing, unless a whole list is being told.
    pub fn wanted(&mut self, scoped: &Scoped, changed: bool) -> bool {
        match &scoped.body {
            Body::SnapshotBegin => self.whole.insert(scoped.scope.clone()) || changed,
            Body::SnapshotEnd => self.whole.remove(&scoped.scope) || changed,
            Body::Upsert(_) => changed || self.whole.contains(&scoped.scope),
            Body::Remove(_) | Body::Samples(_) | Body::Link(_) => changed,
        }
    }

    /// Stamps an update and hands it out. Whoever is too far behind is let go: they start over.
    pub fn publish(&mut self, scoped: Scoped, at: Timestamp) {
        self.seq += 1;
        let envelope = Arc::new(self.envelope(scoped, self.seq, at));
        self.subscribers.retain(|subscriber| subscriber.try_send(Arc::clone(&envelope)).is_ok());
        if self.ring.len() >= self.keep {
            self.ring.pop_front();
        }
        self.ring.push_back(envelope);
    }

    fn envelope(&self, scoped: Scoped, seq: u64, at: Timestamp) -> Envelope {
        Envelope { hub: self.hub.clone(), epoch: self.epoch, seq, at, scoped }
    }

    pub fn subscribe(&mut self, board: &Board, own: &Scope, from: Option<(u64, u64)>, at: Timestamp) -> Subscription {
        let backlog = match from.and_then(|from| self.since(from)) {
            Some(missed) => missed,
            None => self.snapshot(board, own, at),
        };
        let (sender, receiver) = mpsc::channel(self.lag);
        self.subscribers.push(sender);
        Subscription { backlog, receiver }
    }

    /// What came after that envelope, if all of it is still here.
    fn since(&self, (epoch, seq): (u64, u64)) -> Option<VecDeque<Arc<Envelope>>> {
        let oldest = self.ring.front().map_or(self.seq + 1, |envelope| envelope.seq);
        // Sequence 0 is within a snapshot that was cut off: that is no place to go on from, unless
        // everything ever told is still here.
        let known = epoch == self.epoch && seq <= self.seq && seq + 1 >= oldest;
        known.then(|| self.ring.iter().filter(|envelope| envelope.seq > seq).cloned().collect())
    }

    /// Everything, scope by scope. All envelopes but the last have sequence 0, so that a subscriber
    /// that was cut off within it starts over.
    fn snapshot(&self, board: &Board, own: &Scope, at: Timestamp) -> VecDeque<Arc<Envelope>> {
        let mut scopes: BTreeMap<&Scope, Vec<Body>> = BTreeMap::new();
        for (scope, _) in board.links() {
            scopes.entry(scope).or_default();
        }
        for (scope, entity) in board.entities() {
            scopes.entry(scope).or_default().push(Body::Upsert(entity));
        }
        let mut all: Vec<Scoped> = Vec::new();
        for (scope, rows) in scopes {
            let mut tell = |body| all.push(Scoped { scope: scope.clone(), body });
            tell(Body::SnapshotBegin);
            rows.into_iter().for_each(&mut tell);
            // A list that is only half told by the source stays open for the subscriber as well.
            if !self.whole.contains(scope) {
                tell(Body::SnapshotEnd);
            }
            if let Some(link) = board.link_of(scope) {
                tell(Body::Link(link.clone()));
            }
        }
        for samples in board.all_samples() {
            let recent: Vec<ArmSample> =
                samples.iter().skip(samples.len().saturating_sub(SNAPSHOT_SAMPLES)).cloned().collect();
            if let Some(first) = recent.first() {
                let scope = Scope { source: first.target.source.clone(), part: String::new() };
                all.push(Scoped { scope, body: Body::Samples(recent) });
            }
        }
        let link = board.link_of(own).cloned().unwrap_or(LinkState::Connecting);
        let last = Scoped { scope: own.clone(), body: Body::Link(link) };
        let first = all.into_iter().map(|scoped| Arc::new(self.envelope(scoped, 0, at)));
        first.chain([Arc::new(self.envelope(last, self.seq, at))]).collect()
    }
}
