//! Whoever measures rows of others, beside a backend that tells no numbers.

use super::*;
use async_trait::async_trait;
use flightdeck::port::{Measured, Probe, ProbeError};
use jiff::Timestamp;
use std::sync::Mutex;
use tokio::sync::mpsc;

/// Asked for rows at a time; waits for an answer.
pub(super) type Question = (Vec<Arc<Rollout>>, Timestamp);
pub(super) type Answer = Result<Measured, ProbeError>;

/// A probe whose answers a test gives, one a question.
pub(super) struct Told {
    source: SourceId,
    asked: mpsc::UnboundedSender<Question>,
    answers: tokio::sync::Mutex<mpsc::UnboundedReceiver<Answer>>,
    at_once: Mutex<(usize, usize)>,
}

pub(super) struct Teller {
    asked: mpsc::UnboundedReceiver<Question>,
    answers: mpsc::UnboundedSender<Answer>,
}

pub(super) fn probe(name: &str) -> (Arc<Told>, Teller) {
    let (ask, asked) = mpsc::unbounded_channel();
    let (answers, told) = mpsc::unbounded_channel();
    let answering = tokio::sync::Mutex::new(told);
    let probe = Told { source: name.into(), asked: ask, answers: answering, at_once: Mutex::new((0, 0)) };
    (Arc::new(probe), Teller { asked, answers })
}

#[async_trait]
impl Probe for Told {
    fn source(&self) -> &SourceId {
        &self.source
    }

    fn every(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn measure(&self, rows: &[Arc<Rollout>], now: Timestamp) -> Answer {
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let _ = self.asked.send((rows.to_vec(), now)); // the test may be over
        let answer = self.answers.lock().await.recv().await;
        self.at_once.lock().unwrap().0 -= 1;
        answer.unwrap_or_else(|| Err(ProbeError::Unreachable { why: "the test is over".to_owned() }))
    }
}

impl Teller {
    pub(super) async fn asked(&mut self) -> Question {
        timeout(PATIENCE, self.asked.recv()).await.expect("a question").expect("the probe lives")
    }

