//! The hub over a backend in memory and a real ledger.

mod breach;
mod feed;
mod holds;
mod objectives;
mod probes;
mod races;
mod shared;
mod watchdog;
pub mod world;

use crate::board::kit::*;
use flightdeck::board::Board;
use flightdeck::control::Policy;
use flightdeck::hub::{Hub, HubSettings};
use flightdeck::ledger::{Kind, Ledger, Options, verify};
use flightdeck::model::*;
use flightdeck::port::{Executor, Probe};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use world::World;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A hub that runs, with its ledger's folder.
struct Bench {
    world: World,
    hub: Hub,
    task: JoinHandle<()>,
    dir: Arc<TempDir>,
}

fn ledger(dir: &Path, busy: Duration) -> Ledger {
    Ledger::open_with(dir, Options { busy }).unwrap()
}

fn alice() -> Actor {
    actor("alice", &["release-managers"])
}

/// Another process that has the ledger locked until this is dropped.
fn lock(dir: &Path) -> Connection {
    let connection = Connection::open(dir.join("ledger.db")).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

impl Bench {
    async fn new() -> Bench {
        Bench::with(PATIENCE, |_| {}).await
    }

    async fn with(busy: Duration, change: impl FnOnce(&mut HubSettings)) -> Bench {
        Bench::over(World::new(), Arc::new(TempDir::new().unwrap()), busy, change).await
    }

    async fn over(world: World, dir: Arc<TempDir>, busy: Duration, change: impl FnOnce(&mut HubSettings)) -> Bench {
        Bench::beside(world, dir, busy, change, Vec::new()).await
    }

    /// With probes, which measure the world's row.
    async fn measured(probes: Vec<Arc<dyn Probe>>) -> Bench {
        Bench::made(World::new(), Arc::new(TempDir::new().unwrap()), PATIENCE, |_| {}, Vec::new(), probes).await
    }

    /// With other sources beside the world's.
    async fn beside(
        world: World,
        dir: Arc<TempDir>,
        busy: Duration,
        change: impl FnOnce(&mut HubSettings),
        others: Vec<Arc<dyn Executor>>,
    ) -> Bench {
        Bench::made(world, dir, busy, change, others, Vec::new()).await
    }

    async fn made(
        world: World,
        dir: Arc<TempDir>,
        busy: Duration,
        change: impl FnOnce(&mut HubSettings),
        others: Vec<Arc<dyn Executor>>,
        probes: Vec<Arc<dyn Probe>>,
    ) -> Bench {
        let rows = 1 + others.len();
        let policy = Policy { enforced: true, ..Policy::default() };
        let mut settings = HubSettings::new("hub".into(), policy, ledger(dir.path(), busy));
        change(&mut settings);
        let (hub, task) = Hub::start(settings, [vec![Arc::new(world.clone()) as Arc<dyn Executor>], others].concat());
        let task = tokio::spawn(task.measured_by(probes).run());
        let bench = Bench { world, hub, task, dir };
        bench
            .until("the backend's rows", |board| board.rollouts().count() == rows && board.link(&source()).is_live())
            .await;
        bench
    }

    /// Ends the hub at once, as a crash would, and starts another on the same ledger and backend.
    async fn crash(self) -> Bench {
        self.task.abort();
        let _ = self.task.await;
        Bench::over(self.world, self.dir, PATIENCE, |_| {}).await
    }

    /// Follows the hub's updates until the board is so.
    async fn until(&self, what: &str, so: impl Fn(&Board) -> bool) -> Board {
        let last = std::cell::RefCell::new(Vec::new());
        let seen = async {
            let mut subscription = self.hub.subscribe(None).await.expect("the hub runs");
            let mut board = Board::default();
            loop {
                let Some(envelope) = subscription.next().await else {
                    // Too slow: over again.
                    subscription = self.hub.subscribe(None).await.expect("the hub runs");
                    board = Board::default();
                    continue;
                };
                board.apply(&envelope.scoped);
                *last.borrow_mut() = board.receipts().map(|r| (r.id.0.clone(), words(r))).collect();
                // Only the last envelope of a snapshot has a sequence: before it the board is half.
                if envelope.seq > 0 && so(&board) {
                    return board;
                }
            }
        };
        timeout(PATIENCE, seen)
            .await
            .unwrap_or_else(|_| panic!("awaited in vain: {what}; receipts: {:?}", last.borrow()))
    }

    async fn submit(&self, command: Command) -> Result<Receipt, Refusal> {
        self.submit_as(alice(), command).await
    }

    async fn submit_as(&self, who: Actor, command: Command) -> Result<Receipt, Refusal> {
        timeout(PATIENCE, self.hub.submit(who, command)).await.expect("an answer to a submission")
    }

    fn start(&self, command: Command) -> JoinHandle<Result<Receipt, Refusal>> {
        let hub = self.hub.clone();
        tokio::spawn(async move { hub.submit(alice(), command).await })
    }

    async fn stage(&self, id: &str, word: &str) -> Receipt {
        let id = ReceiptId::from(id);
        let what = format!("receipt {id} being {word}");
        let board = self.until(&what, |board| board.receipt(&id).is_some_and(|r| r.stage().word() == word)).await;
        board.receipt(&id).unwrap().clone()
    }

    async fn query(&self, query: Query) -> Reply {
        timeout(PATIENCE, self.hub.query(alice(), query)).await.expect("an answer to a question")
    }

    /// Lets the loop turn often enough to take in what is ready.
    async fn turns(&self) {
        for _ in 0..60 {
            self.query(Query::WhoAmI).await;
        }
    }

    /// Ends the hub and gives what its ledger says.
    async fn records(self) -> Vec<flightdeck::ledger::Record> {
        drop(self.hub);
        timeout(PATIENCE, self.task).await.expect("the end of the hub").unwrap();
        verify(self.dir.path()).unwrap();
        Ledger::open(self.dir.path()).unwrap().records(10_000).await.unwrap()
    }
}

trait Live {
    fn is_live(&self) -> bool;
}

impl Live for LinkState {
    fn is_live(&self) -> bool {
        matches!(self, LinkState::Live { .. })
    }
}

fn words(receipt: &Receipt) -> Vec<&'static str> {
    receipt.stages.iter().map(|record| record.stage.word()).collect()
}

