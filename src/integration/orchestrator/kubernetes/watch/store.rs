//! The rows of a source: what is needed of each object to tell its changes, and no more. In flight that
//! is the object itself; settled ones are their row.

use super::super::access::Access;
use super::super::row::{RowContext, needs_groups, row};
use super::super::wire::Item;
use super::super::{KubernetesSettings, ReplicaGroup, Workload, WorkloadKind};
use super::ended::{brings_in, ended};
use super::groups::Want;
use super::holds::Holds;
use super::places::Places;
use crate::model::{ActionSet, Body, Entity, EntityRef, Phase, Rollout, Step, sanitize_line};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is kept of an object.
struct Kept {
    /// As it was last told.
    row: Option<Arc<Rollout>>,
    /// Kept while its row depends on more than the object.
    item: Option<Box<Item>>,
    groups: Vec<ReplicaGroup>,
    /// The run that is in flight, as it was last seen bringing another version in.
    flight: Option<Arc<Rollout>>,
    /// Seen in the list that is being read.
    seen: bool,
}

/// What a new state of an object leads to.
pub(super) struct Wants {
    pub uid: String,
    pub namespace: Option<String>,
}

/// What a row leads to.
#[derive(Default)]
pub(super) struct Told {
    /// For the part's scope.
    pub row: Vec<Body>,
    /// For the source's own scope.
    pub own: Vec<Body>,
    /// Its sets of pods are to be read.
    pub want: Option<Want>,
}

pub(super) struct Store {
    settings: KubernetesSettings,
    parts: BTreeMap<usize, HashMap<String, Kept>>,
    /// Plans that rows share.
    plans: HashSet<Arc<[Step]>>,
    holds: Holds,
    places: Places,
}

impl Store {
    pub fn new(settings: &KubernetesSettings) -> Store {
        Store {
            holds: Holds::new(settings.source.clone()),
            places: Places::new(settings),
            settings: settings.clone(),
            parts: BTreeMap::new(),
            plans: HashSet::new(),
        }
    }

    /// A list of all objects begins.
    pub fn begin(&mut self, part: usize) {
        for kept in self.parts.entry(part).or_default().values_mut() {
            kept.seen = false;
        }
    }

    /// Takes in an object as it is.
    pub fn take(&mut self, part: usize, item: Item) -> Wants {
        let meta = item.workload.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let namespace = meta.namespace.clone();
        let kept = self.parts.entry(part).or_default().entry(uid.clone()).or_insert_with(|| Kept {
            row: None,
            item: None,
            groups: Vec::new(),
            flight: None,
            seen: true,
        });
        kept.seen = true;
        kept.item = Some(Box::new(item));
        Wants { uid, namespace }
    }

    /// Makes the row of an object that was just taken in, or of which sets of pods were just read.
    pub fn row(
        &mut self,
        part: usize,
        uid: &str,
        groups: Option<Vec<ReplicaGroup>>,
        access: &Access,
        now: Timestamp,
    ) -> Told {
        let mut told = Told::default();
        let Some(kept) = self.parts.get_mut(&part).and_then(|kept| kept.get_mut(uid)) else { return told };
        // Settled in the meantime: nothing to tell.
        let Some(item) = kept.item.take() else { return told };
        let fetched = groups.is_some();
        if let Some(groups) = groups {
            kept.groups = groups;
        }
        let needs = item.problem.is_none() && needs_groups(&item.workload);
        let mut row = make(&self.settings, access, &item, if needs { &kept.groups } else { &[] }, now);
        share(&mut self.plans, &mut row);
        let row = match &kept.row {
            Some(old) => go_on(row, old),
            None => row,
        };
        self.holds.note(&item.workload, &row, &mut told.own);
        if kept.row.as_deref() != Some(&row) {
            let row = Arc::new(row);
            if kept.row.is_none() {
                self.places.add(&row, &mut told.own);
            }
            if let Some(run) = kept.flight.as_ref().and_then(|flight| ended(flight, &row, now)) {
                kept.flight = None;
                told.own.push(Body::Upsert(Entity::Deployment(Arc::new(run))));
            }
            if brings_in(&row) {
                kept.flight = Some(Arc::clone(&row));
            }
            kept.row = Some(Arc::clone(&row));
            told.row.push(Body::Upsert(Entity::Rollout(row)));
        }
        if needs {
            told.want = (!fetched).then(|| Want::of(uid, &item.workload)).flatten();
            kept.item = Some(item);
        } else {
            kept.groups = Vec::new();
        }
        told
    }

