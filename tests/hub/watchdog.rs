//! The watchdog: a candidate in an environment that has one, judged by numbers that others measured.

use super::probes::{Teller, probe};
use super::*;
use flightdeck::hub::WatchdogRule;
use flightdeck::port::{ArmIncrease, Measured};
use jiff::{SignedDuration, Timestamp};

/// At most 1 % of the requests over those of stable may fail.
fn rule(on_breach: OnBreach) -> WatchdogRule {
    let limit = MetricLimit { metric: Metric::ErrorRate, max: None, over_stable: Some(0.01), ratio_to_stable: None };
    let template = AnalysisTemplate {
        limits: vec![limit],
        min_requests: 100,
        missing: Missing::Pause,
        window: SignedDuration::from_mins(1),
        judge: Judge::Sequential,
    };
    WatchdogRule { on_breach, template }
}

pub(super) fn armed(on_breach: OnBreach) -> impl FnOnce(&mut HubSettings) {
    move |settings| drop(settings.watchdogs.insert("staging".into(), rule(on_breach)))
}

async fn watched(on_breach: OnBreach) -> (Bench, Teller) {
    let (probe, teller) = probe("prometheus");
    let dir = Arc::new(TempDir::new().unwrap());
    let bench = Bench::made(World::new(), dir, PATIENCE, armed(on_breach), Vec::new(), vec![probe]).await;
    (bench, teller)
}

/// What both sides did in a window that ended so many seconds ago; shorter than it is between two questions.
pub(super) fn window(
    target: &Target,
    now: Timestamp,
    ago: i64,
    candidate: (u64, u64),
    stable: (u64, u64),
) -> Vec<ArmIncrease> {
    let to = now - SignedDuration::from_secs(ago);
    let sides = [(ArmRole::Candidate, candidate), (ArmRole::Stable, stable)];
    let increase = |(role, (requests, errors))| ArmIncrease {
        target: target.clone(),
        version: if role == ArmRole::Candidate { "1.10.0" } else { "1.9.0" }.into(),
        role,
        from: to - SignedDuration::from_micros(1),
        to,
        requests,
        errors,
        latency: Histogram::default(),
    };
    sides.map(increase).into()
}

fn of_watchdog(board: &Board) -> Vec<Receipt> {
    board.receipts().filter(|receipt| receipt.actor.name == "system:watchdog").cloned().collect()
}

pub(super) fn status<'a>(board: &'a Board, target: &Target) -> Option<&'a WatchdogStatus> {
    board.rollout(target)?.watchdog.as_deref()
}

pub(super) async fn tell(teller: &mut Teller, numbers: impl FnOnce(Timestamp) -> Vec<ArmIncrease>) {
    let (_, at) = teller.asked().await;
    teller.answer(Ok(Measured { increases: numbers(at), ..Measured::default() }));
}

#[tokio::test]
async fn a_bad_candidate_is_aborted_once_and_everybody_can_see_why() {
    let (bench, mut teller) = watched(OnBreach::Abort).await;
    let target = bench.world.rollout().run.target.clone();
    let board = bench.until("it is armed", |board| status(board, &target).is_some()).await;
    let armed = status(&board, &target).unwrap();
    assert!(armed.on_breach == OnBreach::Abort && armed.is_blind(Timestamp::MAX) && armed.measured.is_none());
    tell(&mut teller, |at| window(&target, at, 0, (300, 1), (900, 2))).await;
    let board = bench.until("it has numbers", |board| status(board, &target).unwrap().measured.is_some()).await;
    let report = status(&board, &target).unwrap().report.clone().unwrap();
    assert_eq!((report.candidate_requests, report.stable_requests), (300, 900));
    assert!(of_watchdog(&board).is_empty() && bench.world.done().is_empty(), "it is as good as stable");
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let board = bench.until("its abort", |board| !of_watchdog(board).is_empty()).await;
    let receipt = of_watchdog(&board).remove(0);
    let reason = receipt.command.reason.clone().unwrap();
    assert!(reason.starts_with("watchdog: errors") && reason.contains("at stable, limit 1 % over stable"), "{reason}");
    assert!(receipt.command.pin.is_some(), "it is bound to what it judged");
    let receipt = bench.stage(&receipt.id.0, "effective").await;
    assert_eq!(bench.world.done(), [Action::Abort]);
    let board = bench.until("the judgement", |board| board.evidence().count() == 1).await;
    let evidence = board.evidence().next().unwrap();
    assert_eq!(evidence.analysis.as_ref().unwrap().verdict, MetricVerdict::Fail);
    // What it goes on to hear changes nothing.
    tell(&mut teller, |at| window(&target, at, 0, (300, 80), (900, 2))).await;
    teller.asked().await;
    assert_eq!(bench.world.done(), [Action::Abort]);
    let records = bench.records().await;
    let of_it = |kind: Kind| records.iter().filter(|record| record.kind == kind).count();
    assert!(records.iter().any(|record| record.subject == receipt.id.0), "the ledger has the command");
    assert_eq!(of_it(Kind::Evidence), 1, "and what it was sent for, once");
}

#[tokio::test]
async fn who_wants_to_be_told_is_told_and_nothing_is_done() {
    let (bench, mut teller) = watched(OnBreach::Notify).await;
    let target = bench.world.rollout().run.target.clone();
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let breached = |board: &Board| status(board, &target).is_some_and(|status| status.breach.is_some());
    let board = bench.until("the breach", breached).await;
    assert_eq!(status(&board, &target).unwrap().breach.as_ref().unwrap().response, BreachResponse::Notified);
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    teller.asked().await;
    let board = bench.until("the judgement", |board| board.evidence().count() == 1).await;
    assert!(of_watchdog(&board).is_empty() && bench.world.done().is_empty());
}

