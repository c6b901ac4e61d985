//! The History page.

use super::world::*;
use flightdeck::cockpit::app::pages::history;
use flightdeck::cockpit::app::record::RecordLine;
use flightdeck::cockpit::app::{Effect, Page};
use flightdeck::model::*;
use jiff::SignedDuration;
use std::sync::Arc;

/// Ended so many minutes ago.
fn ended(service: &str, revision: u32, minutes: i64, outcome: DeploymentOutcome) -> RolloutRecord {
    let at = start() - SignedDuration::from_mins(minutes);
    RolloutRecord {
        run: Run { target: target(service), revision: format!("r-{revision}") },
        service: service.into(),
        called: None,
        environment: "production".into(),
        from: Some("1.0.0".into()),
        to: format!("1.{revision}.0").as_str().into(),
        author: Some("bob".to_owned()),
        writer: None,
        started: at - SignedDuration::from_mins(10 + i64::from(revision)),
        ended: at,
        outcome,
        cause: "all steps passed".to_owned(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit_at: None,
        reached: Some(Ppm::ALL),
        rollback: None,
        waited: Some(SignedDuration::ZERO),
        manual_steps: 0,
        steps: Some(0),
        diagnosis: None,
    }
}

fn told(records: impl IntoIterator<Item = RolloutRecord>) -> Desk {
    let mut desk = Desk::new();
    for of in records {
        desk.upsert(Entity::RolloutRecord(Arc::new(of)));
    }
    desk.key("4");
    desk.effects.clear();
    desk
}

fn three() -> Desk {
    told([
        ended("checkout", 1, 30, DeploymentOutcome::Succeeded),
        ended("search", 2, 10, DeploymentOutcome::Aborted),
        ended("payments", 3, 20, DeploymentOutcome::Succeeded),
    ])
}

fn shown(desk: &Desk) -> Vec<&str> {
    history::window(&desk.state).rows.iter().map(|of| of.service.as_str()).collect()
}

fn selected(desk: &Desk) -> &str {
    history::selected(&desk.state).map_or("", |of| of.service.as_str())
}

#[test]
fn the_newest_stands_first_and_each_column_sorts() {
    let mut desk = three();
    assert_eq!((desk.state.page, shown(&desk)), (Page::History, vec!["search", "payments", "checkout"]));
    assert_eq!(selected(&desk), "search");
    let orders: [(&str, &[&str]); 5] = [
        ("service", &["checkout", "payments", "search"]),
        ("environment", &["search", "payments", "checkout"]),
        ("outcome", &["search", "payments", "checkout"]),
        ("duration", &["payments", "search", "checkout"]),
        ("time to rollback", &["search", "payments", "checkout"]),
    ];
    for (word, expected) in orders {
        desk.key("s");
        assert_eq!((desk.notice(), shown(&desk).as_slice()), (format!("sorted by {word}").as_str(), expected));
    }
    desk.keys("s S");
    assert_eq!(shown(&desk), ["checkout", "payments", "search"], "the oldest first");
    assert_eq!(selected(&desk), "search", "the cursor stays with its row");
}

#[test]
fn a_filter_finds_by_names_versions_outcome_and_person() {
    let mut desk = three();
    for (filter, expected) in [
        ("paym", vec!["payments"]),
        ("outcome:aborted", vec!["search"]),
        ("!outcome:aborted", vec!["payments", "checkout"]),
        ("version:1.1", vec!["checkout"]),
        ("by:bob env:prod", vec!["search", "payments", "checkout"]),
        ("by:nobody", vec![]),
    ] {
        desk.key("/");
        desk.type_text(filter);
        desk.key("enter");
        assert_eq!(shown(&desk), expected, "{filter}");
        desk.key("esc");
        assert_eq!(desk.state.page, Page::History);
        assert_eq!(shown(&desk).len(), 3, "esc drops the filter");
    }
}

#[test]
fn one_that_ends_comes_in_at_the_top_and_one_that_is_forgotten_goes() {
    let mut desk = three();
    desk.state.visible_changed = false;
    let new = ended("checkout", 9, 0, DeploymentOutcome::Succeeded);
    desk.upsert(Entity::RolloutRecord(Arc::new(new.clone())));
    assert!(desk.state.visible_changed);
    assert_eq!((shown(&desk)[0], selected(&desk)), ("checkout", "search"), "the cursor stays with its row");
    desk.remove(EntityRef::RolloutRecord(new.run));
    assert_eq!(shown(&desk), ["search", "payments", "checkout"]);
}

#[test]
fn what_happens_elsewhere_draws_nothing_here() {
    let mut desk = three();
    desk.state.visible_changed = false;
    desk.upsert(rollout("checkout", Phase::Paused));
    assert!(!desk.state.visible_changed);
}

#[test]
fn what_a_renamed_service_was_called_then_stands_in_the_record() {
    let then =
        RolloutRecord { called: Some("basket".into()), ..ended("checkout", 1, 30, DeploymentOutcome::Succeeded) };
    let mut desk = told([then, ended("checkout", 2, 10, DeploymentOutcome::Succeeded)]);
    let called = RecordLine::Text("called", "basket then".to_owned());
    assert!(!history::record(&desk.state).contains(&called));
    desk.key("j");
    assert!(history::record(&desk.state).contains(&called));
    assert_eq!(history::figures(&desk.state).unwrap().frequency.n, 2, "they are of one service");
}

#[test]
fn enter_shows_the_whole_record_and_escape_the_list_again() {
    let mut desk = three();
    let run = Run { target: target("search"), revision: "r-2".to_owned() };
    let note = |number: u32, text: &str| {
        let at = start() - SignedDuration::from_mins(i64::from(20 - number));
        Entity::Note(Note {
            id: format!("N-{number}"),
            run: run.clone(),
            at,
            who: "bob".into(),
            text: text.into(),
            kind: NoteKind::Event,
        })
    };
    desk.upsert(note(1, "asked for"));
    desk.upsert(note(2, "aborted by bob"));
    desk.key("enter");
    let record = history::record(&desk.state);
    let notes: Vec<_> = record
        .iter()
        .filter_map(|line| match line {
            RecordLine::Note(note) => Some(note.text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notes, ["asked for", "aborted by bob"], "as a story");
    assert!(record.contains(&RecordLine::Text("analysis", "none is known any more".to_owned())));
    assert!(record.contains(&RecordLine::Took("rollback", None)), "what is not known is said");
    desk.state.visible_changed = false;
    desk.upsert(note(3, "more"));
    assert!(desk.state.visible_changed, "its record is on the screen");
    desk.key("c");
    assert!(desk.did().contains(&Effect::Copy(run.to_string())));
    desk.key("G");
    assert_eq!(selected(&desk), "search", "an open record is scrolled");
    desk.key("esc");
    assert_eq!((desk.state.ended.record, desk.state.page), (None, Page::History));
    desk.key("esc");
    assert_eq!(desk.state.page, Page::Deck);
}

#[test]
fn the_figures_are_those_of_the_cursor_s_service_and_environment() {
    let mut desk = three();
    let n = |desk: &Desk| history::figures(&desk.state).map(|of| (of.frequency.n, of.fail_rate.value));
    assert_eq!(n(&desk), Some((1, Some(1.0))), "search: one, aborted when users had met it");
    desk.key("j");
    assert_eq!(n(&desk), Some((1, Some(0.0))), "payments");
    let again = ended("payments", 8, 5, DeploymentOutcome::Failed);
    desk.upsert(Entity::RolloutRecord(Arc::new(again)));
    assert_eq!(n(&desk), Some((2, Some(0.5))));
    assert_eq!(n(&told([])), None);
}

#[test]
fn nothing_can_be_done_to_what_has_ended() {
    let mut desk = three();
    for key in ["p", "a", "b", "space"] {
        desk.key(key);
        assert!(desk.did().is_empty() && desk.state.dialog().is_none(), "{key}");
    }
}

#[test]
fn of_ten_thousand_only_the_rows_on_the_screen_are_looked_up() {
    let count = 10_000;
    let mut desk = told((0..count).map(|n| ended("checkout", n, i64::from(n), DeploymentOutcome::Succeeded)));
    desk.key("G");
    let window = history::window(&desk.state);
    assert_eq!((window.matching, window.total), (count as usize, count as usize));
    assert!(window.rows.len() < 36 && window.selected == Some(window.rows.len() - 1));
}
