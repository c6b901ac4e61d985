//! Several hubs of one user: one ledger, each its own commands. And a link to a hub in this process.

use super::*;
use flightdeck::client::{ClientEvent, Link};
use flightdeck::ledger::Entry;
use futures::StreamExt as _;
use std::sync::Arc;

async fn beside(bench: &Bench) -> Bench {
    Bench::over(bench.world.clone(), Arc::clone(&bench.dir), PATIENCE, |_| {}).await
}

fn about(records: &[flightdeck::ledger::Record], id: &str) -> Vec<String> {
    let stages = records.iter().filter(|record| record.subject == id && record.kind == Kind::Stage);
    stages.map(|record| record.body["data"]["stage"]["stage"]["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_hub_leaves_the_commands_of_another_living_one_alone_and_follows_those_of_a_dead_one() {
    let first = Bench::new().await;
    first.world.ack_by_itself(false);
    first.submit(first.world.command("c-1", Action::Promote)).await.unwrap();
    first.stage("c-1", "observed").await;
    let second = beside(&first).await;
    second.turns().await;
    let receipts = second.until("its rows", |board| board.rollouts().count() == 1).await;
    assert_eq!(receipts.receipts().count(), 0, "the first hub lives and follows its own");
    let third = first.crash().await;
    assert_eq!(third.stage("c-1", "observed").await.stages.len(), 4, "taken over where it stood");
    third.world.ack();
    third.stage("c-1", "effective").await;
    drop(second);
    let records = third.records().await;
    assert_eq!(about(&records, "c-1"), ["sent", "accepted", "observed", "effective"], "each stage once");
}

#[tokio::test]
async fn a_hub_takes_up_only_commands_at_its_own_sources() {
    let dir = Arc::new(TempDir::new().unwrap());
    let world = World::new();
    let entry = |id: &str, source: &str| {
        let mut run = world.rollout().run;
        run.target.source = source.into();
        let receipt = Receipt {
            id: id.into(),
            command: command(id, Action::Promote, Subject::Run(run), None),
            actor: alice(),
            stages: vec![StageRecord { stage: Stage::Requested, at: at(1) }],
            forecast: None,
            grade: None,
            targets: Vec::new(),
            sources: Vec::new(),
            created: None,
            left: None,
            outcome: None,
        };
        Entry::Requested { receipt: Box::new(receipt), before: None, hub: None, sources: vec![source.into()] }
    };
    {
        let ledger = Ledger::open(dir.path()).unwrap();
        ledger.append(&entry("c-here", source().as_str())).await.unwrap();
        ledger.append(&entry("c-there", "prod-eu")).await.unwrap();
    }
    let bench = Bench::over(world, dir, PATIENCE, |_| {}).await;
    bench.stage("c-here", "unknown").await;
    let board = bench.until("its receipts", |board| board.receipts().count() > 0).await;
    assert_eq!(board.receipts().map(|receipt| receipt.id.as_str()).collect::<Vec<_>>(), ["c-here"]);
    assert!(about(&bench.records().await, "c-there").is_empty(), "nothing is said about it");
}

#[tokio::test]
async fn what_another_hub_did_is_no_outside_change() {
    let first = Bench::new().await;
    let second = beside(&first).await;
    first.submit(first.world.command("c-1", Action::Abort)).await.unwrap();
    first.stage("c-1", "effective").await;
    let Bench { world, hub, task, dir } = first;
    drop(hub);
    timeout(PATIENCE, task).await.expect("the end of the first hub").unwrap();
    let rollout = world.rollout();
    let now = jiff::Timestamp::now();
    let ended = RolloutRecord { started: now, ended: now, ..ended(&rollout, DeploymentOutcome::Aborted) };
    world.tell(&Body::Upsert(Entity::RolloutRecord(Arc::new(ended))));
    second.until("the end of the rollout", |board| board.deployments().count() == 1).await;
    let ledger = Ledger::open(dir.path()).unwrap();
    let observed = async {
        loop {
            let records = ledger.records(100).await.unwrap();
            if let Some(record) = records.into_iter().find(|record| record.kind == Kind::Observed) {
                return record;
            }
            second.turns().await;
        }
    };
    let record = timeout(PATIENCE, observed).await.expect("the end in the ledger");
    assert_eq!(record.body["data"]["receipt"], "c-1");
}

#[tokio::test]
async fn an_end_says_who_began_and_who_ended_it_also_after_a_start() {
    let bench = Bench::new().await;
    bench.submit(bench.world.command("c-1", Action::Rollback)).await.unwrap();
    bench.stage("c-1", "effective").await;
    let (rollout, now) = (bench.world.rollout(), jiff::Timestamp::now());
    let undone = RolloutRecord {
        author: None,
        writer: Some("kubectl-set".into()),
        cause: "undone by revision 3".into(),
        started: now,
        ended: now,
        ..ended(&rollout, DeploymentOutcome::Aborted)
    };
    let run = Run { revision: "3".into(), ..rollout.run.clone() };
    let back =
        RolloutRecord { run: run.clone(), outcome: DeploymentOutcome::Succeeded, cause: "up".into(), ..undone.clone() };
    for end in [undone.clone(), back] {
        bench.world.tell(&Body::Upsert(Entity::RolloutRecord(Arc::new(end))));
    }
    let told = |board: &Board| {
        let words = |run: &Run| board.deployment(run).map(|of| format!("{}, {}", of.who(), of.cause));
        [words(&rollout.run), words(&run)].map(Option::unwrap_or_default)
    };
    let expected = [
        "kubectl-set (field manager), rollback by alice; undone by revision 3".to_owned(),
        "alice, rollback by alice; up".to_owned(),
    ];
    let board = bench.until("both ends", |board| board.deployments().count() == 2).await;
    assert_eq!(told(&board), expected);
    let bench = bench.crash().await;
    let board = bench.until("both ends from the ledger", |board| board.deployments().count() == 2).await;
    assert_eq!(told(&board), expected);
    // It is tried again, and ends another way: that is recorded, too.
    let later = now + jiff::SignedDuration::from_secs(9);
    let again = RolloutRecord { outcome: DeploymentOutcome::Succeeded, ended: later, ..undone };
    bench.world.tell(&Body::Upsert(Entity::RolloutRecord(Arc::new(again))));
    let all = |board: &Board| board.deployments().all(|of| of.outcome == DeploymentOutcome::Succeeded);
    bench.until("another end", all).await;
    let records = bench.records().await;
    assert_eq!(records.iter().filter(|record| record.kind == Kind::Observed).count(), 3);
}

#[tokio::test]
async fn what_a_backend_cannot_do_is_refused_before_anything_is_asked() {
    let bench = Bench::new().await;
    let deploy = |source: &str| Subject::NewRollout {
        source: source.into(),
        service: "checkout".into(),
        environment: "staging".into(),
        version: Some("2".into()),
        from: None,
    };
    bench.world.knows(&[Action::Pause, Action::Abort]);
    let Reply::Prepared(prepared) =
        bench.query(Query::Prepare { action: Action::Deploy, subject: deploy("local") }).await
    else {
        panic!("no answer to prepare")
    };
    let Decision::Refuse(refusal) = prepared.decision else { panic!("{:?}", prepared.decision) };
    assert_eq!(refusal.why, "local does not take deploy; it takes pause, abort");
    let refused = bench.submit(command("c-1", Action::Deploy, deploy("local"), None)).await.unwrap_err();
    assert_eq!((refused.kind, refused.why), (RefusalKind::NotApplicable, refusal.why));
    let nowhere = bench.submit(command("c-2", Action::Deploy, deploy("prod-eu"), None)).await.unwrap_err();
    assert_eq!((nowhere.kind, nowhere.why.as_str()), (RefusalKind::NotFound, "there is no source prod-eu here"));
}

#[tokio::test]
async fn a_link_to_a_hub_in_this_process_makes_the_calls_of_a_client() {
    let bench = Bench::with(PATIENCE, |settings| {
        settings.policy.enforced = false;
        settings.lag = 1;
    })
    .await;
    let link = Link::Local { hub: bench.hub.clone(), actor: alice() };
    let who = link.query(Query::WhoAmI).await.unwrap();
    assert_eq!(who, Reply::WhoAmI { actor: alice(), enforced: false });
    let mut events = link.events();
    assert_eq!(events.next().await, Some(ClientEvent::Connected));
    let receipt = link.submit(bench.world.command("c-1", Action::Abort)).await.unwrap();
    assert_eq!(receipt.actor, alice());
    let refused = link.submit(bench.world.command("c-2", Action::Promote)).await.unwrap_err();
    assert!(matches!(refused, flightdeck::client::SubmitError::Refused(_)), "{refused:?}");
    bench.stage("c-1", "effective").await;
    // It lags by more than one update by now: it goes on all the same, and ends with the hub.
    let seen = async {
        let mut board = Board::default();
        while let Some(ClientEvent::Envelope(envelope)) = events.next().await {
            board.apply(&envelope.scoped);
            if board.receipt(&"c-1".into()).is_some_and(|receipt| receipt.stage().word() == "effective") {
                return;
            }
        }
        panic!("the stream ended early");
    };
    timeout(PATIENCE, seen).await.expect("the receipt over the link");
    drop(link);
    let Bench { hub, task, .. } = bench;
    drop(hub);
    task.abort();
    let _ = task.await;
    let lost = async {
        loop {
            if let Some(ClientEvent::Lost { why, .. }) = events.next().await {
                return why;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, lost).await.expect("word of the end"), "the hub in this process has ended");
}

#[tokio::test]
async fn what_is_being_carried_out_when_the_last_handle_goes_is_heard_out() {
    let bench = Bench::new().await;
    bench.world.answer.shut();
    let submission = bench.start(bench.world.command("c-1", Action::Promote));
    bench.world.answer.reached().await;
    let world = bench.world.clone();
    submission.abort();
    let _ = submission.await;
    let records = tokio::spawn(bench.records());
    world.answer.open();
    let records = timeout(PATIENCE, records).await.expect("the end of the hub").unwrap();
    let stages = about(&records, "c-1");
    assert!(stages.contains(&"accepted".to_owned()), "its answer is in the ledger: {stages:?}");
}
