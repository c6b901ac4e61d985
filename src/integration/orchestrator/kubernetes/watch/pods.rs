//! Reads the pods of workloads that lack some, again and again while they do: a crash loop changes nothing
//! at the workload itself. A list a workload, never many at once.

use super::super::pods::Pods;
use super::super::requests::{PAGE, Place, page};
use super::super::resource::Resource;
use super::super::shared::now;
use super::super::wire::Page;
use super::groups::{Want, words};
use kube::Client;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Lists at once.
const AT_ONCE: usize = 2;

/// The part of the watch and the uid of the workload.
pub(super) type Key = (usize, String);

/// What is read, and what waits for it.
#[derive(Default)]
pub(super) struct PodReads {
    order: VecDeque<Key>,
    wanted: BTreeMap<Key, Want>,
    /// Being read, or read a moment ago.
    busy: BTreeSet<Key>,
    lists: usize,
}

/// One list.
pub(super) struct PodRead {
    pub key: Key,
    want: Want,
}

/// What came of it.
pub(super) struct PodsFound {
    pub key: Key,
    pub pods: Result<Pods, String>,
}

impl PodReads {
    /// Reads them as soon as may be, unless they are being read or were a moment ago.
    pub fn want(&mut self, key: Key, want: Want) {
        if !self.busy.contains(&key) && self.wanted.insert(key.clone(), want).is_none() {
            self.order.push_back(key);
        }
    }

    /// The next list to read, if there may be one more.
    pub fn next(&mut self) -> Option<PodRead> {
        if self.lists >= AT_ONCE {
            return None;
        }
        let key = self.order.pop_front()?;
        let want = self.wanted.remove(&key)?;
        self.lists += 1;
        self.busy.insert(key.clone());
        Some(PodRead { key, want })
    }

    /// A list was read. The workload stays busy until it is [`PodReads::rested`].
    pub fn done(&mut self) {
        self.lists = self.lists.saturating_sub(1);
    }

    /// It may be read again.
    pub fn rested(&mut self, key: &Key) {
        self.busy.remove(key);
    }
}

impl PodRead {
    pub async fn run(self, client: &Client) -> PodsFound {
        let place = Place::of(Resource::PODS, Some(&self.want.namespace));
        let pods = count(client, &place, &self.want.selector).await;
        PodsFound { key: self.key, pods }
    }
}

async fn count(client: &Client, place: &Place, selector: &str) -> Result<Pods, String> {
    let (mut pods, mut next) = (Pods::default(), None);
    let garbled = |_| "the server does not answer as an API server does".to_owned();
    loop {
        let text = page(client, place, Some(selector), PAGE, next.as_deref()).await.map_err(|why| words(why, place))?;
        let read: Page<'_> = serde_json::from_slice(&text).map_err(garbled)?;
        for pod in read.items.unwrap_or_default() {
            pods.count(&serde_json::from_str::<Value>(pod.get()).map_err(garbled)?, now());
        }
        next = read.metadata.next.filter(|next| !next.is_empty());
        if next.is_none() {
            return Ok(pods);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lists_at_once_and_none_of_a_workload_that_was_just_read() {
        let mut reads = PodReads::default();
        let key = |n: usize| (0, format!("u{n}"));
        let want = || Want { uid: String::new(), namespace: "shop".into(), selector: "app=x".into() };
        for n in [1, 2, 3, 1] {
            reads.want(key(n), want());
        }
        let running: Vec<Key> = std::iter::from_fn(|| reads.next()).map(|read| read.key).collect();
        assert_eq!(running, [key(1), key(2)]);
        reads.done();
        // Its row changed meanwhile: what was read a moment ago is new enough.
        reads.want(key(1), want());
        assert_eq!(reads.next().map(|read| read.key), Some(key(3)));
        reads.done();
        assert!(reads.next().is_none());
        reads.rested(&key(1));
        reads.want(key(1), want());
        assert_eq!(reads.next().map(|read| read.key), Some(key(1)));
    }
}
