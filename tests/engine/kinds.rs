//! Services that are no HTTP servers: workers, to which nothing is routed, and TCP services.

use super::world::*;
use flightdeck::engine::core::*;
use flightdeck::model::*;
use jiff::SignedDuration;
use std::sync::Arc;

/// As `spec`, with a shop of that kind in production that is brought in by these steps.
fn of_kind(kind: ServiceKind, strategy: Strategy, steps: &[Step]) -> Spec {
    let mut spec = spec(steps);
    let shop = spec.services.get_mut(&"shop".into()).unwrap();
    shop.kind = kind;
    for placement in shop.placements.values_mut() {
        (placement.strategy, placement.keep_warm) = (strategy, SignedDuration::ZERO);
        placement.replicas = 2;
        if kind == ServiceKind::Worker {
            placement.listen = None;
        }
    }
    spec
}

fn worker(strategy: Strategy, steps: &[Step]) -> Spec {
    let mut spec = of_kind(ServiceKind::Worker, strategy, steps);
    let shop = spec.services.get_mut(&"shop".into()).unwrap();
    shop.health.probe = Probe::Runs { ready_after: seconds(5) };
    shop.placements.get_mut(&"staging".into()).unwrap().steps = Arc::from(Vec::new());
    spec
}

fn batches() -> [Step; 2] {
    [1, 2].map(|instances| Step::Batch { instances, unavailable: 0 })
}

/// Everything that a person reads of the row and of what happened to it.
fn said(story: &Story) -> String {
    let row = story.row();
    let rows = story.rows();
    let notes = rows.iter().filter_map(|row| if let Entity::Note(note) = row { Some(note.text.clone()) } else { None });
    let way_back = row.rollback_plan.iter().flat_map(|way| way.steps.clone());
    let waits = row.waits.iter().map(|wait| format!("{wait:?}"));
    notes.chain(way_back).chain(waits).chain([row.message]).collect::<Vec<_>>().join("\n")
}

/// `stable 2/2 1.0`.
fn arms(story: &Story) -> Vec<String> {
    let arm = |arm: &Arm| {
        assert_eq!(arm.traffic.how, TrafficSource::Instances);
        let Replicas { ready, desired } = arm.replicas;
        format!("{:?} {ready}/{desired} {}", arm.role, arm.version).to_lowercase()
    };
    story.row().arms.iter().map(arm).collect()
}

#[test]
fn a_worker_is_brought_in_by_each_strategy_without_a_route() {
    let whole = [Step::SetScale(Ppm::ALL)];
    let down = [Step::TakeDown, Step::SetScale(Ppm::ALL)];
    let rolling = batches();
    for (strategy, steps, most) in
        [(Strategy::BlueGreen, &whole[..], 4), (Strategy::Rolling, &rolling[..], 3), (Strategy::Recreate, &down[..], 2)]
    {
        let mut story = Story::serving(worker(strategy, steps));
        assert_eq!(story.row().message, "2 of 2 run 1.0");
        story.most = 0;
        story.deploy("production", "1.1").unwrap();
        story.pass(10);
        assert_eq!(
            (story.row().phase, arms(&story)),
            (Phase::Healthy, vec!["stable 2/2 1.1".to_owned()]),
            "{strategy:?}"
        );
        assert_eq!(story.row().message, "2 of 2 run 1.1");
        assert_eq!(story.most, most, "{strategy:?}");
        assert!(story.proxy.is_empty(), "nothing is routed to a worker");
        assert_eq!(story.ended.last().unwrap().reached, Some(Ppm::ALL), "{strategy:?}");
        story.act(Action::Restart).unwrap();
        story.pass(10);
        assert_eq!(story.row().message, "every instance of 1.1 is new", "{strategy:?}");
        story.act(Action::Rollback).unwrap();
        story.pass(10);
        assert_eq!(
            (story.row().phase, arms(&story)),
            (Phase::Healthy, vec!["stable 2/2 1.0".to_owned()]),
            "{strategy:?}"
        );
        assert!(!said(&story).contains("traffic"), "{strategy:?}: {}", said(&story));
    }
}

