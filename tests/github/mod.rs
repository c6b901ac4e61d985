//! Waiting deployments of GitHub on a stub of it, and what goes wrong on the way there.

mod description;
mod faults;
mod reviews;
pub mod stub;

use flightdeck::board::Board;
use flightdeck::control::{Authorized, Policy, decide};
use flightdeck::integration::approval::Approvals;
use flightdeck::integration::approval::github::{Settings, waiting_deployments};
use flightdeck::model::*;
use flightdeck::port::{Executor, Followed};
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::time::Duration;
use stub::{LOGIN, Run as StubRun, Stub, TOKEN};

pub const REPOSITORY: &str = "acme/shop";

/// Looked at all the time, so that nothing waits long.
pub fn open(stub: &Stub, token: &str, repositories: &[&str]) -> Approvals {
    let settings = Settings {
        url: stub.url(),
        token: "env:UNUSED".into(),
        repositories: repositories.iter().map(ToString::to_string).collect(),
        every: Duration::from_millis(50),
        environments: Vec::new(),
    };
    waiting_deployments("github".into(), false, settings, token).unwrap()
}

struct Bench {
    stub: Stub,
    source: Approvals,
    updates: BoxStream<'static, Scoped>,
    board: Board,
}

fn part(repository: &str) -> Scope {
    Scope { source: "github".into(), part: repository.into() }
}

impl Bench {
    /// One run waits.
    fn new() -> Bench {
        let stub = Stub::start();
        stub.world().runs.push(StubRun::waiting(REPOSITORY, 42));
        Bench::of(stub, TOKEN, &[REPOSITORY])
    }

    fn of(stub: Stub, token: &str, repositories: &[&str]) -> Bench {
        let source = open(&stub, token, repositories);
        let updates = source.watch();
        Bench { stub, source, updates, board: Board::default() }
    }

    async fn until(&mut self, what: &str, so: impl Fn(&Board) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while !so(&self.board) {
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(scoped)) => drop(self.board.apply(&scoped)),
                Ok(None) => panic!("the watch ended before: {what}"),
                Err(_) => {
                    let links: Vec<_> = self.board.links().collect();
                    let rows: Vec<_> = self.board.rollouts().map(|row| (&row.run, &row.message)).collect();
                    panic!("never came: {what}; {links:?} {rows:?} {:?}", self.stub.world().requests.last())
                }
            }
        }
    }

    /// One request waits for a yes, and is returned.
    async fn asked(&mut self) -> Approval {
        let asked = |board: &Board| board.approvals().any(|of| of.state == ApprovalState::Pending);
        self.until("a review is asked for", asked).await;
        self.until("it is live", |board| matches!(board.link(&"github".into()), LinkState::Live { .. })).await;
        self.board.approvals().find(|of| of.state == ApprovalState::Pending).unwrap().clone()
    }

    async fn link(&mut self, repository: &str, says: impl Fn(&LinkState) -> bool) {
        let scope = part(repository);
        self.until("the health of a part", |board| board.link_of(&scope).is_some_and(&says)).await;
    }

    async fn stale(&mut self, why: &str) {
        self.link(REPOSITORY, |link| matches!(link, LinkState::Stale { why: said, .. } if said.contains(why))).await;
    }

    async fn live(&mut self) {
        self.link(REPOSITORY, |link| matches!(link, LinkState::Live { .. })).await;
    }

    async fn state(&mut self, approval: &Approval, state: ApprovalState) {
        let told = |board: &Board| board.approval(&approval.id).is_some_and(|of| of.state == state);
        self.until("its approval says so", told).await;
    }

    fn command(&self, action: Action, approval: &Approval, reason: Option<&str>) -> Authorized {
        let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
        let pin = Some(approval.facts.pin(action));
        let command = Command { id: "c-1".into(), action, subject, pin, reason: reason.map(str::to_owned) };
        let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
        decide(&Policy::default(), &self.board, &alice, &command, Timestamp::now()).unwrap()
    }

    /// How far it is, by what the board has now.
    fn stage(&self, authorized: &Authorized) -> Stage {
        let Subject::Approval { run, .. } = &authorized.command().subject else { panic!("no approval") };
        let current = self.board.rollout(&run.target);
        let now = Timestamp::now();
        let command = authorized.command();
        self.source.progress(&Followed { command, created: None, left: None, before: None, current, ended: None, now })
    }

    async fn reaches(&mut self, authorized: &Authorized, word: &str) -> String {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            let stage = self.stage(authorized);
            if stage.word() == word {
                return stage.detail().unwrap_or_default().to_owned();
            }
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(scoped)) => drop(self.board.apply(&scoped)),
                other => panic!("never {word}: it is {stage:?}; {other:?}"),
            }
        }
    }

    fn nothing_wrong(&self) {
        assert!(self.stub.world().wrong.is_empty(), "{:?}", self.stub.world().wrong);
    }

    fn posted(&self) -> Vec<serde_json::Value> {
        self.stub.world().posted.clone()
    }
}

/// The id of run 42.
fn run_id() -> u64 {
    StubRun::waiting(REPOSITORY, 42).id
}
