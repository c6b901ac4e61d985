//! The ledger's side of the loop: commands, their stages, and what happened without one.

use super::following::{Doing, Following, HeldThere, now};
use super::inbox::Done;
use super::state::{RESTORED, State};
use super::submit::subject_run;
use flightdeck_board::Board;
use flightdeck_ledger::{Appended, Entry, Known, LedgerError, Record};
use flightdeck_model::{
    Action, Actor, Body, Command, CommandId, DeploymentOutcome, Entity, Evidence, LinkState, MetricVerdict, Note,
    NoteKind, Receipt, Refusal, RolloutRecord, Scope, Scoped, SourceId, Stage, Subject, Target, sanitize_line,
};
use flightdeck_port::Holding;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A rollout that ended longer ago is told again by its backend, not ended just now.
const LATE: SignedDuration = SignedDuration::from_hours(1);
/// The newest ends that a hub has from the start: the ledger has all.
const ENDS: u32 = 1000;
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
        self.tell_link(LinkState::live(now()));
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
            let note = Note {
                id,
                run,
                at: record.at,
                who: "ledger".to_owned(),
                text: sanitize_line(&text),
                kind: NoteKind::Event,
            };
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
        self.tell_link(LinkState::stale(since, why));
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
                if let Err(error) = self.restore_ends().await {
                    self.ledger_fails(&error);
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
        let (stage, action) = (receipt.stage().clone(), receipt.command.action);
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
            Stage::Requested if action == Action::Annotate => self.was_added(&id),
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
    pub fn observe(&mut self, scope: &Scope, entity: &Entity) {
        match entity {
            Entity::Evidence(evidence) => self.write(&Entry::Evidence(evidence.clone())),
            Entity::Hold(hold) => self.write(&Entry::Hold(hold.clone())),
            Entity::RolloutRecord(deployment) => self.ended(scope, deployment),
            _ => {}
        }
    }

    /// Records the end of a rollout. Where no command of this hub asked for it, another hub that
    /// shares the ledger may have: what one's own colleague on the next screen did is no outside change.
    fn ended(&mut self, scope: &Scope, deployment: &Arc<RolloutRecord>) {
        let own: Vec<Receipt> = self.about(deployment).cloned().collect();
        let asked = asked_for(&own.iter().collect::<Vec<_>>(), deployment);
        let evidence = self.against(deployment).cloned().map(Box::new);
        let of_late = asked.is_none() && now().duration_since(deployment.ended) < LATE;
        let since = deployment.started.checked_sub(SLACK).ok().filter(|_| of_late);
        let told = self.joined(deployment);
        let (deployment, scope) = (Arc::clone(deployment), scope.clone());
        let (sender, known) = oneshot::channel();
        let written = self.settings.ledger.append_end(&Arc::clone(&deployment), since, move |known| {
            let all: Vec<&Receipt> = own.iter().chain(known.iter().map(|known| &known.receipt)).collect();
            let receipt = asked_for(&all, &deployment).map(|receipt| receipt.id.clone());
            let deployment = joined(&all, &deployment);
            let _ = sender.send(Arc::clone(&deployment)); // the hub may have ended
            Entry::Observed { deployment, receipt, evidence }
        });
        self.tasks.spawn(async move {
            let result = written.await;
            // What another hub's command tells of it.
            let more = known.await.ok().filter(|known| *known != told);
            let told = more.map(|known| Scoped { scope, body: Body::Upsert(Entity::RolloutRecord(known)) });
            Done::Ended { result, told: told.map(Box::new) }
        });
    }

    /// This hub's commands on the target of a finished rollout.
    fn about(&self, deployment: &RolloutRecord) -> impl Iterator<Item = &Receipt> {
        let all = self.commands.values().map(|following| &following.receipt);
        all.filter(|receipt| is_about(&receipt.command.subject, deployment))
    }

    /// A finished rollout with what this hub's commands tell of it.
    pub fn joined(&self, deployment: &Arc<RolloutRecord>) -> Arc<RolloutRecord> {
        joined(&self.about(deployment).collect::<Vec<_>>(), deployment)
    }

    /// Brings back the newest ends at those sources that don't tell them again themselves.
    async fn restore_ends(&mut self) -> Result<(), LedgerError> {
        let scope = self.own();
        for deployment in self.settings.ledger.ends(ENDS).await? {
            let source = self.orchestrator(&deployment.run.target.source);
            if source.is_some_and(|source| !source.keeps_history()) {
                self.tell(Scoped { scope: scope.clone(), body: Body::Upsert(Entity::RolloutRecord(deployment)) });
            }
        }
        Ok(())
    }

    /// The last judgement that failed the run.
    fn against(&self, deployment: &RolloutRecord) -> Option<&Evidence> {
        let of_run = self.board.evidence().filter(|evidence| evidence.run == deployment.run);
        let failing = of_run.filter(|e| e.analysis.as_ref().is_some_and(|a| a.verdict == MetricVerdict::Fail));
        failing.max_by_key(|evidence| evidence.at)
    }
}

/// A finished rollout, with who began and who ended it where commands tell that. A backend that knows its
/// people has said it all.
fn joined(receipts: &[&Receipt], deployment: &Arc<RolloutRecord>) -> Arc<RolloutRecord> {
    if deployment.author.is_some() {
        return Arc::clone(deployment);
    }
    let made = made(receipts, deployment);
    let ended = asked_for(receipts, deployment).filter(|ended| made.is_none_or(|made| made.id != ended.id));
    let mut joined = RolloutRecord { author: made.map(|made| made.actor.name.clone()), ..(**deployment).clone() };
    let words = made.into_iter().chain(ended).map(|receipt| {
        let reason = receipt.command.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        format!("{} by {}{reason}", receipt.command.action.name(), receipt.actor.name)
    });
    joined.cause = words.chain([deployment.cause.clone()]).collect::<Vec<_>>().join("; ");
    Arc::new(joined)
}

