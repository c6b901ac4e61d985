//! What is seen, and what a command does.

use super::offering;
use crate::contract::bench::{Bench, check, failed};
use crate::contract::{Situation, Stop};
use crate::model::{Action, ApprovalState, Fact, LinkState, Phase, Ppm, Rollout, Selector, Subject, Wait};

/// A situation that every backend has.
async fn any(bench: &mut Bench) -> Result<Rollout, Stop> {
    match bench.bring(Situation::Paused).await {
        Err(Stop::NotApplicable(_)) => bench.bring(Situation::Settled).await,
        brought => brought,
    }
}

pub(in crate::contract) async fn watch(bench: &mut Bench) -> Result<(), Stop> {
    let before = any(bench).await?;
    let source = bench.source();
    check(bench.board.rollouts().all(|row| row.run.target.source == source), || {
        "a row is of another source".to_owned()
    })?;
    check(!before.arms.is_empty(), || "its row has no arm".to_owned())?;
    for fact in [Fact::Workload, Fact::Revision] {
        check(before.facts.0.contains_key(&fact), || format!("its row has no fact {}", fact.word()))?;
    }
    let live = bench.read(&before).await?;
    check(live.facts == before.facts, || format!("read live it has other facts: {:?}", live.facts))?;
    let target = bench.fixture.bring(Situation::Changed).await?;
    let changed = |bench: &Bench| bench.row(&target).is_some_and(|row| row.facts != before.facts);
    bench.until("the change shows by itself", changed).await
}

pub(in crate::contract) async fn reconnect(bench: &mut Bench) -> Result<(), Stop> {
    let before = any(bench).await?;
    let target = bench.fixture.bring(Situation::Interrupted).await?;
    bench.until("the link says that it is stale", |bench| matches!(bench.link(), LinkState::Stale { .. })).await?;
    let back = |bench: &Bench| bench.live() && bench.row(&target).is_some_and(|row| row.facts != before.facts);
    bench.until("the link is live and shows what changed meanwhile", back).await?;
    let row = bench.found(&target)?;
    let live = bench.read(&row).await?;
    check(live.run == row.run, || format!("the board has {}, the backend {}", row.run, live.run))
}

pub(in crate::contract) async fn effect(bench: &mut Bench, action: Action, situation: Situation) -> Result<(), Stop> {
    if let Some(why) = bench.lacks(action) {
        return Err(Stop::NotApplicable(why));
    }
    match action {
        Action::Approve | Action::Reject => {
            let before = bench.bring(situation).await?;
            return vote(bench, action, &before).await;
        }
        Action::Deploy => {
            let before = bench.bring(situation).await?;
            return deploy(bench, &before).await;
        }
        _ => {}
    }
    let before = offering(bench, action, situation).await?;
    let target = before.run.target.clone();
    let receipt = bench.carried_out(Bench::command(action, &before)).await?;
    let what = format!("the row shows the effect of {}: {:?}", action.name(), receipt.stage().detail());
    bench.until(&what, |bench| bench.row(&target).is_some_and(|row| came(action, &before, row))).await
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

async fn vote(bench: &mut Bench, action: Action, before: &Rollout) -> Result<(), Stop> {
    let open = |bench: &Bench| {
        let mut approvals = bench.board.approvals();
        approvals.find(|approval| approval.run == before.run && approval.state == ApprovalState::Pending).cloned()
    };
    bench.until("its approval is asked for", |bench| open(bench).is_some()).await?;
    let Some(approval) = open(bench) else { return failed("its approval is gone") };
    let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
    bench.carried_out(Bench::about(action, subject, Some(approval.facts.pin(action)))).await?;
    let expected = if action == Action::Approve { ApprovalState::Approved } else { ApprovalState::Rejected };
    let voted = |bench: &Bench| bench.board.approval(&approval.id).is_some_and(|approval| approval.state == expected);
    bench.until("the approval says so", voted).await
}

async fn deploy(bench: &mut Bench, before: &Rollout) -> Result<(), Stop> {
    let serves = before.stable().map(|arm| arm.version.clone());
    let other = bench
        .board
        .releases()
        .find(|release| release.service == before.service && Some(&release.version) != serves.as_ref())
        .map(|release| release.version.clone());
    let Some(version) = other else { return failed("no other release of it is stored") };
    let (service, environment) = (before.service.clone(), before.environment.clone());
    let source = bench.source();
    let subject = Subject::Deployment { source, service, environment, version: Some(version.clone()), from: None };
    bench.carried_out(Bench::about(Action::Deploy, subject, Some(before.facts.pin(Action::Deploy)))).await?;
    let target = before.run.target.clone();
    let named = |bench: &Bench| bench.row(&target).is_some_and(|row| row.arms.iter().any(|arm| arm.version == version));
    bench.until("the row names the version", named).await
}

pub(in crate::contract) async fn hold(bench: &mut Bench) -> Result<(), Stop> {
    if let Some(why) = bench.lacks(Action::Hold) {
        return Err(Stop::NotApplicable(why));
    }
    let before = bench.bring(Situation::InFlight).await?;
    // Others may use the same backend: only what this case brought is meant.
    let selector = Selector {
        source: Some(bench.source()),
        environment: Some(before.environment.clone()),
        service: Some(before.service.clone()),
    };
    let subject = Subject::Scope { selector: selector.clone(), frozen: vec![before.run.clone()], hold: None };
    bench.carried_out(Bench::about(Action::Hold, subject, None)).await?;
    let target = before.run.target.clone();
    let holds = |bench: &Bench| bench.board.holds().find(|hold| hold.selector == selector).map(|hold| hold.id.clone());
    bench.until("the hold is on the board", |bench| holds(bench).is_some()).await?;
    let Some(id) = holds(bench) else { return failed("the hold is gone") };
    let held = |bench: &Bench| bench.row(&target).is_some_and(|row| row.waits.contains(&Wait::Hold(id.clone())));
    bench.until("the row waits for the hold", held).await?;
    bench
        .carried_out(Bench::about(
            Action::Release,
            Subject::Hold { source: Some(bench.source()), id: id.clone() },
            None,
        ))
        .await?;
    bench.until("the row goes on", |bench| !held(bench)).await
}
