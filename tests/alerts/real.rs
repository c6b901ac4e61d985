//! A real Alertmanager: what it tells, and what becomes of silences.
//!
//! Ignored unless it is asked for: `./check` fetches an Alertmanager and runs these. `FLIGHTDECK_ALERTMANAGER` names the
//! program; without, it is looked for in `PATH`.

use super::*;
use crate::board::kit::{self, actor};
use crate::cluster::until_told;
use crate::hub::world::World;
use flightdeck::control::Policy;
use flightdeck::hub::{Hub, HubSettings};
use flightdeck::integration::http::Http;
use flightdeck::ledger::{Entry, Ledger};
use flightdeck::port::Executor;
use hyper::Method;
use hyper::header::HeaderMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Ends with the test.
struct Running {
    child: Child,
    url: String,
    http: Http,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Running {
    async fn start(dir: &TempDir) -> Running {
        drop(rustls::crypto::ring::default_provider().install_default());
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: none}\nreceivers: [{name: none}]\n").unwrap();
        let program = std::env::var_os("FLIGHTDECK_ALERTMANAGER").unwrap_or_else(|| "prometheus-alertmanager".into());
        // Unpacked and not installed, it looks for its templates from there.
        let folder = Path::new(&program).parent().filter(|folder| folder.is_absolute()).unwrap_or(dir.path());
        let child = Process::new(&program)
            .current_dir(folder)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
            .spawn()
            .expect("an Alertmanager: FLIGHTDECK_ALERTMANAGER names one, and ./check fetches one");
        let url = format!("http://{free}");
        let http = Http::new("url", &url, HeaderMap::new()).unwrap();
        let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
        let ready = until_told(
            || format!("an Alertmanager; {}", log()),
            async || http.get("-/ready", &[]).await.ok().filter(|answer| answer.status.is_success()),
        );
        ready.await;
        Running { child, url, http }
    }

    /// An alert fires, or goes on to.
    async fn fire(&self, name: &str, more: &Value) {
        let mut labels = json!({"alertname": name, "namespace": "staging", "workload": "checkout"});
        labels.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let alert = json!([{"labels": labels, "annotations": {"summary": "5 % of requests fail"}}]);
        // Where other tests take all of the machine a connection breaks now and then; the same alert again is the same.
        let last = std::cell::RefCell::new(String::new());
        let told = async || {
            let answer = self.http.send(Method::POST, "api/v2/alerts", &alert).await;
            last.replace(format!("{answer:?}"));
            answer.ok().filter(|answer| answer.status.is_success())
        };
        until_told(|| format!("{name} to be taken; {}", last.borrow()), told).await;
    }

    /// The states of silences by their id, as it tells them.
    async fn silences(&self) -> Vec<(String, String)> {
        let told: Vec<Value> = self.http.get("api/v2/silences", &[]).await.unwrap().json().unwrap();
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        told.iter().map(|of| (text(&of["id"]), text(&of["status"]["state"]))).collect()
    }

    async fn ended(&self, id: &SilenceId) {
        until_told(
            || format!("the end of silence {id}"),
            async || self.silences().await.contains(&(id.0.clone(), "expired".to_owned())).then_some(()),
        )
        .await;
    }
}

/// A hub over a rollout and an Alertmanager, with its ledger.
struct Desk {
    world: World,
    hub: Hub,
    task: JoinHandle<()>,
    dir: Arc<TempDir>,
}

impl Desk {
    async fn start(world: World, dir: Arc<TempDir>, running: &Running) -> Desk {
        let policy = Policy { enforced: true, ..Policy::default() };
        let settings = HubSettings::new("hub".into(), policy, Ledger::open(&dir.path().join("ledger")).unwrap());
        let source = opened(json!({"url": running.url})).await;
        let all: Vec<Arc<dyn Executor>> = vec![Arc::new(world.clone()), Arc::new(source)];
        let (hub, task) = Hub::start(settings, all);
        let desk = Desk { world, hub, task: tokio::spawn(task.run()), dir };
        let live = |board: &Board| matches!(board.link_of(&alerts()), Some(LinkState::Live { .. }));
        desk.until("both sources", |board| board.rollouts().count() == 1 && live(board)).await;
        desk
    }

    async fn until(&self, what: &str, so: impl Fn(&Board) -> bool) -> Board {
        let last = std::cell::RefCell::new(String::new());
        let seen = async {
            let mut subscription = self.hub.subscribe(None).await.expect("the hub runs");
            let mut board = Board::default();
            while let Some(envelope) = subscription.next().await {
                board.apply(&envelope.scoped);
                let receipts: Vec<_> = board.receipts().map(|of| (of.id.0.clone(), of.stage().clone())).collect();
                last.replace(format!("{receipts:?} {:?}", board.alerts().collect::<Vec<_>>()));
                // Only the last envelope of a snapshot has a sequence: before it the board is half.
                if envelope.seq > 0 && so(&board) {
                    return board;
                }
            }
            panic!("the hub has ended");
        };
        timeout(PATIENCE, seen).await.unwrap_or_else(|_| panic!("awaited in vain: {what}; {}", last.borrow()))
    }

