//! The palette.

use super::world::*;
use flightdeck::cockpit::app::state::Overlay;
use flightdeck::cockpit::app::{ConnectionState, Effect, Page};
use flightdeck::model::*;

fn texts(desk: &Desk) -> Vec<&str> {
    desk.palette().completions.iter().map(|completion| completion.text.as_str()).collect()
}

fn enter(desk: &mut Desk, text: &str) {
    desk.key(":");
    desk.type_text(text);
    desk.key("enter");
}

#[test]
fn it_completes_what_is_typed() {
    let mut desk = Desk::new();
    desk.select("checkout");
    desk.key(":");
    desk.type_text("prom");
    assert_eq!(texts(&desk), ["promote", "promote full"]);
    assert_eq!(desk.palette().selected, Some(0), "the first one that fits is what Enter runs");
    desk.key("down");
    assert_eq!(desk.palette().selected, Some(1));
    desk.key("tab");
    assert_eq!(desk.palette().input.text, "promote full");
    desk.key("enter");
    let asked = desk.asked();
    let subject = Subject::Run(run("checkout"));
    assert_eq!(asked[0].1, Query::Prepare { action: Action::PromoteFull, subject });
}

#[test]
fn enter_runs_what_is_highlighted_and_never_a_guess() {
    let mut desk = Desk::new();
    desk.upsert(Entity::Hold(hold("H-1")));
    desk.select("checkout");
    for (typed, begins) in [("rel", true), ("release", true), ("prom", true), ("pmt", false)] {
        enter(&mut desk, typed);
        let refused = desk.notice().starts_with("there is no command");
        assert_eq!(refused, !begins, "{typed}: {}", desk.notice());
        desk.keys("esc esc");
    }
}

#[test]
fn what_can_not_be_done_now_says_why_beforehand_and_when_it_is_asked_for() {
    let mut desk = Desk::new();
    desk.select("search");
    desk.key(":");
    desk.type_text("promote full");
    let completion = &desk.palette().completions[0];
    assert_eq!(
        (completion.available, completion.help.as_str()),
        (false, "promote full: search in production has no rollout in flight: 1.0.0 serves")
    );
    desk.key("enter");
    assert_eq!(desk.notice(), "promote full: search in production has no rollout in flight: 1.0.0 serves");
    assert!(desk.did().is_empty());
}

#[test]
fn every_action_is_reachable_or_named_with_its_place() {
    for row in Action::TABLE {
        let mut desk = Desk::new();
        desk.select("checkout");
        enter(&mut desk, row.name);
        let known = !desk.notice().starts_with("there is no command");
        assert!(known, "{}: {}", row.name, desk.notice());
    }
    let mut desk = Desk::new();
    enter(&mut desk, "deploy checkout 1.2.0");
    assert!(desk.notice().contains("takes no argument") || desk.notice().contains("command line"), "{}", desk.notice());
    enter(&mut desk, "deploy");
    assert_eq!(desk.notice(), "deploy is on the command line: flightdeck deploy --help");
}

#[test]
fn a_hold_is_released_by_its_id() {
    let mut desk = Desk::new();
    enter(&mut desk, "release hold");
    assert_eq!(desk.notice(), "release hold: there is no hold");
    desk.upsert(Entity::Hold(hold("H-3")));
    desk.upsert(Entity::Hold(hold("H-4")));
    desk.key(":");
    desk.type_text("rel");
    assert_eq!(texts(&desk), ["release hold H-3", "release hold H-4"]);
    assert_eq!(desk.palette().completions[0].help, "everything by bob: incident 12");
    desk.keys("down enter");
    let asked = desk.asked();
    assert_eq!(
        asked[0].1,
        Query::Prepare {
            action: Action::ReleaseHold,
            subject: Subject::Hold { source: Some("local".into()), id: "H-4".into() }
        }
    );
    let prepared =
        desk.prepared(&asked[0].1, Decision::Allow { friction: Friction::Challenge("release H-4".to_owned()) });
    let reply = Ok(Box::new(Reply::Prepared(Box::new(prepared))));
    desk.send(flightdeck::cockpit::app::Event::Reply { token: asked[0].0, reply });
    desk.wait(400);
    desk.type_text("release H-4");
    desk.key("enter");
    assert_eq!(desk.submitted()[0].1.subject, Subject::Hold { source: Some("local".into()), id: "H-4".into() });
    enter(&mut desk, "release-hold");
    assert_eq!(desk.notice(), "release hold: which one? in force: H-3, H-4");
    enter(&mut desk, "release-hold H-9");
    assert_eq!(desk.notice(), "release hold: there is no hold H-9; in force: H-3, H-4");
}

#[test]
fn the_only_hold_needs_no_id() {
    let mut desk = Desk::new();
    desk.upsert(Entity::Hold(hold("H-3")));
    desk.key(":");
    desk.type_text("release-hold");
    assert_eq!(texts(&desk), ["release hold H-3"]);
    desk.key("enter");
    let subject = Subject::Hold { source: Some("local".into()), id: "H-3".into() };
    assert_eq!(desk.asked()[0].1, Query::Prepare { action: Action::ReleaseHold, subject });
}