#[tokio::test]
async fn a_command_goes_from_requested_to_effective_and_is_graded() {
    let bench = Bench::new().await;
    bench.world.ack_by_itself(false);
    let receipt = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    assert_eq!(words(&receipt), ["requested", "sent", "accepted"], "accepted is not done");
    bench.stage("c-1", "observed").await;
    bench.world.ack();
    let receipt = bench.stage("c-1", "effective").await;
    assert_eq!(words(&receipt), ["requested", "sent", "accepted", "observed", "effective"]);
    assert_eq!(receipt.stage().detail(), Some("candidate at 50 %, acknowledged"));
    assert!(receipt.grade.unwrap().as_forecast);
    assert_eq!(receipt.actor, alice());
    let records = bench.records().await;
    let kinds: Vec<_> = records.iter().filter(|r| r.subject == "c-1").map(|r| r.kind).collect();
    assert_eq!(kinds, [Kind::Requested, Kind::Stage, Kind::Stage, Kind::Stage, Kind::Stage]);
}

#[tokio::test]
async fn what_raises_exposure_waits_for_the_ledger_and_what_reduces_it_passes_by() {
    let bench = Bench::new().await;
    let locked = lock(bench.dir.path());
    let promote = bench.start(bench.world.command("c-1", Action::PromoteFull));
    bench.turns().await;
    assert_eq!(bench.world.done(), [], "nothing is done before it is recorded");
    let pause = bench.submit(bench.world.command("c-2", Action::Pause)).await.unwrap();
    assert_eq!(pause.stage().word(), "accepted");
    assert_eq!(bench.world.done(), [Action::Pause], "the ledger is still locked");
    drop(locked);
    let receipt = promote.await.unwrap().unwrap();
    assert_eq!(receipt.stage(), &Stage::Superseded { by: "pause by alice".into() });
    assert_eq!(bench.world.done(), [Action::Pause], "it never left");
    let records = bench.records().await;
    assert!(records.iter().any(|record| record.subject == "c-1" && record.kind == Kind::Requested));
}

