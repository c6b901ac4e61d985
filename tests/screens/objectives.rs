//! What services promise, on the Deck, on an opened rollout, and where a yes is asked for.

use super::world::rollout;
use super::*;
use flightdeck::model::{BurnLimit, Counted, ObjectiveStatus, OnBurn, Tally, WindowStatus};
use jiff::SignedDuration;
use std::sync::Arc;

fn window(requests: f64, bad: f64) -> WindowStatus {
    let tally = Tally { requests, bad, covers: None };
    WindowStatus {
        counted: Some(Counted { tally, at: ago(20), of_now_until: now() + SignedDuration::from_mins(2) }),
        why: None,
    }
}

fn failed(why: &str) -> WindowStatus {
    WindowStatus { counted: None, why: Some(why.to_owned()) }
}

fn objective(name: &str, indicator: Indicator, windows: [WindowStatus; 3]) -> ObjectiveStatus {
    let hours = SignedDuration::from_hours;
    let burn = BurnLimit { rate: 14.4, long: hours(1), short: SignedDuration::from_mins(5) };
    let objective = Objective { name: name.to_owned(), indicator, target: Ppm(999_000), window: hours(720), burn };
    let [budget, long, short] = windows;
    ObjectiveStatus { objective, on_burn: OnBurn::Refuse, budget, long, short, burning_since: None }
}

fn availability(windows: [WindowStatus; 3]) -> ObjectiveStatus {
    objective("checkout", Indicator::Availability, windows)
}

fn kept() -> ObjectiveStatus {
    availability([window(1e6, 130.0), window(1000.0, 0.4), window(1000.0, 1.2)])
}

fn unknown() -> ObjectiveStatus {
    let why = || failed("no bucket ends at 0.3; there are le = 0.1, 0.5");
    objective("checkout", Indicator::Latency { within_us: 300_000 }, [why(), why(), why()])
}

/// One whose budget burns too fast, and of which another is not known.
fn promised(columns: u16, rows: u16) -> State {
    let mut burning = availability([window(1e6, 880.0), window(1000.0, 16.0), window(1000.0, 22.0)]);
    burning.burning_since = Some(ago(720));
    with(columns, rows, vec![unknown(), burning])
}

/// Services at rest, and one on its way with these.
fn with(columns: u16, rows: u16, moves: Vec<ObjectiveStatus>) -> State {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    let mut partly = kept();
    partly.budget.counted.as_mut().unwrap().tally.covers = Some(SignedDuration::from_hours(48));
    let mut old = kept();
    for window in [&mut old.budget, &mut old.long, &mut old.short] {
        window.counted.as_mut().unwrap().of_now_until = ago(1);
        window.why = Some("503 Service Unavailable".to_owned());
    }
    let mut moving = rollout("local", "checkout", "production", "1.9.0", "1.10.0", 25);
    moving.phase = Phase::Paused;
    moving.waits = vec![Wait::Human { what: "promote to 50 %".into(), who: None, since: ago(60) }];
    moving.objectives = moves;
    let of = |service: &str, objectives| {
        let mut row = settled("local", service, "production", "2.0");
        row.objectives = objectives;
        row
    };
    let idle = availability([window(0.0, 0.0), window(0.0, 0.0), window(0.0, 0.0)]);
    let spent = availability([window(1e6, 1200.0), window(1000.0, 0.0), window(0.0, 0.0)]);
    let entities = [
        moving,
        of("search", vec![partly]),
        of("till", vec![spent]),
        of("old", vec![old]),
        of("idle", vec![idle]),
        of("untold", vec![unknown()]),
        of("free", Vec::new()),
    ];
    Hub::new(0, "local").snapshot(&mut state, entities.map(|row| Entity::Rollout(Arc::new(row))).into());
    tell(&mut state, Event::Wake);
    state
}

#[test]
fn what_is_left_of_a_budget_and_how_fast_it_burns_stand_at_each_row() {
    every_size("deck_objectives", promised);
    let drawn = screen(&promised(120, 36));
    let is_row = |line: &&str| line.contains("⏸ paused") || line.contains("✓ healthy");
    let row = |service: &str| drawn.lines().filter(is_row).find(|line| line.contains(service)).unwrap().to_owned();
    for (service, words) in [
        ("checkout", "✗ 12 % 16/22×"),
        ("search", "87 %? 0.4/1.2×"),
        ("till", "-20 % 0/?"),
        ("old", "? old"),
        ("idle", "? idle"),
        ("untold", "? no data"),
    ] {
        assert!(row(service).contains(words), "{}", row(service));
    }
    assert!(!row("free").contains('?') && !drawn.lines().filter(is_row).any(|line| line.contains("100 %")), "{drawn}");
    // Told by words, with or without colours.
    assert_eq!(text(&buffer(&promised(120, 36), "dark", false)), drawn);
}

#[test]
fn an_opened_rollout_says_what_is_promised_and_why_something_is_not_known() {
    every_size("rollout_objectives", after(promised, "enter"));
    every_size("rollout_objectives_old", after(promised, "G enter"));
}

#[test]
fn the_screen_is_drawn_again_when_numbers_get_old() {
    let mut state = empty(120, 36);
    connect(&mut state, 0, "local", true);
    let mut row = settled("local", "search", "production", "2.0");
    row.objectives = vec![kept()];
    Hub::new(0, "local").snapshot(&mut state, vec![Entity::Rollout(Arc::new(row))]);
    tell(&mut state, Event::Wake);
    let old = now() + SignedDuration::from_mins(2) + SignedDuration::from_millis(1);
    assert_eq!(state.wake, Some(old));
}

#[test]
fn a_yes_is_asked_for_beside_what_is_left_of_the_budget() {
    let mut state = with(120, 36, vec![kept()]);
    ask(&mut state, "p", |query| prepared(query, Friction::Yes));
    let drawn = screen(&state);
    let line = drawn.lines().find(|line| line.contains("objective")).expect("a line of it");
    assert!(line.contains("checkout: 99.9 % without failure over 30 d; 87 % of the budget left"), "{drawn}");
}
