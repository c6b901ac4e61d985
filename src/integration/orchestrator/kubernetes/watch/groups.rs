//! Reads the sets of pods of workloads in flight: one list a workload, or one a namespace where many
//! wait, never many at once.

use super::super::kind::{Kind, Workload};
use super::super::pod_sets::{PodSets, ReplicaGroup};
use super::super::requests::{Failure, PAGE, Place, page};
use super::super::wire::Page;
use kube::Client;
use kube::core::Selector;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Lists at once.
const AT_ONCE: usize = 4;
/// So many waiting in a namespace are read with one list.
const TOGETHER: usize = 50;

/// A workload whose sets of pods are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Want {
    pub uid: String,
    pub namespace: String,
    /// Empty: all of the namespace.
    pub selector: String,
}

impl Want {
    /// `None` where its selector can't be told: then nothing can be listed.
    pub fn of(uid: &str, workload: &dyn Workload) -> Option<Want> {
        // A referenced workload has the selector: all sets of the namespace are looked at.
        let selector = workload.selector().cloned().unwrap_or_default();
        let selector: Selector = selector.try_into().ok()?;
        let namespace = workload.meta().namespace.clone()?;
        Some(Want { uid: uid.to_owned(), namespace, selector: selector.to_string() })
    }
}

type Key = (usize, String);

/// What is read, and what waits for it.
#[derive(Default)]
pub(super) struct Fetches {
    order: VecDeque<Key>,
    wanted: BTreeMap<Key, (PodSets, Want)>,
    /// Being read; what is wanted of them meanwhile is read again afterwards.
    running: BTreeSet<Key>,
    lists: usize,
}

/// One list.
pub(super) struct Fetch {
    place: Place,
    sets: PodSets,
    selector: Option<String>,
    keys: Vec<Key>,
}

/// What came of it.
pub(super) struct Fetched {
    keys: Vec<Key>,
    result: Result<BTreeMap<String, Vec<ReplicaGroup>>, String>,
}

impl Fetches {
    /// Reads them as soon as may be.
    pub fn want(&mut self, part: usize, kind: &dyn Kind, want: Want) {
        let Some(sets) = kind.pod_sets() else { return };
        let key = (part, want.uid.clone());
        if self.wanted.insert(key.clone(), (sets, want)).is_none() {
            self.order.push_back(key);
        }
    }

    /// The next list to read, if there may be one more.
    pub fn next(&mut self) -> Option<Fetch> {
        if self.lists >= AT_ONCE {
            return None;
        }
        let at = self.order.iter().position(|key| !self.running.contains(key))?;
        let first = self.order.remove(at)?;
        let (sets, want) = self.wanted.remove(&first)?;
        let mut keys = vec![first];
        let mut selector = Some(want.selector).filter(|selector| !selector.is_empty());
        let alike = |key: &&Key| {
            let other = self.wanted.get(*key);
            !self.running.contains(*key)
                && other.is_some_and(|(of, other)| *of == sets && other.namespace == want.namespace)
        };
        let others: Vec<Key> = self.order.iter().filter(alike).cloned().collect();
        if others.len() >= TOGETHER || selector.is_none() {
            selector = None;
            let others: BTreeSet<Key> = others.into_iter().collect();
            self.order.retain(|key| !others.contains(key));
            self.wanted.retain(|key, _| !others.contains(key));
            keys.extend(others);
        }
        self.lists += 1;
        self.running.extend(keys.iter().cloned());
        Some(Fetch { place: Place::of(sets.resource(), Some(&want.namespace)), sets, selector, keys })
    }

    /// Takes in a list: part, uid and sets of each workload that it was for, or why they can't be read.
    pub fn done(&mut self, fetched: Fetched) -> Vec<(usize, String, Result<Vec<ReplicaGroup>, String>)> {
        self.lists = self.lists.saturating_sub(1);
        for key in &fetched.keys {
            self.running.remove(key);
        }
        let mut result = fetched.result;
        let of = |(part, uid): Key| {
            let groups = match &mut result {
                Ok(groups) => Ok(groups.remove(&uid).unwrap_or_default()),
                Err(why) => Err(why.clone()),
            };
            (part, uid, groups)
        };
        fetched.keys.into_iter().map(of).collect()
    }
}

impl Fetch {
    pub async fn run(self, client: &Client) -> Fetched {
        let wanted: BTreeSet<&str> = self.keys.iter().map(|(_, uid)| uid.as_str()).collect();
        let result = list(client, &self.place, self.sets, self.selector.as_deref(), &wanted).await;
        Fetched { keys: self.keys, result: result.map_err(|failure| words(failure, &self.place)) }
    }
}

