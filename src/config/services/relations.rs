//! What the parts of a file say of each other: which service needs which, where versions come from.

use super::Table;
use super::known::{Known, NAME, is_name};
use crate::reader::{Value, quoted};
use flightdeck_model::ServiceName;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Services that services need, in one file: from each of them the others are searched for a cycle.
const MOST_NEEDS: usize = 2000;

/// Collected while the parts are read, checked when all of them are.
#[derive(Default)]
pub(super) struct Relations<'d> {
    orders: BTreeMap<&'d str, u32>,
    promotions: Vec<(&'d str, &'d str, Value<'d>)>,
    needs: Vec<(&'d str, &'d str, Value<'d>)>,
    runs_in: BTreeMap<&'d str, BTreeSet<&'d str>>,
    /// By the name before, the name now.
    renamed: BTreeMap<&'d str, &'d str>,
}

/// A name of a part of this file.
pub(super) fn one_of<'d>(kind: &str, value: &Value<'d>, known: &BTreeSet<&'d str>) -> Option<&'d str> {
    let name = value.text(&format!("the name of a part of this file such as [{kind}.NAME]"))?;
    let found = known.get(name).copied();
    if found.is_none() {
        let meant = value.nearest(name, known.iter().copied()).map(quoted);
        value.expected(&format!("the name of a [{kind}.…] of this file"), meant);
    }
    found
}

impl<'d> Relations<'d> {
    pub(super) fn order(&mut self, environment: &'d str, order: Option<u32>) {
        self.orders.extend(order.map(|order| (environment, order)));
    }

    pub(super) fn promotes(&mut self, to: &'d str, from: &'d str, value: Value<'d>) {
        self.promotions.push((to, from, value));
    }

    /// The services that one needs.
    pub(super) fn dependencies(
        &mut self,
        service: &'d str,
        value: &Value<'d>,
        known: &Known<'d>,
    ) -> Option<Vec<ServiceName>> {
        let all: Vec<_> = value
            .list("a list of services of this file")?
            .into_iter()
            .map(|value| {
                let name = one_of("service", &value, &known.services)?;
                if self.needs.len() >= MOST_NEEDS {
                    value.wrong(&format!("expected services to need at most {MOST_NEEDS} others in one file"), None);
                    return None;
                }
                self.needs.push((service, name, value));
                Some(ServiceName::from(name))
            })
            .collect();
        all.into_iter().collect()
    }

    /// The name that a service had before, which nothing else may have.
    pub(super) fn renamed(&mut self, to: &'d str, value: &Value<'d>, known: &Known<'d>) -> Option<ServiceName> {
        let from = value.text("the name that the service had")?;
        let wrong = if !is_name(from) {
            Some(format!("expected {NAME}, found {from:?}"))
        } else if known.services.contains(from) {
            Some(format!("expected a name that no service of this file has, but there is [service.{from}]"))
        } else {
            let other = self.renamed.get(from);
            other.map(|other| format!("expected a name that no other service had, but {other} is renamed from {from}"))
        };
        if let Some(wrong) = wrong {
            value.wrong(&wrong, None);
            return None;
        }
        self.renamed.insert(from, to);
        Some(ServiceName::from(from))
    }

    /// The environments of a service, right or wrong.
    pub(super) fn runs_in(&mut self, service: &'d str, placements: &Value<'d>) {
        let names = |table: Table<'d>| table.entries().map(|(name, _)| name).collect();
        // What is no table is noted where it is read.
        let names = if placements.is_table() { placements.map().map(names) } else { None };
        self.runs_in.insert(service, names.unwrap_or_default());
    }

    /// Notes what does not fit together.
    pub(super) fn check(&self) {
        for (to, from, value) in &self.promotions {
            if let (Some(to_order), Some(from_order)) = (self.orders.get(to), self.orders.get(from))
                && from_order >= to_order
            {
                value.wrong(
                    &format!(
                        "expected an environment with a lower order than {to}, found {from}: its order is \
                         {from_order}, that of {to} is {to_order}"
                    ),
                    None,
                );
            }
        }
        let mut needs: BTreeMap<&str, Vec<&'d str>> = BTreeMap::new();
        for (service, needed, _) in &self.needs {
            needs.entry(service).or_default().push(needed);
        }
        let nowhere = BTreeSet::new();
        for (service, needed, value) in &self.needs {
            check_cycle(&needs, service, needed, value);
            let there = self.runs_in.get(needed).unwrap_or(&nowhere);
            for environment in self.runs_in.get(service).unwrap_or(&nowhere).difference(there) {
                value.wrong(
                    &format!(
                        "expected a service that runs wherever {service} does, but {needed} is not in {environment}"
                    ),
                    None,
                );
            }
        }
    }
}

/// Each cycle is told once, at its first service.
fn check_cycle<'d>(needs: &BTreeMap<&str, Vec<&'d str>>, service: &'d str, needed: &'d str, value: &Value<'d>) {
    let Some(way) = way(needs, needed, service) else { return };
    if way.iter().all(|name| service <= *name) {
        let cycle = format!("{service} → {}", way.join(" → "));
        value.wrong(&format!("expected no service that needs {service} itself, found the cycle {cycle}"), None);
    }
}

/// The shortest way from one service over what it needs to another, both included.
fn way<'d>(needs: &BTreeMap<&str, Vec<&'d str>>, from: &'d str, to: &'d str) -> Option<Vec<&'d str>> {
    // Each service that was reached, and from which.
    let mut before: BTreeMap<&str, &str> = BTreeMap::from([(from, from)]);
    let mut next = VecDeque::from([from]);
    while let Some(at) = next.pop_front() {
        if at == to {
            let back = std::iter::successors(Some(at), |at| before.get(at).copied().filter(|_| *at != from));
            let mut way: Vec<_> = back.collect();
            way.reverse();
            return Some(way);
        }
        for needed in needs.get(at).into_iter().flatten() {
            if !before.contains_key(needed) {
                before.insert(needed, at);
                next.push_back(needed);
            }
        }
    }
    None
}
