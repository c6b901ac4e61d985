//! What the loop sets going: reads, executions, each in a task that it joins.

use super::following::{Doing, HeldThere, now};
use super::holds::is_gone;
use super::inbox::Done;
use super::state::State;
use flightdeck_control::Authorized;
use flightdeck_model::{
    Action, CommandId, Detail, Proof, Refusal, RefusalKind, Rollout, Run, SourceId, Stage, Subject,
};
use flightdeck_port::{Accepted, Executor, Holding, InspectError, NotDone};
use futures::FutureExt;
use futures::future::join_all;
use jiff::SignedDuration;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a live row is waited for.
const READ: Duration = Duration::from_secs(5);

/// Reads everything about a run from its backend.
pub(super) async fn inspect(orchestrator: Option<Arc<dyn Executor>>, run: Run) -> Result<Box<Detail>, Refusal> {
    let orchestrator = orchestrator.ok_or_else(|| no_source(&run))?;
    answered(orchestrator.inspect(&run)).await
}

/// Reads the row of a run from its backend.
pub(super) async fn read(orchestrator: Option<Arc<dyn Executor>>, run: Run) -> Result<Box<Rollout>, Refusal> {
    let orchestrator = orchestrator.ok_or_else(|| no_source(&run))?;
    answered(orchestrator.read(&run)).await
}

fn no_source(run: &Run) -> Refusal {
    Refusal::new(RefusalKind::NotFound, format!("there is no source {} here", run.target.source))
}

/// Waits for an answer, but not for ever.
async fn answered<T>(reading: impl Future<Output = Result<T, InspectError>>) -> Result<Box<T>, Refusal> {
    let refuse = |kind, why: String| Err(Refusal::new(kind, why));
    match timeout(READ, AssertUnwindSafe(reading).catch_unwind()).await {
        Ok(Ok(Ok(answer))) => Ok(Box::new(answer)),
        Ok(Ok(Err(error @ InspectError::NotFound(_)))) => refuse(RefusalKind::NotFound, error.to_string()),
        Ok(Ok(Err(error @ InspectError::Unreachable(_)))) => refuse(RefusalKind::Stale, error.to_string()),
        Ok(Err(_)) => refuse(RefusalKind::Internal, "the backend's adapter failed while reading".to_owned()),
        Err(_) => refuse(RefusalKind::Stale, format!("the backend did not answer within {} s", READ.as_secs())),
    }
}

/// Carries a command out at one backend. No answer in time, and a failed adapter, are unknown
/// outcomes: it may have been carried out.
async fn carry_out(
    orchestrator: Arc<dyn Executor>,
    authorized: Authorized,
    limit: SignedDuration,
) -> (SourceId, Result<Accepted, NotDone>) {
    let source = orchestrator.capabilities().source;
    let wait = Duration::try_from(limit).unwrap_or(Duration::ZERO);
    let executing = AssertUnwindSafe(orchestrator.execute(&authorized)).catch_unwind();
    let result = match timeout(wait, executing).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(NotDone::Unknown { why: "the backend's adapter failed".to_owned() }),
        Err(_) => Err(NotDone::Unknown { why: format!("the backend did not answer within {} s", wait.as_secs()) }),
    };
    (source, result)
}

impl State {
    /// Reads the live row that a raising command is decided on.
    pub fn read(&mut self, id: CommandId, run: Run) {
        let orchestrator = self.orchestrator(&run.target.source);
        self.tasks.spawn(async move { Done::Read { id, result: read(orchestrator, run).await } });
    }

    /// Sends a command to its backends.
    pub fn execute(&mut self, id: &CommandId) {
        let Some(following) = self.commands.get_mut(id) else { return };
        let Some(authorized) = following.authorized.clone() else { return };
        if following.action() == Action::Annotate {
            return self.was_added(id);
        }
        following.doing = Doing::Executing;
        let command = authorized.command();
        let recipients = self.recipients(command.action, &command.subject);
        self.push(id, Stage::Sent);
        let (id, limit) = (id.clone(), self.settings.answer);
        self.tasks.spawn(async move {
            let each = recipients.into_iter().map(|recipient| carry_out(recipient, authorized.clone(), limit));
            Done::Executed { id, results: join_all(each).await }
        });
    }

