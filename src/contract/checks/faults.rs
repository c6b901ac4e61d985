//! What must hold while the way to the platform is bad.

use super::{once, raising, reducing};
use crate::contract::harness::{Harness, check, failed, told};
use crate::contract::{Situation, Stop};
use crate::model::{Action, Command, LinkState, Receipt, RefusalKind, Stage};

fn sent(receipt: &Receipt) -> usize {
    receipt.stages.iter().filter(|record| record.stage == Stage::Sent).count()
}

fn was_unknown(receipt: &Receipt) -> Result<(), Stop> {
    let unknown = receipt.stages.iter().any(|record| matches!(record.stage, Stage::Unknown { .. }));
    check(unknown, || format!("its outcome was not unknown: {}", told(receipt)))
}

pub(in crate::contract) async fn slow(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = reducing(harness)?;
    let row = harness.bring(situation).await?;
    harness.fixture.bring(Situation::Slow).await?;
    let command = harness.command(action, &row);
    let hub = harness.hub.clone();
    let (answered, mut was_answered) = tokio::sync::oneshot::channel();
    // The board must be answered before the slow command is.
    let looked = async {
        let rows = hub.board().await.len();
        let _ = answered.send(()); // looked at below
        rows
    };
    let submission = async {
        let outcome = harness.submit(command.clone()).await;
        (outcome, was_answered.try_recv().is_ok())
    };
    let (rows, (outcome, looked_first)) = tokio::join!(looked, submission);
    // A refusal comes at once: that is another failure than a board that came late.
    let receipt = outcome?.or_else(|refusal| failed(format!("{} was refused: {refusal}", action.name())))?;
    check(rows > 0 && looked_first, || {
        format!("the hub did not answer while the backend was slow: {rows} rows after {}", told(&receipt))
    })?;
    was_unknown(&receipt)?;
    harness.fixture.bring(Situation::Restored).await?;
    let receipt = harness.effective(&command.id).await?;
    check(sent(&receipt) == 1, || format!("it was sent again: {}", told(&receipt)))
}

pub(in crate::contract) async fn cut(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    harness.fixture.bring(Situation::Cut).await?;
    let command = harness.command(action, &row);
    was_unknown(&harness.taken(command.clone()).await?)?;
    // Whoever did not get the answer asks again: it must not be sent again.
    harness.taken(command.clone()).await?;
    harness.fixture.bring(Situation::Restored).await?;
    let receipt = harness.effective(&command.id).await?;
    check(sent(&receipt) == 1, || format!("it was sent again: {}", told(&receipt)))?;
    once(harness, action, &row).await
}

pub(in crate::contract) async fn repeated(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    let command = harness.command(action, &row);
    let (first, second) = tokio::join!(harness.taken(command.clone()), harness.taken(command.clone()));
    check(first?.id == second?.id, || "two receipts for one command".to_owned())?;
    harness.effective(&command.id).await?;
    let third = harness.taken(command.clone()).await?;
    check(third.stage().is_final(), || format!("it was begun again: {}", told(&third)))?;
    let other = Command { reason: Some("another".to_owned()), ..command };
    match harness.submit(other).await? {
        Err(refusal) if refusal.kind == RefusalKind::Invalid => {}
        Err(refusal) => return failed(format!("its id for another command was refused as {:?}", refusal.kind)),
        Ok(_) => return failed("its id was taken for another command"),
    }
    once(harness, action, &row).await
}

pub(in crate::contract) async fn stale(harness: &mut Harness) -> Result<(), Stop> {
    let (situation, action) = raising(harness)?;
    let row = harness.bring(situation).await?;
    harness.fixture.bring(Situation::Stale).await?;
    let says_why = |harness: &Harness| matches!(harness.link(), LinkState::Stale { why, .. } if !why.trim().is_empty());
    harness.until("the link says since when and why it is stale", says_why).await?;
    check(harness.row(&row.run.target).is_some(), || "the row is gone while its watch is stale".to_owned())?;
    match harness.submit(harness.command(action, &row)).await? {
        Err(refusal) if refusal.kind == RefusalKind::Stale => {}
        Err(refusal) => return failed(format!("refused as {:?}: {refusal}", refusal.kind)),
        Ok(receipt) => return failed(format!("{} was taken: {}", action.name(), told(&receipt))),
    }
    let reduces = [Action::Abort, Action::Pause, Action::Rollback];
    let reduces = reduces.into_iter().find(|action| harness.lacks(*action).is_none());
    if let Some(action) = reduces
        && let Err(refusal) = harness.submit(harness.command(action, &row)).await?
    {
        check(refusal.kind != RefusalKind::Stale, || format!("{} was held back: {refusal}", action.name()))?;
    }
    harness.fixture.bring(Situation::Restored).await?;
    harness.until("the link is live again", Harness::live).await
}
