//! A real hub over one subject, and what a case needs to look at it.

use super::checks::serves;
use super::{Case, Fixture, Situation, Stop};
use crate::board::Board;
use crate::control::Policy;
use crate::hub::{Hub, HubSettings, Subscription};
use crate::ledger::Ledger;
use crate::model::{
    Action, Actor, Approval, ApprovalState, Command, CommandId, LinkState, Receipt, ReceiptId, Refusal, Rollout, Run,
    SourceId, Stage, Subject, Target,
};
use crate::port::{Executor, InspectError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long board and backend may differ before both are looked at again.
const MOMENT: Duration = Duration::from_millis(100);
/// How long the hub waits for the answer of a backend that is slow, which takes longer.
const ANSWER: SignedDuration = SignedDuration::from_secs(2);

pub(super) struct Harness {
    pub fixture: Box<dyn Fixture>,
    pub orchestrator: Arc<dyn Executor>,
    pub hub: Hub,
    pub board: Board,
    updates: Subscription,
    task: JoinSet<()>,
    _ledger: TempDir,
}

pub(super) fn failed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}

pub(super) fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), Stop> {
    if holds { Ok(()) } else { failed(why()) }
}

#[expect(clippy::disallowed_methods, reason = "the suite is a shell: it decides as a hub does")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

impl Harness {
    pub async fn new(fixture: Box<dyn Fixture>, case: Case) -> Result<Harness, Stop> {
        let wrong = |step: &str, error: &dyn std::fmt::Display| Stop::Failed(format!("cannot {step}: {error}"));
        let dir = tempfile::tempdir().map_err(|error| wrong("make the ledger's folder", &error))?;
        let ledger = Ledger::open(dir.path()).map_err(|error| wrong("open the ledger", &error))?;
        let policy = Policy { enforced: true, ..Policy::default() };
        let mut settings = HubSettings { lag: 1 << 16, ..HubSettings::new("contract".into(), policy, ledger) };
        if case == Case::Slow {
            settings.answer = ANSWER;
        }
        let orchestrator = fixture.orchestrator();
        let (hub, hub_task) = Hub::start(settings, vec![Arc::clone(&orchestrator)]);
        let mut task = JoinSet::new();
        task.spawn(hub_task.run());
        let ended = || Stop::Failed("the hub ended".to_owned());
        let updates = hub.subscribe(None).await.ok_or_else(ended)?;
        let board = Board::default();
        let mut harness = Harness { fixture, orchestrator, hub, board, updates, task, _ledger: dir };
        let known = |harness: &Harness| !Vec::from(harness.orchestrator.capabilities().actions).is_empty();
        harness.until("the backend says what it can do", known).await?;
        Ok(harness)
    }

    /// Ends the hub, then the subject.
    pub async fn end(mut self) -> Result<(), Stop> {
        drop((self.hub, self.updates, self.orchestrator));
        while self.task.join_next().await.is_some() {}
        self.fixture.close().await
    }

    pub fn source(&self) -> SourceId {
        self.orchestrator.capabilities().source
    }

