//! The handle that servers and cockpits hold.

use super::feed::Subscription;
use super::task::HubTask;
use flightdeck_control::Policy;
use flightdeck_ledger::Ledger;
use flightdeck_model::{
    Action, Actor, Command, Direction, Entity, HubId, Query, Receipt, Refusal, RefusalKind, Reply, SourceId,
};
use flightdeck_port::Executor;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait at most in the ordinary lane; whoever comes then waits with them.
const LANE: usize = 256;

/// What a hub is made of.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// Unique for the hub's life; part of every envelope.
    pub id: HubId,
    /// The hub's own source, in whose scope `hub` its receipts are.
    pub source: SourceId,
    /// Grows with each start: sequences of two epochs can't be compared.
    pub epoch: u64,
    /// Who may do what.
    pub policy: Policy,
    /// Where it records.
    pub ledger: Ledger,
    /// Envelopes that a subscriber may have missed and still resume from.
    pub ring: usize,
    /// Envelopes that a slow subscriber may be behind before it is told to start over.
    pub lag: usize,
    /// How long a backend's answer is waited for before its outcome counts as unknown.
    pub answer: SignedDuration,
}

impl HubSettings {
    /// The usual ones; the epoch is the time of the start in milliseconds.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the hub is a shell: its epoch is the time of its start")]
    pub fn new(source: SourceId, policy: Policy, ledger: Ledger) -> HubSettings {
        let epoch = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        let id = HubId(uuid::Uuid::now_v7().to_string());
        // A backend may have to read before it acts, on a slow link, and says itself how it fared.
        let answer = SignedDuration::from_secs(45);
        HubSettings { id, source, epoch, policy, ledger, ring: 1024, lag: 8192, answer }
    }
}

/// Something that the loop is asked for.
pub(super) enum Request {
    Submit { actor: Actor, command: Command, answer: Answer },
    Query { actor: Actor, query: Query, answer: oneshot::Sender<Reply> },
    Subscribe { from: Option<(u64, u64)>, answer: oneshot::Sender<Subscription> },
}

/// Where the outcome of a submission goes.
pub(super) type Answer = oneshot::Sender<Result<Receipt, Refusal>>;

/// A handle to a hub. The hub ends when the last one is dropped; what it is carrying out then is
/// heard out for some seconds.
#[derive(Debug, Clone)]
pub struct Hub {
    /// For commands that reduce exposure: never full, always served first.
    urgent: mpsc::UnboundedSender<Request>,
    ordinary: mpsc::Sender<Request>,
}

impl Hub {
    /// Makes a hub over these backends; nothing happens until its task is run.
    #[must_use]
    pub fn start(settings: HubSettings, orchestrators: Vec<Arc<dyn Executor>>) -> (Hub, HubTask) {
        let (urgent, urgent_inbox) = mpsc::unbounded_channel();
        let (ordinary, inbox) = mpsc::channel(LANE);
        (Hub { urgent, ordinary }, HubTask::new(settings, orchestrators, urgent_inbox, inbox))
    }

    /// Submits a command in the name of an actor. Resolves once the backend has answered (accepted,
    /// or unknown where its answer was lost), or with the reason why nothing was done. What becomes
    /// of it travels as updates of its receipt. The same id again is the same command.
    pub async fn submit(&self, actor: Actor, command: Command) -> Result<Receipt, Refusal> {
        let (answer, receiver) = oneshot::channel();
        let urgent = reduces(command.action);
        let request = Request::Submit { actor, command, answer };
        let sent = if urgent {
            self.urgent.send(request).map_err(|_| closed())
        } else {
            self.ordinary.send(request).await.map_err(|_| closed())
        };
        sent?;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Answers a question; `Diff` and `Logs` belong to whoever hosts the engine.
    pub async fn query(&self, actor: Actor, query: Query) -> Reply {
        let (answer, receiver) = oneshot::channel();
        if self.ordinary.send(Request::Query { actor, query, answer }).await.is_err() {
            return Reply::Refused(closed());
        }
        receiver.await.unwrap_or_else(|_| Reply::Refused(closed()))
    }

    /// All updates from now on. With the epoch and sequence of the last envelope seen it goes on
    /// behind that one where the hub still has what came since; else it begins with a snapshot,
    /// whose envelopes have sequence 0 but for the last. `None`: the hub has ended.
    pub async fn subscribe(&self, from: Option<(u64, u64)>) -> Option<Subscription> {
        let (answer, receiver) = oneshot::channel();
        self.ordinary.send(Request::Subscribe { from, answer }).await.ok()?;
        receiver.await.ok()
    }

    /// All rows of the board now.
    pub async fn board(&self) -> Vec<Entity> {
        match self.query(Actor::system("hub"), Query::Board).await {
            Reply::Board(entities) => entities,
            _ => Vec::new(),
        }
    }
}

/// By the action alone: a rollback that turns out to raise exposure only travelled in the fast lane.
fn reduces(action: Action) -> bool {
    action.direction() == Direction::Reduces
}

fn closed() -> Refusal {
    Refusal::new(RefusalKind::Internal, "the hub has ended; nothing was done that its ledger does not say")
}
