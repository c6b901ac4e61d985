//! Abort against promote: at every point, and in many random orders, abort holds.

use super::*;
use futures::StreamExt;

/// Where the promote stands when the abort comes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Point {
    BeforeDecide,
    BeforeLedger,
    BeforeExecute,
    BeforeAnswer,
    BeforeEffect,
    AfterEffect,
}

/// Nothing raised the candidate once the abort was carried out, and it has nothing now.
fn abort_holds(bench: &Bench, context: &str) {
    let after = bench.world.shares_after(Action::Abort);
    assert!(!after.is_empty(), "{context}: the abort was not carried out");
    assert!(after.iter().all(|share| *share == 0), "{context}: raised again: {after:?}");
    let rollout = bench.world.rollout();
    assert_eq!(rollout.candidate().unwrap().traffic.desired, Ppm::ZERO, "{context}");
    assert!(matches!(rollout.phase, Phase::RollingBack | Phase::Aborted), "{context}: {:?}", rollout.phase);
}

async fn race(action: Action, point: Point) {
    let context = format!("{action:?} at {point:?}");
    let bench = Bench::new().await;
    bench.world.ack_by_itself(point == Point::AfterEffect);
    let mut locked = None;
    match point {
        Point::BeforeDecide => bench.world.read.shut(),
        Point::BeforeLedger => locked = Some(lock(bench.dir.path())),
        Point::BeforeExecute => bench.world.execute.shut(),
        Point::BeforeAnswer => bench.world.answer.shut(),
        Point::BeforeEffect | Point::AfterEffect => {}
    }
    let raise = bench.start(bench.world.command("raise", action));
    match point {
        Point::BeforeDecide => bench.world.read.reached().await,
        Point::BeforeLedger => bench.turns().await,
        Point::BeforeExecute => bench.world.execute.reached().await,
        Point::BeforeAnswer => bench.world.answer.reached().await,
        Point::BeforeEffect => drop(bench.stage("raise", "observed").await),
        Point::AfterEffect => drop(bench.stage("raise", "effective").await),
    }
    // Full and effective: the rollout has ended, so there is nothing to abort any more.
    if (action, point) == (Action::PromoteFull, Point::AfterEffect) {
        bench.until("the end", |board| board.rollouts().all(|r| r.phase == Phase::Healthy)).await;
    }
    let abort = bench.submit(command("stop", Action::Abort, bench.world.run(), None)).await;
    bench.world.read.open();
    bench.world.execute.open();
    bench.world.answer.open();
    drop(locked);
    let raised = raise.await.unwrap();
    abort.unwrap_or_else(|refusal| panic!("{context}: the abort was refused: {refusal}"));
    bench.world.ack();
    bench.stage("stop", "effective").await;
    abort_holds(&bench, &context);
    let stage = if let Err(refusal) = raised {
        format!("refused: {:?}", refusal.kind)
    } else {
        let id = ReceiptId::from("raise");
        let settled = |board: &Board| board.receipt(&id).is_some_and(|receipt| receipt.stage().is_final());
        let board = bench.until("the raise to be settled", settled).await;
        board.receipt(&id).unwrap().stage().word().to_owned()
    };
    let expected = match point {
        Point::BeforeDecide => "refused: NotApplicable",
        Point::BeforeLedger | Point::BeforeAnswer | Point::BeforeEffect => "superseded",
        Point::BeforeExecute => "refused: PinChanged",
        Point::AfterEffect => "reverted",
    };
    assert_eq!(stage, expected, "{context}");
    let records = bench.records().await;
    assert!(records.iter().any(|record| record.subject == "stop" && record.kind == Kind::Requested), "{context}");
}

const POINTS: [Point; 6] = [
    Point::BeforeDecide,
    Point::BeforeLedger,
    Point::BeforeExecute,
    Point::BeforeAnswer,
    Point::BeforeEffect,
    Point::AfterEffect,
];

#[tokio::test]
async fn an_abort_beats_a_promote_at_every_point() {
    for point in POINTS {
        race(Action::Promote, point).await;
    }
}

#[tokio::test]
async fn an_abort_beats_a_full_promote_at_every_point_before_its_end() {
    for point in POINTS.into_iter().filter(|point| *point != Point::AfterEffect) {
        race(Action::PromoteFull, point).await;
    }
}

#[tokio::test]
async fn an_abort_holds_in_random_orders() {
    // Side by side, so that they wait for the disk together.
    futures::stream::iter(0..150).map(random_order).buffer_unordered(12).collect::<Vec<()>>().await;
}

async fn random_order(seed: u64) {
    let context = format!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = Bench::new().await;
    bench.world.ack_by_itself(random.bool());
    bench.world.lose_answers(random.u8(..8) == 0);
    let gates = [&bench.world.read, &bench.world.execute, &bench.world.answer];
    for gate in gates.into_iter().filter(|_| random.bool()) {
        gate.shut();
    }
    let locked = (random.u8(..4) == 0).then(|| lock(bench.dir.path()));
    let raises = [Action::Promote, Action::Resume, Action::Approve];
    let mut tasks = Vec::new();
    for number in 0..random.usize(1..4) {
        let action = *random.choice(&raises).unwrap();
        tasks.push(bench.start(bench.world.command(&format!("raise-{number}"), action)));
        if random.bool() {
            tasks.push(bench.start(bench.world.command(&format!("pause-{number}"), Action::Pause)));
        }
        for _ in 0..random.usize(0..12) {
            tokio::task::yield_now().await;
        }
        if random.bool() {
            random.choice(&gates).unwrap().open();
        }
    }
    // Nothing reached its end yet unless all of it was approved; then there is nothing to abort.
    let abort = bench.submit(command("stop", Action::Abort, bench.world.run(), None)).await;
    for gate in gates {
        gate.open();
    }
    drop(locked);
    for task in tasks {
        let _ = task.await.unwrap(); // each may be refused or taken: only the end counts
    }
    bench.world.lose_answers(false);
    bench.world.ack();
    match abort {
        Ok(_) if bench.world.done().contains(&Action::Abort) => {
            bench.stage("stop", "effective").await;
            abort_holds(&bench, &context);
        }
        Ok(receipt) => panic!("{context}: {receipt:?}"),
        Err(refusal) => {
            assert_eq!(bench.world.rollout().phase, Phase::Healthy, "{context}: {refusal}");
            assert!(bench.world.done().contains(&Action::Approve), "{context}: {refusal}");
        }
    }
    let done = bench.world.done().len();
    let board = bench.until("every receipt to be settled", |board| board.receipts().all(|r| r.stage().is_final()));
    board.await;
    assert_eq!(bench.world.done().len(), done, "{context}: nothing comes later");
    bench.records().await;
}
