//! What the loop owns.

use super::endings::Endings;
use super::feed::Feed;
use super::following::{Doing, Following, now};
use super::inbox::Done;
use super::objectives::Objectives;
use super::probes::Probes;
use super::refusals::Refusals;
use super::settings::HubSettings;
use super::watchdog::Watchdog;
use flightdeck_board::Board;
use flightdeck_model::{
    Action, Body, CommandId, Entity, LinkState, Refusal, RefusalKind, Rollout, Scope, Scoped, SourceId, Stage,
    StageRecord, Subject, Target,
};
use flightdeck_port::Executor;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Finished commands that are remembered for repeated submissions and reverts.
pub(super) const REMEMBERED: usize = 2000;
/// Those of them that a hub has from the start: the ledger has all.
pub(super) const RESTORED: u32 = 200;

pub(super) struct State {
    pub settings: HubSettings,
    pub orchestrators: Vec<Arc<dyn Executor>>,
    pub board: Board,
    pub feed: Feed,
    pub commands: BTreeMap<CommandId, Following>,
    /// Those of them that time or a change of a row may still move.
    pub live: BTreeSet<CommandId>,
    pub tasks: JoinSet<Done>,
    /// Who was refused how often of late.
    pub refusals: Refusals,
    /// What is known of those who measure.
    pub probes: Probes,
    /// Silences whose rollout has ended.
    pub endings: Endings,
    /// Candidates that are watched.
    pub watchdog: Watchdog,
    /// What services promise.
    pub objectives: Objectives,
    /// History rows told, and commands finished, since the board was last trimmed.
    pub untrimmed: usize,
}

impl State {
    /// The scope of the hub's own rows.
    pub fn own(&self) -> Scope {
        Scope { source: self.settings.source.clone(), part: "hub".to_owned() }
    }

    /// Applies an update to the board and hands it out if it is of use.
    pub fn tell(&mut self, scoped: Scoped) {
        let changed = self.board.apply(&scoped);
        if self.feed.wanted(&scoped, changed) {
            self.feed.publish(scoped, now());
        }
    }

    /// Tells the hub's own health: stale while the ledger can't be written.
    pub fn tell_link(&mut self, state: LinkState) {
        let healthy = matches!(state, LinkState::Live { .. });
        let was_healthy = matches!(self.board.link_of(&self.own()), Some(LinkState::Live { .. }));
        if !(healthy && was_healthy) {
            let scope = self.own();
            self.tell(Scoped { scope, body: Body::Link(state) });
        }
    }

    /// Tells a receipt as it is now.
    pub fn tell_receipt(&mut self, id: &CommandId) {
        if let Some(following) = self.commands.get(id) {
            let receipt = Box::new(following.receipt.clone());
            let scope = self.own();
            self.tell(Scoped { scope, body: Body::Upsert(Entity::Receipt(receipt)) });
        }
    }

    pub fn orchestrator(&self, source: &SourceId) -> Option<Arc<dyn Executor>> {
        self.orchestrators.iter().find(|o| o.capabilities().source == *source).map(Arc::clone)
    }

    /// The target that a command is about, where it is one.
    pub fn target<'a>(&'a self, subject: &'a Subject) -> Option<&'a Target> {
        match subject {
            Subject::Run(run) | Subject::Approval { run, .. } => Some(&run.target),
            Subject::NewRollout { source, service, environment, .. } => {
                self.board.place(source, service, environment).map(|rollout| &rollout.run.target)
            }
            _ => None,
        }
    }

    /// The row that a command is about, as it is now.
    pub fn row(&self, subject: &Subject) -> Option<&Rollout> {
        self.board.rollout(self.target(subject)?)
    }

    /// The backends that a command goes to.
    pub fn recipients(&self, action: Action, subject: &Subject) -> Vec<Arc<dyn Executor>> {
        // Only a hold and its release mean several backends at once.
        match subject {
            Subject::Scope { selector, .. } => return self.holders(selector).0,
            Subject::Hold { source, id } => return self.releasers(source.as_ref(), id),
            _ => {}
        }
        let source = subject.source();
        let knows = |o: &&Arc<dyn Executor>| {
            let capabilities = o.capabilities();
            capabilities.actions.contains(action) && source.is_none_or(|source| *source == capabilities.source)
        };
        self.orchestrators.iter().find(knows).cloned().into_iter().collect()
    }

    /// Why no backend here would take it, where none would.
    pub fn untaken(&self, action: Action, subject: &Subject) -> Option<Refusal> {
        // That is for the ledger alone.
        if action == Action::Annotate {
            return None;
        }
        if !self.recipients(action, subject).is_empty() {
            return None;
        }
        let (name, none) = (action.name(), RefusalKind::NotApplicable);
        if let Subject::Scope { selector, .. } = subject {
            let why: Vec<String> = self.holders(selector).1.into_iter().map(|(_, why)| why).collect();
            let why = if why.is_empty() { "there is no source here that it means".to_owned() } else { why.join("; ") };
            return Some(Refusal::new(none, why));
        }
        Some(match subject.source() {
            Some(source) => match self.orchestrator(source) {
                Some(backend) => {
                    let known = backend.capabilities().actions;
                    let known: Vec<_> = known.iter().map(Action::name).collect();
                    Refusal::new(none, format!("{source} does not take {name}; it takes {}", known.join(", ")))
                }
                None => Refusal::new(RefusalKind::NotFound, format!("there is no source {source} here")),
            },
            None => Refusal::new(none, format!("no backend here takes {name}")),
        })
    }

    /// Adds a stage to a receipt, tells it and records it.
    pub fn push(&mut self, id: &CommandId, stage: Stage) {
        let Some(following) = self.commands.get_mut(id) else { return };
        self.untrimmed += usize::from(stage.is_final());
        following.receipt.stages.push(StageRecord { stage, at: now() });
        self.tell_receipt(id);
        self.record_stage(id);
    }

    /// Drops the oldest history and the oldest finished commands.
    pub fn trim(&mut self) {
        self.untrimmed = 0;
        for (scope, key) in self.board.trim() {
            self.feed.publish(Scoped { scope, body: Body::Remove(key) }, now());
        }
        let mut done: Vec<(Timestamp, CommandId)> = self
            .commands
            .iter()
            .filter(|(_, following)| following.doing == Doing::Done)
            .map(|(id, following)| (following.asked(), id.clone()))
            .collect();
        if done.len() > REMEMBERED {
            done.sort();
            for (_, id) in done.iter().take(done.len() - REMEMBERED) {
                self.commands.remove(id);
            }
        }
    }
}
