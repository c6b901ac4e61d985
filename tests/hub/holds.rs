//! A hold over several sources: one id, and each told how it fared.

use super::*;
use async_trait::async_trait;
use flightdeck::control::Authorized;
use flightdeck::port::{Accepted, Capabilities, Followed, Holding, InspectError, NotDone};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

/// How a source beside the world's takes a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Nothing may be changed there.
    ReadOnly,
    /// It can't be reached.
    Away,
    /// What moves there can't be paused.
    Unpausable,
}

/// A source with one rollout in flight.
struct Beside {
    name: &'static str,
    takes: Takes,
}

impl Beside {
    fn rollout(&self) -> Rollout {
        let mut row = rollout(self.name, "production");
        row.run.target.source = self.name.into();
        row
    }
}

#[async_trait]
impl Executor for Beside {
    fn capabilities(&self) -> Capabilities {
        let actions = [Action::Hold, Action::ReleaseHold].into_iter().collect();
        let read_only = self.takes == Takes::ReadOnly;
        Capabilities { source: self.name.into(), actions, later: "new ones go on", read_only }
    }

    fn watch(&self) -> BoxStream<'static, Scoped> {
        let scope = Scope { source: self.name.into(), part: String::new() };
        let live = LinkState::live(at(0));
        let row = Body::Upsert(Entity::Rollout(Arc::new(self.rollout())));
        let told = [Body::SnapshotBegin, row, Body::SnapshotEnd, Body::Link(live)];
        let told = told.map(|body| Scoped { scope: scope.clone(), body });
        stream::iter(told).chain(stream::pending()).boxed()
    }

    async fn execute(&self, _: &Authorized) -> Result<Accepted, NotDone> {
        match self.takes {
            Takes::ReadOnly => panic!("a source that is read-only is not asked"),
            Takes::Away => Err(NotDone::NotSent { why: "connection refused".into() }),
            Takes::Unpausable => {
                let (run, note) = (self.rollout().run, "a StatefulSet can't be paused: it goes on".to_owned());
                let targets = vec![HoldTarget { run, held: false, note, undone: false }];
                Ok(Accepted { targets, holding: Holding::Nothing, ..Accepted::default() })
            }
        }
    }

    fn progress(&self, _: &Followed<'_>) -> Stage {
        Stage::Accepted
    }

    async fn read(&self, run: &Run) -> Result<Rollout, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }

    async fn inspect(&self, run: &Run) -> Result<Detail, InspectError> {
        Err(InspectError::NotFound(run.clone()))
    }
}

async fn bench(others: &[(&'static str, Takes)]) -> Bench {
    let dir = Arc::new(TempDir::new().unwrap());
    let beside =
        |(name, takes): &(&'static str, Takes)| -> Arc<dyn Executor> { Arc::new(Beside { name, takes: *takes }) };
    Bench::beside(World::new(), dir, PATIENCE, |_| {}, others.iter().map(beside).collect()).await
}

fn everything(id: &str) -> Subject {
    Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: Some(id.into()) }
}

/// How the hold of everything ended, and each source and target of it in words.
async fn held(bench: &Bench, stage: &str) -> (String, Vec<String>, Vec<String>) {
    bench.submit(command("c-1", Action::Hold, everything("H-ABC123"), None)).await.unwrap();
    let receipt = bench.stage("c-1", stage).await;
    let sources = receipt.sources.iter().map(|of| format!("{} {}", of.source, of.stage.word())).collect();
    let targets = receipt.targets.iter().map(|of| format!("{} {}", of.run.target.source, of.stage.word())).collect();
    (receipt.stage().detail().unwrap_or_default().to_owned(), sources, targets)
}

#[tokio::test]
async fn a_hold_that_held_all_is_effective_beside_a_read_only_source_which_is_named() {
    let bench = bench(&[("west", Takes::ReadOnly)]).await;
    let (words, sources, targets) = held(&bench, "effective").await;
    assert_eq!(
        words,
        "hold H-ABC123: 1 rollout stands still; not held: west/production/west: west is read-only: \
         nothing can be held there"
    );
    assert_eq!(sources, ["local accepted", "west refused"]);
    assert_eq!(targets, ["local effective", "west refused"]);
    let release = Subject::Hold { source: None, id: "H-ABC123".into() };
    bench.submit(command("c-2", Action::ReleaseHold, release, None)).await.unwrap();
    bench.stage("c-2", "effective").await;
}

#[tokio::test]
async fn a_hold_names_the_source_that_it_did_not_reach_and_what_could_not_be_paused() {
    let bench = bench(&[("west", Takes::Away), ("east", Takes::Unpausable)]).await;
    let (words, sources, targets) = held(&bench, "failed").await;
    for named in [
        "1 rollout stands still",
        "east/production/east: a StatefulSet can't be paused",
        "west: not reached: connection refused",
    ] {
        assert!(words.contains(named), "{words}");
    }
    assert_eq!(sources, ["local accepted", "west failed", "east accepted"]);
    assert_eq!(targets, ["local effective", "east failed"]);
}

#[tokio::test]
async fn a_hold_is_not_offered_where_it_cant_be_done_and_says_what_goes_on() {
    let bench = bench(&[("west", Takes::ReadOnly)]).await;
    let ask = |subject| Query::Prepare { action: Action::Hold, subject };
    let Reply::Prepared(all) = bench.query(ask(everything("H-ABC123"))).await else { panic!("not prepared") };
    let warned = "west is read-only: nothing can be held there; west in production goes on";
    assert!(all.forecast.warnings.contains(&warned.to_owned()), "{:?}", all.forecast.warnings);
    assert!(matches!(all.decision, Decision::Allow { .. }));
    let selector = Selector { source: Some("west".into()), ..Selector::default() };
    let west = Subject::Scope { selector, frozen: Vec::new(), hold: None };
    let Reply::Prepared(west) = bench.query(ask(west)).await else { panic!("not prepared") };
    let Decision::Refuse(refusal) = west.decision else { panic!("{:?}", west.decision) };
    assert_eq!(refusal.why, "west is read-only: nothing can be held there");
}
