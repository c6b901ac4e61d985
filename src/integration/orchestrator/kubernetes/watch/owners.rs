//! Workloads that another takes its template from, such as a Rollout from a Deployment: they are that other, and no
//! row of their own, unless they have pods of their own beside it, as while somebody moves from one to the other.

use super::super::kind::Workload;
use flightdeck_model::{ActionSet, Rollout, Target, sanitize_line};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A workload that another one names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    kind: String,
    namespace: String,
    name: String,
}

impl Named {
    /// Is it that target?
    pub fn is(&self, target: &Target) -> bool {
        self.kind == target.kind
            && self.name == target.name
            && self.namespace == target.namespace.as_deref().unwrap_or_default()
    }

    fn of(target: &Target) -> Named {
        let Target { kind, namespace, name, .. } = target;
        Named { kind: kind.clone(), namespace: namespace.clone().unwrap_or_default(), name: name.clone() }
    }
}

/// Which workloads name which others.
#[derive(Default)]
pub(super) struct Owners {
    /// By the one that is named: each owner's uid, and its kind and name.
    by_named: BTreeMap<Named, BTreeMap<String, String>>,
    /// By an owner's uid.
    names: BTreeMap<String, Named>,
}

impl Owners {
    /// Takes in a workload as it is now; gives those whose owner is another than before.
    pub fn note(&mut self, uid: &str, workload: &dyn Workload) -> Vec<(Named, Option<String>)> {
        let meta = workload.meta();
        let named = workload.takes_template_from().map(|(resource, name)| Named {
            kind: resource.kind.to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        });
        if self.names.get(uid) == named.as_ref() {
            return Vec::new();
        }
        let mut changed = self.forget(uid);
        if let Some(named) = named {
            changed.push((named.clone(), self.of_named(&named).map(str::to_owned)));
            let owner = format!("{} {}", workload.kind().resource().kind, meta.name.as_deref().unwrap_or_default());
            self.by_named.entry(named.clone()).or_default().insert(uid.to_owned(), sanitize_line(&owner));
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

    /// The kind and name of who takes its template from there.
    pub fn of_named(&self, named: &Named) -> Option<&str> {
        self.by_named.get(named)?.values().next().map(String::as_str)
    }

    /// The same by a row's workload.
    pub fn of(&self, target: &Target) -> Option<&str> {
        if self.by_named.is_empty() {
            return None;
        }
        self.of_named(&Named::of(target))
    }
}

/// The row as it is told: not at all where its owner is all that runs of it. Whoever changes its template
/// begins a rollout of its owner, and that is done there.
pub(super) fn told<'a>(row: &'a Arc<Rollout>, owner: Option<&str>) -> Option<Cow<'a, Arc<Rollout>>> {
    let Some(owner) = owner else { return Some(Cow::Borrowed(row)) };
    if row.arms.iter().all(|arm| arm.replicas.desired == 0 && arm.replicas.ready == 0) {
        return None;
    }
    let says = format!("{owner} takes its template from here and is what to act on");
    let message = if row.message.is_empty() { says } else { format!("{}; {says}", row.message) };
    Some(Cow::Owned(Arc::new(Rollout { message, offers: ActionSet::EMPTY, ..(**row).clone() })))
}
