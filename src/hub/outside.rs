//! The ledger's side of the loop: commands, their stages, and what happened without one.

use super::state::{Doing, Done, Following, State, now};
use crate::ledger::{Appended, Entry, LedgerError};
use crate::model::{
    Action, CommandId, Deployment, DeploymentOutcome, Entity, Evidence, LinkState, MetricVerdict, Receipt, ReceiptId,
    Rollout, Stage, Subject, Target,
};

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
        Some(Entry::Requested { receipt, before })
    }

    /// Records the newest stage of a command.
    pub fn record_stage(&mut self, id: &CommandId) {
        let Some(receipt) = self.commands.get(id).map(|following| &following.receipt) else { return };
        let Some(stage) = receipt.stages.last().cloned() else { return };
        let (targets, grade) = (receipt.targets.clone(), receipt.grade.clone());
        self.write(&Entry::Stage { receipt: receipt.id.clone(), stage, targets, grade });
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
        self.tell_link(LinkState::Live { as_of: now() });
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
            let result = ledger.receipt(id.as_str()).await.map(|found| found.map(|(receipt, _)| Box::new(receipt)));
            Done::Found { id, result }
        });
    }

    /// Brings back what the ledger knows of commands: finished ones for repeated submissions,
    /// unfinished ones to be followed on, never to be sent again.
    pub async fn restore(&mut self) {
        let ledger = self.settings.ledger.clone();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let started = ledger.append(&Entry::Started { epoch: self.settings.epoch, version }).await;
        let limit = u32::try_from(super::state::REMEMBERED).unwrap_or(u32::MAX);
        let known = match started {
            Ok(_) => match (ledger.receipts(limit).await, ledger.unfinished().await) {
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
                for (receipt, before) in receipts {
                    self.remember(receipt, before);
                }
            }
            Err(error) => self.ledger_fails(&error),
        }
    }

    fn remember(&mut self, receipt: Receipt, before: Option<Rollout>) {
        let id = receipt.command.id.clone();
        if self.commands.contains_key(&id) {
            return;
        }
        let stage = receipt.stage().clone();
        let doing = if stage.is_final() { Doing::Done } else { Doing::Following };
        let following = Following { before, ..Following::new(receipt, doing) };
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

    /// Records what a backend tells of by itself: what [`is_observed`].
    pub fn observe(&mut self, entity: &Entity) {
        match entity {
            Entity::Evidence(evidence) => self.write(&Entry::Evidence(evidence.clone())),
            Entity::Hold(hold) => self.write(&Entry::Hold(hold.clone())),
            Entity::Deployment(deployment) => {
                let receipt = self.asked_for(deployment);
                let evidence = self.against(deployment).cloned().map(Box::new);
                self.write(&Entry::Observed { deployment: deployment.clone(), receipt, evidence });
            }
            _ => {}
        }
    }

    /// The command of this hub that ended the rollout so, if one did.
    fn asked_for(&self, deployment: &Deployment) -> Option<ReceiptId> {
        let fits = |action: Action| match deployment.outcome {
            DeploymentOutcome::Aborted => matches!(action, Action::Abort | Action::Reject),
            DeploymentOutcome::RolledBack => matches!(action, Action::Rollback | Action::Abort),
            DeploymentOutcome::Succeeded => {
                matches!(action, Action::Promote | Action::PromoteFull | Action::Approve | Action::Deploy)
            }
            DeploymentOutcome::Superseded => action == Action::Deploy,
            DeploymentOutcome::Failed => false,
        };
        let about = |subject: &Subject| match subject {
            Subject::Run(run) | Subject::Approval { run, .. } => *run == deployment.run,
            Subject::Deployment { source, service, environment, .. } => {
                *source == deployment.run.target.source
                    && *service == deployment.service
                    && *environment == deployment.environment
            }
            _ => false,
        };
        let sent = self.commands.values().filter(|following| {
            fits(following.action())
                && about(&following.receipt.command.subject)
                && matches!(
                    following.receipt.stage(),
                    Stage::Sent | Stage::Accepted | Stage::Observed | Stage::Effective { .. } | Stage::Unknown { .. }
                )
        });
        sent.max_by_key(|following| following.asked()).map(|following| following.receipt.id.clone())
    }

    /// The last judgement that failed the run.
    fn against(&self, deployment: &Deployment) -> Option<&Evidence> {
        let of_run = self.board.evidence().filter(|evidence| evidence.run == deployment.run);
        let failing = of_run.filter(|e| e.analysis.as_ref().is_some_and(|a| a.verdict == MetricVerdict::Fail));
        failing.max_by_key(|evidence| evidence.at)
    }
}

/// Is a new row of that sort recorded?
pub(super) const fn is_observed(entity: &Entity) -> bool {
    matches!(entity, Entity::Evidence(_) | Entity::Hold(_) | Entity::Deployment(_))
}

/// The target that a row is about: commands on it may have moved.
pub(super) fn target_of(entity: &Entity) -> Option<&Target> {
    match entity {
        Entity::Rollout(rollout) => Some(&rollout.run.target),
        Entity::Approval(approval) => Some(&approval.run.target),
        Entity::Deployment(deployment) => Some(&deployment.run.target),
        _ => None,
    }
}
