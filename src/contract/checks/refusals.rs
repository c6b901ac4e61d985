//! What must be refused, and that nothing was done then.

use super::{raising, untouched};
use crate::contract::harness::{Harness, check, failed, now};
use crate::contract::{Situation, Stop};
use crate::control::{Policy, decide};
use crate::model::{Action, Command, Direction, Receipt, Refusal, RefusalKind, Run, Subject, Target};
use crate::port::{InspectError, NotDone};

/// It was refused for that, with a sentence.
fn refused(what: &str, outcome: Result<Receipt, Refusal>, kinds: &[RefusalKind]) -> Result<(), Stop> {
    match outcome {
        Ok(receipt) => failed(format!("{what} was taken: {}", receipt.stage().word())),
        Err(refusal) => check(kinds.contains(&refusal.kind) && !refusal.why.trim().is_empty(), || {
            format!("{what} was refused as {:?}, not {kinds:?}: {refusal}", refusal.kind)
        }),
    }
}

pub(in crate::contract) async fn not_offered(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, _) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let candidates = [Action::Retry, Action::Resume, Action::PromoteFull, Action::Promote, Action::Restart];
    let action = candidates.into_iter().find(|action| !row.offers.contains(*action));
    let Some(action) = action else { return failed("the row offers everything at once") };
    refused(action.name(), harness.submit(harness.command(action, &row)).await?, &[RefusalKind::NotApplicable])?;
    untouched(harness, &row).await
}

pub(in crate::contract) async fn not_found(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let name = format!("{}-that-is-not-there", row.run.target.name);
    let target = Target { name, uid: "00000000-0000-0000-0000-000000000000".to_owned(), ..row.run.target.clone() };
    let run = Run { target, revision: row.run.revision.clone() };
    let subject = match action {
        Action::Approve => Subject::Approval { id: "not-there".into(), run: run.clone() },
        _ => Subject::Run(run.clone()),
    };
    let command = Harness::about(action, subject, Some(row.facts.pin(action)));
    refused("what does not exist", harness.submit(command).await?, &[RefusalKind::NotFound])?;
    match harness.orchestrator.read(&run).await {
        Err(InspectError::NotFound(_)) => untouched(harness, &row).await,
        Err(error) => failed(format!("reading what does not exist: {error}")),
        Ok(_) => failed("it reads a row of what does not exist"),
    }
}

pub(in crate::contract) async fn bad_pin(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let good = harness.command(action, &row);
    let none = Command { id: "no-pin".into(), pin: None, ..good.clone() };
    refused("no pin", harness.submit(none).await?, &[RefusalKind::Invalid])?;
    let other = Command { id: "other-pin".into(), pin: Some(row.facts.pin(Action::Deploy)), ..good.clone() };
    refused("another action's pin", harness.submit(other).await?, &[RefusalKind::Invalid])?;
    let mut cut = good.pin.clone();
    if let Some(pin) = &mut cut {
        pin.facts.pop_first();
    }
    let short = Command { id: "short-pin".into(), pin: cut, ..good };
    refused("a pin that leaves out a fact", harness.submit(short).await?, &[RefusalKind::Invalid])?;
    untouched(harness, &row).await
}

pub(in crate::contract) async fn pin_changed(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let command = harness.command(action, &row);
    let target = harness.fixture.bring(Situation::Changed).await?;
    harness.caught_up("the change is on the board", &target, |now| now.facts != row.facts).await?;
    let kinds: &[RefusalKind] = match action {
        // What is asked for anew is another approval: the one before is settled.
        Action::Approve => &[RefusalKind::PinChanged, RefusalKind::NotApplicable],
        _ => &[RefusalKind::PinChanged],
    };
    refused("an old pin", harness.submit(command).await?, kinds)
}

/// Decided on the board as it was, as a hub would that has not heard of the change yet.
pub(in crate::contract) async fn pin_changed_at_backend(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let command = harness.command(action, &row);
    let old = harness.board.clone();
    harness.fixture.bring(Situation::Changed).await?;
    let authorized = decide(&Policy::default(), &old, &Harness::actor(), &command, now());
    let authorized = authorized.map_err(|refusal| Stop::Failed(format!("the old board refuses it: {refusal}")))?;
    check(action.direction() == Direction::Raises, || format!("{} does not raise exposure", action.name()))?;
    match harness.orchestrator.execute(&authorized).await {
        Err(NotDone::Refused(refusal)) => {
            check(refusal.kind == RefusalKind::PinChanged && !refusal.changes.is_empty(), || {
                format!("refused as {:?} with {} changes: {refusal}", refusal.kind, refusal.changes.len())
            })
        }
        Err(other) => failed(format!("it said {other}")),
        Ok(_) => failed("the backend carried out what was pinned to another version"),
    }
}

pub(in crate::contract) async fn denied(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    harness.fixture.bring(Situation::Denied).await?;
    let outcome = harness.submit(harness.command(action, &row)).await?;
    refused("what is not allowed", outcome, &[RefusalKind::Denied])?;
    untouched(harness, &row).await
}

pub(in crate::contract) async fn gone(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let command = harness.command(action, &row);
    let old = harness.board.clone();
    harness.fixture.bring(Situation::Deleted).await?;
    let authorized = decide(&Policy::default(), &old, &Harness::actor(), &command, now());
    let authorized = authorized.map_err(|refusal| Stop::Failed(format!("the old board refuses it: {refusal}")))?;
    match harness.orchestrator.execute(&authorized).await {
        Err(NotDone::Refused(refusal)) => refused(
            "what is gone",
            Err(refusal),
            &[RefusalKind::NotFound, RefusalKind::PinChanged, RefusalKind::NotApplicable],
        )?,
        Err(other) => return failed(format!("it said {other}")),
        Ok(_) => return failed("the backend took a command for what is gone"),
    }
    let target = row.run.target.clone();
    harness.until("its row is gone", |harness| harness.row(&target).is_none()).await?;
    refused("what is gone", harness.submit(command).await?, &[RefusalKind::NotFound])
}