#[test]
fn a_hold_that_somebody_released_meanwhile_is_not_released_again() {
    let mut desk = Desk::new();
    desk.upsert(Entity::Hold(hold("H-3")));
    enter(&mut desk, "release hold H-3");
    desk.allow(&Friction::Yes);
    desk.wait(400);
    desk.remove(EntityRef::Hold("local".into(), "H-3".into()));
    desk.key("y");
    assert!(desk.submitted().is_empty());
    assert_eq!(desk.said(), "H-3 was released meanwhile");
}

#[test]
fn one_id_is_one_hold_and_its_source_names_a_part_of_it() {
    let mut desk = Desk::new();
    let elsewhere = Hold { source: "prod-eu".into(), owner: "carol".to_owned(), ..hold("H-3") };
    desk.upsert(Entity::Hold(hold("H-3")));
    desk.upsert(Entity::Hold(elsewhere));
    desk.key(":");
    desk.type_text("rel");
    assert_eq!(texts(&desk), ["release hold H-3"], "one id, one release");
    desk.key("esc");
    enter(&mut desk, "release-hold local/H-3");
    let subject = Subject::Hold { source: Some("local".into()), id: "H-3".into() };
    assert_eq!(desk.asked()[0].1, Query::Prepare { action: Action::ReleaseHold, subject });
}

#[test]
fn hold_takes_an_environment() {
    let mut desk = Desk::new();
    enter(&mut desk, "hold production");
    assert_eq!(desk.dialog().items[0].target, "environment=production on local");
    desk.key("esc");
    enter(&mut desk, "hold everything");
    assert_eq!(desk.dialog().items[0].target, "everything on local");
    desk.key("esc");
    enter(&mut desk, "hold prodution");
    assert_eq!(desk.notice(), "hold: there is no environment prodution; did you mean production?");
}

#[test]
fn pages_themes_filters_connections_and_quitting() {
    let mut desk = Desk::new();
    enter(&mut desk, "approvals");
    assert_eq!(desk.state.page, Page::Approvals);
    enter(&mut desk, "theme light");
    assert_eq!(desk.state.theme, "light");
    enter(&mut desk, "theme lihgt");
    assert_eq!(desk.notice(), "there is no theme `lihgt`; did you mean light?; known: dark, light");
    desk.key("6");
    enter(&mut desk, "filter phase:paused");
    assert_eq!((desk.state.page, desk.shown()), (Page::Deck, vec!["payments"]));
    enter(&mut desk, "reconnect loca");
    assert_eq!(desk.notice(), "reconnect: no server is called loca; did you mean local?");
    desk.connection(0, "local", ConnectionState::Down { why: "reset".to_owned(), heard: None });
    enter(&mut desk, "reconnect loca");
    assert_eq!(desk.notice(), "reconnect: no server is called loca; did you mean local?");
    desk.effects.clear();
    enter(&mut desk, "reconnect local");
    assert_eq!(desk.did(), [Effect::Reconnect { connection: 0 }]);
    enter(&mut desk, "quit");
    assert_eq!(desk.did(), [Effect::Quit]);
}

#[test]
fn what_is_unknown_stays_open_with_a_suggestion() {
    let mut desk = Desk::new();
    enter(&mut desk, "pormote");
    assert_eq!(desk.notice(), "there is no command `pormote`; did you mean promote?");
    assert_eq!(desk.palette().input.text, "pormote");
    enter(&mut Desk::new(), "promote checkout");
    let mut desk = Desk::new();
    desk.select("checkout");
    enter(&mut desk, "abort payments");
    assert!(desk.state.dialog().is_none(), "a target that was typed is never taken for the selected one");
    assert_eq!(desk.notice(), "abort takes no argument, found `payments`; nothing was done");
}

#[test]
fn the_history_is_recalled() {
    let mut desk = Desk::new();
    for text in ["theme light", "theme dark", "theme light"] {
        enter(&mut desk, text);
    }
    assert_eq!(desk.state.history, ["theme dark", "theme light"]);
    desk.key(":");
    let mut seen = Vec::new();
    for key in ["up", "up", "up", "down", "down"] {
        desk.key(key);
        seen.push(desk.palette().input.text.clone());
    }
    assert_eq!(seen, ["theme light", "theme dark", "theme dark", "theme light", ""]);
    desk.key("esc");
    assert!(!matches!(desk.state.overlay, Some(Overlay::Palette(_))));
}

#[test]
fn an_action_of_the_palette_is_confirmed_like_its_key() {
    let mut desk = Desk::new();
    desk.select("checkout");
    enter(&mut desk, "abort");
    assert_eq!(desk.dialog().action, Action::Abort);
    assert!(desk.submitted().is_empty());
    desk.key("y");
    assert_eq!(desk.submitted().len(), 1);
}
