//! Effective is what was seen: by instances and their shares, never by what the command itself wrote.

use super::{offering, raising, untouched};
use crate::contract::harness::{Harness, check, failed, told};
use crate::contract::{Situation, Stop};
use crate::model::{
    Action, Arm, Command, CommandId, Entity, LinkState, Ppm, Receipt, ReceiptId, Rollout, Selector, Stage, StageRecord,
    Subject,
};
use crate::port::InspectError;

/// What an effective command has shown on its row: ready instances of the version that it is about, with
/// the share that it was to have. Why not, if it has not.
pub(in crate::contract) fn serves(action: Action, row: &Rollout) -> Result<(), String> {
    let has = |arm: &Arm| arm.traffic.actual.is_some_and(|share| share > Ppm::ZERO);
    let up = |arm: &Arm| arm.replicas.ready > 0;
    if let Some(arm) = row.arms.iter().find(|arm| has(arm) && !up(arm)) {
        return Err(format!("{} has a share, and no instance of it is ready", arm.version));
    }
    let newest = || row.candidate().or(row.stable());
    let wrong = match action {
        Action::PromoteFull | Action::Rollback => {
            let all = row.stable().filter(|arm| up(arm) && arm.traffic.actual == Some(Ppm::ALL));
            all.is_none().then_some("not everybody is served by the version that it brought in")
        }
        Action::Promote | Action::Approve | Action::Deploy | Action::Restart => {
            let met = newest().filter(|arm| up(arm) && has(arm));
            met.is_none().then_some("nobody meets the version that it brought in")
        }
        // Its preview may be all that there is at first.
        Action::Retry => newest().is_none_or(|arm| !up(arm)).then_some("no instance of it is ready"),
        Action::Abort | Action::Reject => {
            let exposed = row.candidate().is_some_and(has);
            let stable = row.stable().is_some_and(up);
            (exposed || !stable).then_some("users meet the candidate, or stable is not there")
        }
        _ => None,
    };
    wrong.map_or(Ok(()), |wrong| Err(wrong.to_owned()))
}

fn is_effective(receipt: &Receipt) -> bool {
    receipt.stages.iter().any(|record| matches!(record.stage, Stage::Effective { .. }))
}

fn never_effective(receipt: &Receipt) -> Result<(), Stop> {
    check(!is_effective(receipt), || format!("effective, though nothing carried it out: {}", told(receipt)))
}

fn receipt(harness: &Harness, id: &CommandId) -> Result<Receipt, Stop> {
    let receipt = harness.board.receipt(&ReceiptId(id.0.clone())).cloned();
    receipt.ok_or_else(|| Stop::Failed("its receipt is gone".to_owned()))
}

/// Sends it while nothing would carry it out, and looks once all that it changed is on the board.
async fn in_vain(harness: &mut Harness, command: Command, before: &Rollout) -> Result<(), Stop> {
    harness.fixture.bring(Situation::Uncontrolled).await?;
    let id = command.id.clone();
    never_effective(&harness.taken(command).await?)?;
    harness.caught_up("what it changed is on the board", &before.run.target, |_| true).await?;
    // The hub answers after it has looked at all that it told.
    let said = harness.hub.board().await.into_iter().find_map(|entity| match entity {
        Entity::Receipt(receipt) if receipt.command.id == id => Some(receipt),
        _ => None,
    });
    match said {
        Some(receipt) => never_effective(&receipt),
        None => failed("its receipt is gone"),
    }
}

pub(in crate::contract) async fn no_controller(
    harness: &mut Harness,
    action: Action,
    situation: Situation,
) -> Result<(), Stop> {
    let before = offering(harness, action, situation).await?;
    let command = harness.command(action, &before);
    in_vain(harness, command.clone(), &before).await?;
    harness.fixture.bring(Situation::Restored).await?;
    let target = before.run.target.clone();
    let id = ReceiptId(command.id.0.clone());
    let is_final = |harness: &Harness| harness.board.receipt(&id).is_some_and(|receipt| receipt.stage().is_final());
    // What goes by steps may wait for a person then, and must not be called effective while it does.
    let waits =
        |harness: &Harness| harness.row(&target).is_some_and(|row| row.facts != before.facts && row.awaits_human());
    let way_back = action == Action::Rollback;
    harness.until("it has its effect at last", |harness| is_final(harness) || (way_back && waits(harness))).await?;
    if is_final(&*harness) {
        harness.effective(&command.id).await.map(drop)
    } else {
        never_effective(&receipt(harness, &command.id)?)
    }
}