/// The command that began the rollout: the one whose backend named the run as its own, else the last that
/// makes a new revision of the one before and was asked for when the run began.
fn made<'a>(receipts: &[&'a Receipt], deployment: &RolloutRecord) -> Option<&'a Receipt> {
    let all = || receipts.iter().copied();
    let named = all().find(|receipt| receipt.created.as_ref() == Some(&deployment.run));
    let near = |receipt: &&Receipt| {
        let asked = receipt.stages.first().map(|record| record.at);
        let makes = matches!(receipt.command.action, Action::Rollback | Action::Restart);
        let of_another = matches!(&receipt.command.subject, Subject::Run(run) if run.target == deployment.run.target
            && run.revision != deployment.run.revision);
        makes
            && of_another
            && receipt.created.is_none()
            && was_sent(receipt)
            && asked.is_some_and(|asked| deployment.started.duration_since(asked).abs() < SLACK)
    };
    named.or_else(|| all().filter(near).max_by_key(|receipt| receipt.stages.first().map(|record| record.at)))
}

/// Did it reach its backend, as far as is known?
fn was_sent(receipt: &Receipt) -> bool {
    matches!(
        receipt.stage(),
        Stage::Sent | Stage::Accepted | Stage::Observed | Stage::Effective { .. } | Stage::Unknown { .. }
    )
}

/// The command that ended the rollout so, if one did.
fn asked_for<'a>(receipts: &[&'a Receipt], deployment: &RolloutRecord) -> Option<&'a Receipt> {
    let fits = |action: Action| match deployment.outcome {
        DeploymentOutcome::Aborted => matches!(action, Action::Abort | Action::Reject | Action::Rollback),
        DeploymentOutcome::RolledBack => matches!(action, Action::Rollback | Action::Abort),
        DeploymentOutcome::Succeeded => {
            matches!(action, Action::Promote | Action::PromoteFull | Action::Approve | Action::Deploy)
        }
        DeploymentOutcome::Superseded => action == Action::Deploy,
        DeploymentOutcome::Failed => false,
    };
    let about = |receipt: &Receipt| match &receipt.command.subject {
        _ if receipt.created.as_ref() == Some(&deployment.run) => true,
        Subject::Run(run) | Subject::Approval { run, .. } => *run == deployment.run,
        _ if receipt.created.is_some() => false,
        subject => is_about(subject, deployment),
    };
    let all = receipts.iter().copied();
    let sent = all.filter(|receipt| fits(receipt.command.action) && about(receipt) && was_sent(receipt));
    sent.max_by_key(|receipt| receipt.stages.first().map(|record| record.at))
}

/// Is a command about the target of a finished rollout?
fn is_about(subject: &Subject, deployment: &RolloutRecord) -> bool {
    match subject {
        Subject::Run(run) | Subject::Approval { run, .. } => run.target == deployment.run.target,
        Subject::NewRollout { source, service, environment, .. } => {
            *source == deployment.run.target.source
                && *service == deployment.service
                && *environment == deployment.environment
        }
        _ => false,
    }
}

/// Is a new row of that sort recorded?
pub(super) const fn is_observed(entity: &Entity) -> bool {
    matches!(entity, Entity::Evidence(_) | Entity::Hold(_) | Entity::RolloutRecord(_))
}

/// The target that a row is about: commands on it may have moved.
pub(super) fn target_of<'a>(entity: &'a Entity, board: &Board) -> Option<&'a Target> {
    match entity {
        Entity::Rollout(rollout) => Some(&rollout.run.target),
        Entity::Approval(approval) => Some(&approval.run.target),
        // The record of an end moves nothing by itself: the row that shows it does, or has done so already.
        Entity::RolloutRecord(ended) => {
            let row = board.rollout(&ended.run.target);
            row.filter(|row| row.run != ended.run || !row.phase.in_flight()).map(|_| &ended.run.target)
        }
        _ => None,
    }
}

impl State {
    /// Records a refusal, or counts it.
    pub fn record_refusal(&mut self, actor: &Actor, command: &Command, refusal: &Refusal) {
        if self.refusals.note(actor, now()) {
            self.record_in_vain(Entry::refused(actor, command, refusal));
        }
    }

    /// Records the sums that are due.
    pub fn record_sums(&mut self) {
        for sum in self.refusals.sums(now(), false) {
            self.record_in_vain(sum);
        }
    }

    /// Not spilled: nothing was done, and asking in vain must not fill what is left of a disk.
    fn record_in_vain(&mut self, entry: Entry) {
        let ledger = self.settings.ledger.clone();
        self.tasks.spawn(async move {
            let result = ledger.append(&entry).await;
            Done::Written { result: result.map(|seq| Appended::Chained { seq }) }
        });
    }

    /// At the end: what was counted and is not recorded yet.
    pub async fn last_sums(&mut self) {
        for sum in self.refusals.sums(now(), true) {
            if let Err(error) = self.settings.ledger.append(&sum).await {
                tracing::warn!(%error, ?sum, "refusals that were counted are not recorded");
            }
        }
    }
}
