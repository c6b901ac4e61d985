//! Deployments that a Rollout takes its template from: they are that Rollout, and no row of their own,
//! unless they have pods of their own beside it, as while somebody moves from one to the other.

use super::super::Workload;
use flightdeck_model::{ActionSet, Rollout, Target};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A Deployment's namespace and name.
pub(super) type Named = (String, String);

/// Which Rollouts name which Deployments.
#[derive(Default)]
pub(super) struct Owners {
    /// By Deployment: each Rollout's uid and name.
    by_named: BTreeMap<Named, BTreeMap<String, String>>,
    /// By a Rollout's uid.
    names: BTreeMap<String, Named>,
}

impl Owners {
    /// Takes in a workload as it is now; gives the Deployments whose owner is another than before.
    pub fn note(&mut self, uid: &str, workload: &Workload) -> Vec<(Named, Option<String>)> {
        let named = match workload {
            Workload::Rollout(object) => object.spec.workload_ref.as_ref(),
            _ => None,
        };
        let meta = workload.meta();
        let named = named.filter(|named| named.kind == "Deployment");
        let named = named.map(|named| (meta.namespace.clone().unwrap_or_default(), named.name.clone()));
        if self.names.get(uid) == named.as_ref() {
            return Vec::new();
        }
        let mut changed = self.forget(uid);
        if let Some(named) = named {
            changed.push((named.clone(), self.of_named(&named).map(str::to_owned)));
            let name = flightdeck_model::sanitize_line(meta.name.as_deref().unwrap_or_default());
            self.by_named.entry(named.clone()).or_default().insert(uid.to_owned(), name);
            self.names.insert(uid.to_owned(), named);
        }
        changed
    }

    /// A workload is gone; gives the same.
    pub fn forget(&mut self, uid: &str) -> Vec<(Named, Option<String>)> {
        let Some(named) = self.names.remove(uid) else { return Vec::new() };
        let before = self.of_named(&named).map(str::to_owned);
        if let Some(owners) = self.by_named.get_mut(&named) {
            owners.remove(uid);
            if owners.is_empty() {
                self.by_named.remove(&named);
            }
        }
        vec![(named, before)]
    }

    /// The Rollout that takes its template from there.
    pub fn of_named(&self, named: &Named) -> Option<&str> {
        self.by_named.get(named)?.values().next().map(String::as_str)
    }

    /// The Rollout that takes its template from a row's workload.
    pub fn of(&self, target: &Target) -> Option<&str> {
        if self.by_named.is_empty() || target.kind != "Deployment" {
            return None;
        }
        self.of_named(&(target.namespace.clone().unwrap_or_default(), target.name.clone()))
    }
}

/// The row as it is told: not at all where its Rollout is all that runs of it. Whoever changes its template
/// begins a rollout of its owner, and that is done there.
pub(super) fn told<'a>(row: &'a Arc<Rollout>, owner: Option<&str>) -> Option<Cow<'a, Arc<Rollout>>> {
    let Some(owner) = owner else { return Some(Cow::Borrowed(row)) };
    if row.arms.iter().all(|arm| arm.replicas.desired == 0 && arm.replicas.ready == 0) {
        return None;
    }
    let says = format!("Rollout {owner} takes its template from here and is what to act on");
    let message = if row.message.is_empty() { says } else { format!("{}; {says}", row.message) };
    Some(Cow::Owned(Arc::new(Rollout { message, offers: ActionSet::EMPTY, ..(**row).clone() })))
}
