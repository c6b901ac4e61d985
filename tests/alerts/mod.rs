//! Alerts of an Alertmanager: on a stub what goes wrong on the way there, on a real one what silences do.

mod cli;
mod faults;
mod real;
mod rules;

use crate::probe::stub::{Asked, Play};
use flightdeck::board::Board;
use flightdeck::integration::alert::alertmanager::Alertmanager;
use flightdeck::model::*;
use flightdeck::port::{Configured, Executor as _};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use std::time::Duration;

/// What the source is called.
const SOURCE: &str = "am";

fn configured(settings: Value) -> Configured {
    let Value::Object(settings) = settings else { panic!("a table") };
    Configured { name: SOURCE.into(), read_only: false, for_others: false, settings }
}

/// Looked at all the time, so that nothing waits long.
async fn opened(settings: Value) -> Alertmanager {
    drop(rustls::crypto::ring::default_provider().install_default());
    let opened = Alertmanager::open(&configured(settings)).await.unwrap();
    opened.looked_at_every(Duration::from_millis(50))
}

fn alerts() -> Scope {
    Scope { source: SOURCE.into(), part: Scope::ALERTS_PART.to_owned() }
}

/// An alert and a silence of somebody, as Alertmanager 0.25 tells them.
fn told(asked: &Asked) -> Play {
    let body = if asked.path.starts_with("/api/v2/alerts") { firing() } else { json!([]) };
    Play::answer(200, &body.to_string())
}

fn firing() -> Value {
    json!([{
        "fingerprint": "3e7a6bf4f2f4d6a3", "startsAt": "2026-11-30T17:37:11.523Z",
        "endsAt": "2026-11-30T17:42:11.523Z", "updatedAt": "2026-11-30T17:37:11.530Z",
        "generatorURL": "http://prometheus/graph", "receivers": [{"name": "none"}],
        "labels": {"alertname": "HighErrors", "namespace": "staging", "workload": "checkout",
            "severity": "critical"},
        "annotations": {"summary": "5 % of requests fail"},
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": []},
    }])
}

/// A source that is watched.
struct Watched {
    source: Alertmanager,
    updates: BoxStream<'static, Scoped>,
    board: Board,
}

impl Watched {
    async fn of(settings: Value) -> Watched {
        let source = opened(settings).await;
        let updates = source.watch();
        Watched { source, updates, board: Board::default() }
    }

    async fn until(&mut self, what: &str, so: impl Fn(&Board) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while !so(&self.board) {
            match tokio::time::timeout_at(deadline, self.updates.next()).await {
                Ok(Some(scoped)) => drop(self.board.apply(&scoped)),
                Ok(None) => panic!("the watch ended before: {what}"),
                Err(_) => {
                    let links: Vec<_> = self.board.links().collect();
                    panic!("never came: {what}; {links:?} {:?}", self.board.alerts().collect::<Vec<_>>())
                }
            }
        }
    }

    async fn live(&mut self) {
        self.until("it is live", |board| matches!(board.link_of(&alerts()), Some(LinkState::Live { .. }))).await;
    }

    async fn stale(&mut self, why: &str) {
        let says = |board: &Board| matches!(board.link_of(&alerts()), Some(LinkState::Stale { why: said, .. }) if said.contains(why));
        self.until(why, says).await;
    }
}

/// A command to silence an alert.
fn silence(id: &str, fingerprint: &str, run: Option<Run>) -> Command {
    let (source, fingerprint, lasts) = (SOURCE.into(), fingerprint.to_owned(), USUAL_SILENCE);
    Command {
        id: id.into(),
        action: Action::Silence,
        subject: Subject::Alert { source, fingerprint, run, lasts },
        pin: None,
        reason: Some("it is known".to_owned()),
    }
}

/// A command to end a silence.
fn unsilence(id: &str, silence: &SilenceId) -> Command {
    let subject = Subject::Silence { source: SOURCE.into(), id: silence.clone() };
    Command { id: id.into(), action: Action::Unsilence, subject, pin: None, reason: None }
}