/// Why a list could not be read.
pub(super) fn words(failure: Failure, place: &Place) -> String {
    match failure {
        Failure::Forbidden => format!("you lack list on {}", place.name()),
        Failure::Absent => format!("there are no {}", place.name()),
        Failure::Expired => "the list was too old before it was read".to_owned(),
        Failure::Unauthorized(why) | Failure::Other(why) => why,
    }
}

/// The sets of pods of some workloads, by their owners' uids.
async fn list(
    client: &Client,
    place: &Place,
    sets: PodSets,
    selector: Option<&str>,
    wanted: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<ReplicaGroup>>, Failure> {
    let mut groups: BTreeMap<String, Vec<ReplicaGroup>> = BTreeMap::new();
    let mut next = None;
    loop {
        let text = page(client, place, selector, PAGE, next.as_deref()).await?;
        let garbled = |_| Failure::Other("the server does not answer as an API server does".to_owned());
        let read: Page<'_> = serde_json::from_slice(&text).map_err(garbled)?;
        let found = read.items.unwrap_or_default().into_iter().filter_map(|one| sets.group(one.get()));
        for (owner, group) in found.filter(|(owner, _)| wanted.contains(owner.as_str())) {
            groups.entry(owner).or_default().push(group);
        }
        next = read.metadata.next.filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(groups);
        }
    }
}

/// The sets of pods of one workload.
pub async fn sets(client: &Client, workload: &dyn Workload) -> Result<Vec<ReplicaGroup>, Failure> {
    let uid = workload.meta().uid.clone().unwrap_or_default();
    let Some((sets, want)) = workload.kind().pod_sets().zip(Want::of(&uid, workload)) else { return Ok(Vec::new()) };
    let place = Place::of(sets.resource(), Some(&want.namespace));
    let selector = Some(want.selector.as_str()).filter(|selector| !selector.is_empty());
    let wanted = [uid.as_str()].into_iter().collect();
    Ok(list(client, &place, sets, selector, &wanted).await?.remove(&uid).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orchestrator::kubernetes::kind::named;

    fn deployments() -> &'static dyn Kind {
        named("Deployment").unwrap()
    }

    fn want(uid: &str) -> Want {
        Want { uid: uid.into(), namespace: "shop".into(), selector: format!("app={uid}") }
    }

    fn waiting(count: usize) -> Fetches {
        let mut fetches = Fetches::default();
        for n in 0..count {
            fetches.want(0, deployments(), want(&format!("u{n}")));
        }
        fetches
    }

    fn done(fetches: &mut Fetches, fetch: Fetch) -> Vec<(usize, String, Result<Vec<ReplicaGroup>, String>)> {
        fetches.done(Fetched { keys: fetch.keys, result: Ok(BTreeMap::new()) })
    }

    #[test]
    fn at_most_four_lists_run_at_once_and_none_twice() {
        let mut fetches = waiting(6);
        let mut running: Vec<Fetch> = std::iter::from_fn(|| fetches.next()).collect();
        let selectors: Vec<_> = running.iter().map(|fetch| fetch.selector.as_deref()).collect();
        assert_eq!(selectors, [Some("app=u0"), Some("app=u1"), Some("app=u2"), Some("app=u3")]);
        // Changed meanwhile: it is read again, but only once this read is over.
        fetches.want(0, deployments(), want("u0"));
        fetches.want(0, deployments(), want("u0"));
        let first = running.remove(0);
        assert_eq!(done(&mut fetches, first), [(0, "u0".to_owned(), Ok(Vec::new()))]);
        assert_eq!(fetches.next().unwrap().keys, [(0, "u4".to_owned())]);
        for fetch in running {
            done(&mut fetches, fetch);
        }
        let rest: Vec<_> = std::iter::from_fn(|| fetches.next()).flat_map(|fetch| fetch.keys).collect();
        assert_eq!(rest, [(0, "u5".to_owned()), (0, "u0".to_owned())]);
    }

    #[test]
    fn many_of_a_namespace_are_read_with_one_list() {
        let mut fetches = waiting(TOGETHER + 20);
        let fetch = fetches.next().unwrap();
        assert_eq!((fetch.selector.as_deref(), fetch.keys.len()), (None, TOGETHER + 20));
        assert!(fetches.next().is_none());
        assert_eq!(done(&mut fetches, fetch).len(), TOGETHER + 20);
        let mut few = waiting(TOGETHER);
        assert_eq!(few.next().unwrap().keys.len(), 1);
    }

    #[test]
    fn a_failed_list_is_told_with_its_reason_and_read_again_with_the_next_change() {
        let mut fetches = waiting(1);
        let fetch = fetches.next().unwrap();
        let failed = Fetched { keys: fetch.keys, result: Err("you lack list".to_owned()) };
        assert_eq!(fetches.done(failed), [(0, "u0".to_owned(), Err("you lack list".to_owned()))]);
        assert!(fetches.next().is_none());
        fetches.want(0, deployments(), want("u0"));
        assert!(fetches.next().is_some());
    }
}
