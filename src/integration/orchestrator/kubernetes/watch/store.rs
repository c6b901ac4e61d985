//! The rows of a source: what is needed of each object to tell its changes, and no more. In flight that
//! is the object itself; settled ones are their row.

use super::super::access::Access;
use super::super::kind::{Item, named};
use super::super::pod_sets::ReplicaGroup;
use super::super::pods::Pods;
use super::super::row::{RowContext, needs_pods};
use super::super::settings::KubernetesSettings;
use super::ended::Flight;
use super::groups::Want;
use super::holds::Holds;
use super::owners::{self, Named, Owners};
use super::places::Places;
use flightdeck_model::{ActionSet, Body, Entity, EntityRef, Phase, Rollout, Step, sanitize_line};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// What is kept of an object.
#[derive(Default)]
struct Kept {
    /// As it was last made.
    row: Option<Arc<Rollout>>,
    /// Kept while its row depends on more than the object.
    item: Option<Box<Item>>,
    groups: Vec<ReplicaGroup>,
    /// Why its sets of pods could not be read when they were asked for last.
    unread: Option<String>,
    /// Its pods as they were counted last while it lacks some, or why they can't be.
    pods: Option<Result<Pods, String>>,
    /// The run that is in flight, as it was last seen bringing another version in.
    flight: Option<Box<Flight>>,
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
pub(super) struct RowUpdate {
    /// For the part's scope.
    pub row: Vec<Body>,
    /// For the scopes of other parts.
    pub elsewhere: Vec<(usize, Body)>,
    /// For the source's own scope.
    pub own: Vec<Body>,
    /// Its sets of pods are to be read.
    pub want: Option<Want>,
    /// Its pods are to be counted.
    pub pods: Option<Want>,
}

/// What a row is made anew for.
pub(super) enum News {
    /// Its object was taken in.
    Object,
    /// Its sets of pods were read, or could not be.
    Sets(Result<Vec<ReplicaGroup>, String>),
    /// Its pods were counted, or could not be.
    Pods(Result<Pods, String>),
}

pub(super) struct Store {
    settings: KubernetesSettings,
    parts: BTreeMap<usize, HashMap<String, Kept>>,
    /// Plans that rows share.
    plans: HashSet<Arc<[Step]>>,
    holds: Holds,
    places: Places,
    owners: Owners,
    /// Rows that are told once their sets of pods are read.
    withheld: BTreeSet<(usize, String)>,
    /// Parts whose list is being read: all rows of it are told, unchanged ones too.
    listing: BTreeSet<usize>,
}

impl Store {
    pub fn new(settings: &KubernetesSettings) -> Store {
        Store {
            holds: Holds::new(settings.source.clone()),
            places: Places::new(settings),
            settings: settings.clone(),
            parts: BTreeMap::new(),
            plans: HashSet::new(),
            owners: Owners::default(),
            withheld: BTreeSet::new(),
            listing: BTreeSet::new(),
        }
    }

    /// Is every row of a part told that it has an object of?
    pub fn is_whole(&self, part: usize) -> bool {
        self.withheld.range((part, String::new())..).next().is_none_or(|(of, _)| *of != part)
    }

    /// A list of all objects begins.
    pub fn begin(&mut self, part: usize) {
        self.listing.insert(part);
        for kept in self.parts.entry(part).or_default().values_mut() {
            kept.seen = false;
        }
    }

    /// Takes in an object as it is.
    pub fn take(&mut self, part: usize, item: Item) -> Wants {
        let meta = item.workload.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let namespace = meta.namespace.clone();
        let kept = self.parts.entry(part).or_default().entry(uid.clone()).or_default();
        kept.seen = true;
        kept.item = Some(Box::new(item));
        Wants { uid, namespace }
    }