#[test]
fn a_worker_that_crashes_on_the_way_fails_its_rollout_which_goes_back() {
    for (strategy, steps) in [(Strategy::Rolling, &batches()[..]), (Strategy::BlueGreen, &[Step::SetScale(Ppm::ALL)])] {
        let mut story = Story::serving(worker(strategy, steps));
        story.ready = false;
        story.deploy("production", "1.1").unwrap();
        let crash = |story: &mut Story| {
            let started = story.started.last().unwrap().clone();
            let why = "exit status 3: no queue".to_owned();
            story.event(&started, InstanceEvent::Exited { why, diagnosis: None });
        };
        crash(&mut story);
        assert!(arms(&story)[1].starts_with("candidate 0/"), "{:?}", arms(&story));
        assert!(story.row().message.contains("exit status 3: no queue"), "{}", story.row().message);
        for _ in 0..61 {
            story.pass(1);
            crash(&mut story);
        }
        story.pass(5);
        assert_eq!(story.row().phase, Phase::Failed);
        assert_eq!(story.ready_of("1.0").len(), 2);
        assert_eq!(story.running.iter().filter(|id| id.starts_with("shop-production")).count(), 2, "{strategy:?}");
        assert!(!said(&story).contains("traffic"), "{}", said(&story));
    }
}

#[test]
fn a_candidate_that_ends_again_and_again_does_not_wait_for_its_deadline_whatever_its_kind() {
    for spec in [worker(Strategy::Rolling, &batches()), of_kind(ServiceKind::Http, Strategy::Canary, &canary_steps())] {
        let mut story = Story::serving(spec);
        let before = story.ready_of("1.0").len();
        story.ready = false;
        story.deploy("production", "1.1").unwrap();
        let crash = |story: &mut Story| {
            let id = story.started.last().unwrap().clone();
            story.event(&id, InstanceEvent::Exited { why: "exit status 3: no queue".into(), diagnosis: None });
            id
        };
        for pause in [1, 2, 4, 8] {
            crash(&mut story);
            story.pass(pause);
            assert!(story.row().phase.in_flight(), "{}", story.row().message);
        }
        let id = crash(&mut story);
        story.pass(1);
        let row = story.row();
        assert_eq!((row.phase, story.ready_of("1.0").len()), (Phase::Failed, before), "{}", row.message);
        let why = format!("1.1 does not stay up: {id} ended 5 times in a row: exit status 3: no queue");
        assert!(row.message.contains(&why), "{}", row.message);
    }
}

#[test]
fn a_worker_s_share_is_what_runs_of_it() {
    let steps = [
        Step::Batch { instances: 1, unavailable: 0 },
        Step::Pause { duration: None },
        Step::Batch { instances: 2, unavailable: 0 },
    ];
    let mut story = Story::serving(worker(Strategy::Rolling, &steps));
    story.deploy("production", "1.1").unwrap();
    story.pass(5);
    assert_eq!(arms(&story), ["stable 1/1 1.0", "candidate 1/1 1.1"]);
    let row = story.row();
    let shares: Vec<_> = row.arms.iter().map(|arm| (arm.traffic.desired.0, arm.traffic.actual.unwrap().0)).collect();
    assert_eq!(shares, [(500_000, 500_000), (500_000, 500_000)]);
    assert!(
        matches!(&row.waits[..], [Wait::Human { what, .. }] if what == "promote to 2 instances of it"),
        "{:?}",
        row.waits
    );
    let rows = story.rows();
    let instances: Vec<_> = rows
        .iter()
        .filter_map(|row| if let Entity::Instance(of) = row { Some(of.address.clone()) } else { None })
        .collect();
    assert!(instances.len() >= 2 && instances.iter().all(Option::is_none), "a worker listens nowhere: {instances:?}");
    story.act(Action::Abort).unwrap();
    story.pass(5);
    assert_eq!((story.row().phase, arms(&story)[0].as_str()), (Phase::Aborted, "stable 2/2 1.0"));
}

#[test]
fn what_is_up_stays_of_its_kind() {
    let mut story = Story::serving(spec(&[]));
    let refused = story.apply(worker(Strategy::Rolling, &batches())).unwrap_err();
    let why = "shop@production is up as kind \"http\" and would become \"worker\"";
    assert!(refused.why.starts_with(why), "{}", refused.why);
    let mut nothing = spec(&[]);
    nothing.services.clear();
    story.apply(nothing).unwrap();
    story.pass(5);
    story.apply(worker(Strategy::Rolling, &batches())).unwrap();
    story.pass(10);
    assert_eq!(story.row().message, "2 of 2 run 1.0", "what served comes up again");
    assert!(story.proxy.is_empty());
}