#[tokio::test]
async fn a_backend_that_is_slow_to_raise_does_not_keep_an_abort_waiting() {
    let bench = Bench::new().await;
    bench.world.execute.shut();
    let promote = bench.start(bench.world.command("c-1", Action::Promote));
    bench.world.execute.reached().await;
    bench.submit(bench.world.command("c-2", Action::Abort)).await.unwrap();
    bench.stage("c-2", "effective").await;
    bench.world.execute.open();
    let refusal = promote.await.unwrap().unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::PinChanged, "{refusal}");
    assert_eq!(bench.world.done(), [Action::Abort]);
}

#[tokio::test]
async fn without_a_ledger_nothing_is_raised_and_everything_can_be_stopped() {
    let bench = Bench::with(Duration::from_millis(20), |_| {}).await;
    let locked = lock(bench.dir.path());
    let refusal = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::NotRecorded, "{refusal}");
    bench.submit(bench.world.command("c-2", Action::Abort)).await.unwrap();
    bench.stage("c-2", "effective").await;
    assert_eq!(bench.world.done(), [Action::Abort]);
    let own = Scope { source: "hub".into(), part: "hub".into() };
    let spilled = |link: Option<&LinkState>| match link {
        Some(LinkState::Stale { why, .. }) => why.contains("the ledger can't be written") && why.contains("spill"),
        _ => false,
    };
    bench.until("the hub to say so", |board| spilled(board.link_of(&own))).await;
    drop(locked);
    let dir = Arc::clone(&bench.dir);
    bench.submit(bench.world.command("c-3", Action::Promote)).await.unwrap_err();
    bench.until("the hub to be well again", |board| board.link_of(&own).unwrap().is_live()).await;
    let records = bench.records().await;
    assert!(
        records.iter().any(|r| r.kind == Kind::Spilled && r.subject == "c-2"),
        "{:?}",
        records.iter().map(|r| (r.kind, &r.subject)).collect::<Vec<_>>()
    );
    assert!(!records.iter().any(|r| r.subject == "c-1" && r.kind == Kind::Requested));
    verify(dir.path()).unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_the_effect_is_seen_and_never_sent_again() {
    let bench = Bench::new().await;
    bench.world.lose_answers(true);
    bench.world.ack_by_itself(false);
    let receipt = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    assert_eq!(receipt.stage().word(), "unknown");
    bench.world.ack();
    let receipt = bench.stage("c-1", "effective").await;
    assert_eq!(words(&receipt)[..3], ["requested", "sent", "unknown"]);
    assert_eq!(bench.world.done(), [Action::Promote]);
}

#[tokio::test]
async fn a_backend_that_does_not_answer_in_time_is_unknown_too() {
    let bench = Bench::with(PATIENCE, |settings| settings.answer = jiff::SignedDuration::from_millis(30)).await;
    bench.world.answer.shut();
    let receipt = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    assert!(words(&receipt).contains(&"unknown"), "{:?}", words(&receipt));
    bench.stage("c-1", "effective").await;
    bench.world.answer.open();
}

#[tokio::test]
async fn the_same_id_is_the_same_command_also_after_a_restart() {
    let bench = Bench::new().await;
    let promote = bench.world.command("c-1", Action::Promote);
    bench.world.execute.shut();
    let (first, second) = (bench.start(promote.clone()), bench.start(promote.clone()));
    bench.world.execute.reached().await;
    bench.turns().await;
    bench.world.execute.open();
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!((first.id.clone(), &first.actor), (second.id, &second.actor));
    bench.stage("c-1", "effective").await;
    let third = bench.submit(promote.clone()).await.unwrap();
    assert_eq!(third.stage().word(), "effective");
    let mut other = promote.clone();
    other.action = Action::PromoteFull;
    assert_eq!(bench.submit(other.clone()).await.unwrap_err().kind, RefusalKind::Invalid);
    let stranger = bench.submit_as(actor("eve", &[]), promote.clone()).await;
    assert_eq!(stranger.unwrap_err().kind, RefusalKind::Invalid, "an id belongs to who used it");
    let bench = bench.crash().await;
    assert_eq!(bench.submit(promote).await.unwrap().stage().word(), "effective");
    assert_eq!(bench.submit(other).await.unwrap_err().kind, RefusalKind::Invalid);
    assert_eq!(bench.world.done(), [Action::Promote], "carried out once");
}

