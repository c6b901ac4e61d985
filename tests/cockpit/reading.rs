//! The charts of an opened rollout, read at a moment.

use super::world::*;
use flightdeck::cockpit::app::Page;
use flightdeck::cockpit::app::reading::{happened, marks, moment, span};
use flightdeck::cockpit::app::run::opened;
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};

fn at(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// Two minutes of windows of ten seconds, a step in the middle.
fn desk() -> Desk {
    let mut desk = Desk::new();
    let sample = |role: &ArmRole, seconds| ArmSample {
        target: target("checkout"),
        role: role.clone(),
        version: "1".into(),
        at: at(seconds),
        window_ms: 10_000,
        requests: 100,
        errors: 0,
        p50_us: None,
        p95_us: None,
        p99_us: None,
    };
    for seconds in (0..=120).step_by(10) {
        let samples = [ArmRole::Stable, ArmRole::Candidate].iter().map(|role| sample(role, seconds)).collect();
        desk.body(0, "local", "", Body::Samples(samples));
    }
    let note = |id: &str, seconds, text: &str, kind| {
        let (id, who, text) = (id.to_owned(), "system:engine".to_owned(), text.to_owned());
        Entity::Note(Note { id, run: run("checkout"), at: at(seconds), who, text, kind })
    };
    desk.upsert(note("n-1", 62, "step 1 of 4: 25 %", NoteKind::Progress));
    desk.upsert(note("n-2", 100, "an instance was started", NoteKind::Event));
    desk.now = at(121);
    desk.select("checkout");
    desk.keys("enter");
    desk
}

fn read(desk: &Desk) -> Option<Timestamp> {
    let rollout = opened(&desk.state).unwrap();
    moment(&desk.state, rollout, &span(&desk.state.board, rollout, desk.now))
}

#[test]
fn keys_go_through_the_moments_of_the_charts_and_back_to_the_newest() {
    let mut desk = desk();
    assert_eq!(read(&desk), None, "the newest");
    desk.keys(",");
    assert_eq!(read(&desk), Some(at(110)), "one window back");
    desk.keys(", , , ,");
    assert_eq!(read(&desk), Some(at(70)));
    desk.keys(".");
    assert_eq!(read(&desk), Some(at(80)));
    // It stands still while time goes on.
    desk.wait(30_000);
    assert_eq!(read(&desk), Some(at(80)));
    desk.keys(". . . .");
    assert_eq!(read(&desk), None, "behind the newest it is the newest again");
    desk.keys(", esc");
    assert_eq!(read(&desk), None, "esc goes back to the newest");
    assert_eq!(desk.state.page, Page::Rollout, "and leaves the page only then");
    desk.keys(", 1");
    assert_eq!((read(&desk), desk.state.page), (None, Page::Deck), "the Deck's charts are of now");
    desk.keys("enter");
    for _ in 0..100 {
        desk.keys(",");
    }
    assert_eq!(read(&desk), Some(at(0)), "no further than there are numbers");
}

#[test]
fn what_moved_a_rollout_is_marked_and_told_where_it_is_read() {
    let desk = desk();
    let rollout = opened(&desk.state).unwrap();
    assert_eq!(marks(&desk.state, rollout), [at(62)], "a step, and no event besides");
    let span = span(&desk.state.board, rollout, desk.now);
    let told = |seconds| happened(&desk.state, rollout, &span, at(seconds));
    assert_eq!(told(60).as_deref(), Some("engine: step 1 of 4: 25 %"));
    assert_eq!(told(100).as_deref(), Some("engine: an instance was started"));
    assert_eq!(told(35), None);
}

#[test]
fn without_numbers_there_is_nothing_to_read() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("enter ,");
    assert!(desk.notice().contains("there are no numbers of this rollout"), "{}", desk.notice());
    assert_eq!(read(&desk), None);
}
