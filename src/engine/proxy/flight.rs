//! One request in flight, counted right however it ends.

use super::pool::{Instance, Pool};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// One request in flight. Dropped without [`Flight::answered`] or [`Flight::failed`] it was the user
/// who left: that is no failure of the instance, but the time until then counts as latency, so that
/// an instance on which users give up does not look fast.
#[derive(Debug)]
pub struct Flight {
    started: Instant,
    pool: Arc<Pool>,
    instance: Option<Arc<Instance>>,
    /// The instance answered 5xx.
    pub error: bool,
    failed: bool,
    timed: bool,
    opened: bool,
}

impl Flight {
    /// Counts a request in, at the pool (and instance) that it was given to.
    pub fn begin(started: Instant, pool: Arc<Pool>, instance: Option<Arc<Instance>>) -> Self {
        pool.counters.in_flight.fetch_add(1, Relaxed);
        if let Some(instance) = &instance {
            instance.enter();
        }
        Self { started, pool, instance, error: false, failed: false, timed: false, opened: false }
    }

    /// The request goes to another instance: it counts there.
    pub fn move_to(&mut self, pool: &Arc<Pool>, instance: &Arc<Instance>) {
        pool.counters.in_flight.fetch_add(1, Relaxed);
        instance.enter();
        self.leave();
        self.pool = Arc::clone(pool);
        self.instance = Some(Arc::clone(instance));
    }

    /// Takes the latency now; what follows (a tunnel) is not part of it.
    pub fn time(&mut self) {
        if !self.timed {
            self.timed = true;
            self.pool.counters.record(self.started);
        }
    }

    /// It is a connection that an instance took: it counts now, since it may stay open for days, and has no latency.
    pub fn opened(&mut self) {
        self.opened = true;
        self.pool.counters.requests.fetch_add(1, Relaxed);
    }

    /// Ended at the answer's last byte.
    pub fn answered(self) {
        drop(self);
    }

    /// Ended without a whole answer, through the instance's fault.
    pub fn failed(mut self) {
        self.failed = true;
    }

    fn leave(&self) {
        self.pool.counters.in_flight.fetch_sub(1, Relaxed);
        if let Some(instance) = &self.instance {
            instance.leave();
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.opened {
            return self.leave();
        }
        let counters = &self.pool.counters;
        counters.requests.fetch_add(1, Relaxed);
        if self.failed {
            counters.failures.fetch_add(1, Relaxed);
        } else {
            if self.error {
                counters.errors.fetch_add(1, Relaxed);
            }
            if !self.timed {
                counters.record(self.started);
            }
        }
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::sync::atomic::AtomicU64;

    fn counts(pool: &Pool) -> (u64, u64, u64, u64, u64) {
        let c = &pool.counters;
        let load = |n: &AtomicU64| n.load(Relaxed);
        (load(&c.requests), load(&c.errors), load(&c.failures), load(&c.in_flight), c.latency().count())
    }

    #[test]
    fn a_request_counts_once_however_it_ends() {
        let pool = Arc::new(Pool::new("a@b", "p1"));
        let begin = || Flight::begin(clock::instant(), Arc::clone(&pool), None);
        begin().answered();
        assert_eq!(counts(&pool), (1, 0, 0, 0, 1));
        begin().failed();
        assert_eq!(counts(&pool), (2, 0, 1, 0, 1), "a failure has no latency");
        let mut error = begin();
        error.error = true;
        assert_eq!(counts(&pool), (2, 0, 1, 1, 1));
        drop(error);
        assert_eq!(counts(&pool), (3, 1, 1, 0, 2));
        let mut half = begin();
        half.error = true;
        half.failed();
        assert_eq!(counts(&pool), (4, 1, 2, 0, 2), "errors and failures do not overlap");
        drop(begin());
        assert_eq!(counts(&pool), (5, 1, 2, 0, 3), "a user who left is no failure, but has a latency");
    }

    #[test]
    fn a_connection_counts_once_when_it_opens_and_has_no_latency() {
        let pool = Arc::new(Pool::new("a@b", "p1"));
        let mut flight = Flight::begin(clock::instant(), Arc::clone(&pool), None);
        assert_eq!(counts(&pool), (0, 0, 0, 1, 0));
        flight.opened();
        assert_eq!(counts(&pool), (1, 0, 0, 1, 0));
        drop(flight);
        assert_eq!(counts(&pool), (1, 0, 0, 0, 0));
    }

    #[test]
    fn a_retry_counts_where_it_ended_and_a_tunnel_until_its_answer() {
        let (one, two) = (Arc::new(Pool::new("a@b", "p1")), Arc::new(Pool::new("a@b", "p2")));
        let instance = |id: &str| Arc::new(Instance::new(id, "127.0.0.1:1".parse().unwrap()));
        let (first, second) = (instance("i1"), instance("i2"));
        let mut flight = Flight::begin(clock::instant(), Arc::clone(&one), Some(Arc::clone(&first)));
        assert_eq!((first.in_flight(), second.in_flight()), (1, 0));
        flight.move_to(&two, &second);
        assert_eq!((first.in_flight(), second.in_flight()), (0, 1));
        assert_eq!((counts(&one).3, counts(&two).3), (0, 1));
        flight.time();
        assert_eq!(counts(&two), (0, 0, 0, 1, 1));
        drop(flight);
        assert_eq!((counts(&one), counts(&two)), ((0, 0, 0, 0, 0), (1, 0, 0, 0, 1)));
        assert_eq!(second.in_flight(), 0);
    }
}
