//! A service in an environment.

use super::hooks::{self, Named};
use super::{Known, SECOND, connections, ingress, kind, or, program, strategy};
use crate::reader::{Table, Value, quoted};
use flightdeck_model::{Concurrency, EnvironmentName, InForce, Ingress, Listens, Placement, ServiceKind};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Instances of one pool at most; a slip of the finger should not start ten thousand processes.
const MOST_REPLICAS: u32 = 100;

/// Addresses in one file: each is compared with each.
const MOST_LISTENERS: usize = 1000;

/// A listener, for the search for clashes.
pub(super) struct Listener<'d> {
    value: Value<'d>,
    address: SocketAddr,
    /// Of what nothing can tell apart from others.
    of: ServiceKind,
    ingress: Ingress,
}

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

/// An address that is to be listened on.
pub(super) fn listen<'d>(
    value: Value<'d>,
    of: ServiceKind,
    ingress: Ingress,
    listeners: &mut Vec<Listener<'d>>,
) -> Option<SocketAddr> {
    let expected = "an address and port such as \"127.0.0.1:8080\"";
    let text = value.text(expected)?;
    let Some(address) = text.parse::<SocketAddr>().ok().filter(|address| address.port() != 0) else {
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).filter(|port| *port != 0);
        let local = text.starts_with(':') || text.starts_with("localhost:") || !text.contains(':');
        value.expected(expected, port.filter(|_| local).map(|port| format!("\"127.0.0.1:{port}\"")));
        return None;
    };
    if listeners.len() >= MOST_LISTENERS {
        value.wrong(&format!("expected at most {MOST_LISTENERS} addresses in one file"), None);
        return None;
    }
    listeners.push(Listener { value, address, of, ingress });
    Some(address)
}

/// Notes listeners that can't be open at the same time, and those of one address that nothing tells apart, here
/// or in another configuration.
pub(super) fn clashes(listeners: &[Listener<'_>], beside: &[InForce]) {
    let elsewhere: Vec<_> = beside
        .iter()
        .flat_map(|other| {
            let listens = other.spec.listens();
            listens.map(|of| Listens { place: format!("{} of {}", of.place, other.words()), ..of })
        })
        .collect();
    for (index, listener) in listeners.iter().enumerate() {
        let (earlier, _) = listeners.split_at(index);
        let here = earlier.iter().map(|of| (of.value.path.as_str(), of.address, of.of, &of.ingress));
        let elsewhere = elsewhere.iter().map(|of| (of.place.as_str(), of.address, of.kind, &of.ingress));
        let mut others = here.chain(elsewhere);
        if let Some(why) = others.find_map(|(name, at, kind, ingress)| listener.clash(name, at, kind, ingress)) {
            listener.value.wrong(&why, None);
        }
    }
}

impl Listener<'_> {
    fn clash(&self, other: &str, at: SocketAddr, kind: ServiceKind, ingress: &Ingress) -> Option<String> {
        let whole = |of: &Ingress| of.hosts.is_empty() && of.paths.is_empty();
        let raw = [self.of, kind].contains(&ServiceKind::Tcp);
        if raw || self.address != at || (whole(&self.ingress) && whole(ingress)) {
            let found = self.address;
            return clash(self.address, at)
                .then(|| format!("expected an address that {other} does not use, found \"{found}\""));
        }
        if let Some(what) = self.ingress.clash(ingress) {
            return Some(format!("expected hosts or paths that tell it from {other}, found {what} in both"));
        }
        let tls = |of: &Ingress| !of.certificates.is_empty();
        (tls(&self.ingress) != tls(ingress))
            .then(|| format!("expected tls here and for {other}, or for neither: they share an address"))
    }
}

/// `[::]` takes IPv4 as well on Linux unless told otherwise.
fn clash(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4());
    a.port() == b.port() && (a.ip() == b.ip() || covers(a.ip(), b.ip()) || covers(b.ip(), a.ip()))
}