    /// Takes updates in until it is so.
    pub async fn until(&mut self, what: &str, so: impl Fn(&Harness) -> bool) -> Result<(), Stop> {
        let deadline = tokio::time::Instant::from(std_now()) + PATIENCE;
        while !so(self) {
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(envelope)) => {
                    self.board.apply(&envelope.scoped);
                }
                Ok(None) => return failed(format!("the hub's updates ended before: {what}")),
                Err(_) => return failed(format!("never came: {what}; {}", self.said())),
            }
        }
        Ok(())
    }

    /// What the board says, for a failure.
    fn said(&self) -> String {
        let rows = self
            .board
            .rollouts()
            .map(|row| format!("{} is {} at step {:?} ({})", row.run, row.phase.word(), row.step, row.message));
        let links = self.board.links().map(|(scope, link)| format!("link {}/{}: {link:?}", scope.source, scope.part));
        let receipts = self.board.receipts().map(told);
        rows.chain(links).chain(receipts).collect::<Vec<_>>().join("; ")
    }

    /// Brings the situation about and waits until the hub's board shows it.
    pub async fn bring(&mut self, situation: Situation) -> Result<Rollout, Stop> {
        let target = self.fixture.bring(situation).await?;
        let what = format!("the workload is {} on the board", situation.word());
        let row = self.caught_up(&what, &target, |row| shows(situation, row)).await?;
        if situation == Situation::Approval {
            self.until("what it asks for is on the board", |harness| harness.asked(&row.run).is_some()).await?;
        }
        Ok(row)
    }

    /// Waits until the board's row is so, and is the one that the backend reads now: the board may be
    /// behind whoever brought the situation about.
    pub async fn caught_up(
        &mut self,
        what: &str,
        target: &Target,
        so: impl Fn(&Rollout) -> bool,
    ) -> Result<Rollout, Stop> {
        let deadline = tokio::time::Instant::from(std_now()) + PATIENCE;
        loop {
            self.until(what, |harness| harness.live() && harness.row(target).is_some_and(&so)).await?;
            let row = self.found(target)?;
            let live = self.orchestrator.read(&row.run).await;
            if live.as_ref().is_ok_and(|live| live.facts == row.facts && so(live)) {
                return Ok(row);
            }
            if tokio::time::Instant::from(std_now()) > deadline {
                return failed(format!("never came: {what}; the board has {:?}, the backend {live:?}", row.facts));
            }
            // One of both is a moment behind, and may come back to what the other has now.
            if let Ok(next) = tokio::time::timeout(MOMENT, self.updates.next()).await {
                let ended = || Stop::Failed(format!("the hub's updates ended before: {what}"));
                self.board.apply(&next.ok_or_else(ended)?.scoped);
            }
        }
    }

    pub fn row(&self, target: &Target) -> Option<&Rollout> {
        self.board.rollout(target)
    }

    pub fn found(&self, target: &Target) -> Result<Rollout, Stop> {
        self.row(target).cloned().ok_or_else(|| Stop::Failed(format!("{target} is not on the board")))
    }

    /// The row as the backend reads it now.
    pub async fn read(&self, row: &Rollout) -> Result<Rollout, Stop> {
        let deadline = tokio::time::Instant::from(std_now()) + PATIENCE;
        loop {
            match tokio::time::timeout_at(deadline, self.orchestrator.read(&row.run)).await {
                Ok(Ok(live)) => return Ok(live),
                // A busy machine may be late; what it then says counts.
                Ok(Err(InspectError::Unreachable(_))) if tokio::time::Instant::from(std_now()) < deadline => {
                    tokio::time::sleep(MOMENT).await;
                }
                Ok(Err(error)) => return failed(format!("reading {}: {error}", row.run)),
                Err(_) => return failed(format!("reading {} never ended", row.run)),
            }
        }
    }

    pub fn link(&self) -> LinkState {
        self.board.link(&self.source())
    }

    pub fn live(&self) -> bool {
        matches!(self.link(), LinkState::Live { .. })
    }

    /// Why the subject never takes the action.
    pub fn lacks(&self, action: Action) -> Option<String> {
        let unknown = || format!("the backend does not know {}", action.name());
        let knows = self.orchestrator.capabilities().actions.contains(action);
        self.fixture.lacks(action).or_else(|| (!knows).then(unknown))
    }

    pub fn actor() -> Actor {
        Actor { name: "contract".to_owned(), uid: Some(0), roles: Vec::new() }
    }

    /// A fresh command about the row, or about what it asks for, pinned to it.
    pub fn command(&self, action: Action, row: &Rollout) -> Command {
        let votes = matches!(action, Action::Approve | Action::Reject);
        let (subject, facts) = match self.asked(&row.run).filter(|_| votes) {
            Some(of) => (Subject::Approval { id: of.id.clone(), run: of.run.clone() }, &of.facts),
            None => (Subject::Run(row.run.clone()), &row.facts),
        };
        Harness::about(action, subject, Some(facts.pin(action)))
    }

    /// The approval that a run waits for.
    pub fn asked(&self, run: &Run) -> Option<&Approval> {
        let mut approvals = self.board.approvals();
        approvals.find(|approval| approval.run == *run && approval.state == ApprovalState::Pending)
    }

    pub fn about(action: Action, subject: Subject, pin: Option<crate::model::Pin>) -> Command {
        let id = CommandId(uuid::Uuid::now_v7().to_string());
        Command { id, action, subject, pin, reason: Some("contract suite".to_owned()) }
    }

    pub async fn submit(&self, command: Command) -> Result<Result<Receipt, Refusal>, Stop> {
        let name = command.action.name();
        match tokio::time::timeout(PATIENCE, self.hub.submit(Harness::actor(), command)).await {
            Ok(outcome) => Ok(outcome),
            Err(_) => failed(format!("the submission of {name} was never answered")),
        }
    }

    /// Submits it; it must be taken.
    pub async fn taken(&self, command: Command) -> Result<Receipt, Stop> {
        let name = command.action.name();
        match self.submit(command).await? {
            Ok(receipt) => Ok(receipt),
            Err(refusal) => failed(format!("{name} was refused: {refusal}")),
        }
    }

    /// Follows a command that was taken to its effect; its stages must be in order.
    pub async fn effective(&mut self, id: &CommandId) -> Result<Receipt, Stop> {
        let id = ReceiptId(id.0.clone());
        let is_final = |harness: &Harness| harness.board.receipt(&id).is_some_and(|receipt| receipt.stage().is_final());
        self.until("the command is final", is_final).await?;
        let Some(receipt) = self.board.receipt(&id).cloned() else { return failed("its receipt is gone") };
        match receipt.stage() {
            Stage::Effective { proof } if !proof.text.trim().is_empty() => {}
            _ => return failed(format!("not effective with a proof: {}", told(&receipt))),
        }
        if let Subject::Run(run) = &receipt.command.subject
            && let Some(row) = self.row(&run.target)
            && serves(receipt.command.action, row).is_err()
        {
            // A stage may be told ahead of the row that shows it: then the backend has that row by now.
            let row = self.read(row).await?;
            if let Err(why) = serves(receipt.command.action, &row) {
                return failed(format!("{why}: {:?}; {}", row.arms, told(&receipt)));
            }
        }
        let words: Vec<_> = receipt.stages.iter().map(|record| record.stage.word()).collect();
        let order = ["requested", "sent", "accepted", "unknown", "observed", "effective"];
        let places: Vec<_> = words.iter().map(|word| order.iter().position(|of| of == word)).collect();
        check(places.is_sorted() && words.starts_with(&["requested", "sent"]), || {
            format!("its stages are out of order: {}", words.join(", "))
        })?;
        Ok(receipt)
    }

    /// Submits and follows it.
    pub async fn carried_out(&mut self, command: Command) -> Result<Receipt, Stop> {
        let id = command.id.clone();
        self.taken(command).await?;
        self.effective(&id).await
    }
}

#[expect(clippy::disallowed_methods, reason = "the suite is a shell: its waits have a deadline")]
fn std_now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A receipt in one line.
pub(super) fn told(receipt: &Receipt) -> String {
    let stages = receipt.stages.iter().map(|record| match record.stage.detail() {
        Some(detail) => format!("{} ({detail})", record.stage.word()),
        None => record.stage.word().to_owned(),
    });
    format!("{}: {}", receipt.command.action.name(), stages.collect::<Vec<_>>().join(", "))
}

/// Does the row show the situation?
fn shows(situation: Situation, row: &Rollout) -> bool {
    use crate::model::Phase;
    match situation {
        Situation::Paused => row.phase == Phase::Paused || row.awaits_human(),
        Situation::InFlight => row.phase.in_flight() && row.offers.contains(Action::Pause),
        Situation::Settled => row.phase == Phase::Healthy,
        Situation::Aborted => matches!(row.phase, Phase::Aborted | Phase::Degraded | Phase::Failed),
        Situation::Approval => row.awaits_human(),
        _ => true,
    }
}