    async fn submit(&self, command: Command) -> Result<Receipt, Refusal> {
        timeout(PATIENCE, self.hub.submit(actor("alice", &[]), command)).await.expect("an answer")
    }

    async fn effective(&self, id: &str) -> Board {
        let is = |board: &Board| board.receipt(&id.into()).is_some_and(|of| of.stage().word() == "effective");
        self.until(&format!("{id} being effective"), is).await
    }

    /// The fingerprint of an alert that concerns the rollout.
    async fn fires(&self, name: &str) -> String {
        let row = self.world.rollout();
        let found = |board: &Board| board.alerts_of(&row).into_iter().find(|of| of.name == name).cloned();
        let board = self.until(&format!("{name} at its rollout"), |board| found(board).is_some()).await;
        found(&board).unwrap().fingerprint.clone()
    }

    /// Silences an alert for the rollout; gives the silence.
    async fn silenced(&self, id: &str, fingerprint: &str) -> SilenceId {
        let run = Some(self.world.rollout().run);
        self.submit(silence(id, fingerprint, run.clone())).await.unwrap();
        let board = self.effective(id).await;
        let of_it = |of: &&Silence| of.made.as_ref().is_some_and(|made| made.command.0 == id && made.run == run);
        board.silences().find(of_it).expect("the silence, with what it was made for").id.clone()
    }

    /// Ends the hub at once, as a crash would.
    async fn crash(self) -> (World, Arc<TempDir>) {
        self.task.abort();
        let _ = self.task.await;
        (self.world, self.dir)
    }
}

/// A rollout on its way, and an alert that concerns it.
async fn desk(running: &Running, dir: &Arc<TempDir>) -> (Desk, String) {
    running.fire("HighErrors", &json!({"severity": "critical"})).await;
    let desk = Desk::start(World::new(), Arc::clone(dir), running).await;
    let fingerprint = desk.fires("HighErrors").await;
    (desk, fingerprint)
}