    /// Makes the row of an object anew. A row that nobody could understand without its sets of pods waits for
    /// them.
    pub fn row(&mut self, part: usize, uid: &str, news: News, access: &Access, now: Timestamp) -> RowUpdate {
        let mut told = RowUpdate::default();
        let Some(kept) = self.parts.get_mut(&part).and_then(|kept| kept.get_mut(uid)) else { return told };
        // Settled in the meantime: nothing to tell.
        let Some(item) = kept.item.take() else { return told };
        let workload = item.workload.as_ref();
        let needs = item.problem.is_none() && workload.needs_groups() && workload.kind().pod_sets().is_some();
        let fetched = matches!(news, News::Sets(_));
        match news {
            News::Object if needs => told.want = Want::of(uid, workload),
            News::Object => {}
            News::Sets(Ok(groups)) => (kept.groups, kept.unread) = (groups, None),
            News::Sets(Err(why)) => kept.unread = Some(why),
            News::Pods(pods) => kept.pods = Some(pods),
        }
        let lacks = needs && !workload.has_groups(&kept.groups);
        // Without a selector they can't be listed: nothing to wait for.
        if lacks && kept.unread.is_none() && !fetched && Want::of(uid, workload).is_some() {
            kept.item = Some(item);
            self.withheld.insert((part, uid.to_owned()));
            return told;
        }
        self.withheld.remove(&(part, uid.to_owned()));
        let pods = kept.pods.as_ref().and_then(|pods| pods.as_ref().ok());
        let groups = if needs { kept.groups.as_slice() } else { &[] };
        let mut row = make(&self.settings, access, &item, groups, pods, now);
        let short = item.problem.is_none() && needs_pods(&row);
        if short {
            told.pods = Want::of(uid, workload).filter(|want| !want.selector.is_empty());
        } else if kept.pods.take().is_some() {
            // What it lacked is there: what was counted before says no more of it.
            row = make(&self.settings, access, &item, groups, None, now);
        }
        let unread = kept.unread.as_ref().filter(|_| lacks).map(|why| format!("its sets of pods can't be read: {why}"));
        let uncounted = kept.pods.as_ref().and_then(|pods| pods.as_ref().err());
        let uncounted = uncounted.map(|why| format!("why its pods are not ready can't be read: {why}"));
        for gap in [unread, uncounted].into_iter().flatten() {
            row.message = if row.message.is_empty() { gap } else { format!("{}; {gap}", row.message) };
        }
        share(&mut self.plans, &mut row);
        let row = Arc::new(match &kept.row {
            Some(old) => go_on(row, old),
            None => row,
        });
        self.holds.note(workload.meta(), &row, &mut told.own);
        let changed = self.owners.note(uid, workload);
        let owner = self.owners.of(&row.run.target);
        let before = kept.row.as_ref().and_then(|row| owners::told(row, owner));
        let after = owners::told(&row, owner);
        let same = before == after;
        place(&mut self.places, before.as_deref(), after.as_deref(), &mut told.own);
        if !same && owner.is_none() {
            let was = kept.flight.as_ref().map(|flight| flight.run().clone());
            let ended = Flight::follow(&mut kept.flight, kept.row.as_deref(), &row, workload, &kept.groups, now);
            told.own.extend(ended.map(|run| Body::Upsert(Entity::RolloutRecord(Arc::new(run)))));
            // What was aborted and is tried again has not ended.
            let begun = kept.flight.as_ref().map(|flight| flight.run()).filter(|run| was.as_ref() != Some(run));
            told.own.extend(begun.map(|run| Body::Remove(EntityRef::RolloutRecord(run.clone()))));
        }
        if !same || self.listing.contains(&part) {
            told.row.extend(body(before.as_deref(), after.as_deref()));
        }
        drop((before, after));
        kept.row = Some(row);
        if !needs {
            (kept.groups, kept.unread) = (Vec::new(), None);
        }
        if needs || short {
            kept.item = Some(item);
        }
        self.reown(changed, &mut told);
        told
    }

    /// Workloads whose owner is another now are told, or not any more.
    fn reown(&mut self, changed: Vec<(Named, Option<String>)>, told: &mut RowUpdate) {
        for (named, owner_before) in changed {
            let owner = self.owners.of_named(&named);
            let is = |row: &&Arc<Rollout>| named.is(&row.run.target);
            let rows = self.parts.iter().flat_map(|(part, kept)| kept.values().map(move |kept| (*part, kept)));
            for (part, row) in rows.filter_map(|(part, kept)| Some((part, kept.row.as_ref().filter(is)?))) {
                let before = owners::told(row, owner_before.as_deref());
                let after = owners::told(row, owner);
                if before != after {
                    place(&mut self.places, before.as_deref(), after.as_deref(), &mut told.own);
                    told.elsewhere.extend(body(before.as_deref(), after.as_deref()).map(|body| (part, body)));
                }
            }
        }
    }