#[tokio::test]
async fn receipts_are_followed_on_after_a_restart_and_nothing_is_sent_again() {
    let bench = Bench::new().await;
    bench.world.ack_by_itself(false);
    bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage("c-1", "observed").await;
    let bench = bench.crash().await;
    let board = bench.until("the receipt", |board| board.receipts().count() == 1).await;
    let receipt = board.receipts().next().unwrap();
    assert_eq!(words(receipt), ["requested", "sent", "accepted", "observed"]);
    bench.world.ack();
    bench.stage("c-1", "effective").await;
    assert_eq!(bench.world.done(), [Action::Promote]);
}

#[tokio::test]
async fn a_command_whose_answer_died_with_the_hub_is_unknown_and_observed() {
    let bench = Bench::new().await;
    bench.world.answer.shut();
    bench.world.ack_by_itself(false);
    let _lost = bench.start(bench.world.command("c-1", Action::Promote));
    bench.world.answer.reached().await;
    let bench = bench.crash().await;
    bench.world.answer.open();
    bench.world.ack();
    let receipt = bench.stage("c-1", "effective").await;
    assert!(words(&receipt).contains(&"unknown"), "{:?}", words(&receipt));
    assert_eq!(bench.world.done(), [Action::Promote]);
}

#[tokio::test]
async fn a_reason_is_added_to_a_command_and_outlives_the_hub() {
    let bench = Bench::new().await;
    bench.submit(bench.world.command("c-1", Action::Abort)).await.unwrap();
    bench.stage("c-1", "effective").await;
    let add = |id: &str, to: &str, reason: Option<&str>| Command {
        id: id.into(),
        action: Action::Annotate,
        subject: Subject::Receipt { id: ReceiptId(to.to_owned()) },
        pin: None,
        reason: reason.map(str::to_owned),
    };
    let refused = async |command| bench.submit_as(actor("bob", &[]), command).await.unwrap_err().kind;
    assert_eq!(refused(add("c-2", "c-1", Some("  "))).await, RefusalKind::Invalid, "without words there is nothing");
    assert_eq!(refused(add("c-3", "c-9", Some("why"))).await, RefusalKind::NotFound);
    let added = bench.submit_as(actor("bob", &[]), add("c-4", "c-1", Some("the disk was full"))).await.unwrap();
    assert_eq!((words(&added), added.actor.name.as_str()), (vec!["requested", "effective"], "bob"));
    assert_eq!(refused(add("c-5", "c-4", Some("why"))).await, RefusalKind::NotApplicable);
    assert_eq!(bench.world.done(), [Action::Abort], "no backend hears of it");
    let bench = bench.crash().await;
    let board = bench.until("both receipts", |board| board.receipts().count() == 2).await;
    let added = board.receipts().find(|receipt| receipt.id.0 == "c-4").unwrap();
    assert_eq!((added.command.reason.as_deref(), added.stage().word()), (Some("the disk was full"), "effective"));
}

#[tokio::test]
async fn an_effect_that_is_undone_is_reverted_with_its_cause() {
    let bench = Bench::new().await;
    bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage("c-1", "effective").await;
    bench.submit_as(actor("bob", &[]), bench.world.command("c-2", Action::Abort)).await.unwrap();
    let receipt = bench.stage("c-1", "reverted").await;
    assert_eq!(receipt.stage().detail(), Some("abort by bob"));
    bench.stage("c-2", "effective").await;
    let aborted = |receipt: &Receipt| receipt.outcome == Some(DeploymentOutcome::Aborted);
    bench.until("how its run ended", |board| board.receipt(&"c-1".into()).is_some_and(aborted)).await;

    let bench = Bench::new().await;
    bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage("c-1", "effective").await;
    bench.world.change(|rollout| {
        rollout.phase = Phase::RollingBack;
        rollout.message = "golden: errors 4.1 %".into();
    });
    assert_eq!(bench.stage("c-1", "reverted").await.stage().detail(), Some("golden: errors 4.1 %"));
}

/// A promote of the one rollout that is effective.
async fn promoted() -> Bench {
    let bench = Bench::new().await;
    bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage("c-1", "effective").await;
    bench
}

