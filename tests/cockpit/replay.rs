//! A recording leads to the same state.

use super::world::*;
use flightdeck::cockpit::app::{Event, State, Submitted, update};
use flightdeck::model::*;
use jiff::Timestamp;

/// A session with everything in it: updates, a confirmation, a palette, an output, a lost server.
fn session() -> Desk {
    let mut desk = Desk::new();
    desk.upsert(Entity::Approval(Box::new(approval("A-1", "payments"))));
    desk.upsert(Entity::Hold(hold("H-1")));
    desk.select("checkout");
    desk.key("p");
    desk.wait(20);
    desk.allow(&Friction::Challenge("checkout 25→50".to_owned()));
    desk.wait(400);
    desk.type_text("checkout 25→50");
    desk.key("enter");
    let (token, command) = desk.submitted().remove(0);
    desk.outcome(token, Submitted::Taken(Box::new(receipt(&command, &[Stage::Requested]))));
    desk.keys("2 space 1 s / s e a enter : t h e m e space l i g h t enter ? j esc");
    desk.wait(2000);
    desk.stale("local", "reset");
    desk.send(Event::Resize { columns: 80, rows: 24 });
    desk.keys("esc G enter a");
    desk
}

#[test]
fn a_recording_replays_to_the_same_state() {
    let desk = session();
    let recording: Vec<String> = desk.events.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    assert!(recording.len() > 50, "{} events", recording.len());
    let mut replayed = State::new(120, 36, settings());
    for line in &recording {
        let (at, event): (Timestamp, Event) = serde_json::from_str(line).unwrap();
        update(&mut replayed, event, at);
    }
    let mut live = desk.state;
    // What the shell clears when it has drawn is not part of the recording.
    live.visible_changed = replayed.visible_changed;
    assert_eq!(replayed, live);
    // The comparison sees a difference.
    update(&mut replayed, Event::Key("j".into()), desk.now);
    assert_ne!(replayed, live);
}

#[test]
fn effects_are_data_too() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.keys("z p a");
    for effect in &desk.effects {
        let text = serde_json::to_string(effect).unwrap();
        let read: flightdeck::cockpit::app::Effect = serde_json::from_str(&text).unwrap();
        assert_eq!(read, *effect);
    }
    assert!(desk.effects.len() >= 3);
}
