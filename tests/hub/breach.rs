//! A breach is told outside: once a try, with its numbers, whatever is done about it.

use super::probes::{Teller, probe};
use super::watchdog::{armed, status, tell, window};
use super::*;
use async_trait::async_trait;
use flightdeck::notify::{Destination, Outbox, Wanted, run};
use flightdeck::port::{NotTold, Notification, NotifyEvent, Sink};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

/// Whoever is told.
struct Ear(UnboundedSender<Notification>);

#[async_trait]
impl Sink for Ear {
    async fn tell(&self, notification: &Notification, _now: Timestamp) -> Result<(), NotTold> {
        self.0.send(notification.clone()).map_err(|_| NotTold::for_good("nobody hears"))
    }
}

/// A hub with a watchdog, and somebody who is told of breaches and failures.
async fn told(
    world: World,
    dir: &Arc<TempDir>,
    on_breach: OnBreach,
) -> (Bench, Teller, UnboundedReceiver<Notification>) {
    let (probe, teller) = probe("prometheus");
    let bench = Bench::made(world, Arc::clone(dir), PATIENCE, armed(on_breach), Vec::new(), vec![probe]).await;
    let file = dir.path().join("notify.db");
    // From the beginning on, however late the loop starts.
    Outbox::open(&file).unwrap().since("ear", Timestamp::UNIX_EPOCH).unwrap();
    let (ear, heard) = unbounded_channel();
    let wanted = Wanted { events: vec![NotifyEvent::Breach, NotifyEvent::Failed], ..Wanted::default() };
    let destination = Destination { name: "ear".to_owned(), wanted, notifier: Arc::new(Ear(ear)) };
    tokio::spawn(run(file, vec![destination], bench.hub.clone(), CancellationToken::new()));
    (bench, teller, heard)
}

async fn next(heard: &mut UnboundedReceiver<Notification>) -> Notification {
    timeout(PATIENCE, heard.recv()).await.expect("something is told").unwrap()
}

/// The rollout fails now: what is told after that was told after all before it.
fn fail(bench: &Bench) {
    #[expect(clippy::disallowed_methods, reason = "it ends now")]
    let now = Timestamp::now();
    let record = RolloutRecord { ended: now, ..ended(&bench.world.rollout(), DeploymentOutcome::Failed) };
    bench.world.tell(&Body::Upsert(Entity::RolloutRecord(Arc::new(record))));
}

#[tokio::test]
async fn a_breach_is_told_once_with_its_numbers_though_the_hub_is_started_again() {
    let dir = Arc::new(TempDir::new().unwrap());
    let (bench, mut teller, mut heard) = told(World::new(), &dir, OnBreach::Notify).await;
    let target = bench.world.rollout().run.target.clone();
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let breach = next(&mut heard).await;
    assert_eq!(breach.event, NotifyEvent::Breach);
    let Notification { source, service, environment, from, to, .. } = &breach;
    assert_eq!(
        (source.as_str(), service.as_str(), environment.as_str()),
        (target.source.as_str(), "checkout", "staging")
    );
    assert_eq!((from.as_deref(), to.as_str()), (Some("1.9.0"), "1.10.0"));
    assert!(breach.why.starts_with("errors ") && breach.why.ends_with("nothing was done, as its settings want"));
    let news = breach.breach.unwrap();
    assert_eq!((news.on_breach, &news.response), (OnBreach::Notify, &BreachResponse::Notified));
    let report = news.report.unwrap();
    assert_eq!((report.candidate_requests, report.stable_requests), (300, 900));
    assert_eq!((report.metrics[0].name.as_str(), report.metrics[0].candidate), ("error_rate", Some(0.2)));
    // The next numbers say the same, and so does another hub.
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    teller.asked().await;
    let Bench { world, task, .. } = bench;
    task.abort();
    let _ = task.await;
    let (bench, mut teller, mut heard) = told(world, &dir, OnBreach::Notify).await;
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let breached = |board: &Board| status(board, &target).is_some_and(|status| status.breach.is_some());
    bench.until("the breach that it sees again", breached).await;
    fail(&bench);
    assert_eq!(next(&mut heard).await.event, NotifyEvent::Failed, "the breach was told before");
}

#[tokio::test]
async fn what_is_done_about_a_breach_is_told_with_it_and_a_retry_is_told_anew() {
    let dir = Arc::new(TempDir::new().unwrap());
    let (bench, mut teller, mut heard) = told(World::new(), &dir, OnBreach::Pause).await;
    let target = bench.world.rollout().run.target.clone();
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let first = next(&mut heard).await;
    let response = &first.breach.as_ref().unwrap().response;
    let BreachResponse::Sent { action: Action::Pause, command } = response else { panic!("{response:?}") };
    assert!(first.why.ends_with("; the watchdog sent pause"), "{}", first.why);
    bench.stage(&command.0, "effective").await;
    // It fails, and is tried again as the same run.
    bench.world.change(|row| row.phase = Phase::Failed);
    let unwatched = |board: &Board| board.rollout(&target).is_some_and(|row| row.watchdog.is_none());
    bench.until("it is watched no more", unwatched).await;
    bench.submit(bench.world.command("c-9", Action::Retry)).await.unwrap();
    let anew = |board: &Board| status(board, &target).is_some_and(|status| status.retried.is_some());
    bench.until("it is watched anew", anew).await;
    tell(&mut teller, |at| window(&target, at, 0, (300, 60), (900, 2))).await;
    let second = next(&mut heard).await;
    assert_eq!((second.event, &second.run), (NotifyEvent::Breach, &first.run));
    assert_ne!(second.id, first.id);
    assert_eq!(second.trace_id, first.trace_id);
}
