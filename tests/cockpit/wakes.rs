//! When the screen asks to be woken: only where something counts.

use super::world::*;
use flightdeck::cockpit::app::{Effect, Event};
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};

/// Milliseconds from now to the wake that is set.
fn next(desk: &Desk) -> Option<i64> {
    desk.state.wake.map(|at| at.duration_since(desk.now).as_millis().try_into().unwrap())
}

/// Without a notice, which has a wake of its own.
fn quiet(desk: &mut Desk) {
    desk.state.notice = None;
    desk.send(Event::Resumed);
}

fn with_wait(wait: Option<Wait>, phase: Phase) -> Entity {
    let mut row = row("checkout", phase);
    row.waits = wait.into_iter().collect();
    Entity::Rollout(std::sync::Arc::new(row))
}

#[test]
fn a_quiet_screen_asks_for_nothing() {
    let mut desk = Desk::empty();
    desk.upsert(rollout("search", Phase::Healthy));
    desk.upsert(rollout("checkout", Phase::Progressing));
    for keys in ["1", "2", "6", "1 g g enter"] {
        desk.keys(keys);
        quiet(&mut desk);
        assert_eq!(next(&desk), None, "{keys}");
    }
}

#[test]
fn what_counts_on_the_page_sets_the_wake() {
    let at = |seconds| start() + SignedDuration::from_secs(seconds);
    for (name, wait, phase, after, wake) in [
        ("a countdown ticks each second", Some(Wait::Until { at: at(42) }), Phase::Paused, 500, Some(500)),
        ("until it has come", Some(Wait::Until { at: at(42) }), Phase::Progressing, 42_000, None),
        ("a pause ticks each second at first", None, Phase::Paused, 500, Some(500)),
        ("and then each minute", None, Phase::Paused, 12 * 60_000 + 1000, Some(59_000)),
        ("and then each hour", None, Phase::Paused, 3 * 3_600_000 + 60_000, Some(3_540_000)),
        ("what moves does not tick", None, Phase::Progressing, 500, None),
    ] {
        let mut desk = Desk::empty();
        desk.wait(after);
        desk.upsert(with_wait(wait, phase));
        quiet(&mut desk);
        assert_eq!(next(&desk), wake, "{name}");
        // Not on a page that does not show it.
        desk.key("6");
        quiet(&mut desk);
        assert_eq!(next(&desk), None, "{name}");
    }
}

#[test]
fn where_every_wait_is_spelled_out_each_of_them_ticks() {
    let mut desk = Desk::empty();
    let mut both = row("checkout", Phase::Paused);
    let at = start() + SignedDuration::from_secs(42);
    // The row shows the countdown, the page shows how long somebody is waited for as well.
    let since = start() - SignedDuration::from_millis(400);
    both.waits = vec![Wait::Until { at }, Wait::Human { what: "go".to_owned(), who: None, since }];
    desk.upsert(Entity::Rollout(std::sync::Arc::new(both)));
    desk.wait(300);
    desk.keys("j enter");
    quiet(&mut desk);
    // The keys took another 600 ms.
    assert_eq!(next(&desk), Some(100));
}

#[test]
fn only_rows_on_the_screen_tick() {
    let mut desk = Desk::empty();
    for n in 0..200 {
        desk.upsert(rollout(&format!("s{n:03}"), Phase::Progressing));
    }
    let mut queued = row("zzz", Phase::Queued);
    queued.service = "zzz".into();
    desk.upsert(Entity::Rollout(std::sync::Arc::new(queued)));
    quiet(&mut desk);
    assert_eq!(next(&desk), None);
    desk.keys("G");
    quiet(&mut desk);
    assert!(next(&desk).is_some());
}

#[test]
fn a_stale_source_ticks_and_so_does_a_lost_server() {
    let mut desk = Desk::empty();
    desk.stale("local", "reset");
    desk.wait(300);
    quiet(&mut desk);
    assert_eq!(next(&desk), Some(700));
    desk.wait(3_600_000);
    quiet(&mut desk);
    assert_eq!(next(&desk), Some(700), "seconds are shown for as long as it lasts");
    desk.live(0, "local");
    quiet(&mut desk);
    assert_eq!(next(&desk), None);
    desk.connection(
        0,
        "local",
        flightdeck::cockpit::app::ConnectionState::Down { why: "reset".to_owned(), heard: None },
    );
    quiet(&mut desk);
    assert_eq!(next(&desk), Some(1000));
}

#[test]
fn a_wake_is_asked_for_once_and_cancelled_when_nothing_counts() {
    let mut desk = Desk::empty();
    desk.upsert(rollout("search", Phase::Healthy));
    desk.look();
    desk.effects.clear();
    let paused = with_wait(Some(Wait::Until { at: start() + SignedDuration::from_secs(10) }), Phase::Paused);
    desk.upsert(paused);
    let second = start() + SignedDuration::from_secs(1);
    let look = desk.now + SignedDuration::from_millis(100);
    assert_eq!(desk.effects, [Effect::WakeAt(Some(look))]);
    desk.upsert(rollout("cart", Phase::Healthy));
    assert_eq!(desk.effects.len(), 1, "rows that come together are looked at together");
    desk.effects.clear();
    desk.now = look;
    desk.state.visible_changed = false;
    desk.send(Event::Wake);
    assert!(!desk.state.visible_changed, "looking is not drawing");
    assert_eq!(desk.effects, [Effect::WakeAt(Some(second))]);
    desk.effects.clear();
    desk.send(Event::Resumed);
    assert_eq!(desk.effects, [], "it is set already");
    desk.now = second;
    desk.state.visible_changed = false;
    desk.send(Event::Wake);
    assert!(desk.state.visible_changed);
    assert_eq!(desk.effects, [Effect::WakeAt(Some(second + SignedDuration::from_secs(1)))]);
    desk.effects.clear();
    desk.upsert(rollout("checkout", Phase::Healthy));
    desk.look();
    assert_eq!((desk.effects.len(), desk.state.wake), (1, None));
}

#[test]
fn a_notice_goes_by_itself_and_with_the_next_key() {
    let mut desk = Desk::empty();
    desk.key("c");
    assert_eq!(desk.notice(), "nothing is selected that could be copied");
    let until = desk.state.wake.unwrap();
    assert_eq!(until, desk.now + SignedDuration::from_secs(5));
    desk.now = until;
    desk.send(Event::Wake);
    assert_eq!((desk.notice(), desk.state.wake), ("", None));
    desk.keys("c");
    desk.key("g");
    assert_eq!(desk.notice(), "");
}

#[test]
fn the_end_of_the_300_ms_is_seen() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key("p");
    desk.allow(&Friction::Yes);
    assert_eq!(next(&desk), Some(300));
}

#[test]
fn a_clock_that_is_set_back_does_not_make_time_run_backwards() {
    let mut desk = Desk::new();
    desk.wait(10_000);
    desk.send(Event::Resumed);
    let seen: Timestamp = desk.state.now;
    desk.now = start() - SignedDuration::from_secs(3600);
    desk.send(Event::Resumed);
    assert_eq!(desk.state.now, seen);
}
