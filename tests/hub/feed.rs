//! Subscriptions: snapshot, resumption, slowness.

use super::*;
use flightdeck::hub::Subscription;

async fn next(subscription: &mut Subscription) -> Option<Arc<Envelope>> {
    timeout(PATIENCE, subscription.next()).await.expect("an update")
}

/// Reads a snapshot to its end; gives the board and the last epoch and sequence.
async fn snapshot(subscription: &mut Subscription) -> (Board, (u64, u64)) {
    let mut board = Board::default();
    loop {
        let envelope = next(subscription).await.unwrap();
        board.apply(&envelope.scoped);
        if envelope.seq > 0 {
            return (board, (envelope.epoch, envelope.seq));
        }
    }
}

fn message(bench: &Bench, text: &str) {
    bench.world.change(|rollout| text.clone_into(&mut rollout.message));
}

fn said(envelope: &Envelope) -> Option<String> {
    match &envelope.scoped.body {
        Body::Upsert(Entity::Rollout(rollout)) => Some(rollout.message.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn a_subscriber_gets_everything_and_then_what_changes() {
    let bench = Bench::new().await;
    let mut subscription = bench.hub.subscribe(None).await.unwrap();
    let (board, (_, seq)) = snapshot(&mut subscription).await;
    assert_eq!((board.rollouts().count(), board.environments().count(), board.approvals().count()), (1, 1, 1));
    assert!(board.link(&source()).is_live());
    message(&bench, "one");
    let envelope = next(&mut subscription).await.unwrap();
    assert_eq!((envelope.seq, said(&envelope).as_deref()), (seq + 1, Some("one")));
    message(&bench, "one");
    message(&bench, "two");
    let envelope = next(&mut subscription).await.unwrap();
    assert_eq!(said(&envelope).as_deref(), Some("two"), "a row told again changes nothing");
}

#[tokio::test]
async fn a_subscriber_resumes_where_it_stopped() {
    let bench = Bench::new().await;
    let mut first = bench.hub.subscribe(None).await.unwrap();
    let (_, last) = snapshot(&mut first).await;
    drop(first);
    for text in ["one", "two", "three"] {
        message(&bench, text);
    }
    bench.until("the last message", |board| board.rollouts().any(|r| r.message == "three")).await;
    let mut resumed = bench.hub.subscribe(Some(last)).await.unwrap();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, text): &(u64, String)| text != "three") {
        let envelope = next(&mut resumed).await.unwrap();
        seen.push((envelope.seq, said(&envelope).expect("no snapshot")));
    }
    let expected: Vec<_> =
        ["one", "two", "three"].iter().zip(last.1 + 1..).map(|(text, seq)| (seq, (*text).to_owned())).collect();
    assert_eq!(seen, expected, "each once, in order");
}

#[tokio::test]
async fn whoever_can_not_resume_gets_a_snapshot() {
    let bench = Bench::with(PATIENCE, |settings| settings.ring = 2).await;
    let mut first = bench.hub.subscribe(None).await.unwrap();
    let (_, (epoch, seq)) = snapshot(&mut first).await;
    for text in ["one", "two", "three"] {
        message(&bench, text);
    }
    bench.until("the last message", |board| board.rollouts().any(|r| r.message == "three")).await;
    for (from, why) in [
        ((epoch, seq), "the ring has forgotten"),
        ((epoch + 1, seq + 3), "another life of the hub"),
        ((epoch, 0), "cut off within a snapshot"),
        ((epoch, seq + 1000), "from the future"),
    ] {
        let mut subscription = bench.hub.subscribe(Some(from)).await.unwrap();
        let first = next(&mut subscription).await.unwrap();
        assert_eq!((first.seq, &first.scoped.body), (0, &Body::SnapshotBegin), "{why}");
        let (board, _) = snapshot(&mut subscription).await;
        assert!(board.rollouts().any(|rollout| rollout.message == "three"), "{why}");
    }
    let mut subscription = bench.hub.subscribe(Some((epoch, seq + 1))).await.unwrap();
    assert_eq!(next(&mut subscription).await.unwrap().seq, seq + 2, "the oldest that the ring still has");
}

#[tokio::test]
async fn a_subscriber_that_is_too_slow_is_let_go_and_starts_over() {
    let bench = Bench::with(PATIENCE, |settings| settings.lag = 3).await;
    let mut slow = bench.hub.subscribe(None).await.unwrap();
    let (_, (_, seq)) = snapshot(&mut slow).await;
    for number in 0..10 {
        message(&bench, &format!("message {number}"));
    }
    bench.until("the last message", |board| board.rollouts().any(|r| r.message == "message 9")).await;
    let mut last = seq;
    while let Some(envelope) = next(&mut slow).await {
        assert_eq!(envelope.seq, last + 1, "what it gets is without gaps");
        last = envelope.seq;
    }
    assert_eq!(last, seq + 3, "it is told no more than fits");
    let mut again = bench.hub.subscribe(Some((bench.epoch().await, last))).await.unwrap();
    assert_eq!(next(&mut again).await.unwrap().seq, last + 1);
}

#[tokio::test]
async fn the_end_of_the_hub_ends_its_subscriptions() {
    let bench = Bench::new().await;
    let mut subscription = bench.hub.subscribe(None).await.unwrap();
    snapshot(&mut subscription).await;
    let Bench { hub, task, .. } = bench;
    drop(hub);
    timeout(PATIENCE, task).await.expect("the end of the hub").unwrap();
    assert!(next(&mut subscription).await.is_none());
}

impl Bench {
    async fn epoch(&self) -> u64 {
        let mut subscription = self.hub.subscribe(None).await.unwrap();
        next(&mut subscription).await.unwrap().epoch
    }
}
