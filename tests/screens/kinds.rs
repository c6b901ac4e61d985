//! Scenes of services that are reached otherwise than by HTTP, and of services that nobody asks anything.

use crate::screens::world::*;
use flightdeck::cockpit::app::State;
use flightdeck::model::*;
use std::sync::Arc;

fn service(name: &str, kind: ServiceKind) -> Entity {
    Entity::Service(Service {
        source: "local".into(),
        name: name.into(),
        configuration: None,
        kind: Some(kind),
        environments: vec!["production".into()],
        addresses: Vec::new(),
        places: Vec::new(),
    })
}

fn row(rollout: Rollout) -> Entity {
    Entity::Rollout(Arc::new(rollout))
}

fn worker(mut rollout: Rollout) -> Rollout {
    for arm in &mut rollout.arms {
        arm.traffic.how = TrafficSource::Instances;
    }
    rollout
}

fn told(columns: u16, rows: u16, entities: Vec<Entity>) -> (State, Hub) {
    let mut state = empty(columns, rows);
    connect(&mut state, 0, "local", true);
    let mut local = Hub::new(0, "local");
    let mut all = environments("local");
    all.extend(entities);
    local.snapshot(&mut state, all);
    (state, local)
}

/// Four services at rest, of every kind; nobody asks any of them anything.
pub fn idle(columns: u16, rows: u16) -> State {
    let settled = |name, version| settled("local", name, "production", version);
    let entities = vec![
        service("checkout-frontend-of-the-big-shop", ServiceKind::Http),
        service("session-cache", ServiceKind::Tcp),
        service("invoice-mailer-with-a-long-name", ServiceKind::Worker),
        row(settled("checkout-frontend-of-the-big-shop", "2026.11.30-1+3fa9c01")),
        row(settled("session-cache", "7.4.1")),
        row(worker(settled("invoice-mailer-with-a-long-name", "31"))),
        row(settled("search", "3.0.4")),
    ];
    told(columns, rows, entities).0
}

/// A canary of a TCP service, whose connections are counted.
pub fn connections(columns: u16, rows: u16) -> State {
    let canary = rollout("local", "session-cache", "production", "7.4.0", "7.4.1", 25);
    let target = canary.run.target.clone();
    let (mut state, mut local) = told(columns, rows, vec![service("session-cache", ServiceKind::Tcp), row(canary)]);
    let mut samples = samples(&target, |second| [Some((5, u64::from(second % 9 == 0), 0)), Some((15, 0, 0))]);
    for sample in &mut samples {
        (sample.p50_us, sample.p95_us, sample.p99_us) = (None, None, None);
    }
    local.send(&mut state, Body::Samples(samples));
    state
}
