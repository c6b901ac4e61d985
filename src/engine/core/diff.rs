//! What a configuration would change of what is in force.

use super::context::span;
use super::removals::{has, returns, running};
use super::rename;
use super::state::State;
use super::types::SlotKey;
use flightdeck_model::{Connections, Ingress, Placement, Program, Renamed, ServiceSpec, Spec, counted};
use jiff::SignedDuration;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;

/// What applying a configuration would change of what that of its name brought, a line each; empty: nothing.
#[must_use]
pub fn diff(state: &State, spec: &Spec) -> Vec<String> {
    // Why it can't be renamed is no change: that is what would be refused.
    let renamed = rename::due(state, spec).unwrap_or_default();
    let mut lines: Vec<_> =
        renamed.iter().map(|Renamed { from, to }| format!("~ service {from}: renamed {to}, as it runs")).collect();
    let state = &rename::foreseen(state, spec).unwrap_or(Cow::Borrowed(state));
    let old = &state.configuration(&spec.name);
    maps(&mut lines, "environment", &old.environments, &spec.environments);
    maps(&mut lines, "analysis", &old.analyses, &spec.analyses);
    for name in old.services.keys().filter(|name| !spec.services.contains_key(*name)) {
        lines.push(format!("- service {name}: removed everywhere"));
    }
    for name in spec.services.keys().filter(|name| !old.services.contains_key(*name)) {
        lines.push(format!("+ service {name}"));
    }
    for (key, changes) in service_changes(old, spec) {
        let sign = match (has(old, &key), has(spec, &key)) {
            (false, _) => "+",
            (_, false) => "-",
            _ => "~",
        };
        if !changes.is_empty() {
            let besides = besides(state, &key, sign);
            lines.push(format!("{sign} {} in {}: {}{besides}", key.service, key.environment, changes.join(", ")));
        }
    }
    lines
}

/// What ends with a place that is removed, and what comes up again with one that is put back.
fn besides(state: &State, key: &SlotKey, sign: &str) -> String {
    let slot = state.slots.get(key).filter(|slot| sign == "-" && slot.is_up());
    let before = state.removed.get(&key.to_string()).filter(|_| sign == "+");
    match (slot, before.and_then(|before| before.release.as_ref().map(|release| (before, release)))) {
        (Some(slot), _) => format!("; it runs: {}", running(slot)),
        (None, Some((before, release))) if returns(state, &key.service, before).is_some() => {
            format!("; {} comes up again, as it ran when it was removed", release.version)
        }
        (None, Some((_, release))) => format!("; {} ran there, and is not stored any more", release.version),
        (None, None) => String::new(),
    }
}

fn maps<K: Ord + Display, V: PartialEq>(
    lines: &mut Vec<String>,
    what: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) {
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("- {what} {name}")));
    lines.extend(new.iter().filter_map(|(name, value)| match old.get(name) {
        None => Some(format!("+ {what} {name}")),
        Some(before) if before != value => Some(format!("~ {what} {name}: changed")),
        Some(_) => None,
    }));
}

/// By placement, what differs.
pub(super) fn service_changes<'a>(old: &'a Spec, new: &'a Spec) -> BTreeMap<SlotKey, Vec<String>> {
    let mut changes = BTreeMap::new();
    let names = |spec: &Spec| -> Vec<SlotKey> {
        spec.services
            .iter()
            .flat_map(|(service, of)| {
                of.placements
                    .keys()
                    .map(|environment| SlotKey { service: service.clone(), environment: environment.clone() })
            })
            .collect()
    };
    for key in names(old).into_iter().chain(names(new)) {
        let of = |spec: &'a Spec| {
            let service = spec.services.get(&key.service)?;
            let placement = service.placements.get(&key.environment)?;
            Some((service, placement, service.program(&key.service, &key.environment)?))
        };
        let lines = match (of(old), of(new)) {
            (Some(old), Some(new)) => placement_changes(&old, &new),
            (None, Some((_, placement, _))) => {
                let behind = placement.listen.map_or(String::new(), |listen| format!(" behind {listen}"));
                vec![format!("{}{behind}", counted(placement.replicas, "instance"))]
            }
            (Some(_), None) => vec!["removed".to_owned()],
            (None, None) => Vec::new(),
        };
        changes.insert(key, lines);
    }
    changes
}

