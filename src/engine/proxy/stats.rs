//! The pools and instances that are or were routed, and what they counted.

use super::pool::{Instance, Pool};
use super::wire::{Endpoint, PoolStats};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How long a pool's counters stay after it left its route and nothing is in flight: the engine
/// reads its last increments in that time.
const KEEP_MS: u64 = 300_000;

/// One pool with its instances, also those that left.
#[derive(Debug)]
struct Known {
    pool: Arc<Pool>,
    instances: Vec<Arc<Instance>>,
    /// Since when it is in no route.
    left_ms: Option<u64>,
}

/// All pools, by listener and id.
#[derive(Debug, Default)]
pub struct Registry(BTreeMap<(String, String), Known>);

impl Registry {
    /// The pool with these instances: those that it has already keep their connections and counts.
    pub fn pool(&mut self, listener: &str, id: &str, endpoints: &[Endpoint]) -> (Arc<Pool>, Vec<Arc<Instance>>) {
        let key = (listener.to_owned(), id.to_owned());
        let known = self.0.entry(key).or_insert_with(|| Known {
            pool: Arc::new(Pool::new(listener, id)),
            instances: Vec::new(),
            left_ms: None,
        });
        known.left_ms = None;
        let chosen: Vec<_> = endpoints.iter().map(|endpoint| known.instance(endpoint)).collect();
        (Arc::clone(&known.pool), chosen)
    }

    /// Pools of this listener that its route does not name: their time runs from now.
    pub fn keep_only(&mut self, listener: &str, pools: &[&str], now_ms: u64) {
        for ((_, id), known) in self.0.iter_mut().filter(|((of, _), _)| of == listener) {
            if !pools.contains(&id.as_str()) {
                known.left_ms.get_or_insert(now_ms);
            }
        }
    }

    /// Every instance by one of these ids, of any address.
    pub fn instances(&self, ids: &[String]) -> Vec<Arc<Instance>> {
        let all = self.0.values().flat_map(|known| &known.instances);
        all.filter(|instance| ids.contains(&instance.id)).map(Arc::clone).collect()
    }

    /// Every instance.
    pub fn all(&self) -> Vec<Arc<Instance>> {
        self.0.values().flat_map(|known| &known.instances).map(Arc::clone).collect()
    }

    /// Closes the idle connections of everything, for the end of the process.
    pub fn close_all(&self) {
        self.0.values().flat_map(|known| &known.instances).for_each(|instance| instance.close());
    }

    /// Forgets what left long ago, and the instances that only the registry still knows.
    pub fn prune(&mut self, now_ms: u64) {
        self.0.retain(|_, known| {
            known.instances.retain(|instance| Arc::strong_count(instance) > 1 || instance.in_flight() > 0);
            let in_flight = known.pool.counters.in_flight.load(Relaxed);
            in_flight > 0 || known.left_ms.is_none_or(|left| left + KEEP_MS > now_ms)
        });
    }

    /// What each counted.
    pub fn stats(&self) -> Vec<PoolStats> {
        self.0.values().map(Known::stats).collect()
    }
}

impl Known {
    fn instance(&mut self, endpoint: &Endpoint) -> Arc<Instance> {
        let same = |i: &&Arc<Instance>| i.id == endpoint.instance && i.address == endpoint.address;
        if let Some(instance) = self.instances.iter().find(same) {
            instance.open();
            return Arc::clone(instance);
        }
        let instance = Arc::new(Instance::new(&endpoint.instance, endpoint.address));
        self.instances.push(Arc::clone(&instance));
        instance
    }

    fn stats(&self) -> PoolStats {
        let counters = &self.pool.counters;
        let mut by_instance: BTreeMap<&str, u64> = BTreeMap::new();
        for instance in &self.instances {
            *by_instance.entry(&instance.id).or_default() += instance.in_flight();
        }
        PoolStats {
            listener: self.pool.listener.clone(),
            pool: self.pool.id.clone(),
            requests: counters.requests.load(Relaxed),
            errors: counters.errors.load(Relaxed),
            failures: counters.failures.load(Relaxed),
            in_flight: counters.in_flight.load(Relaxed),
            received: counters.received.load(Relaxed),
            sent: counters.sent.load(Relaxed),
            latency: counters.latency(),
            by_instance: by_instance.into_iter().map(|(id, count)| (id.to_owned(), count)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_known_until_a_while_after_it_left() {
        let mut registry = Registry::default();
        let endpoint = Endpoint { instance: "i1".into(), address: "127.0.0.1:9".parse().unwrap() };
        let (pool, instances) = registry.pool("a@b", "p1", std::slice::from_ref(&endpoint));
        let (again, same) = registry.pool("a@b", "p1", std::slice::from_ref(&endpoint));
        assert!(Arc::ptr_eq(&pool, &again) && Arc::ptr_eq(&instances[0], &same[0]));
        let flight = super::super::flight::Flight::begin(super::super::clock::instant(), pool, Some(same[0].clone()));
        drop((instances, same, again));
        registry.keep_only("a@b", &[], 1000);
        registry.keep_only("a@b", &[], 2000);
        registry.keep_only("other@b", &[], 0);
        registry.prune(1000 + KEEP_MS);
        assert_eq!(registry.stats()[0].by_instance, [("i1".to_owned(), 1)], "in flight: not forgotten");
        flight.answered();
        registry.prune(999 + KEEP_MS);
        let stats = registry.stats();
        assert_eq!((stats[0].requests, stats[0].by_instance.len()), (1, 0));
        registry.prune(1000 + KEEP_MS);
        assert_eq!(registry.stats(), []);
    }
}
