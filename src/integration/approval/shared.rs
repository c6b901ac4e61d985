//! What watch and calls share.

use super::client::{Problem, now};
use super::gate::{Gate, Key};
use super::row::{Context, settle};
use super::system::{ApprovalSystem, Known};
use flightdeck_model::{Run, SourceId};
use std::collections::BTreeMap;
use tokio::sync::watch::Sender;
use tokio::sync::{Semaphore, broadcast};

/// What watch and calls share.
#[derive(Debug)]
pub(super) struct Shared {
    pub source: SourceId,
    pub read_only: bool,
    pub system: Box<dyn ApprovalSystem>,
    /// Whose token it is, once its system has said so.
    pub login: Sender<Option<String>>,
    /// Every gate as it was last seen, written by the watch alone. An input like the rows are: what became of a gate
    /// is often told only to who knows that it was there.
    pub known: Sender<BTreeMap<Key, Gate>>,
    /// Whose turn it is to look: so many places at once, and no more.
    pub turns: Semaphore,
    /// The place of each decision that was sent: its effect is looked for at once.
    pub decided: broadcast::Sender<String>,
}

impl Shared {
    pub fn context<'a>(&'a self, login: Option<&'a str>) -> Context<'a> {
        Context { source: &self.source, read_only: self.read_only, login, words: self.system.words() }
    }

    /// A gate as its system has it now; nothing where its run is gone, or never waited.
    pub async fn live(&self, key: &Key) -> Result<Option<Gate>, Problem> {
        let (gate, at, login) = (self.known.borrow().get(key).cloned(), now(), self.login.borrow().clone());
        let known = Known { login: login.as_deref(), now: at };
        let mut live = self.system.one(key, gate.as_ref(), known).await?;
        if let Some(live) = &mut live {
            settle(live, gate.as_ref(), at);
        }
        Ok(live)
    }

    /// Which gate a run is, where it is one of here.
    pub fn key(&self, run: &Run) -> Option<Key> {
        let key = Key::of(run).filter(|_| run.target.source == self.source)?;
        self.system.places().contains(&key.place).then_some(key)
    }
}