/// The record of how a run of the one rollout ended.
fn end(bench: &Bench, revision: &str, (from, to): (&str, &str), outcome: DeploymentOutcome) -> Body {
    let mut of = ended(&bench.world.rollout(), outcome);
    of.run.revision = revision.into();
    (of.from, of.to, of.cause) = (Some(from.into()), to.into(), format!("why {revision} ended"));
    Body::Upsert(Entity::RolloutRecord(Arc::new(of)))
}

#[tokio::test]
async fn whatever_happens_to_the_run_later_reverts_the_receipt_with_its_reason() {
    for (phase, outcome) in [
        (Phase::Failed, DeploymentOutcome::Failed),
        (Phase::Aborted, DeploymentOutcome::Aborted),
        (Phase::Superseded, DeploymentOutcome::Superseded),
    ] {
        let mut bench = promoted().await;
        // Over a restart, too.
        if phase == Phase::Failed {
            bench = bench.crash().await;
            bench.stage("c-1", "effective").await;
        }
        bench.world.change(|rollout| {
            rollout.phase = phase;
            rollout.message = "hook smoke failed".into();
        });
        let receipt = bench.stage("c-1", "reverted").await;
        assert_eq!((receipt.stage().detail(), receipt.outcome), (Some("hook smoke failed"), Some(outcome)));
    }
    // Another run is shown: the record of its own end tells, whichever of the two comes first.
    for record_first in [true, false] {
        let bench = promoted().await;
        let run = bench.world.rollout().run.revision;
        let record = end(&bench, &run, ("1.0", "1.1"), DeploymentOutcome::Superseded);
        if record_first {
            bench.world.tell(&record);
        }
        bench.world.change(|rollout| rollout.run.revision = "later".into());
        if !record_first {
            bench.world.tell(&record);
        }
        let receipt = bench.stage("c-1", "reverted").await;
        assert_eq!(receipt.stage().detail(), Some(format!("why {run} ended").as_str()));
    }
}

#[tokio::test]
async fn users_who_are_taken_back_later_revert_what_had_succeeded_and_a_newer_version_does_not() {
    for (to, outcome, expected) in [
        ("1.0", DeploymentOutcome::RolledBack, Some(DeploymentOutcome::RolledBack)),
        ("1.2", DeploymentOutcome::Succeeded, None),
    ] {
        let bench = promoted().await;
        let run = bench.world.rollout().run.revision;
        bench.world.tell(&end(&bench, &run, ("1.0", "1.1"), DeploymentOutcome::Succeeded));
        bench.world.change(|rollout| rollout.phase = Phase::Healthy);
        bench.world.tell(&end(&bench, "later", ("1.1", to), outcome));
        bench.world.change(|rollout| rollout.run.revision = "later".into());
        if expected.is_some() {
            let receipt = bench.stage("c-1", "reverted").await;
            assert_eq!((receipt.stage().detail(), receipt.outcome), (Some("why later ended"), expected));
            continue;
        }
        bench.turns().await;
        // It stands, and for good: what happens to later runs is none of its own.
        bench.world.change(|rollout| rollout.phase = Phase::Failed);
        bench.turns().await;
        let receipt = bench.stage("c-1", "effective").await;
        assert_eq!(receipt.outcome, Some(DeploymentOutcome::Succeeded));
    }
}

#[tokio::test]
async fn what_the_backend_does_by_itself_is_recorded_once_with_its_evidence() {
    let bench = Bench::new().await;
    let one = bench.world.rollout();
    let now = jiff::Timestamp::now();
    let mut judged = evidence(&one, "e-1", 0, MetricVerdict::Fail);
    judged.at = now;
    let cause = "golden: errors 4.1 %".to_owned();
    let ended = RolloutRecord { ended: now, cause, ..ended(&one, DeploymentOutcome::Aborted) };
    let tell = |world: &World| {
        world.tell(&Body::Upsert(Entity::Evidence(Box::new(judged.clone()))));
        world.tell(&Body::Upsert(Entity::RolloutRecord(Arc::new(ended.clone()))));
    };
    tell(&bench.world);
    bench.until("the end", |board| board.deployments().count() == 1).await;
    let bench = bench.crash().await;
    tell(&bench.world);
    bench.until("the end again", |board| board.deployments().count() == 1).await;
    let records = bench.records().await;
    let observed: Vec<_> = records.iter().filter(|record| record.kind == Kind::Observed).collect();
    assert_eq!(observed.len(), 1, "told twice, recorded once");
    let data = &observed[0].body["data"];
    assert_eq!(data["evidence"]["summary"], "errors 4.1 % against 0.3 %, limit 1 %");
    assert_eq!(data["deployment"]["cause"], "golden: errors 4.1 %");
    assert_eq!(data["receipt"], serde_json::Value::Null, "nobody asked for it");
    assert_eq!(records.iter().filter(|record| record.kind == Kind::Evidence).count(), 1);
    assert_eq!(records.iter().filter(|record| record.kind == Kind::Started).count(), 2);
}