    /// Forgets an object; what is to be told of it.
    pub fn remove(&mut self, part: usize, uid: &str) -> Told {
        let mut told = Told::default();
        let kept = self.parts.get_mut(&part).and_then(|kept| kept.remove(uid));
        let Some(row) = kept.and_then(|kept| kept.row) else { return told };
        self.holds.forget(&row.run.target, &mut told.own);
        self.places.remove(&row, &mut told.own);
        told.row.push(Body::Remove(EntityRef::Rollout(row.run.target.clone())));
        told
    }

    /// A list is complete: what was not in it is gone.
    pub fn complete(&mut self, part: usize) -> Vec<Told> {
        let kept = self.parts.entry(part).or_default();
        let gone: Vec<String> = kept.iter().filter(|(_, kept)| !kept.seen).map(|(uid, _)| uid.clone()).collect();
        gone.iter().map(|uid| self.remove(part, uid)).collect()
    }

    /// Every namespace with a row.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let rows = self.parts.values().flat_map(HashMap::values).filter_map(|kept| kept.row.as_ref());
        rows.filter_map(|row| row.run.target.namespace.clone()).collect()
    }

    /// Rows whose bars have changed, with the part that each is of.
    pub fn rebar(&mut self, access: &Access, namespace: Option<&str>) -> Vec<(usize, Entity)> {
        let mut changed = Vec::new();
        for (part, kept) in &mut self.parts {
            for row in kept.values_mut().filter_map(|kept| kept.row.as_mut()) {
                let place = row.run.target.namespace.as_deref().unwrap_or_default();
                let Some(kind) = WorkloadKind::from_name(&row.run.target.kind) else { continue };
                let bars = access.bars(kind, place);
                if namespace.is_none_or(|namespace| namespace == place) && row.barred != *bars {
                    *row = Arc::new(Rollout { barred: Arc::clone(bars), ..(**row).clone() });
                    changed.push((*part, Entity::Rollout(Arc::clone(row))));
                }
            }
        }
        changed
    }
}

/// The row of an object, also of one that could not be read in full.
fn make(
    settings: &KubernetesSettings,
    access: &Access,
    item: &Item,
    groups: &[ReplicaGroup],
    now: Timestamp,
) -> Rollout {
    let workload: &Workload = &item.workload;
    let namespace = workload.meta().namespace.as_deref().unwrap_or_default();
    let barred = access.bars(workload.kind(), namespace);
    let made = row(&RowContext { settings, barred, now }, workload, groups);
    match &item.problem {
        None => made,
        Some(problem) => Rollout {
            phase: Phase::Unknown,
            message: sanitize_line(&format!("its object can't be read: {problem}")),
            offers: ActionSet::EMPTY,
            arms: Vec::new(),
            waits: Vec::new(),
            ..made
        },
    }
}

/// One plan for all rows that have it.
fn share(plans: &mut HashSet<Arc<[Step]>>, row: &mut Rollout) {
    match plans.get(&row.steps) {
        Some(plan) => row.steps = Arc::clone(plan),
        None => {
            plans.insert(Arc::clone(&row.steps));
        }
    }
}

/// What no object tells: since when, where its own words give no time.
fn go_on(mut row: Rollout, old: &Rollout) -> Rollout {
    if row.run == old.run && row.started == row.since && row.phase == old.phase {
        row.since = old.since;
    }
    row
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
