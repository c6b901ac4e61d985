//! The handle that servers and cockpits hold.

use super::feed::Subscription;
use super::inbox::Request;
use super::settings::HubSettings;
use super::task::HubTask;
use flightdeck_model::{Action, Actor, Command, Direction, Entity, Query, Receipt, Refusal, RefusalKind, Reply};
use flightdeck_port::Executor;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Requests that wait at most in the ordinary lane; whoever comes then waits with them.
const LANE: usize = 256;

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