#[tokio::test]
async fn nothing_is_done_on_old_numbers_on_none_and_on_those_of_stable_alone() {
    let (bench, mut teller) = watched(OnBreach::Abort).await;
    let target = bench.world.rollout().run.target.clone();
    tell(&mut teller, |at| window(&target, at, 600, (300, 60), (900, 2))).await;
    tell(&mut teller, |_| Vec::new()).await;
    tell(&mut teller, |at| window(&target, at, 0, (0, 0), (900, 300)).split_off(1)).await;
    // The candidate's alone are none either, where a limit compares.
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (0, 0)).into_iter().take(1).collect()).await;
    let (_, _) = teller.asked().await;
    let board = bench.until("its row", |board| status(board, &target).is_some()).await;
    assert!(of_watchdog(&board).is_empty() && bench.world.done().is_empty(), "{:?}", status(&board, &target));
    assert!(status(&board, &target).unwrap().breach.is_none());
    // The same numbers as of now: it was their age alone.
    teller.answer(Ok(Measured::default()));
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    bench.until("its abort", |board| !of_watchdog(board).is_empty()).await;
}

#[tokio::test]
async fn where_it_cannot_be_aborted_it_stands_still_and_where_it_cannot_do_that_it_is_said() {
    let (bench, mut teller) = watched(OnBreach::Abort).await;
    let target = bench.world.rollout().run.target.clone();
    bench.world.change(|row| row.offers = [Action::Promote].into_iter().collect());
    bench.until("its offers", |board| !board.rollout(&target).unwrap().offers.contains(Action::Abort)).await;
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let answer = |board: &Board| Some(status(board, &target)?.breach.as_ref()?.response.clone());
    let board = bench.until("the breach", |board| answer(board).is_some()).await;
    assert!(matches!(answer(&board).unwrap(), BreachResponse::NotOffered { action: Action::Abort, .. }));
    assert!(bench.world.done().is_empty(), "nothing that raises exposure stands in for it");
    bench.world.change(|row| row.offers = [Action::Promote, Action::Pause].into_iter().collect());
    bench.until("its offers", |board| board.rollout(&target).unwrap().offers.contains(Action::Pause)).await;
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    bench.until("its pause", |board| !of_watchdog(board).is_empty()).await;
    assert_eq!(bench.world.done(), [Action::Pause]);
}

#[tokio::test]
async fn a_hub_that_was_started_again_does_not_do_it_a_second_time() {
    let (bench, mut teller) = watched(OnBreach::Pause).await;
    let target = bench.world.rollout().run.target.clone();
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let board = bench.until("its pause", |board| !of_watchdog(board).is_empty()).await;
    let first = of_watchdog(&board).remove(0);
    bench.stage(&first.id.0, "effective").await;
    let Bench { world, task, dir, .. } = bench;
    task.abort();
    let _ = task.await;
    let (probe, mut teller) = probe("prometheus");
    let bench = Bench::made(world, dir, PATIENCE, armed(OnBreach::Pause), Vec::new(), vec![probe]).await;
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    teller.asked().await;
    let answered = |board: &Board| status(board, &target).is_some_and(|status| status.measured.is_some());
    let board = bench.until("its numbers", answered).await;
    let breach = status(&board, &target).unwrap().breach.clone().unwrap();
    assert_eq!(breach.response, BreachResponse::Sent { action: Action::Pause, command: first.command.id });
    assert_eq!((of_watchdog(&board).len(), bench.world.done()), (1, vec![Action::Pause]));
}

#[tokio::test]
async fn numbers_that_a_source_tells_itself_are_watched_too() {
    let (bench, _teller) = watched(OnBreach::Abort).await;
    let target = bench.world.rollout().run.target.clone();
    #[expect(clippy::disallowed_methods, reason = "numbers of now")]
    let now = Timestamp::now() + SignedDuration::from_secs(2);
    // Its clock is read once for each side.
    let sample = |role: ArmRole, later: i64, requests, errors| ArmSample {
        target: target.clone(),
        version: if role == ArmRole::Candidate { "1.10.0" } else { "1.9.0" }.into(),
        role,
        at: now + SignedDuration::from_micros(later),
        window_ms: 1000,
        requests,
        errors,
        p50_us: None,
        p95_us: None,
        p99_us: None,
    };
    let both = vec![sample(ArmRole::Stable, 0, 900, 2), sample(ArmRole::Candidate, 700, 300, 60)];
    bench.world.tell(&Body::Samples(both));
    bench.until("its abort", |board| !of_watchdog(board).is_empty()).await;
}

#[tokio::test]
async fn numbers_of_the_candidate_before_or_of_the_try_before_speak_against_nobody() {
    let (bench, mut teller) = watched(OnBreach::Abort).await;
    let target = bench.world.rollout().run.target.clone();
    // Asked before another version took its place.
    tell(&mut teller, |at| {
        let mut of_another = window(&target, at, 0, (300, 60), (900, 2));
        for side in &mut of_another {
            side.version = "1.9.9".into();
        }
        of_another
    })
    .await;
    // Of a time before it was watched.
    tell(&mut teller, |at| {
        let mut early = window(&target, at, 0, (300, 60), (900, 2));
        for side in &mut early {
            side.from = at - SignedDuration::from_mins(1);
        }
        early
    })
    .await;
    teller.asked().await;
    assert!(bench.world.done().is_empty());
    teller.answer(Ok(Measured::default()));
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    bench.until("its abort", |board| !of_watchdog(board).is_empty()).await;
}
