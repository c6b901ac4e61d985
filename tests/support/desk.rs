//! Somebody who decides on what waits at a system, on its source alone.

use flightdeck::board::Board;
use flightdeck::control::{Authorized, Policy, decide};
use flightdeck::integration::approval::Approvals;
use flightdeck::model::*;
use flightdeck::port::{Executor, Followed};
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::time::Duration;

/// With the system that is played.
pub struct Desk<S> {
    pub stub: S,
    pub source: Approvals,
    updates: BoxStream<'static, Scoped>,
    pub board: Board,
}

impl<S> Desk<S> {
    pub fn of(stub: S, source: Approvals) -> Desk<S> {
        let updates = source.watch();
        Desk { stub, source, updates, board: Board::default() }
    }

    fn link(&self) -> LinkState {
        self.board.link(&self.source.capabilities().source)
    }

    pub async fn until<T>(&mut self, what: &str, so: impl Fn(&Board) -> Option<T>) -> T {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(found) = so(&self.board) {
                return found;
            }
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(scoped)) => drop(self.board.apply(&scoped)),
                Ok(None) => panic!("the watch ended before: {what}"),
                Err(late) => panic!("never came: {what}: {late}; {:?}", self.board.links().collect::<Vec<_>>()),
            }
        }
    }

    /// One request waits for a yes.
    pub async fn asked(&mut self) -> Approval {
        let source = self.source.capabilities().source;
        let live = |board: &Board| matches!(board.link(&source), LinkState::Live { .. });
        let pending = |board: &Board| board.approvals().find(|of| of.state == ApprovalState::Pending).cloned();
        self.until("a yes is asked for", |board| pending(board).filter(|_| live(board))).await
    }

    /// Why nothing is known.
    pub async fn unread(&mut self) -> String {
        let source = self.source.capabilities().source;
        self.until("it says why nothing is known", |board| {
            let link = board.link(&source);
            matches!(link, LinkState::Stale { .. } | LinkState::Denied { .. }).then(|| format!("{link:?}"))
        })
        .await
    }

    /// Why it is not sent, or not taken.
    pub async fn refused(&self, action: Action, approval: &Approval) -> String {
        match self.authorized(action, approval) {
            Ok(authorized) => self.source.execute(&authorized).await.unwrap_err().to_string(),
            Err(refusal) => refusal.to_string(),
        }
    }

    pub fn command(&self, action: Action, approval: &Approval) -> Authorized {
        self.authorized(action, approval).unwrap()
    }

    fn authorized(&self, action: Action, approval: &Approval) -> Result<Authorized, Refusal> {
        assert!(matches!(self.link(), LinkState::Live { .. }), "{:?}", self.link());
        let subject = Subject::Approval { id: approval.id.clone(), run: approval.run.clone() };
        let pin = Some(approval.facts.pin(action));
        let command = Command { id: "c-1".into(), action, subject, pin, reason: Some("looks good".into()) };
        let alice = Actor { name: "alice".into(), uid: Some(1), roles: vec![] };
        decide(&Policy::default(), &self.board, &alice, &command, Timestamp::now())
    }

    pub fn forecast(&self, action: Action, approval: &Approval) -> Forecast {
        self.source.forecast(action, self.board.rollout(&approval.run.target).unwrap()).unwrap()
    }

    /// Sends it and follows it to its end.
    pub async fn does(&mut self, action: Action, approval: &Approval) -> (Option<String>, Stage) {
        let authorized = self.command(action, approval);
        let accepted = self.source.execute(&authorized).await.unwrap();
        let stage = self.ends(&authorized, approval, Some(&accepted.left)).await;
        (accepted.note, stage)
    }

    /// How one ends that was sent, with what was left where its answer came.
    pub async fn ends(&mut self, authorized: &Authorized, approval: &Approval, left: Option<&Facts>) -> Stage {
        let before = self.board.rollout(&approval.run.target).cloned();
        let source = self.source.clone();
        let followed = |board: &Board| {
            let followed = Followed {
                command: authorized.command(),
                created: None,
                left,
                before: before.as_ref(),
                current: board.rollout(&approval.run.target),
                ended: None,
                now: Timestamp::now(),
            };
            Some(source.progress(&followed)).filter(Stage::is_final)
        };
        self.until("the end of it", followed).await
    }
}
