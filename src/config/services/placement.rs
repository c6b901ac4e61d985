//! A service in an environment.

use super::hooks::{self, Named};
use super::known::{Known, SECOND, or};
use super::listener::Listener;
use super::listener::listen;
use super::{connections, ingress, kind, program, strategy};
use crate::reader::{Table, Value, quoted};
use flightdeck_model::{Concurrency, EnvironmentName, Ingress, Placement, ServiceKind};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Instances of one pool at most; a slip of the finger should not start ten thousand processes.
const MOST_REPLICAS: u32 = 100;

/// Where a service runs, by environment.
pub(super) fn placements<'d>(
    value: &Value<'d>,
    of: ServiceKind,
    known: &Known<'d>,
    migrations: &[Named<'d>],
    listeners: &mut Vec<Listener<'d>>,
) -> Option<BTreeMap<EnvironmentName, Placement>> {
    let table = value.map()?;
    if table.len() == 0 {
        value.wrong("expected at least one environment, found none", None);
        return None;
    }
    let all: Vec<_> = table
        .entries()
        .map(|(name, value)| {
            let there = known.environments.contains(name);
            if !there {
                let meant = value.nearest(name, known.environments.iter().copied()).map(quoted);
                value.wrong_key(
                    &format!("expected an environment of this file, but there is no [environment.{name}]"),
                    meant,
                );
            }
            placement(&value, of, known, migrations, listeners)
                .filter(|_| there)
                .map(|placement| (EnvironmentName::from(name), placement))
        })
        .collect();
    all.into_iter().collect()
}

const KEYS: [&str; 20] = [
    "listen",
    "replicas",
    "progress_deadline",
    "keep_warm",
    "concurrency",
    "rto",
    "run",
    "env",
    "secrets",
    "health",
    "stop",
    "user",
    "group",
    "groups",
    "limits",
    "hooks",
    "canary",
    "blue_green",
    "rolling",
    "recreate",
];

fn placement<'d>(
    value: &Value<'d>,
    of: ServiceKind,
    known: &Known<'d>,
    migrations: &[Named<'d>],
    listeners: &mut Vec<Listener<'d>>,
) -> Option<Placement> {
    let keys: Vec<_> = KEYS.into_iter().chain(ingress::KEYS).chain(connections::KEYS).collect();
    let table = value.table(&keys)?;
    kind::fits(of, &table)?;
    let ingress = ingress::ingress(&table, known, listeners);
    let listen = (of != ServiceKind::Worker).then(|| address(&table, of, ingress.as_ref(), listeners));
    let replicas = or(&table, "replicas", 1, |value| value.count(1..=MOST_REPLICAS));
    let deadline = or(&table, "progress_deadline", SignedDuration::from_mins(2), |value| value.duration(SECOND));
    let kept = if of == ServiceKind::Worker { SignedDuration::ZERO } else { SignedDuration::from_mins(10) };
    let warm = or(&table, "keep_warm", kept, |value| value.duration(SignedDuration::ZERO));
    let concurrency = or(&table, "concurrency", Concurrency::default(), |value| {
        value.word(&[("supersede", Concurrency::Supersede), ("queue", Concurrency::Queue)])
    });
    let rto = or(&table, "rto", None, |value| value.duration(SECOND).map(Some));
    let around = or(&table, "hooks", Vec::new(), |value| hooks::around(&value, of));
    let overrides = program::overrides(&table, of, known);
    let connections = connections::connections(&table);
    let plan = strategy::plan(&table, of, known, replicas.unwrap_or(1), listeners);
    let (around, plan) = (around?, plan?);
    let hooks = hooks::all(migrations, around, plan.hooks)?;
    // Noted where it is wrong; a worker has none.
    let listen = listen.map_or(Some(None), |listen| listen.map(Some))?;
    Some(Placement {
        listen,
        replicas: replicas?,
        progress_deadline: deadline?,
        keep_warm: warm?,
        concurrency: concurrency?,
        strategy: plan.preset.strategy(),
        steps: strategy::expand(&plan.preset, of, &hooks).into(),
        background_analysis: plan.background,
        preview: plan.preview,
        sticky: plan.sticky,
        hooks: hooks.into(),
        jobs: BTreeMap::new(),
        rto: rto?,
        overrides: overrides?,
        connections: connections?,
        ingress: ingress?,
    })
}

/// Where users reach it.
fn address<'d>(
    table: &Table<'d>,
    of: ServiceKind,
    ingress: Option<&Ingress>,
    listeners: &mut Vec<Listener<'d>>,
) -> Option<SocketAddr> {
    let value = table.need("listen", "an address such as \"127.0.0.1:8080\"")?;
    // What is wrong with it is noted; it may be another one, so nothing clashes with it.
    let mut unknown = Vec::new();
    let known = if ingress.is_some() { listeners } else { &mut unknown };
    listen(value, of, ingress.cloned().unwrap_or_default(), known)
}
