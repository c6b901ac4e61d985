//! Scenes of the History page and of a rollback plan.

use crate::screens::world::*;
use flightdeck::cockpit::app::State;
use flightdeck::model::DeploymentKind::{Deploy, Drill, Restart, Rollback};
use flightdeck::model::DeploymentOutcome::{Aborted, Failed, RolledBack, Succeeded, Superseded};
use flightdeck::model::*;
use jiff::SignedDuration;
use std::sync::Arc;

/// What ended, `hours` ago.
fn ended(
    number: u32,
    hours: i64,
    service: &str,
    versions: (&str, &str),
    how: (DeploymentKind, DeploymentOutcome),
) -> RolloutRecord {
    RolloutRecord {
        run: Run { target: target("local", "production", service), revision: format!("r-{number}") },
        service: service.into(),
        called: None,
        environment: "production".into(),
        from: Some(versions.0.into()),
        to: versions.1.into(),
        author: Some("bob".into()),
        writer: None,
        started: ago(hours * 3600 + 754),
        ended: ago(hours * 3600),
        outcome: how.1,
        cause: match how.1 {
            Succeeded => format!("all traffic is at {}", versions.1),
            Aborted => "errors 4.1 % against 0.3 % of stable, limit 1 %".to_owned(),
            RolledBack => {
                format!("back to {}: rolled back: checkout loses carts", versions.1)
            }
            Failed => "3 of 3 instances did not become ready within 2 m".to_owned(),
            Superseded => "replaced by 1.11.0, asked for by ann".to_owned(),
        },
        kind: how.0,
        digest: Some(format!("sha256:{number:064}")),
        commit_at: Some(ago(hours * 3600 + 9000)),
        reached: Some(Ppm::percent(match how.1 {
            Succeeded => 100,
            Failed => 0,
            _ => 25,
        })),
        rollback: matches!(how.1, Aborted | RolledBack).then_some(SignedDuration::from_millis(3400)),
        waited: Some(SignedDuration::from_secs(610)),
        manual_steps: 2,
        steps: Some(6),
        diagnosis: None,
    }
}

fn records() -> Vec<RolloutRecord> {
    let mut drill = ended(9, 12, "catalog", ("5.2", "5.1"), (Drill, Succeeded));
    "drill: 5.1 was back in 2.9 s; 5.2 serves again".clone_into(&mut drill.cause);
    drill.rollback = Some(SignedDuration::from_millis(2900));
    let then = |of: RolloutRecord| RolloutRecord { called: Some("basket".into()), ..of };
    vec![
        ended(8, 2, "checkout", ("1.9.0", "1.10.0"), (Deploy, Aborted)),
        ended(7, 5, "search", ("3.0.4", "3.1.0"), (Deploy, Succeeded)),
        drill,
        ended(6, 26, "checkout", ("1.9.1", "1.9.0"), (Rollback, RolledBack)),
        ended(5, 27, "checkout", ("1.9.0", "1.9.1"), (Deploy, Succeeded)),
        ended(4, 50, "payments", ("2.0.0", "2.0.0"), (Restart, Succeeded)),
        ended(3, 75, "payments", ("1.9.9", "2.0.0"), (Deploy, Failed)),
        then(ended(2, 99, "checkout", ("1.8.0", "1.9.0"), (Deploy, Superseded))),
        then(ended(1, 100, "checkout", ("1.7.0", "1.8.0"), (Deploy, Succeeded))),
    ]
}

fn tell_all(state: &mut State, records: impl IntoIterator<Item = RolloutRecord>) {
    let mut hub = Hub::new(0, "local");
    for of in records {
        hub.upsert(state, Entity::RolloutRecord(Arc::new(of)));
    }
}

/// As [`live`], with nine that have ended.
pub fn some(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    tell_all(&mut state, records());
    press(&mut state, "4");
    state
}

/// The same while the server is lost.
pub fn old(columns: u16, rows: u16) -> State {
    let mut state = some(columns, rows);
    connect(&mut state, 0, "local", false);
    state.connections[0].since = ago(75);
    state
}

/// As [`live`], and nothing has ended.
pub fn nothing(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    press(&mut state, "4");
    state
}

/// While the first list is being told.
pub fn loading(columns: u16, rows: u16) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    Hub::new(0, "local").send(&mut state, Body::SnapshotBegin);
    press(&mut state, "4");
    state
}

/// The aborted one's whole record, with its events.
pub fn record(columns: u16, rows: u16) -> State {
    let mut state = some(columns, rows);
    let run = records().remove(0).run;
    let mut hub = Hub::new(0, "local");
    for (number, (second, who, text)) in [
        (754, "bob", "deploys 1.10.0"),
        (640, "system:engine", "step 1 passed: 25 %"),
        (4, "system:engine", "errors 4.1 %, limit 1 %: aborts"),
    ]
    .into_iter()
    .enumerate()
    {
        let note = Note {
            id: format!("H-{number}"),
            run: run.clone(),
            at: ago(7200 + second),
            who: who.into(),
            text: text.into(),
            kind: NoteKind::Progress,
        };
        hub.upsert(&mut state, Entity::Note(note));
    }
    press(&mut state, "enter");
    state
}

/// A settled rollout whose backend plans the way back, at its plan.
pub fn plan(columns: u16, rows: u16) -> State {
    let mut state = live(columns, rows);
    let mut row = settled("local", "checkout", "production", "1.10.0");
    row.rollback_plan = Some(Arc::new(RollbackPlan {
        kind: ServiceKind::Http,
        path: RollbackPath::Start,
        to: "1.9.0".into(),
        steps: vec![
            "3 instances of 1.9.0 are started; 1.10.0 goes on serving".into(),
            "traffic follows as they become ready, all of it once they all are".into(),
            "1.10.0 ends".into(),
        ],
        estimate: Some(SignedDuration::from_secs(42)),
        measured: 3,
        cannot_undo: vec!["migration carts-2: drops the column `legacy_id`".into()],
        rto: Some(SignedDuration::from_secs(30)),
        drilled: Some((ago(86_400), SignedDuration::from_secs(39))),
    }));
    Hub::new(0, "local").upsert(&mut state, Entity::Rollout(Arc::new(row)));
    press(&mut state, "/ c h e c k o u t space e n v : p r o d enter enter shift-tab");
    state
}
