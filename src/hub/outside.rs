//! The ledger's side of the loop: commands, their stages, and what happened without one.

use super::holds::HeldThere;
use super::state::{Doing, Done, Following, RESTORED, State, now};
use super::submit::subject_run;
use crate::board::Board;
use crate::integration::orchestrator::Holding;
use crate::ledger::{Appended, Entry, Known, LedgerError, Record};
use crate::model::{
    Action, Body, CommandId, Deployment, DeploymentOutcome, Entity, Evidence, LinkState, MetricVerdict, Note, Receipt,
    ReceiptId, Scoped, SourceId, Stage, Subject, Target, sanitize_line,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// A rollout that ended longer ago is told again by its backend, not ended just now.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// How far the clocks of two machines may be apart.
const SLACK: SignedDuration = SignedDuration::from_mins(5);

impl State {
    /// Records a command before anything is done.
    pub fn record_first(&mut self, id: &CommandId) {
        let Some(entry) = self.requested(id) else { return };
        let (id, ledger) = (id.clone(), self.settings.ledger.clone());
        self.tasks.spawn(async move { Done::Recorded { id, result: ledger.append(&entry).await } });
    }

    /// Records a command beside its being carried out.
    pub fn record_beside(&mut self, id: &CommandId) {
        if let Some(entry) = self.requested(id) {
            self.write(&entry);
        }
    }

    fn requested(&self, id: &CommandId) -> Option<Entry> {
        let following = self.commands.get(id)?;
        let (receipt, before) = (Box::new(following.receipt.clone()), following.before.clone().map(Box::new));
        let recipients = self.recipients(following.action(), &following.receipt.command.subject);
        let sources = recipients.iter().map(|recipient| recipient.capabilities().source).collect();
        Some(Entry::Requested { receipt, before, hub: Some(self.settings.id.clone()), sources })
    }

    /// Records the newest stage of a command.
    pub fn record_stage(&mut self, id: &CommandId) {
        let Some(receipt) = self.commands.get(id).map(|following| &following.receipt) else { return };
        let Some(stage) = receipt.stages.last().cloned() else { return };
        let Receipt { id, targets, grade, created, left, outcome, .. } = receipt.clone();
        self.write(&Entry::Stage { receipt: id, stage, targets, grade, created, left, outcome });
    }

    /// Records something that nothing waits for; where the store fails it is spilled.
    pub fn write(&mut self, entry: &Entry) {
        let written = self.settings.ledger.append_urgent(entry);
        self.tasks.spawn(async move { Done::Written { result: written.await } });
    }

    pub fn was_written(&mut self, result: Result<Appended, LedgerError>) {
        match result {
            // An observation that a backend tells again is in the chain already.
            Ok(Appended::Chained { .. }) | Err(LedgerError::Duplicate(_)) => self.ledger_works(),
            Ok(Appended::Spilled) => self.ledger_fails(&"records go to the spill file"),
            Err(error) => self.ledger_fails(&error),
        }
    }

    pub fn ledger_works(&mut self) {
        if let Some(LinkState::Stale { since, .. }) = self.board.link_of(&self.own()) {
            self.look_for_spilled(Some(*since));
        }
        self.tell_link(LinkState::Live { as_of: now() });
    }

    /// What came into the chain late is said, since then or since the ledger was opened.
    fn look_for_spilled(&mut self, since: Option<Timestamp>) {
        let ledger = self.settings.ledger.clone();
        self.tasks.spawn(async move { Done::Spilled { result: ledger.spilled(since).await } });
    }

    /// Each command among them is a note at its rollout; all of them are in the log.
    pub fn were_spilled(&mut self, result: Result<Vec<Record>, LedgerError>) {
        let records = match result {
            Ok(records) => records,
            Err(error) => return tracing::warn!(%error, "cannot look for what was spilled"),
        };
        for record in records {
            let Some(text) = record.spilled() else { continue };
            tracing::warn!(seq = record.seq, subject = %record.subject, "{text}");
            let Some(Entry::Requested { receipt, .. }) = record.entry() else { continue };
            let Some(run) = subject_run(&receipt.command.subject).cloned() else { continue };
            let text = format!("{} by {}: {text}", receipt.command.action.name(), receipt.actor.name);
            let id = format!("spilled-{}", record.seq);
            let note = Note { id, run, at: record.at, who: "ledger".to_owned(), text: sanitize_line(&text) };
            let scope = self.own();
            self.tell(Scoped { scope, body: Body::Upsert(Entity::Note(note)) });
        }
    }

    pub fn ledger_fails(&mut self, why: &dyn std::fmt::Display) {
        let why = format!("the ledger can't be written: {why}");
        let since = match self.board.link_of(&self.own()) {
            Some(LinkState::Stale { since, .. }) => *since,
            _ => now(),
        };
        self.tell_link(LinkState::Stale { since, why });
    }

    /// Looks a command up that was recorded before this hub started.
    pub fn find(&mut self, id: &CommandId) {
        let (id, ledger) = (id.clone(), self.settings.ledger.clone());
        self.tasks.spawn(async move {
            let result = ledger.receipt(id.as_str()).await.map(|found| found.map(|known| Box::new(known.receipt)));
            Done::Found { id, result }
        });
    }

    /// Brings back what the ledger knows of commands at the sources of this hub: finished ones for
    /// repeated submissions, unfinished ones to be followed on, never to be sent again. Other hubs
    /// of the same user share the ledger: those that live follow their own.
    pub async fn restore(&mut self) {
        let ledger = self.settings.ledger.clone();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = ledger.append(&Entry::Started { epoch: self.settings.epoch, version }).await;
        let known = match started {
            Ok(_) => match (ledger.receipts(RESTORED).await, ledger.unfinished().await) {
                (Ok(mut receipts), Ok(unfinished)) => {
                    receipts.extend(unfinished);
                    Ok(receipts)
                }
                (Err(error), _) | (_, Err(error)) => Err(error),
            },
            Err(error) => Err(error),
        };
        match known {
            Ok(receipts) => {
                self.ledger_works();
                self.look_for_spilled(None);
                for known in receipts {
                    self.remember(known);
                }
            }
            Err(error) => self.ledger_fails(&error),
        }
    }

    fn remember(&mut self, known: Known) {
        let id = known.receipt.command.id.clone();
        let elsewhere = known.hub.as_ref().is_some_and(|hub| self.settings.ledger.alive(hub));
        if elsewhere || self.commands.contains_key(&id) || !self.hosts(&known) {
            return;
        }
        let Known { receipt, before, sources, .. } = known;
        let stage = receipt.stage().clone();
        let there =
            |source: &SourceId| HeldThere { source: source.clone(), holding: Holding::Unsaid, told: Vec::new() };
        let held = sources.iter().map(there).collect();
        let notes = sources.into_iter().map(|source| (source, None)).collect();
        let mut following = Following { before, notes, held, ..Following::new(receipt, Doing::Following) };
        if stage.is_final() {
            following.is_done();
        }
        self.live.insert(id.clone());
        self.commands.insert(id.clone(), following);
        match stage {
            Stage::Requested | Stage::Sent => {
                let why = "the hub ended before the backend's answer was known; it is observed, never sent again";
                self.push(&id, Stage::Unknown { why: why.to_owned() });
            }
            _ => self.tell_receipt(&id),
        }
    }

    /// Did it go to a backend of this hub?
    fn hosts(&self, known: &Known) -> bool {
        let here = |source: &SourceId| self.orchestrator(source).is_some();
        match known.receipt.command.subject.source() {
            _ if !known.sources.is_empty() => known.sources.iter().any(here),
            Some(source) => here(source),
            None => true,
        }
    }

    /// Records what a backend tells of by itself: what [`is_observed`].
    pub fn observe(&mut self, entity: &Entity) {
        match entity {
            Entity::Evidence(evidence) => self.write(&Entry::Evidence(evidence.clone())),
            Entity::Hold(hold) => self.write(&Entry::Hold(hold.clone())),
            Entity::Deployment(deployment) => self.ended(deployment),
            _ => {}
        }
    }

    /// Records the end of a rollout. Where no command of this hub asked for it, another hub that
    /// shares the ledger may have: what one's own colleague on the next screen did is no outside change.
    fn ended(&mut self, deployment: &Arc<Deployment>) {
        let own = self.commands.values().map(|following| &following.receipt);
        let own = asked_for(own, deployment);
        let evidence = self.against(deployment).cloned().map(Box::new);
        let of_late = own.is_none() && now().duration_since(deployment.ended) < LATE;
        let since = deployment.started.checked_sub(SLACK).ok().filter(|_| of_late);
        let deployment = Arc::clone(deployment);
        let written = self.settings.ledger.append_end(&Arc::clone(&deployment), since, move |known| {
            let receipt = own.or_else(|| asked_for(known.iter().map(|known| &known.receipt), &deployment));
            Entry::Observed { deployment, receipt, evidence }
        });
        self.tasks.spawn(async move { Done::Written { result: written.await } });
    }

    /// The last judgement that failed the run.
    fn against(&self, deployment: &Deployment) -> Option<&Evidence> {
        let of_run = self.board.evidence().filter(|evidence| evidence.run == deployment.run);
        let failing = of_run.filter(|e| e.analysis.as_ref().is_some_and(|a| a.verdict == MetricVerdict::Fail));
        failing.max_by_key(|evidence| evidence.at)
    }
}

/// The command that ended the rollout so, if one did.
fn asked_for<'a>(receipts: impl Iterator<Item = &'a Receipt>, deployment: &Deployment) -> Option<ReceiptId> {
    let fits = |action: Action| match deployment.outcome {
        DeploymentOutcome::Aborted => matches!(action, Action::Abort | Action::Reject),
        DeploymentOutcome::RolledBack => matches!(action, Action::Rollback | Action::Abort),
        DeploymentOutcome::Succeeded => {
            matches!(action, Action::Promote | Action::PromoteFull | Action::Approve | Action::Deploy)
        }
        DeploymentOutcome::Superseded => action == Action::Deploy,
        DeploymentOutcome::Failed => false,
    };
    let about = |receipt: &Receipt| match &receipt.command.subject {
        _ if receipt.created.is_some() => receipt.created.as_ref() == Some(&deployment.run),
        Subject::Run(run) | Subject::Approval { run, .. } => *run == deployment.run,
        Subject::Deployment { source, service, environment, .. } => {
            *source == deployment.run.target.source
                && *service == deployment.service
                && *environment == deployment.environment
        }
        _ => false,
    };
    let sent = receipts.filter(|receipt| {
        fits(receipt.command.action)
            && about(receipt)
            && matches!(
                receipt.stage(),
                Stage::Sent | Stage::Accepted | Stage::Observed | Stage::Effective { .. } | Stage::Unknown { .. }
            )
    });
    sent.max_by_key(|receipt| receipt.stages.first().map(|record| record.at)).map(|receipt| receipt.id.clone())
}

/// Is a new row of that sort recorded?
pub(super) const fn is_observed(entity: &Entity) -> bool {
    matches!(entity, Entity::Evidence(_) | Entity::Hold(_) | Entity::Deployment(_))
}

/// The target that a row is about: commands on it may have moved.
pub(super) fn target_of<'a>(entity: &'a Entity, board: &Board) -> Option<&'a Target> {
    match entity {
        Entity::Rollout(rollout) => Some(&rollout.run.target),
        Entity::Approval(approval) => Some(&approval.run.target),
        // The record of an end moves nothing by itself: the row that shows it does, or has done so already.
        Entity::Deployment(ended) => {
            let row = board.rollout(&ended.run.target);
            row.filter(|row| row.run != ended.run || !row.phase.in_flight()).map(|_| &ended.run.target)
        }
        _ => None,
    }
}
