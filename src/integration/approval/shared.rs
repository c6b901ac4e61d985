//! What watch and calls share.

use super::client::{Problem, now};
use super::gate::{Gate, Job, Key, Review};
use super::row::{Context, settle};
use super::system::{ApprovalSystem, Known};
use flightdeck_model::{Run, SourceId, Verdict};
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
    /// What was taken from here, where the system does not tell who said what.
    pub taken: Sender<BTreeMap<Key, Review>>,
    /// Whose turn it is to look: so many places at once, and no more.
    pub turns: Semaphore,
    /// The place of each decision that was sent: its effect is looked for at once.
    pub decided: broadcast::Sender<String>,
}

impl Shared {
    pub fn context<'a>(&'a self, login: Option<&'a str>) -> Context<'a> {
        Context { source: &self.source, read_only: self.read_only, login, words: self.system.words() }
    }

    /// A yes or no was taken, and will not be told.
    pub fn remember(&self, key: &Key, review: Review) {
        self.taken.send_modify(|taken| drop(taken.insert(key.clone(), review)));
    }

    /// What is shown no more of a place is not asked for again.
    pub fn forget(&self, place: &str, shown: &BTreeMap<Key, Gate>) {
        self.taken.send_if_modified(|taken| {
            let before = taken.len();
            taken.retain(|key, _| key.place != place || shown.contains_key(key));
            taken.len() < before
        });
    }

    /// One that waits no more, with what was said of it from here.
    pub fn recall(&self, gate: &mut Gate) {
        let Some(review) = self.taken.borrow().get(&gate.key).filter(|_| gate.waiting.is_none()).cloned() else {
            return;
        };
        // A run that goes on after a no is about to end, or does what it does then: it does not deploy.
        if review.verdict == Verdict::Rejected && gate.job == Some(Job::Running) {
            gate.job = None;
        }
        gate.reviews = vec![review];
    }

    /// A gate as its system has it now; nothing where its run is gone, or never waited.
    pub async fn live(&self, key: &Key) -> Result<Option<Gate>, Problem> {
        let (gate, at, login) = (self.known.borrow().get(key).cloned(), now(), self.login.borrow().clone());
        let known = Known { login: login.as_deref(), now: at };
        let mut live = self.system.one(key, gate.as_ref(), known).await?;
        if let Some(live) = &mut live {
            self.recall(live);
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