    /// Forgets an object; what is to be told of it.
    pub fn remove(&mut self, part: usize, uid: &str) -> RowUpdate {
        let mut told = RowUpdate::default();
        self.withheld.remove(&(part, uid.to_owned()));
        let changed = self.owners.forget(uid);
        let kept = self.parts.get_mut(&part).and_then(|kept| kept.remove(uid));
        if let Some(row) = kept.and_then(|kept| kept.row) {
            self.holds.forget(&row.run.target, &mut told.own);
            let before = owners::told(&row, self.owners.of(&row.run.target));
            place(&mut self.places, before.as_deref(), None, &mut told.own);
            told.row.extend(body(before.as_deref(), None));
        }
        self.reown(changed, &mut told);
        told
    }

    /// A list is complete: what was not in it is gone.
    pub fn complete(&mut self, part: usize) -> Vec<RowUpdate> {
        let kept = self.parts.entry(part).or_default();
        let gone: Vec<String> = kept.iter().filter(|(_, kept)| !kept.seen).map(|(uid, _)| uid.clone()).collect();
        gone.iter().map(|uid| self.remove(part, uid)).collect()
    }

    /// What to read again of an object whose sets of pods could not be read.
    pub fn unread(&self, part: usize, uid: &str) -> Option<Want> {
        let kept = self.parts.get(&part)?.get(uid).filter(|kept| kept.unread.is_some())?;
        Want::of(uid, kept.item.as_ref()?.workload.as_ref())
    }

    /// What to count again of an object that lacks pods.
    pub fn short(&self, part: usize, uid: &str) -> Option<Want> {
        let kept = self.parts.get(&part)?.get(uid).filter(|kept| kept.row.as_deref().is_some_and(needs_pods))?;
        Want::of(uid, kept.item.as_ref()?.workload.as_ref()).filter(|want| !want.selector.is_empty())
    }

    /// The list of a part was told to its end.
    pub fn end(&mut self, part: usize) {
        self.listing.remove(&part);
    }

    /// Every namespace with a row.
    pub fn namespaces(&self) -> BTreeSet<String> {
        let rows = self.parts.values().flat_map(HashMap::values).filter_map(|kept| kept.row.as_ref());
        rows.filter_map(|row| row.run.target.namespace.clone()).collect()
    }

    /// Rows whose denied have changed, with the part that each is of.
    pub fn rebar(&mut self, access: &Access, namespace: Option<&str>) -> Vec<(usize, Entity)> {
        let mut changed = Vec::new();
        for (part, kept) in &mut self.parts {
            for row in kept.values_mut().filter_map(|kept| kept.row.as_mut()) {
                let place = row.run.target.namespace.as_deref().unwrap_or_default();
                let Some(kind) = named(&row.run.target.kind) else { continue };
                let denied = access.denied(kind.resource(), place);
                if namespace.is_none_or(|namespace| namespace == place) && row.denied != *denied {
                    *row = Arc::new(Rollout { denied: Arc::clone(denied), ..(**row).clone() });
                    let told = owners::told(row, self.owners.of(&row.run.target));
                    changed.extend(told.map(|row| (*part, Entity::Rollout(row.into_owned()))));
                }
            }
        }
        changed
    }
}

/// A workload has a row, or has none any more.
fn place(places: &mut Places, before: Option<&Arc<Rollout>>, after: Option<&Arc<Rollout>>, bodies: &mut Vec<Body>) {
    match (before, after) {
        (None, Some(row)) => places.add(row, bodies),
        (Some(row), None) => places.remove(row, bodies),
        _ => {}
    }
}

/// What is to be told of a row.
fn body(before: Option<&Arc<Rollout>>, after: Option<&Arc<Rollout>>) -> Option<Body> {
    match (before, after) {
        (_, Some(row)) => Some(Body::Upsert(Entity::Rollout(Arc::clone(row)))),
        (Some(row), None) => Some(Body::Remove(EntityRef::Rollout(row.run.target.clone()))),
        (None, None) => None,
    }
}

/// The row of an object, also of one that could not be read in full.
fn make(
    settings: &KubernetesSettings,
    access: &Access,
    item: &Item,
    groups: &[ReplicaGroup],
    pods: Option<&Pods>,
    now: Timestamp,
) -> Rollout {
    let workload = item.workload.as_ref();
    let namespace = workload.meta().namespace.as_deref().unwrap_or_default();
    let denied = access.denied(workload.kind().resource(), namespace);
    let made = workload.row(&RowContext { settings, denied, pods, now }, groups);
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