#[tokio::test]
async fn who_asks_for_what_is_there_now_gets_nothing_that_is_over() {
    let bench = Bench::new().await;
    let one = bench.world.rollout();
    let told = [
        Entity::Evidence(Box::new(evidence(&one, "e-1", 0, MetricVerdict::Pass))),
        Entity::RolloutRecord(Arc::new(ended(&one, DeploymentOutcome::Succeeded))),
        Entity::Note(Note {
            id: "n-1".into(),
            run: one.run.clone(),
            at: at(0),
            who: "ann".into(),
            text: "x".into(),
            kind: NoteKind::Event,
        }),
    ];
    for row in told {
        bench.world.tell(&Body::Upsert(row));
    }
    bench.submit(command("c-1", Action::Pause, Subject::Run(one.run), None)).await.unwrap();
    bench.stage("c-1", "effective").await;
    bench.until("the note", |board| board.notes().count() == 1).await;
    let rows = |reply| if let Reply::Board(rows) = reply { rows } else { panic!("{reply:?}") };
    let (mut all, current) = (rows(bench.query(Query::Board).await), rows(bench.query(Query::Current).await));
    assert!(current.iter().any(|row| matches!(row, Entity::Rollout(_))));
    all.retain(|row| !current.contains(row));
    let over: Vec<_> = all.iter().map(Entity::key).collect();
    let [EntityRef::Evidence(..), EntityRef::Receipt(..), EntityRef::RolloutRecord(..), EntityRef::Note(..)] =
        &over[..]
    else {
        panic!("{over:?}")
    };
}

#[tokio::test]
async fn a_hold_reports_each_target_and_names_its_id() {
    let bench = Bench::new().await;
    let scope = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
    bench.submit(command("c-1", Action::Hold, scope, None)).await.unwrap();
    let receipt = bench.stage("c-1", "effective").await;
    assert_eq!(receipt.stage().detail(), Some("hold H-1: 1 rollout stands still"));
    assert_eq!(receipt.targets.len(), 1);
    assert_eq!(receipt.targets[0].run, bench.world.rollout().run);
    assert_eq!(receipt.targets[0].stage.detail(), Some("stands still at 25 %"));
    let records = bench.records().await;
    assert!(records.iter().any(|record| record.kind == Kind::Hold));
}

#[tokio::test]
async fn one_of_two_votes_is_effective_once_it_is_counted() {
    let bench = Bench::new().await;
    bench.world.truth_needs_two();
    bench.until("the second vote to be needed", |b| b.approvals().any(|a| a.requirement.count == 2)).await;
    bench.submit(bench.world.command("c-1", Action::Approve)).await.unwrap();
    let receipt = bench.stage("c-1", "effective").await;
    assert_eq!(receipt.stage().detail(), Some("counted: 1 of 2 agree"));
    let rita = actor("rita", &["release-managers"]);
    bench.submit_as(rita, bench.world.command("c-2", Action::Approve)).await.unwrap();
    assert_eq!(bench.stage("c-2", "effective").await.stage().detail(), Some("candidate at 100 %, acknowledged"));
}

#[tokio::test]
async fn a_stale_watch_refuses_to_raise_and_still_aborts() {
    let bench = Bench::new().await;
    bench.world.tell(&Body::Link(LinkState::stale(at(0), "connection refused".into())));
    bench.until("the watch to be stale", |board| !board.link(&source()).is_live()).await;
    let refusal = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Stale);
    let Reply::Prepared(prepared) =
        bench.query(Query::Prepare { action: Action::Promote, subject: bench.world.run() }).await
    else {
        panic!("not prepared")
    };
    assert!(matches!(prepared.decision, Decision::Refuse(refusal) if refusal.kind == RefusalKind::Stale));
    bench.submit(bench.world.command("c-2", Action::Abort)).await.unwrap();
    assert_eq!(bench.world.done(), [Action::Abort]);
}

