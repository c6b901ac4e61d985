//! What stands between us and the API server fails: the view is old and says so, nothing that raises
//! exposure is taken, nothing is done twice, and afterwards it is the server's again.

use super::proxy::{Fault, Proxy};
use super::rig::Deck;
use super::{Namespace, canary, deployment, until};
use flightdeck::board::{Board, freshness};
use flightdeck::model::{Action, Phase, Rollout, Stage};
use futures::FutureExt as _;
use serde_json::{Value, json};
use std::time::Duration;

/// The desk's own picture, links included.
async fn board(desk: &Deck) -> Board {
    let mut subscription = desk.hub.subscribe(None).await.expect("a hub");
    let mut board = Board::default();
    while let Some(Some(envelope)) = subscription.next().now_or_never() {
        board.apply(&envelope.scoped);
    }
    board
}

async fn fresh(desk: &Deck, row: &Rollout) -> bool {
    freshness(&board(desk).await, row).is_fresh()
}

async fn becomes(desk: &Deck, row: &Rollout, wanted: bool) {
    let what = if wanted { "the view to be live" } else { "the view to be stale" };
    until(what, async || (fresh(desk, row).await == wanted).then_some(())).await;
}

/// What the server says of both workloads, as far as a row shows it.
fn truth(namespace: &Namespace) -> (Value, Value) {
    let rollout = namespace.get("rollout/shop");
    let web = namespace.get("deployment/web");
    let step = rollout["status"]["currentStepIndex"].clone();
    (step, web["spec"]["replicas"].clone())
}

fn seen(shop: &Rollout, web: &Rollout) -> (Value, Value) {
    let wanted: u32 = web.arms.iter().map(|arm| arm.replicas.desired).max().unwrap_or_default();
    (json!(shop.step), json!(wanted))
}