/// Who asked for the end of a silence, by the ledger.
async fn ends_in_ledger(dir: &TempDir) -> Vec<(String, Option<String>)> {
    let records = Ledger::open(&dir.path().join("ledger")).unwrap().records(1000).await.unwrap();
    let asked = records.iter().filter_map(|record| match record.entry() {
        Some(Entry::Requested { receipt, .. }) if receipt.command.action == Action::Unsilence => {
            Some((receipt.actor.name.clone(), receipt.command.reason.clone()))
        }
        _ => None,
    });
    asked.collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn an_alert_stands_at_its_rollout_is_silenced_and_notifies_again() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    let (desk, fingerprint) = desk(&running, &dir).await;
    running.fire("Elsewhere", &json!({"workload": "till", "severity": "warning"})).await;
    let board = desk.until("both alerts", |board| board.alerts().count() == 2).await;
    let row = desk.world.rollout();
    assert_eq!(board.alerts_of(&row).len(), 1);
    assert_eq!((board.alerts_of_nothing(), board.critical_alert(&row).is_some()), (1, true));
    let needs = flightdeck::board::rank(&board, jiff::Timestamp::now());
    assert!(
        needs.iter().any(|need| need.word == "critical alert" && need.sentence.starts_with("HighErrors: ")),
        "{needs:?}"
    );

    let without = Command { reason: None, ..silence("c-0", &fingerprint, None) };
    assert_eq!(desk.submit(without).await.unwrap_err().kind, RefusalKind::Invalid, "never without a reason");
    assert_eq!(desk.submit(silence("c-0", "none", None)).await.unwrap_err().kind, RefusalKind::NotFound);
    let id = desk.silenced("c-1", &fingerprint).await;
    let board = desk.until("it is quiet", |board| board.critical_alert(&row).is_none()).await;
    let alert = board.alert(&SOURCE.into(), &fingerprint).expect("it stays in sight");
    let silence = board.silenced_until(alert).unwrap();
    assert_eq!((silence.owner.as_str(), silence.reason.as_str()), ("alice", "it is known"));
    let lasts = silence.until.duration_since(silence.since);
    // It begins when it is taken in.
    let minute = jiff::SignedDuration::from_mins(1);
    assert!(lasts > USUAL_SILENCE - minute && lasts <= USUAL_SILENCE, "{lasts:?}");
    assert_eq!(running.silences().await, [(id.0.clone(), "active".to_owned())]);

    desk.submit(unsilence("c-2", &id)).await.unwrap();
    let board = desk.effective("c-2").await;
    assert!(board.alert(&SOURCE.into(), &fingerprint).unwrap().is_firing());
    running.ended(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn a_silence_ends_with_its_rollout_and_the_ledger_says_so() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    let (desk, fingerprint) = desk(&running, &dir).await;
    let id = desk.silenced("c-1", &fingerprint).await;
    // One for itself lasts.
    let other = silence("c-2", &fingerprint, None);
    desk.submit(other).await.unwrap();
    desk.effective("c-2").await;
    desk.world.change(|rollout| rollout.phase = Phase::Healthy);
    running.ended(&id).await;
    let unsilenced = format!("unsilence-{id}");
    desk.effective(&unsilenced).await;
    let left: Vec<_> = running.silences().await.into_iter().filter(|(_, state)| state == "active").collect();
    assert_eq!(left.len(), 1, "the one that was made for no rollout: {left:?}");
    let refused = desk.submit(silence("c-3", &fingerprint, Some(desk.world.rollout().run))).await.unwrap_err();
    assert_eq!(refused.kind, RefusalKind::NotApplicable, "{refused}");
    let said = [("system:rollout-end".to_owned(), Some("its rollout has ended".to_owned()))];
    assert_eq!(ends_in_ledger(&dir).await, said);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn a_silence_ends_though_its_rollout_ended_while_no_hub_was_there() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    let (desk, fingerprint) = desk(&running, &dir).await;
    let id = desk.silenced("c-1", &fingerprint).await;
    let (world, dir) = desk.crash().await;
    world.quietly(|rollout| rollout.run.revision = "r-3".into());
    assert_eq!(running.silences().await, [(id.0.clone(), "active".to_owned())], "nobody is there to end it");
    let desk = Desk::start(world, dir, &running).await;
    running.ended(&id).await;
    desk.effective(&format!("unsilence-{id}")).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn a_silence_goes_on_while_its_rollout_does_and_while_nobody_knows() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    let (desk, fingerprint) = desk(&running, &dir).await;
    let id = desk.silenced("c-1", &fingerprint).await;
    let elsewhere = Run { target: kit::target("checkout", "elsewhere"), revision: "r-9".into() };
    desk.submit(silence("c-2", &fingerprint, Some(elsewhere))).await.unwrap();
    desk.effective("c-2").await;
    desk.world.change(|rollout| rollout.message = "on its way".into());
    // Another one is made and read back meanwhile: the loop has turned.
    desk.submit(silence("c-3", &fingerprint, None)).await.unwrap();
    desk.effective("c-3").await;
    let active = running.silences().await.into_iter().filter(|(_, state)| state == "active").count();
    assert_eq!(active, 3, "{id}");
    // What is gone has ended.
    desk.world.tell(&Body::Remove(EntityRef::Rollout(desk.world.rollout().run.target)));
    running.ended(&id).await;
    let active = running.silences().await.into_iter().filter(|(_, state)| state == "active").count();
    assert_eq!(active, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn what_somebody_else_silenced_is_theirs_to_end() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    let (desk, _) = desk(&running, &dir).await;
    let theirs = json!({
        "matchers": [{"name": "alertname", "value": "High.*", "isRegex": true, "isEqual": true}],
        "startsAt": jiff::Timestamp::now(), "endsAt": jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1),
        "createdBy": "carol", "comment": "maintenance \u{1b}[2J",
    });
    let answer = running.http.send(Method::POST, "api/v2/silences", &theirs).await.unwrap();
    let made: Value = answer.json().unwrap();
    let id = SilenceId(made["silenceID"].as_str().unwrap().to_owned());
    let board = desk.until("their silence", |board| board.silence(&SOURCE.into(), &id).is_some()).await;
    let silence = board.silence(&SOURCE.into(), &id).unwrap();
    assert_eq!((silence.owner.as_str(), silence.made.clone()), ("carol", None));
    assert!(!has_hidden(&silence.reason.replace('\u{fffd}', "")), "{:?}", silence.reason);
    assert_eq!(silence.matches, r#"alertname=~"High.*""#);
    assert!(board.alerts().all(|alert| alert.is_silenced_by(&id)));
    let refused = desk.submit(unsilence("c-1", &id)).await.unwrap_err();
    assert_eq!(refused.kind, RefusalKind::Denied, "{refused}");
    desk.world.change(|rollout| rollout.phase = Phase::Healthy);
    desk.submit(super::silence("c-2", &board.alerts().next().unwrap().fingerprint, None)).await.unwrap();
    desk.effective("c-2").await;
    assert!(running.silences().await.contains(&(id.0.clone(), "active".to_owned())), "nor does a rollout's end end it");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs an alertmanager: ./check fetches one"]
async fn hostile_labels_come_harmless_and_are_silenced_all_the_same() {
    let dir = Arc::new(TempDir::new().unwrap());
    let running = Running::start(&dir).await;
    running.fire("Evil\u{1b}[2J\u{202e}", &json!({"long": "x".repeat(3000), "quote": "a\"b\\c\n"})).await;
    let desk = Desk::start(World::new(), Arc::clone(&dir), &running).await;
    let board = desk.until("the alert", |board| board.alerts().count() == 1).await;
    let alert = board.alerts().next().unwrap().clone();
    assert!(!has_hidden(&serde_json::to_string(&alert).unwrap().replace('\u{fffd}', "")), "{alert:?}");
    let id = desk.silenced("c-1", &alert.fingerprint).await;
    assert_eq!(running.silences().await, [(id.0, "active".to_owned())]);
}