#[tokio::test]
async fn a_hold_is_confirmed_with_what_its_backend_does_to_rollouts_that_begin_later() {
    let bench = Bench::new().await;
    let subject = Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None };
    let Reply::Prepared(hold) = bench.query(Query::Prepare { action: Action::Hold, subject }).await else {
        panic!("not prepared")
    };
    let last = hold.forecast.lines.last().unwrap();
    assert_eq!(*last, format!("{}: new ones go on", source()));
}

#[tokio::test]
async fn a_raising_confirmation_reads_the_live_row_and_a_reducing_one_opens_at_once() {
    let bench = Bench::new().await;
    bench.world.read.shut();
    let prepare = |action| Query::Prepare { action, subject: bench.world.run() };
    let Reply::Prepared(abort) = bench.query(prepare(Action::Abort)).await else { panic!("not prepared") };
    assert_eq!(abort.pin, Some(bench.world.rollout().facts.pin(Action::Abort)));
    let hub = bench.hub.clone();
    let promote = prepare(Action::Promote);
    let promote = tokio::spawn(async move { hub.query(alice(), promote).await });
    bench.world.read.reached().await;
    bench.world.quietly(|rollout| rollout.facts = rollout.facts.clone().with(Fact::Generation, "41"));
    bench.world.read.open();
    let Reply::Prepared(promote) = promote.await.unwrap() else { panic!("not prepared") };
    assert_eq!(promote.pin.unwrap().facts[&Fact::Generation], "41", "newer than the board's row");
}

#[tokio::test]
async fn questions_are_answered() {
    let bench = Bench::new().await;
    let who = bench.query(Query::WhoAmI).await;
    assert_eq!(who, Reply::WhoAmI { actor: alice(), enforced: true });
    bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage("c-1", "effective").await;
    let Reply::Detail(detail) = bench.query(Query::Inspect { run: bench.world.rollout().run }).await else { panic!() };
    assert_eq!(detail.receipts.len(), 1);
    assert_eq!(detail.rollout, bench.world.rollout());
    let mut gone = bench.world.rollout().run;
    gone.revision = "r-9".into();
    let Reply::Refused(refusal) = bench.query(Query::Inspect { run: gone }).await else { panic!() };
    assert_eq!(refusal.kind, RefusalKind::NotFound);
    let Reply::Lines(lines) = bench.query(Query::VerifyLedger).await else { panic!("the ledger is broken") };
    assert!(lines.lines[0].contains("records, each follows"));
    let Reply::Lines(lines) = bench.query(Query::Ledger { limit: 2 }).await else { panic!() };
    assert_eq!(lines.lines.len(), 2);
    assert!(lines.lines[1].contains("\"effective\""), "{}", lines.lines[1]);
    assert!(bench.hub.board().await.iter().any(|entity| matches!(entity, Entity::Receipt(_))));
    let Reply::Refused(_) = bench.query(Query::Logs { instance: "i".into(), lines: 1 }).await else { panic!() };
}

#[tokio::test]
async fn malformed_commands_are_refused() {
    let bench = Bench::new().await;
    for id in ["", "a\u{200b}b", &"x".repeat(129)] {
        let refusal = bench.submit(bench.world.command(id, Action::Abort)).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Invalid);
    }
    let mut long = bench.world.command("c-1", Action::Abort);
    long.reason = Some("x".repeat(2001));
    assert_eq!(bench.submit(long).await.unwrap_err().kind, RefusalKind::Invalid);
    let mut hostile = bench.world.command("c-2", Action::Abort);
    hostile.reason = Some("\u{1b}]0;x".into());
    let receipt = bench.submit(hostile).await.unwrap();
    assert_eq!(receipt.command.reason.as_deref(), Some("\u{fffd}]0;x"));
}

#[tokio::test]
async fn a_source_whose_watch_ends_is_stale() {
    let bench = Bench::new().await;
    bench.world.end_watches();
    let board = bench.until("the watch to be stale", |board| !board.link(&source()).is_live()).await;
    assert_eq!(board.rollouts().count(), 1, "its rows stay, as stale ones");
}
