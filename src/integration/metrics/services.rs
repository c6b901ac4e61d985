//! Which numbers are a service's, whichever version answered: over a window as long as an objective's many versions
//! came and went, of which no row tells any more.

use super::arms::Words;
use super::claims::{place, workload_of};
use super::naming::{Key, Naming, meant, spellings};
use flightdeck_model::{Arm, ArmRole, PodNames, Rollout, Target};
use flightdeck_port::Unmeasured;
use std::collections::{BTreeMap, BTreeSet};

/// What a row's service is called.
#[derive(Debug, PartialEq, Eq)]
enum Called {
    /// So. One of them is enough.
    So(BTreeSet<Key>),
    /// The labels have nothing that outlives a version.
    Untold,
    /// It has nothing that could be measured so.
    Nothing,
}

/// Whose the keys are that were found.
pub(super) struct Services<'a> {
    naming: Naming,
    /// Whose a name is.
    owners: BTreeMap<Key, BTreeSet<&'a Target>>,
    /// The keys that were found, by the name that they mean.
    found: BTreeMap<Key, BTreeSet<Key>>,
}

impl<'a> Services<'a> {
    /// `rows`: all that could be meant; `found`: the keys of answers, as the labels tell them.
    pub(super) fn of<'k>(
        rows: &[&'a Rollout],
        naming: Naming,
        found: impl IntoIterator<Item = &'k Key>,
    ) -> Services<'a> {
        let mut owners: BTreeMap<Key, BTreeSet<&Target>> = BTreeMap::new();
        for row in rows {
            if let Called::So(names) = called(naming, row) {
                for name in names {
                    owners.entry(name).or_default().insert(&row.run.target);
                }
            }
        }
        let places: BTreeSet<Key> = rows.iter().map(|row| place(&row.run.target)).collect();
        let mut services = Services { naming, owners, found: BTreeMap::new() };
        for key in found {
            if let Some(name) = services.meant_by(key, &places) {
                services.found.entry(name).or_default().insert(key.clone());
            }
        }
        services
    }

    /// The name that somebody has and that a key means.
    fn meant_by(&self, key: &Key, places: &BTreeSet<Key>) -> Option<Key> {
        let name = match (self.naming, key.as_slice()) {
            (Naming::PodSet, _) if places.contains(key) => key.clone(),
            (Naming::PodSet, _) => workload_of(key)?,
            (Naming::Workload, _) => key.clone(),
            (Naming::Version, [namespace, workload, _]) => vec![namespace.clone(), workload.clone()],
            (Naming::Side, [environment, service, _, role]) if serves_users(role) => {
                vec![environment.clone(), service.clone()]
            }
            (Naming::Service, [name, ..]) => {
                return meant(name).into_iter().map(|name| vec![name]).find(|name| self.owners.contains_key(name));
            }
            _ => return None,
        };
        self.owners.contains_key(&name).then_some(name)
    }

    /// The keys of a row's service. `None`: it has nothing that could be measured so.
    pub(super) fn of_row(&self, row: &Rollout) -> Option<Result<BTreeSet<&Key>, Unmeasured>> {
        let names = match called(self.naming, row) {
            Called::So(names) => names,
            Called::Untold => return Some(Err(Unmeasured::NotToldApart)),
            Called::Nothing => return None,
        };
        let several = |name: &Key| self.owners.get(name).is_some_and(|owners| owners.len() > 1);
        let found = || names.iter().filter_map(|name| Some((name, self.found.get(name)?)));
        if found().any(|(name, _)| several(name)) {
            return Some(Err(Unmeasured::Contested));
        }
        let keys: BTreeSet<&Key> = found().flat_map(|(_, keys)| keys).collect();
        Some(if keys.is_empty() { Err(Unmeasured::NoSeries) } else { Ok(keys) })
    }
}

/// Why a service has no numbers, in a sentence.
pub(super) fn why(words: &Words, why: Unmeasured, row: &Rollout) -> String {
    let Target { namespace, name, .. } = &row.run.target;
    let name = namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    match why {
        Unmeasured::NotToldApart => {
            format!("{} does not outlive a version of {name}, as a window of days does", words.labels)
        }
        why => words.of(why, &name),
    }
}

fn called(naming: Naming, row: &Rollout) -> Called {
    if naming == Naming::Side {
        return Called::So([vec![row.environment.to_string(), row.service.to_string()]].into());
    }
    let target = &row.run.target;
    let Some(namespace) = target.namespace.as_deref().filter(|name| !name.is_empty()) else { return Called::Nothing };
    let key = |name: &str| vec![namespace.to_owned(), name.to_owned()];
    let has_pods = row.arms.iter().any(|arm| arm.pods.is_some());
    match naming {
        Naming::Service => of_services(row, namespace),
        _ if !has_pods => Called::Nothing,
        Naming::PodSet => {
            let own = place(target);
            let name = |pods: &PodNames| match pods {
                PodNames::Workload(name) => key(name),
                PodNames::Untold => own.clone(),
                PodNames::Set(set) if key(set) == own => own.clone(),
                PodNames::Set(set) => workload_of(&key(set)).unwrap_or_else(|| key(set)),
            };
            Called::So(row.arms.iter().filter_map(|arm| arm.pods.as_ref()).map(name).collect())
        }
        Naming::Workload | Naming::Version => Called::So([key(&target.name)].into()),
        _ => Called::Untold,
    }
}

/// By the Services of those of its sides that users get.
fn of_services(row: &Rollout, namespace: &str) -> Called {
    let sides = || row.arms.iter().filter(|arm| matches!(arm.role, ArmRole::Stable | ArmRole::Candidate));
    let named: BTreeSet<&str> = sides().filter_map(|arm: &Arm| arm.service.as_deref()).collect();
    let spelled = |service: &str| spellings(namespace, service);
    match (row.arms.as_slice(), named.is_empty()) {
        (_, false) => Called::So(named.into_iter().flat_map(spelled).collect()),
        // What is usual, where nothing else can be meant.
        ([only], true) if only.pods.is_some() => Called::So(spelled(&row.run.target.name).into_iter().collect()),
        ([_, _, ..], true) if row.arms.iter().any(|arm| arm.pods.is_some()) => Called::Untold,
        _ => Called::Nothing,
    }
}

/// Do users get what has this role? Copies of requests and previews are none of theirs.
fn serves_users(role: &str) -> bool {
    ![ArmRole::Shadow, ArmRole::Preview].iter().any(|other| other.to_string() == role)
}

#[cfg(test)]
#[path = "services_tests.rs"]
mod tests;
