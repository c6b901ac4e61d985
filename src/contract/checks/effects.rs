//! What is seen, and what a command does.

use super::offering;
use crate::contract::harness::{Harness, check, failed};
use crate::contract::{Situation, Stop};
use crate::model::{Action, ApprovalState, Fact, LinkState, Phase, Ppm, Rollout, Selector, Subject, Wait};

/// A situation that every backend has.
async fn any(harness: &mut Harness) -> Result<Rollout, Stop> {
    for situation in [Situation::Paused, Situation::Settled] {
        match harness.bring(situation).await {
            Err(Stop::NotApplicable(_)) => {}
            brought => return brought,
        }
    }
    harness.bring(Situation::Approval).await
}

pub(in crate::contract) async fn watch(harness: &mut Harness) -> Result<(), Stop> {
    let before = any(harness).await?;
    let source = harness.source();
    check(harness.board.rollouts().all(|row| row.run.target.source == source), || {
        "a row is of another source".to_owned()
    })?;
    check(!before.arms.is_empty(), || "its row has no arm".to_owned())?;
    for fact in [Fact::Workload, Fact::Revision] {
        check(before.facts.0.contains_key(&fact), || format!("its row has no fact {}", fact.word()))?;
    }
    let live = harness.read(&before).await?;
    check(live.facts == before.facts, || format!("read live it has other facts: {:?}", live.facts))?;
    let target = harness.fixture.bring(Situation::Changed).await?;
    let changed = |harness: &Harness| harness.row(&target).is_some_and(|row| row.facts != before.facts);
    harness.until("the change shows by itself", changed).await
}

pub(in crate::contract) async fn reconnect(harness: &mut Harness) -> Result<(), Stop> {
    let before = any(harness).await?;
    let target = harness.fixture.bring(Situation::Interrupted).await?;
    harness
        .until("the link says that it is stale", |harness| matches!(harness.link(), LinkState::Stale { .. }))
        .await?;
    let back = |harness: &Harness| harness.live() && harness.row(&target).is_some_and(|row| row.facts != before.facts);
    harness.until("the link is live and shows what changed meanwhile", back).await?;
    let row = harness.found(&target)?;
    let live = harness.read(&row).await?;
    check(live.run == row.run, || format!("the board has {}, the backend {}", row.run, live.run))
}

pub(in crate::contract) async fn effect(
    harness: &mut Harness,
    action: Action,
    situation: Situation,
) -> Result<(), Stop> {
    if let Some(why) = harness.lacks(action) {
        return Err(Stop::NotApplicable(why));
    }
    match action {
        Action::Approve | Action::Reject => {
            let before = harness.bring(situation).await?;
            return vote(harness, action, &before).await;
        }
        Action::Deploy => {
            let before = harness.bring(situation).await?;
            return deploy(harness, &before).await;
        }
        _ => {}
    }
    let before = offering(harness, action, situation).await?;
    let target = before.run.target.clone();
    let receipt = harness.carried_out(harness.command(action, &before)).await?;
    let what = format!("the row shows the effect of {}: {:?}", action.name(), receipt.stage().detail());
    harness.until(&what, |harness| harness.row(&target).is_some_and(|row| came(action, &before, row))).await
}

/// Is the effect in the row?
fn came(action: Action, before: &Rollout, row: &Rollout) -> bool {
    let exposed = row.candidate().and_then(|arm| arm.traffic.actual).unwrap_or(Ppm::ZERO);
    let taken_back = exposed == Ppm::ZERO || row.run != before.run;
    match action {
        Action::Promote => row.step > before.step || row.phase == Phase::Healthy || row.phase == Phase::Progressing,
        Action::PromoteFull => row.phase == Phase::Healthy,
        Action::Pause => row.awaits_human() || row.phase == Phase::Paused,
        Action::Resume => !row.offers.contains(Action::Resume),
        Action::Abort => taken_back && (!row.phase.in_flight() || row.phase == Phase::RollingBack),
        Action::Rollback => taken_back && row != before,
        Action::Retry => row.phase.in_flight() || row.phase == Phase::Healthy,
        // Some restart within the same revision: the proof says that every instance is newer.
        Action::Restart => row.phase == Phase::Healthy || row.phase.in_flight(),
        _ => true,
    }
}

async fn vote(harness: &mut Harness, action: Action, before: &Rollout) -> Result<(), Stop> {
    harness.until("its approval is asked for", |harness| harness.asked(&before.run).is_some()).await?;
    let Some(approval) = harness.asked(&before.run).cloned() else { return failed("its approval is gone") };
    let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
    harness.carried_out(Harness::about(action, subject, Some(approval.facts.pin(action)))).await?;
    let expected = if action == Action::Approve { ApprovalState::Approved } else { ApprovalState::Rejected };
    let voted =
        |harness: &Harness| harness.board.approval(&approval.id).is_some_and(|approval| approval.state == expected);
    harness.until("the approval says so", voted).await
}

async fn deploy(harness: &mut Harness, before: &Rollout) -> Result<(), Stop> {
    let serves = before.stable().map(|arm| arm.version.clone());
    let other = harness
        .board
        .releases()
        .find(|release| release.service == before.service && Some(&release.version) != serves.as_ref())
        .map(|release| release.version.clone());
    let Some(version) = other else { return failed("no other release of it is stored") };
    let (service, environment) = (before.service.clone(), before.environment.clone());
    let source = harness.source();
    let subject = Subject::NewRollout { source, service, environment, version: Some(version.clone()), from: None };
    harness.carried_out(Harness::about(Action::Deploy, subject, Some(before.facts.pin(Action::Deploy)))).await?;
    let target = before.run.target.clone();
    let named =
        |harness: &Harness| harness.row(&target).is_some_and(|row| row.arms.iter().any(|arm| arm.version == version));
    harness.until("the row names the version", named).await
}

pub(in crate::contract) async fn hold(harness: &mut Harness) -> Result<(), Stop> {
    if let Some(why) = harness.lacks(Action::Hold) {
        return Err(Stop::NotApplicable(why));
    }
    let before = harness.bring(Situation::InFlight).await?;
    // Others may use the same backend: only what this case brought is meant.
    let selector = Selector {
        source: Some(harness.source()),
        environment: Some(before.environment.clone()),
        service: Some(before.service.clone()),
    };
    let subject = Subject::Scope { selector: selector.clone(), frozen: vec![before.run.clone()], hold: None };
    harness.carried_out(Harness::about(Action::Hold, subject, None)).await?;
    let target = before.run.target.clone();
    let holds =
        |harness: &Harness| harness.board.holds().find(|hold| hold.selector == selector).map(|hold| hold.id.clone());
    harness.until("the hold is on the board", |harness| holds(harness).is_some()).await?;
    let Some(id) = holds(harness) else { return failed("the hold is gone") };
    let held = |harness: &Harness| harness.row(&target).is_some_and(|row| row.waits.contains(&Wait::Hold(id.clone())));
    harness.until("the row waits for the hold", held).await?;
    harness
        .carried_out(Harness::about(
            Action::ReleaseHold,
            Subject::Hold { source: Some(harness.source()), id: id.clone() },
            None,
        ))
        .await?;
    harness.until("the row goes on", |harness| !held(harness)).await
}
