//! From a submission to the backend's answer.

use super::following::{Answer, Doing, Following, now};
use super::state::State;
use flightdeck_control::{decide, decide_live, direction, forecast};
use flightdeck_ledger::LedgerError;
use flightdeck_model::{
    Actor, Command, CommandId, Direction, Receipt, ReceiptId, Refusal, RefusalKind, Rollout, Run, Stage, StageRecord,
    Subject, sanitize_line,
};

impl State {
    /// Takes a command in. Reducing ones are decided on the row and sent at once; others read the
    /// live row first.
    pub fn submit(&mut self, actor: Actor, mut command: Command, answer: Answer) {
        command.reason = command.reason.map(|reason| sanitize_line(&reason));
        if let Err(refusal) = command.bounded() {
            let _ = answer.send(Err(refusal)); // the asker may be gone
            return;
        }
        if let Some(known) = self.commands.get_mut(&command.id) {
            repeat(known, &actor, &command, answer);
            return;
        }
        // Whoever may not act costs no backend a read.
        if let Err(refusal) = self.settings.policy.allows(&actor, command.action, &command.subject) {
            self.record_refusal(&actor, &command, &refusal);
            let _ = answer.send(Err(refusal)); // the asker may be gone
            return;
        }
        let id = command.id.clone();
        let stages = vec![StageRecord { stage: Stage::Requested, at: now() }];
        let receipt = Receipt {
            id: ReceiptId(id.0.clone()),
            command,
            actor,
            stages,
            forecast: None,
            grade: None,
            targets: Vec::new(),
            sources: Vec::new(),
            created: None,
            left: None,
            outcome: None,
        };
        let reduces = self.reduces(&receipt.command);
        let run = subject_run(&receipt.command.subject).cloned();
        let mut following = Following::new(receipt, Doing::Reading);
        following.waiters.push(answer);
        self.live.insert(id.clone());
        self.commands.insert(id.clone(), following);
        match run {
            Some(run) if !reduces => self.read(id, run),
            _ => self.decided(&id, None),
        }
    }

    fn reduces(&self, command: &Command) -> bool {
        direction(&self.board, command.action, &command.subject) == Direction::Reduces
    }

    /// The live row was read, or could not be.
    pub fn was_read(&mut self, id: &CommandId, result: Result<Box<Rollout>, Refusal>) {
        match result {
            Ok(live) => self.resume(id, Some(&live)),
            Err(refusal) if !self.was_superseded(id) => self.refuse(id, &refusal),
            Err(_) => {}
        }
    }

    /// Everything that a decision needs is there, unless something else came first.
    pub fn resume(&mut self, id: &CommandId, live: Option<&Rollout>) {
        if !self.was_superseded(id) {
            self.decided(id, live);
        }
    }

    /// Refuses it, if another took its place meanwhile.
    fn was_superseded(&mut self, id: &CommandId) -> bool {
        let by = self.commands.get_mut(id).and_then(|following| following.superseded.take());
        if let Some(by) = &by {
            let why = format!("{by} came first; nothing was done");
            self.refuse(id, &Refusal::new(RefusalKind::NotApplicable, why));
        }
        by.is_some()
    }

    fn decided(&mut self, id: &CommandId, live: Option<&Rollout>) {
        if self.awaits_budget(id, live) {
            return;
        }
        let Some(following) = self.commands.get(id) else { return };
        let (actor, command) = (&following.receipt.actor, &following.receipt.command);
        if let Some(refusal) = self.untaken(command.action, &command.subject) {
            return self.refuse(id, &refusal);
        }
        let (policy, board, at) = (&self.settings.policy, &self.board, now());
        let decision = match live {
            Some(live) => decide_live(policy, board, live, actor, command, at),
            None => decide(policy, board, actor, command, at),
        };
        let authorized = match decision {
            Ok(authorized) => authorized,
            Err(refusal) => return self.refuse(id, &refusal),
        };
        let row = live.or_else(|| self.row(&command.subject));
        let forecast = self
            .own_forecast(command.action, row)
            .unwrap_or_else(|| forecast(board, live, actor, command.action, &command.subject, at));
        let before = row.cloned();
        let reduces = self.reduces(command);
        let Some(following) = self.commands.get_mut(id) else { return };
        following.receipt.command = authorized.command().clone();
        following.receipt.forecast = Some(forecast);
        following.before = before;
        following.authorized = Some(authorized);
        following.doing = Doing::Recording;
        if reduces {
            self.record_beside(id);
            self.overtake(id);
            self.tell_receipt(id);
            self.execute(id);
        } else {
            self.record_first(id);
        }
    }