/// A service in an environment, and how its instances are run there.
type Placed<'a> = (&'a ServiceSpec, &'a Placement, Program);

fn placement_changes(old: &Placed<'_>, new: &Placed<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    program_changes(&mut lines, &old.2, &new.2);
    differs(&mut lines, "depends_on", old.0.depends_on == new.0.depends_on, "");
    let connections = |of: &Placed<'_>| of.1.connections.or(&of.0.connections);
    connection_changes(&mut lines, &connections(old), &connections(new));
    ingress_changes(&mut lines, &old.1.ingress, &new.1.ingress);
    from_to(&mut lines, "kind", old.0.kind.word(), new.0.kind.word());
    rollout_changes(&mut lines, old.1, new.1);
    lines
}

fn differs(lines: &mut Vec<String>, what: &str, same: bool, note: &str) {
    if !same {
        lines.push(format!("{what} changed{note}"));
    }
}

fn from_to(lines: &mut Vec<String>, what: &str, old: impl Display, new: impl Display) {
    let (old, new) = (old.to_string(), new.to_string());
    if old != new {
        lines.push(format!("{what} {old} → {new}"));
    }
}

fn program_changes(lines: &mut Vec<String>, old: &Program, new: &Program) {
    let later = " (for instances started from now on)";
    differs(lines, "run", old.run == new.run, later);
    differs(lines, "env", old.env == new.env, later);
    differs(lines, "secrets", old.secrets == new.secrets, later);
    differs(lines, "health", old.health == new.health, later);
    differs(lines, "stop", old.stop == new.stop, later);
    differs(lines, "user", old.run_as == new.run_as, later);
    differs(lines, "limits", old.limits == new.limits, later);
}

fn connection_changes(lines: &mut Vec<String>, old: &Connections, new: &Connections) {
    differs(lines, "response_timeout", old.response_timeout == new.response_timeout, "");
    differs(lines, "drain", old.drain == new.drain, "");
    differs(lines, "access_log", old.access_log == new.access_log, "");
    differs(lines, "trusted_proxies", old.trusted_proxies == new.trusted_proxies, "");
}

fn ingress_changes(lines: &mut Vec<String>, old: &Ingress, new: &Ingress) {
    differs(lines, "hosts", old.hosts == new.hosts, "");
    differs(lines, "paths", old.paths == new.paths, "");
    differs(lines, "redirect_from", old.redirect_from == new.redirect_from, "");
    differs(lines, "tls", old.certificates == new.certificates, "");
}

fn rollout_changes(lines: &mut Vec<String>, old: &Placement, new: &Placement) {
    let next = " (for rollouts asked for from now on)";
    differs(lines, "steps", old.steps == new.steps, next);
    differs(lines, "hooks", old.hooks == new.hooks, next);
    differs(lines, "jobs", old.jobs == new.jobs, " (for runs due from now on)");
    differs(lines, "sticky", old.sticky == new.sticky, "");
    let address = |at: Option<SocketAddr>| at.map_or("none".to_owned(), |at| at.to_string());
    let objective = |rto: Option<SignedDuration>| rto.map_or("none".to_owned(), span);
    let analysis = |of: &Placement| of.background_analysis.clone().unwrap_or("none".to_owned());
    from_to(lines, "strategy", format!("{:?}", old.strategy), format!("{:?}", new.strategy));
    from_to(lines, "preview", address(old.preview), address(new.preview));
    from_to(lines, "rto", objective(old.rto), objective(new.rto));
    from_to(lines, "replicas", old.replicas, new.replicas);
    from_to(lines, "listen", address(old.listen), address(new.listen));
    from_to(lines, "progress_deadline", span(old.progress_deadline), span(new.progress_deadline));
    from_to(lines, "keep_warm", span(old.keep_warm), span(new.keep_warm));
    from_to(lines, "concurrency", format!("{:?}", old.concurrency), format!("{:?}", new.concurrency));
    from_to(lines, "background_analysis", analysis(old), analysis(new));
}
