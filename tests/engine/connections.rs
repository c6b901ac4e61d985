//! Instances that leave are waited for, and what an older proxy can't do is said.

use super::world::*;
use flightdeck::engine::core::*;
use std::collections::BTreeMap;

/// 1.0 leaves production, and its stops are not carried out.
fn leaving() -> (Story, Vec<InstanceId>) {
    let mut spec = spec(&[]);
    spec.services.get_mut(&"shop".into()).unwrap().connections.drain = Some(seconds(20));
    let production = spec.services.get_mut(&"shop".into()).unwrap().placements.get_mut(&"production".into()).unwrap();
    (production.connections.drain, production.keep_warm) = (Some(seconds(40)), seconds(0));
    let mut story = Story::serving(spec);
    story.stops = false;
    story.deploy("production", "1.1").unwrap();
    story.pass(2);
    let stops = story.held_back.iter().filter_map(|of| match &of.effect {
        Effect::Stop { instance, drain, .. } => Some((instance.clone(), *drain)),
        _ => None,
    });
    let stops: BTreeMap<_, _> = stops.collect();
    assert!(stops.len() == 3 && stops.values().all(|drain| *drain == Some(seconds(40))), "{stops:?}");
    (story, stops.into_keys().collect())
}

#[test]
fn a_row_says_what_an_instance_that_leaves_waits_for() {
    let (mut story, ids) = leaving();
    assert!(!story.row().message.contains("draining"), "nothing was heard of it yet: {}", story.row().message);
    for id in &ids[..2] {
        story.event(id, InstanceEvent::Draining { bound: seconds(42) });
    }
    assert!(story.row().message.ends_with("; 1.0 is draining, at most 42 s more"), "{}", story.row().message);
    let requests = BTreeMap::from([(ids[0].clone(), 2), (ids[1].clone(), 1)]);
    let outcome = story.input(&Input::InFlight { requests });
    assert!(!outcome.changed, "numbers are not journalled");
    story.pass(10);
    assert!(
        story.row().message.ends_with("; 1.0 is draining, 3 requests left, at most 32 s more"),
        "{}",
        story.row().message
    );
    // Of one nobody counted: how many there are in all is not known.
    story.input(&Input::InFlight { requests: BTreeMap::from([(ids[0].clone(), 2)]) });
    assert!(story.row().message.ends_with("; 1.0 is draining, at most 32 s more"), "{}", story.row().message);
    story.event(&ids[1], InstanceEvent::Drained { remaining: Some(0) });
    assert!(story.row().message.ends_with("draining, 2 requests left, at most 32 s more"), "{}", story.row().message);
    story.pass(32);
    assert!(story.row().message.ends_with("draining, 2 requests left and ended now"), "{}", story.row().message);
    story.event(&ids[0], InstanceEvent::Drained { remaining: Some(2) });
    assert!(!story.row().message.contains("draining"), "{}", story.row().message);
    let notes: Vec<_> = story.state.slots[&key("shop", "production")].notes.iter().map(|note| &note.text).collect();
    let cut = format!("{}: drained for as long as it may: 2 requests were still in flight", ids[0]);
    assert!(notes.iter().any(|text| **text == cut) && !notes.iter().any(|text| text.starts_with(&ids[1])), "{notes:?}");
}

#[test]
fn what_an_older_proxy_can_not_do_is_said_and_a_newer_one_is_told_again() {
    let mut story = Story::serving(spec(&[]));
    let slot = key("shop", "production");
    let mut spec = story.state.configuration(&flightdeck::model::ConfigName::default());
    spec.services.get_mut(&"shop".into()).unwrap().connections.response_timeout = Some(seconds(90));
    story.routes = false;
    story.apply(spec).unwrap();
    story.pass(1);
    let Some(Effect::Route { route, .. }) = story.held_back.iter().map(|of| of.effect.clone()).next_back() else {
        panic!("no route: {:?}", story.held_back)
    };
    assert_eq!(route.options.response_timeout_ms, Some(90_000));
    assert_eq!((route.beyond(0), route.beyond(1)), (vec!["response_timeout"], vec![]));
    let lacking = Some("response_timeout is not in force".to_owned());
    story.held_back.clear();
    for environment in ["staging", "production"] {
        let slot = key("shop", environment);
        story.input(&Input::RouteAcked { slot, preview: false, version: route.version, lacking: lacking.clone() });
    }
    assert!(story.row().message.ends_with("; response_timeout is not in force"), "{}", story.row().message);
    story.input(&Input::RouteLost { slot: slot.clone(), preview: false });
    let Some(Effect::Route { route: again, .. }) = story.held_back.iter().map(|of| of.effect.clone()).next_back()
    else {
        panic!("it is not told again: {:?}", story.held_back)
    };
    assert!(again.version > route.version);
    story.routes = true;
    story.flush();
    assert!(!story.row().message.contains("not in force"), "{}", story.row().message);
}

#[test]
fn a_redirect_whose_address_is_taken_is_told_beside_a_service_that_is_reached() {
    use flightdeck::model::{Entity, Listening, ServiceAddress};
    let mut story = Story::serving(spec(&[]));
    let mut spec = story.state.spec.clone();
    let from: std::net::SocketAddr = "127.0.0.1:80".parse().unwrap();
    let production = |spec: &mut flightdeck::model::Spec| {
        let shop = spec.services.get_mut(&"shop".into()).unwrap();
        shop.placements.get_mut(&"production".into()).unwrap().ingress.redirect_from = Some(from);
    };
    production(&mut spec);
    story.apply(spec).unwrap();
    story.flush();
    let addresses = |story: &Story| -> Vec<ServiceAddress> {
        let rows = story.rows().into_iter();
        let mut services = rows.filter_map(|row| if let Entity::Service(of) = row { Some(of) } else { None });
        let addresses = services.next().unwrap().addresses;
        addresses.iter().filter(|of| of.environment.as_str() == "production").cloned().collect()
    };
    let at = |story: &Story| addresses(story).iter().map(|of| (of.address.clone(), of.listening.clone())).next_back();
    assert_eq!(at(&story), Some((from.to_string(), Listening::Open)));
    let slot = key("shop", "production");
    let why = "127.0.0.1:80 is in use by another program";
    story.input(&Input::Redirect { slot: slot.clone(), refused: Some(why.into()) });
    assert_eq!(at(&story), Some((from.to_string(), Listening::Refused { why: why.into() })));
    assert_eq!(addresses(&story)[0].listening, Listening::Open);
    assert!(story.row().message.ends_with(&format!("; nobody is sent on to TLS: {why}")), "{}", story.row().message);
    story.input(&Input::Redirect { slot, refused: None });
    assert_eq!(at(&story), Some((from.to_string(), Listening::Open)));
}
