//! What the parts of a file say of each other: which service needs which, where versions come from.

use super::{Known, Table};
use crate::config::error::nearest;
use crate::config::reader::{Value, quoted};
use crate::model::ServiceName;
use std::collections::BTreeMap;

/// Collected while the parts are read, checked when all of them are.
#[derive(Default)]
pub(super) struct Relations<'d> {
    orders: BTreeMap<&'d str, u32>,
    promotions: Vec<(&'d str, &'d str, Value<'d>)>,
    needs: Vec<(&'d str, &'d str, Value<'d>)>,
    runs_in: BTreeMap<&'d str, Vec<&'d str>>,
}

/// A name of a part of this file.
pub(super) fn one_of<'d>(kind: &str, value: &Value<'d>, known: &[&'d str]) -> Option<&'d str> {
    let name = value.text(&format!("the name of a part of this file such as [{kind}.NAME]"))?;
    let found = known.iter().find(|other| **other == name).copied();
    if found.is_none() {
        let meant = nearest(name, known.iter().copied()).map(quoted);
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
                self.needs.push((service, name, value));
                Some(ServiceName::from(name))
            })
            .collect();
        all.into_iter().collect()
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
        for (service, needed, value) in &self.needs {
            self.check_cycle(service, needed, value);
            let there = self.runs_in.get(needed).map(Vec::as_slice).unwrap_or_default();
            for environment in self.runs_in.get(service).into_iter().flatten().filter(|name| !there.contains(name)) {
                value.wrong(
                    &format!(
                        "expected a service that runs wherever {service} does, but {needed} is not in {environment}"
                    ),
                    None,
                );
            }
        }
    }

    /// Each cycle is told once, at its first service.
    fn check_cycle(&self, service: &'d str, needed: &'d str, value: &Value<'d>) {
        let Some(way) = self.way(needed, service) else { return };
        if way.iter().all(|name| service <= *name) {
            let cycle = format!("{service} → {}", way.join(" → "));
            value.wrong(&format!("expected no service that needs {service} itself, found the cycle {cycle}"), None);
        }
    }

    /// The shortest way from one service over what it needs to another, both included.
    fn way(&self, from: &'d str, to: &'d str) -> Option<Vec<&'d str>> {
        let mut ways = vec![vec![from]];
        let mut seen = vec![from];
        while !ways.is_empty() {
            if let Some(found) = ways.iter().find(|way| way.last() == Some(&to)) {
                return Some(found.clone());
            }
            let mut next = Vec::new();
            for way in &ways {
                for (_, needed, _) in self.needs.iter().filter(|(service, ..)| way.last() == Some(service)) {
                    if !seen.contains(needed) {
                        seen.push(needed);
                        next.push(way.iter().copied().chain([*needed]).collect());
                    }
                }
            }
            ways = next;
        }
        None
    }
}