async fn agrees(desk: &Deck, namespace: &Namespace) {
    until("the view to equal the server's", async || {
        let (shop, web) = (desk.find("shop").await?, desk.find("web").await?);
        (seen(&shop, &web) == truth(namespace)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn every_fault_of_the_connection_passes() {
    let namespace = Namespace::new("connection");
    let steps = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 40}, {"pause": {}}, {"setWeight": 60}, {"pause": {}},
        {"setWeight": 80}, {"pause": {}}]);
    namespace.apply(&canary("shop", "1", &steps));
    namespace.apply(&deployment("web", "1"));
    let proxy = Proxy::start("operator").await;
    let desk = Deck::over(proxy.before(namespace.settings("operator")), "ann");
    desk.row("shop", "healthy", |row| row.phase == Phase::Healthy).await;
    desk.row("web", "healthy", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("rollout/shop", "2");
    desk.row("shop", "paused", |row| row.phase == Phase::Paused && row.awaits_human()).await;

    let mut replicas = 3;
    for fault in [Fault::Drop, Fault::HalfOpen, Fault::Answer(500), Fault::Answer(429), Fault::Answer(410), Fault::Html]
    {
        let row = desk.find("shop").await.expect("a row");
        becomes(&desk, &row, true).await;
        proxy.fails(fault);
        // A watch that is open lives on until it is cut: what matters is that nothing is believed
        // for long, and that a change meanwhile is not missed afterwards.
        replicas += 1;
        namespace.kubectl(&["scale", "deployment/web", &format!("--replicas={replicas}")]);
        if matches!(fault, Fault::Drop | Fault::HalfOpen) {
            becomes(&desk, &row, false).await;
        }
        let refused = desk.send(Action::Promote, &row, &format!("promote-{replicas}")).await;
        let changed = namespace.get("rollout/shop")["status"]["currentStepIndex"].clone();
        assert!(refused.is_err(), "{fault:?}: nothing that raises exposure is taken: {refused:?}");
        assert_eq!(changed, json!(row.step), "{fault:?}: nothing was done");
        proxy.fails(Fault::None);
        agrees(&desk, &namespace).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn no_command_is_carried_out_twice() {
    let namespace = Namespace::new("once");
    let steps = json!([{"setWeight": 20}, {"pause": {}}, {"setWeight": 40}, {"pause": {}}, {"setWeight": 60}, {"pause": {}},
        {"setWeight": 80}, {"pause": {}}]);
    namespace.apply(&canary("shop", "1", &steps));
    let proxy = Proxy::start("operator").await;
    let desk = Deck::over(proxy.before(namespace.settings("operator")), "ann");
    desk.row("shop", "healthy", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("rollout/shop", "2");
    let paused = |step: u32| move |row: &Rollout| row.step == Some(step) && row.awaits_human();
    let row = desk.row("shop", "paused at its first step", paused(1)).await;

    // Twice at the server: its tests let only the first through, and one step is what was meant.
    proxy.fails(Fault::Twice);
    let before = namespace.changes_by("operator").len();
    drop(desk.send(Action::Promote, &row, "1").await);
    assert_eq!(namespace.changes_by("operator").len(), before + 2, "it arrived twice");
    proxy.fails(Fault::None);
    let row = desk.row("shop", "paused at its second step", paused(3)).await;

    // The answer is lost: unknown, never sent again, and then seen.
    proxy.fails(Fault::CutAnswer);
    let before = namespace.changes_by("operator").len();
    let receipt = desk.send(Action::Promote, &row, "2").await.expect("it may have been carried out");
    assert!(
        receipt.stages.iter().any(|record| matches!(record.stage, Stage::Unknown { .. })),
        "a lost answer is not an answer: {:?}",
        receipt.stages
    );
    proxy.fails(Fault::None);
    let receipt = desk.end_of(&receipt).await;
    assert!(matches!(receipt.stage(), Stage::Effective { .. }), "{:?}", receipt.stages);
    let row = desk.row("shop", "paused at its third step", paused(5)).await;
    assert_eq!(namespace.changes_by("operator").len(), before + 1, "sent once");

    // It never arrived: unknown as well, for nobody can tell; and nothing happened.
    proxy.fails(Fault::CutRequest);
    let receipt = desk.send(Action::Promote, &row, "3").await.expect("nobody can tell");
    assert!(matches!(receipt.stage(), Stage::Unknown { .. }), "{:?}", receipt.stages);
    assert_eq!(namespace.changes_by("operator").len(), before + 1, "nothing arrived");

    // Slow: what raises exposure is not taken; an abort is sent, once, and its effect is seen.
    proxy.fails(Fault::None);
    let row = desk.row("shop", "still at its third step", paused(5)).await;
    proxy.fails(Fault::Delay(Duration::from_secs(10)));
    let refused = desk.send(Action::Promote, &row, "4").await;
    assert!(refused.as_ref().is_err_and(|refusal| refusal.why.contains("did not answer")), "{refused:?}");
    let receipt = desk.send(Action::Abort, &row, "5").await.expect("taken, however slow");
    proxy.fails(Fault::None);
    let last = desk.end_of(&receipt).await;
    assert!(matches!(last.stage(), Stage::Effective { .. }), "{:?}", last.stages);
    assert_eq!(namespace.changes_by("operator").len(), before + 2, "the abort alone, and once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the test cluster: tests/cluster/cluster"]
async fn an_abort_is_sent_though_the_view_is_old() {
    let namespace = Namespace::new("old-view");
    namespace.apply(&canary("shop", "1", &json!([{"setWeight": 20}, {"pause": {}}])));
    let proxy = Proxy::start("operator").await;
    let desk = Deck::over(proxy.before(namespace.settings("operator")), "ann");
    desk.row("shop", "healthy", |row| row.phase == Phase::Healthy).await;
    namespace.set_version("rollout/shop", "2");
    let row = desk.row("shop", "paused", |row| row.phase == Phase::Paused && row.awaits_human()).await;
    proxy.fails(Fault::Drop);
    becomes(&desk, &row, false).await;
    // Not reachable: said at once, nothing pretended.
    let receipt = desk.send(Action::Abort, &row, "5").await;
    let failed = receipt.as_ref().is_ok_and(|receipt| matches!(receipt.stage(), Stage::Failed { .. }));
    assert!(failed, "it could not be sent: {receipt:?}");
    proxy.fails(Fault::None);
    desk.does(Action::Abort, "shop").await;
}
