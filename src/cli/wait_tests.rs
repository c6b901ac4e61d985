use super::*;
use crate::model::{
    ActionSet, ArmRole, Body, Entity, Facts, LinkState, Replicas, Scope, Scoped, Strategy, Target, Traffic,
    TrafficSource,
};
use std::sync::Arc;

fn run(revision: &str) -> Run {
    let namespace = Some("production".to_owned());
    let target = Target {
        source: "local".into(),
        kind: "service".into(),
        namespace,
        name: "shop".into(),
        uid: "u".into(),
        first_name: None,
    };
    Run { target, revision: revision.into() }
}

/// A row with a candidate that has that share of percent at so many ready instances.
fn row(revision: &str, phase: Phase, share: u32, ready: u32) -> Rollout {
    let arm = |role, version: &str, share: u32, ready| Arm {
        role,
        version: version.into(),
        digest: None,
        replicas: Replicas { ready, desired: 2 },
        traffic: Traffic {
            desired: Ppm::percent(share),
            actual: Some(Ppm::percent(share)),
            how: TrafficSource::Acknowledged,
        },
        pods: None,
        service: None,
    };
    Rollout {
        run: run(revision),
        service: "shop".into(),
        environment: "production".into(),
        strategy: Strategy::Canary,
        steps: [].into(),
        step: None,
        arms: vec![arm(ArmRole::Stable, "1.0", 100 - share, 2), arm(ArmRole::Candidate, "1.1", share, ready)],
        phase,
        waits: Vec::new(),
        message: "why".into(),
        started: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
        author: None,
        facts: Facts::default(),
        offers: ActionSet::EMPTY,
        denied: Arc::default(),
        managed_by: None,
        analyses: Vec::new(),
        rollback_plan: None,
        in_flight: None,
        failing: Vec::new(),
        still_asked: false,
        listening: None,
        diagnosis: None,
        watchdog: None,
        objectives: Vec::new(),
    }
}