pub(in crate::contract) async fn superseded(
    harness: &mut Harness,
    action: Action,
    situation: Situation,
) -> Result<(), Stop> {
    let before = offering(harness, action, situation).await?;
    let command = harness.command(action, &before);
    in_vain(harness, command.clone(), &before).await?;
    harness.fixture.bring(Situation::Changed).await?;
    harness.fixture.bring(Situation::Restored).await?;
    let id = ReceiptId(command.id.0.clone());
    let (before, target) = (before.facts.clone(), before.run.target.clone());
    // Where the answer was lost nobody can tell whose version it is: then it may stay without an end.
    let lost = |stages: &[StageRecord]| stages.iter().any(|record| matches!(record.stage, Stage::Unknown { .. }));
    let waits = |harness: &Harness| harness.row(&target).is_some_and(|row| row.facts != before && row.awaits_human());
    let over = |harness: &Harness| {
        let receipt = harness.board.receipt(&id);
        receipt.is_some_and(|of| of.stage().is_final() || (lost(&of.stages) && waits(harness)))
    };
    harness.until("it has an end", over).await?;
    let receipt = receipt(harness, &command.id)?;
    never_effective(&receipt)?;
    if !receipt.stage().is_final() {
        return Ok(());
    }
    let told_so = matches!(receipt.stage(), Stage::Superseded { .. } | Stage::Failed { .. });
    check(told_so && receipt.stage().detail().is_some_and(|why| !why.trim().is_empty()), || {
        format!("another version came instead, and it says: {}", told(&receipt))
    })
}

pub(in crate::contract) async fn failed_afterwards(harness: &mut Harness) -> Result<(), Stop> {
    let before = offering(harness, Action::Promote, Situation::Doomed).await?;
    let command = harness.command(Action::Promote, &before);
    harness.taken(command.clone()).await?;
    let target = before.run.target.clone();
    harness.until("it has failed", |harness| harness.row(&target).is_some_and(|row| !row.phase.in_flight())).await?;
    let id = ReceiptId(command.id.0.clone());
    let over = |harness: &Harness| {
        let receipt = harness.board.receipt(&id);
        receipt.is_some_and(|of| of.stage().is_final() && !matches!(of.stage(), Stage::Effective { .. }))
    };
    harness.until("its receipt says that the effect is gone", over).await?;
    let receipt = receipt(harness, &command.id)?;
    check(receipt.stage().detail().is_some_and(|why| !why.trim().is_empty()), || {
        format!("it does not say why: {}", told(&receipt))
    })
}

pub(in crate::contract) async fn lost(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, _) = raising(harness)?;
    let row = harness.bring(situation).await?;
    harness.fixture.bring(Situation::Stale).await?;
    let says_why = |harness: &Harness| matches!(harness.link(), LinkState::Stale { why, .. } if !why.trim().is_empty());
    harness.until("the link says that it is stale, and why", says_why).await?;
    check(harness.row(&row.run.target).is_some(), || "the row is gone while its platform is lost".to_owned())?;
    match harness.orchestrator.read(&row.run).await {
        Err(InspectError::Unreachable(why)) if !why.trim().is_empty() => {}
        other => return failed(format!("read while it can't be reached: {other:?}")),
    }
    match harness.orchestrator.inspect(&row.run).await {
        Err(InspectError::Unreachable(why)) if !why.trim().is_empty() => {}
        other => return failed(format!("inspected while it can't be reached: {other:?}")),
    }
    let known = Vec::from(harness.orchestrator.capabilities().actions);
    for action in known.iter().copied() {
        says_no(harness, harness.command(action, &row)).await?;
    }
    if known.contains(&Action::Hold) {
        let selector =
            Selector { source: Some(harness.source()), service: Some(row.service.clone()), environment: None };
        let subject = Subject::Scope { selector, frozen: vec![row.run.clone()], hold: None };
        says_no(harness, Harness::about(Action::Hold, subject, None)).await?;
    }
    harness.fixture.bring(Situation::Restored).await?;
    harness.until("the link is live again", Harness::live).await?;
    untouched(harness, &row).await
}

/// It is refused, or its receipt says that it did not get there, or that nobody knows.
async fn says_no(harness: &mut Harness, command: Command) -> Result<(), Stop> {
    let Ok(receipt) = harness.submit(command).await? else { return Ok(()) };
    let told_yes = |stage: &Stage| matches!(stage, Stage::Accepted | Stage::Observed | Stage::Effective { .. });
    check(!receipt.stages.iter().any(|record| told_yes(&record.stage)), || {
        format!("the platform can't be reached, and it says: {}", told(&receipt))
    })
}