#[test]
fn a_tcp_service_is_routed_by_connection_and_goes_through_its_weights() {
    let mut story = Story::serving(of_kind(ServiceKind::Tcp, Strategy::Canary, &canary_steps()));
    let route = story.proxy["shop@production"].clone();
    assert!(route.options.tcp);
    // An older proxy would speak HTTP on it: it is not asked at all.
    assert_eq!((route.beyond(0), route.beyond(1), route.beyond(2)), (vec!["tcp"], vec!["tcp"], vec![]));
    assert_eq!((route.is_beyond(1), route.is_beyond(2)), (true, false));
    story.deploy("production", "1.1").unwrap();
    story.pass(2);
    assert_eq!(story.traffic(), [("1.0".to_owned(), 90), ("1.1".to_owned(), 10)]);
    let mut spec = of_kind(ServiceKind::Tcp, Strategy::Canary, &canary_steps());
    let mut other = spec.services[&"shop".into()].clone();
    other.kind = ServiceKind::Http;
    other.placements.get_mut(&"production".into()).unwrap().ingress.hosts = vec!["shop.example".into()];
    other.placements.remove(&"staging".into());
    spec.services.insert("other".into(), other);
    let refused = story.apply(spec).unwrap_err();
    assert!(refused.why.contains("listen on the same address"), "{}", refused.why);
}

#[test]
fn what_a_tcp_service_drains_are_connections() {
    let mut story = Story::serving(of_kind(ServiceKind::Tcp, Strategy::Canary, &canary_steps()));
    story.stops = false;
    story.deploy("production", "1.1").unwrap();
    story.act(Action::PromoteFull).unwrap();
    story.pass(2);
    let stops = story.held_back.iter().filter_map(|of| match &of.effect {
        Effect::Stop { instance, .. } => Some(instance.clone()),
        _ => None,
    });
    let id = stops.collect::<Vec<_>>().pop().expect("1.0 leaves");
    story.event(&id, InstanceEvent::Draining { bound: seconds(40) });
    story.input(&Input::InFlight { requests: [(id.clone(), 2)].into() });
    assert!(
        story.row().message.ends_with("1.0 is draining, 2 connections left, at most 40 s more"),
        "{}",
        said(&story)
    );
    story.event(&id, InstanceEvent::Drained { remaining: Some(1) });
    assert!(said(&story).contains("1 connection was still in flight"), "{}", said(&story));
}

#[test]
fn a_state_from_before_there_were_kinds_is_read() {
    let story = Story::serving(spec(&canary_steps()));
    let mut json = serde_json::to_value(&story.state).unwrap();
    for service in json.pointer_mut("/spec/services").unwrap().as_object_mut().unwrap().values_mut() {
        service.as_object_mut().unwrap().remove("kind");
        assert_eq!(service["health"]["path"], "/healthz", "as it was written then");
        service["health"]["path"] = serde_json::Value::Null;
    }
    for slot in json["slots"].as_array_mut().unwrap() {
        slot.as_object_mut().unwrap().remove("kind");
    }
    let state: State = serde_json::from_value(json).unwrap();
    let shop = &state.spec.services[&"shop".into()];
    assert_eq!((shop.kind, &shop.health.probe), (ServiceKind::Http, &Probe::Tcp {}));
    assert_eq!((shop.health.interval, shop.health.unhealthy), (seconds(1), 3));
    assert_eq!(shop.placements[&"production".into()].listen, Some(address(2)));
}

#[test]
fn each_check_is_written_so_that_it_is_read_again() {
    for probe in [
        Probe::Http { path: "/healthz".into() },
        Probe::Tcp {},
        Probe::Command { command: vec!["bin/alive".into()] },
        Probe::Runs { ready_after: seconds(5) },
    ] {
        let health = HealthSpec { probe, interval: seconds(1), healthy: 1, unhealthy: 2, timeout: seconds(3) };
        let text = serde_json::to_string(&health).unwrap();
        assert_eq!(serde_json::from_str::<HealthSpec>(&text).unwrap(), health, "{text}");
    }
}