    /// What is added to a receipt is so once the ledger has it, and goes to no backend.
    pub fn was_added(&mut self, id: &CommandId) {
        self.push(id, Stage::Effective { proof: Proof { text: "it stands in the ledger".to_owned() } });
        self.finish(id);
    }

    /// The backends have answered.
    pub fn was_executed(&mut self, id: &CommandId, results: Vec<(SourceId, Result<Accepted, NotDone>)>) {
        let Some(subject) = self.commands.get(id).map(|following| following.receipt.command.subject.clone()) else {
            return;
        };
        let several = matches!(subject, Subject::Scope { .. } | Subject::Hold { .. });
        let sources = if several { self.by_source(&subject, &results) } else { Vec::new() };
        let (mut notes, mut missed, mut held) = (Vec::new(), Vec::new(), Vec::new());
        let mut ending = Vec::new();
        let (mut created, mut left) = (None, None);
        let (mut accepted, mut refused, mut unknown) = (false, None, None);
        let elsewhere = results.iter().any(|(_, result)| result.is_ok());
        for (source, result) in results {
            match result {
                Ok(answer) => {
                    accepted = true;
                    missed.extend(answer.lacking.into_iter().map(|why| format!("{source}: {why}")));
                    ending.extend(answer.ending.into_iter().map(|place| (source.clone(), place)));
                    let Accepted { note, targets: told, holding, created: run, left: facts, .. } = answer;
                    created = created.or(run);
                    left = left.or(Some(facts).filter(|facts| !facts.0.is_empty()));
                    held.push(HeldThere { source: source.clone(), holding, told });
                    notes.push((source, note));
                }
                Err(_) if elsewhere && matches!(subject, Subject::Hold { .. }) && is_gone(&result) => {}
                Err(NotDone::Refused(refusal)) => {
                    missed.push(format!("{source}: {refusal}"));
                    refused = Some(refusal);
                }
                Err(NotDone::NotSent { why }) => {
                    missed.push(format!("{source}: not reached: {why}; nothing changed there"));
                }
                Err(NotDone::Unknown { why }) => {
                    unknown = Some(format!("{source}: {why}"));
                    held.push(HeldThere { source: source.clone(), holding: Holding::Unsaid, told: Vec::new() });
                    notes.push((source, None));
                }
            }
        }
        let Some(following) = self.commands.get_mut(id) else { return };
        following.doing = Doing::Following;
        following.notes = notes;
        following.held = held;
        following.ending = ending;
        following.receipt.sources = sources;
        following.receipt.created = created;
        following.receipt.left = left;
        following.watched = now();
        following.missed.clone_from(&missed);
        match (unknown, accepted, refused) {
            (Some(why), ..) => self.push(id, Stage::Unknown { why }),
            (None, true, _) => {
                self.push(id, Stage::Accepted);
                self.take_place(id);
                self.yield_place(id);
            }
            (None, false, Some(refusal)) => {
                self.push(id, Stage::Refused { why: refusal.why.clone() });
                return self.finish_with(id, &Err(refusal));
            }
            (None, false, None) => {
                self.push(id, Stage::Failed { why: missed.join("; ") });
                return self.finish(id);
            }
        }
        self.answer(id);
        self.evaluate(id);
    }

    /// Tells those who wait for the backend's answer.
    pub fn answer(&mut self, id: &CommandId) {
        if let Some(following) = self.commands.get_mut(id) {
            for waiter in following.waiters.drain(..) {
                let _ = waiter.send(Ok(following.receipt.clone())); // the asker may be gone
            }
        }
    }

    /// Nothing more is to be done for it.
    pub fn finish(&mut self, id: &CommandId) {
        if let Some(following) = self.commands.get_mut(id) {
            following.is_done();
        }
        self.answer(id);
    }

    fn finish_with(&mut self, id: &CommandId, outcome: &Result<flightdeck_model::Receipt, Refusal>) {
        if let Some(following) = self.commands.get_mut(id) {
            following.is_done();
            for waiter in following.waiters.drain(..) {
                let _ = waiter.send(outcome.clone()); // the asker may be gone
            }
        }
    }
}