fn record(revision: &str, (from, to): (&str, &str), outcome: DeploymentOutcome) -> RolloutRecord {
    RolloutRecord {
        run: run(revision),
        service: "shop".into(),
        called: None,
        environment: "production".into(),
        from: Some(from.into()),
        to: to.into(),
        author: Some("alice".into()),
        writer: None,
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        outcome,
        cause: "its cause".into(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit: None,
        commit_at: None,
        pipeline_run: None,
        step_times: Vec::new(),
        reached: None,
        rollback: None,
        waited: Some(SignedDuration::ZERO),
        manual_steps: 0,
        steps: Some(0),
        diagnosis: None,
    }
}

fn board(row: Option<Rollout>, records: &[RolloutRecord], link: LinkState) -> Board {
    let mut board = Board::default();
    let rows = row.map(|row| Entity::Rollout(Arc::new(row))).into_iter();
    let records = records.iter().cloned().map(|record| Entity::RolloutRecord(Arc::new(record)));
    let bodies = rows.chain(records).map(Body::Upsert).chain([Body::Link(link)]);
    for body in bodies {
        board.apply(&Scoped { scope: Scope { source: "local".into(), part: String::new() }, body });
    }
    board
}

fn live() -> LinkState {
    LinkState::live(Timestamp::UNIX_EPOCH)
}

/// `there: …`, `7: …`, or what else is seen.
fn said(board: &Board, state: WaitFor) -> String {
    match look(board, &run("r-2"), state) {
        Seen::There(text) => format!("there: {text}"),
        Seen::Over(failure) => format!("{}: {}", failure.code as u8, failure.what),
        Seen::Unrecorded => "unrecorded".to_owned(),
        Seen::NotYet => "not yet".to_owned(),
    }
}

#[test]
fn each_state_is_seen_in_a_row_and_each_end_has_its_code() {
    use Phase::{Aborted, Failed, Healthy, Paused, Progressing, RollingBack};
    use WaitFor::{Effect, Finished};
    for (row, state, expected) in [
        (row("r-2", Progressing, 0, 0), Effect, "not yet"),
        (row("r-2", Progressing, 0, 2), Effect, "not yet"),
        // A share without an instance is met by nobody.
        (row("r-2", Progressing, 10, 0), Effect, "not yet"),
        (row("r-2", Progressing, 10, 1), Effect, "there: 1.1 has 10 %, 1 ready"),
        (row("r-2", Progressing, 10, 1), Finished, "not yet"),
        (row("r-2", RollingBack, 10, 1), Finished, "not yet"),
        (row("r-2", Healthy, 0, 0), Finished, "there: it succeeded: why"),
        (row("r-2", Failed, 0, 0), Finished, "1: it failed: why"),
        (row("r-2", Aborted, 0, 0), Finished, "7: it was aborted: why"),
        (row("r-2", Paused, 10, 1), WaitFor::Paused, "there: it stands still: why"),
        (row("r-2", Progressing, 10, 1), WaitFor::Paused, "not yet"),
        (row("r-2", Healthy, 0, 0), WaitFor::Paused, "1: it ended without a pause: why"),
        (row("r-2", Healthy, 0, 0), WaitFor::Healthy, "there: 1.0: 2 of 2 ready"),
        (row("r-2", Phase::Degraded, 0, 0), WaitFor::Healthy, "not yet"),
        (row("r-2", Aborted, 0, 0), WaitFor::Healthy, "7: it was aborted: why"),
        // Another run is shown, and nothing is recorded of this one.
        (row("r-3", Progressing, 10, 1), Finished, "unrecorded"),
        (row("r-3", Healthy, 0, 0), WaitFor::Healthy, "there: 1.0: 2 of 2 ready"),
    ] {
        assert_eq!(said(&board(Some(row.clone()), &[], live()), state), expected, "{:?} {state:?}", row.phase);
    }
    let mut empty = row("r-2", Healthy, 0, 0);
    empty.arms[0].replicas = Replicas::default();
    assert_eq!(said(&board(Some(empty), &[], live()), WaitFor::Healthy), "not yet", "nothing runs");
}

#[test]
fn the_record_of_an_end_counts_and_so_does_a_way_back_after_it() {
    use DeploymentOutcome::{Aborted, Failed, RolledBack, Succeeded, Superseded};
    let later = |phase| Some(row("r-3", phase, 0, 0));
    let two = |outcome| record("r-2", ("1.0", "1.1"), outcome);
    for (records, expected) in [
        (vec![two(Succeeded)], "there: it succeeded: its cause"),
        (vec![two(Failed)], "1: it failed: its cause"),
        (vec![two(Superseded)], "1: it was superseded: its cause"),
        (vec![two(Aborted)], "7: it was aborted: its cause"),
        (vec![two(RolledBack)], "8: it was rolled back: its cause"),
        (vec![RolloutRecord { kind: DeploymentKind::Rollback, ..two(RolledBack) }], "there: it succeeded: its cause"),
        (vec![two(Succeeded), record("r-3", ("1.1", "1.0"), RolledBack)], "8: it was rolled back: its cause"),
        (vec![two(Succeeded), record("r-3", ("1.1", "1.2"), Succeeded)], "there: it succeeded: its cause"),
    ] {
        assert_eq!(said(&board(later(Phase::Healthy), &records, live()), WaitFor::Finished), expected);
    }
    assert_eq!(said(&board(None, &[two(Aborted)], live()), WaitFor::Finished), "7: it was aborted: its cause");
    assert!(said(&board(None, &[], live()), WaitFor::Finished).starts_with("1: "), "it is gone");
}

#[test]
fn what_cannot_be_seen_is_neither_there_nor_over() {
    let stale = LinkState::stale(Timestamp::UNIX_EPOCH, "connection refused".into());
    let ended = Some(row("r-2", Phase::Healthy, 0, 0));
    assert_eq!(said(&board(ended.clone(), &[], stale), WaitFor::Finished), "not yet");
    let denied = LinkState::Denied { verb: "watch".into(), resource: "rollouts".into() };
    assert_eq!(said(&board(ended, &[], denied), WaitFor::Finished), "4: not readable: you lack watch on rollouts");
}

#[test]
fn who_waits_for_a_person_says_for_what_and_which_command_ends_it() {
    let human = Wait::Human { what: "promotion past a pause step".into(), who: None, since: Timestamp::UNIX_EPOCH };
    let waits = |revision, wait: Wait| {
        let mut row = row(revision, Phase::Paused, 10, 1);
        (row.waits, row.offers) = (vec![wait], [Action::Promote, Action::Abort].into_iter().collect());
        person(&board(Some(row), &[], live()), &run("r-2"))
    };
    let failure = waits("r-2", human.clone()).unwrap();
    assert_eq!(failure.code, Code::Waits);
    assert!(failure.what.contains("waits for a person: promotion past a pause step"), "{failure}");
    let todo = failure.todo.unwrap();
    assert!(todo.contains("`flightdeck promote local/production/shop`"), "{todo}");
    let half_way = {
        let mut row = row("r-2", Phase::Paused, 10, 1);
        row.waits = vec![human.clone()];
        row.offers = [Action::Promote, Action::Resume, Action::Abort].into_iter().collect();
        person(&board(Some(row), &[], live()), &run("r-2")).unwrap().todo.unwrap()
    };
    assert!(half_way.contains("`flightdeck resume local/production/shop`"), "a migration half way: {half_way}");
    assert!(waits("r-3", human).is_none(), "another run's wait");
    let held = waits("r-2", Wait::Hold("H-3".into())).unwrap();
    assert_eq!((held.code, held.todo.as_deref()), (Code::Waits, Some("`flightdeck release H-3`")));
    assert!(waits("r-2", Wait::Health).is_none());
}