    /// Nothing was done. The refusal is recorded, and the id may be used again.
    pub fn refuse(&mut self, id: &CommandId, refusal: &Refusal) {
        let Some(mut following) = self.commands.remove(id) else { return };
        for waiter in following.waiters.drain(..) {
            let _ = waiter.send(Err(refusal.clone())); // the asker may be gone
        }
        self.record_refusal(&following.receipt.actor, &following.receipt.command, refusal);
    }

    /// The ledger has it, or not: without a durable record nothing that raises exposure is done.
    pub fn was_recorded(&mut self, id: &CommandId, result: Result<u64, LedgerError>) {
        match result {
            Ok(_) => {
                self.ledger_works();
                let superseded = self.commands.get_mut(id).and_then(|following| following.superseded.take());
                self.tell_receipt(id);
                if let Some(by) = superseded {
                    self.push(id, Stage::Superseded { by });
                    self.finish(id);
                } else {
                    self.execute(id);
                }
            }
            Err(LedgerError::Duplicate(_)) => self.find(id),
            Err(error) => {
                self.ledger_fails(&error);
                let why = format!("{error}; without a durable record nothing that raises exposure is done");
                self.refuse(id, &Refusal::new(RefusalKind::NotRecorded, why));
            }
        }
    }

    /// The id was used before this hub started: the same command has its receipt in the ledger.
    pub fn was_found(&mut self, id: &CommandId, result: Result<Option<Box<Receipt>>, LedgerError>) {
        let Some(following) = self.commands.remove(id) else { return };
        let outcome = match result {
            Ok(Some(receipt)) if same(&receipt, &following.receipt.actor, &following.receipt.command) => Ok(*receipt),
            Ok(_) => Err(other_content(id)),
            Err(error) => Err(Refusal::new(RefusalKind::Internal, error.to_string())),
        };
        for waiter in following.waiters {
            let _ = waiter.send(outcome.clone()); // the asker may be gone
        }
    }

    /// A command that reduces exposure takes the place of those that raise it on the same target
    /// and have not left yet: they never will.
    fn overtake(&mut self, id: &CommandId) {
        let Some(new) = self.commands.get(id) else { return };
        let by = format!("{} by {}", new.action().name(), new.receipt.actor.name);
        let ids: Vec<CommandId> = self
            .commands
            .iter()
            .filter(|(other, following)| {
                *other != id
                    && matches!(following.doing, Doing::Reading | Doing::Recording)
                    && self.meets(new, following)
                    && new.action().row().supersedes.contains(&following.action())
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(following) = self.commands.get_mut(&id) {
                following.superseded = Some(by.clone());
            }
        }
    }
}

/// The run whose live row a decision needs.
pub(super) fn subject_run(subject: &Subject) -> Option<&Run> {
    match subject {
        Subject::Run(run) | Subject::Approval { run, .. } => Some(run),
        _ => None,
    }
}

/// Is it the same command? The hub fills in a pin that was left out.
fn same(receipt: &Receipt, actor: &Actor, command: &Command) -> bool {
    let known = &receipt.command;
    receipt.actor.name == actor.name
        && known.action == command.action
        && known.subject == command.subject
        && known.reason == command.reason
        && command.pin.as_ref().is_none_or(|pin| known.pin.as_ref() == Some(pin))
}

fn other_content(id: &CommandId) -> Refusal {
    let why = format!("command id {id} was used for another command: choose a fresh one");
    Refusal::new(RefusalKind::Invalid, why)
}

fn repeat(known: &mut Following, actor: &Actor, command: &Command, answer: Answer) {
    if !same(&known.receipt, actor, command) {
        let _ = answer.send(Err(other_content(&command.id))); // the asker may be gone
    } else if matches!(known.doing, Doing::Following | Doing::Done) {
        let _ = answer.send(Ok(known.receipt.clone())); // the asker may be gone
    } else {
        known.waiters.push(answer);
    }
}