    pub(super) fn answer(&self, answer: Answer) {
        self.answers.send(answer).expect("the probe lives");
    }
}

fn sample(target: &Target, at: Timestamp, requests: u64) -> ArmSample {
    ArmSample {
        target: target.clone(),
        role: ArmRole::Candidate,
        version: "1.1.0".into(),
        at,
        window_ms: 15_000,
        requests,
        errors: 1,
        p50_us: None,
        p95_us: Some(212_000),
        p99_us: None,
    }
}

fn measured(samples: Vec<ArmSample>) -> Measured {
    Measured { samples, warnings: vec!["something is odd".to_owned()], ..Measured::default() }
}

fn scope(probe: &str) -> Scope {
    Scope { source: probe.into(), part: Scope::METRICS_PART.to_owned() }
}

fn requests(board: &Board, target: &Target) -> Vec<u64> {
    board.samples(target, &ArmRole::Candidate).into_iter().flatten().map(|sample| sample.requests).collect()
}

#[tokio::test]
async fn numbers_go_where_the_engines_go_and_health_is_told_beside() {
    let (probe, mut teller) = probe("prometheus");
    let bench = Bench::measured(vec![probe.clone()]).await;
    let target = bench.world.rollout().run.target.clone();
    let (rows, at) = teller.asked().await;
    assert_eq!(rows.iter().map(|row| &row.run.target).collect::<Vec<_>>(), [&target]);
    let gone = Target { name: "gone".into(), uid: "gone".into(), ..target.clone() };
    teller.answer(Ok(measured(vec![sample(&target, at, 150), sample(&gone, at, 150)])));
    let board = bench.until("its numbers", |board| requests(board, &target) == [150]).await;
    assert!(board.samples(&gone, &ArmRole::Candidate).is_none(), "nothing is kept of a row that is gone");
    assert_eq!(board.link_of(&scope("prometheus")), Some(&LinkState::live(at)));
    // Whoever joins later is told them as well, and the source still counts as whole.
    let (later, _) = teller.asked().await;
    assert_eq!(later.len(), 1);
    teller.answer(Err(ProbeError::Refused { why: "401 Unauthorized".to_owned() }));
    let stale = LinkState::stale(at, "401 Unauthorized".to_owned());
    let board = bench.until("it is stale", |board| board.link_of(&scope("prometheus")) == Some(&stale)).await;
    assert_eq!(requests(&board, &target), [150]);
    assert!(flightdeck::board::Sight::of(board.links()).unseen.is_empty(), "all rows are there without it");
    let (_, again) = teller.asked().await;
    teller.answer(Ok(measured(vec![sample(&target, again, 30)])));
    let board = bench.until("it is back", |board| requests(board, &target) == [150, 30]).await;
    assert_eq!(board.link_of(&scope("prometheus")), Some(&LinkState::live(again)));
    assert_eq!(probe.at_once.lock().unwrap().1, 1, "one question at a time");
}

#[tokio::test]
async fn a_dead_probe_holds_up_neither_commands_nor_another() {
    let (dead, mut silent) = probe("dead");
    let (other, mut teller) = probe("other");
    let bench = Bench::measured(vec![dead, other]).await;
    silent.asked().await;
    // It never answers.
    let (_, at) = teller.asked().await;
    let target = bench.world.rollout().run.target.clone();
    teller.answer(Ok(measured(vec![sample(&target, at, 7)])));
    let board = bench.until("the other's numbers", |board| requests(board, &target) == [7]).await;
    assert_eq!(board.link_of(&scope("dead")), None, "nobody waits for a word of it");
    let promoted = bench.submit(bench.world.command("c-1", Action::Promote)).await.unwrap();
    bench.stage(&promoted.id.0, "effective").await;
    let Bench { hub, task, .. } = bench;
    drop(hub);
    timeout(PATIENCE, task).await.expect("the hub ends without its answer").unwrap();
}

#[tokio::test]
async fn rows_that_measure_themselves_are_nobody_elses() {
    let (probe, mut teller) = probe("prometheus");
    let bench = Bench::measured(vec![probe]).await;
    let target = bench.world.rollout().run.target.clone();
    let (_, at) = teller.asked().await;
    bench.world.tell(&Body::Samples(vec![sample(&target, at, 1000)]));
    bench.until("its own numbers", |board| requests(board, &target) == [1000]).await;
    // What is answered now was asked before.
    teller.answer(Ok(measured(vec![sample(&target, at + jiff::SignedDuration::from_secs(1), 5)])));
    let (rows, _) = teller.asked().await;
    assert!(rows.is_empty(), "{rows:?}");
    let board = bench.until("it is live", |board| board.link_of(&scope("prometheus")).is_some()).await;
    assert_eq!(requests(&board, &target), [1000]);
}

#[tokio::test]
async fn a_row_is_measured_by_one_probe_until_that_fails() {
    let (first, mut one) = probe("one");
    let (second, mut two) = probe("two");
    let bench = Bench::measured(vec![first, second]).await;
    let target = bench.world.rollout().run.target.clone();
    let later = |at: Timestamp, seconds| at + jiff::SignedDuration::from_secs(seconds);
    let (_, at) = one.asked().await;
    one.answer(Ok(measured(vec![sample(&target, at, 10)])));
    bench.until("the first's numbers", |board| requests(board, &target) == [10]).await;
    two.asked().await;
    two.answer(Ok(measured(vec![sample(&target, later(at, 1), 20)])));
    let board = bench.until("the second is live", |board| board.link_of(&scope("two")).is_some()).await;
    assert_eq!(requests(&board, &target), [10]);
    one.asked().await;
    one.answer(Err(ProbeError::Unreachable { why: "reset".to_owned() }));
    let lost = |board: &Board| matches!(board.link_of(&scope("one")), Some(LinkState::Stale { .. }));
    bench.until("the first is lost", lost).await;
    two.asked().await;
    two.answer(Ok(measured(vec![sample(&target, later(at, 2), 30)])));
    bench.until("the second took over", |board| requests(board, &target) == [10, 30]).await;
}
