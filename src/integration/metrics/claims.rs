//! Which numbers are which arm's.

use super::naming::{Key, Named, Naming, meant};
use flightdeck_model::{Arm, Rollout, Target};
use std::collections::{BTreeMap, BTreeSet};

/// A ReplicaSet's name ends in a hash of at least so many of these characters, and what people call a workload
/// hardly ever does.
const SHORTEST_HASH: usize = 5;
const OF_A_HASH: &str = "bcdfghjklmnpqrstvwxz2456789";

/// What an arm has of the keys that were found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed<'a> {
    /// These; none where nothing was found of it.
    Keys(Vec<&'a Key>),
    /// Several rows say that they are theirs, as workloads of the same name in two clusters do.
    Contested,
    Untold,
    Nothing,
}

/// Which keys which rows say to be theirs.
pub(super) struct Claims<'a> {
    naming: Naming,
    /// Who has a name.
    named: BTreeMap<Key, BTreeSet<&'a Target>>,
    /// Who has all sets of a workload.
    workloads: BTreeMap<Key, BTreeSet<&'a Target>>,
    /// The keys that were found, by the name that they mean.
    found: BTreeMap<Key, Vec<&'a Key>>,
    /// The sets that were found and that nobody names, by the name before their hash.
    by_workload: BTreeMap<Key, Vec<&'a Key>>,
}

impl<'a> Claims<'a> {
    pub(super) fn of(rows: &[&'a Rollout], naming: Naming, found: impl IntoIterator<Item = &'a Key>) -> Claims<'a> {
        let mut claims = Claims {
            naming,
            named: BTreeMap::new(),
            workloads: BTreeMap::new(),
            found: BTreeMap::new(),
            by_workload: BTreeMap::new(),
        };
        for row in rows {
            for arm in &row.arms {
                match naming.of(row, arm) {
                    Named::Keys(keys) => {
                        for key in keys {
                            claims.named.entry(key).or_default().insert(&row.run.target);
                        }
                    }
                    Named::SetsOf(key) => drop(claims.workloads.entry(key).or_default().insert(&row.run.target)),
                    Named::Untold | Named::Nothing => {}
                }
            }
        }
        let called: BTreeSet<Key> = rows.iter().map(|row| place(&row.run.target)).collect();
        for key in found {
            if let Some(name) = claims.meant_by(key) {
                claims.found.entry(name).or_default().push(key);
            } else if naming == Naming::PodSet
                && !called.contains(key)
                && let Some(workload) = workload_of(key)
            {
                claims.by_workload.entry(workload).or_default().push(key);
            }
        }
        claims
    }

    /// The name that somebody has and that a key means.
    fn meant_by(&self, key: &Key) -> Option<Key> {
        if self.naming != Naming::Service {
            return self.named.contains_key(key).then(|| key.clone());
        }
        let names = meant(key.first()?);
        names.into_iter().map(|name| vec![name]).find(|name| self.named.contains_key(name))
    }

    pub(super) fn of_arm(&self, row: &Rollout, arm: &Arm) -> Claimed<'a> {
        let several = |of: &BTreeMap<Key, BTreeSet<&Target>>, key| of.get(key).is_some_and(|all| all.len() > 1);
        match self.naming.of(row, arm) {
            Named::Keys(keys) => {
                // Of several ways to call it only those count that were found.
                let counts = |key: &&Key| keys.len() == 1 || self.found.contains_key(*key);
                if keys.iter().filter(counts).any(|key| several(&self.named, key)) {
                    return Claimed::Contested;
                }
                Claimed::Keys(keys.iter().filter_map(|key| self.found.get(key)).flatten().copied().collect())
            }
            Named::SetsOf(workload)
                if several(&self.workloads, &workload) && self.by_workload.contains_key(&workload) =>
            {
                Claimed::Contested
            }
            Named::SetsOf(workload) => Claimed::Keys(self.by_workload.get(&workload).cloned().unwrap_or_default()),
            Named::Untold => Claimed::Untold,
            Named::Nothing => Claimed::Nothing,
        }
    }
}

/// Where a row stands, as a key of a set of pods.
pub(super) fn place(target: &Target) -> Key {
    vec![target.namespace.clone().unwrap_or_default(), target.name.clone()]
}

/// The workload of a ReplicaSet, by its name.
pub(super) fn workload_of(set: &Key) -> Option<Key> {
    let [namespace, set] = set.as_slice() else { return None };
    let (workload, hash) = set.rsplit_once('-')?;
    let is_hash = hash.len() >= SHORTEST_HASH && hash.chars().all(|c| OF_A_HASH.contains(c));
    is_hash.then(|| vec![namespace.clone(), workload.to_owned()])
}
