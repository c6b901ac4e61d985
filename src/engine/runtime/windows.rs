//! From the proxy's counters to windows, samples and metrics.

use flightdeck_engine_core::{PoolId, PoolWindow, SlotKey, preview_of};
use flightdeck_model::{ArmRole, ArmSample, EnvironmentName, Histogram, ServiceName, Target, Version};
use flightdeck_proxy::wire::{PoolStats, Route, Stats};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Cumulative counters of what one version did in one role, for `/metrics`.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolMetrics {
    pub service: ServiceName,
    pub environment: EnvironmentName,
    pub version: Version,
    pub role: ArmRole,
    /// Its bytes pass as they are: requests are connections, and there is no latency.
    pub tcp: bool,
    /// Requests that ended, since the proxy started.
    pub requests: u64,
    /// Of those, answered 5xx by an instance.
    pub errors: u64,
    /// Of those, not answered whole.
    pub failures: u64,
    /// Not ended yet.
    pub in_flight: u64,
    /// From a request's head to the last byte of its answer.
    pub latency: Histogram,
    /// Bytes from users; of TCP alone.
    pub received: u64,
    /// Bytes to users; of TCP alone.
    pub sent: u64,
}

/// What one slot did since the last reading.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotWindow {
    pub slot: SlotKey,
    /// Each pool of its route.
    pub pools: Vec<PoolWindow>,
    /// Since the reading before, milliseconds.
    pub window_ms: u32,
    /// Any request now, or in the reading before.
    pub traffic: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    service: ServiceName,
    environment: EnvironmentName,
    version: Version,
    role: ArmRole,
    tcp: bool,
}

/// By listener and pool.
type Counts = BTreeMap<(String, PoolId), PoolStats>;

/// The counters as last read.
#[derive(Debug, Default)]
pub struct Counters {
    last: Option<(Instant, Counts)>,
    busy: BTreeSet<SlotKey>,
    labels: BTreeMap<PoolId, Labels>,
    totals: Vec<PoolMetrics>,
}

fn more(now: u64, before: u64) -> u64 {
    if now >= before { now - before } else { now } // whoever counts started anew
}

impl Counters {
    /// Takes a reading; gives what came on top of the one before, for each routed slot. The first
    /// reading gives nothing: nobody knows how long it took to come about.
    pub fn read<'a>(
        &mut self,
        stats: Stats,
        at: Instant,
        routes: impl Iterator<Item = (&'a SlotKey, &'a Route)>,
    ) -> Vec<SlotWindow> {
        let now: Counts =
            stats.pools.into_iter().map(|pool| ((pool.listener.clone(), pool.pool.clone()), pool)).collect();
        let before = self.last.take();
        let mut windows = Vec::new();
        for (slot, route) in routes {
            for pool in &route.pools {
                let labels = Labels {
                    service: slot.service.clone(),
                    environment: slot.environment.clone(),
                    version: pool.version.clone(),
                    role: pool.role.clone(),
                    tcp: route.options.tcp,
                };
                self.labels.insert(pool.pool.clone(), labels);
            }
            let Some((last, counts)) = &before else { continue };
            let pools = increments(route, &now, counts);
            let requests = pools.iter().any(|pool| pool.requests > 0);
            let was_busy = if requests { !self.busy.insert(slot.clone()) } else { self.busy.remove(slot) };
            let window_ms = u32::try_from(at.duration_since(*last).as_millis()).unwrap_or(u32::MAX).max(1);
            windows.push(SlotWindow { slot: slot.clone(), pools, window_ms, traffic: requests || was_busy });
        }
        self.total(&now);
        self.last = Some((at, now));
        windows
    }

    fn total(&mut self, now: &Counts) {
        self.labels.retain(|pool, _| now.keys().any(|(_, counted)| counted == pool));
        let mut totals: BTreeMap<Labels, PoolMetrics> = BTreeMap::new();
        for ((_, pool), stats) in now {
            let Some(labels) = self.labels.get(pool) else { continue };
            let total = totals.entry(labels.clone()).or_insert_with(|| PoolMetrics {
                service: labels.service.clone(),
                environment: labels.environment.clone(),
                version: labels.version.clone(),
                role: labels.role.clone(),
                tcp: labels.tcp,
                requests: 0,
                errors: 0,
                failures: 0,
                in_flight: 0,
                latency: Histogram::default(),
                received: 0,
                sent: 0,
            });
            total.requests += stats.requests;
            total.errors += stats.errors;
            total.failures += stats.failures;
            total.in_flight += stats.in_flight;
            total.latency.add(&stats.latency);
            total.received += stats.received;
            total.sent += stats.sent;
        }
        self.totals = totals.into_values().collect();
    }

    /// Totals by service, environment, version and role.
    pub fn metrics(&self) -> Vec<PoolMetrics> {
        self.totals.clone()
    }

    /// Did anything have requests at the last reading?
    pub fn traffic(&self) -> bool {
        !self.busy.is_empty()
    }
}

fn increments(route: &Route, now: &Counts, before: &Counts) -> Vec<PoolWindow> {
    let nothing = PoolStats::default();
    let previewed: Vec<_> = now.keys().filter(|(listener, _)| is_preview_of(listener, &route.listener)).collect();
    let increment = |pool: &PoolId| {
        let own = (route.listener.clone(), pool.clone());
        let keys = std::iter::once(&own).chain(previewed.iter().copied().filter(|(_, of)| of == pool));
        let mut window = PoolWindow { pool: pool.clone(), requests: 0, errors: 0, latency: Histogram::default() };
        for key in keys {
            let (now, before) = (now.get(key).unwrap_or(&nothing), before.get(key).unwrap_or(&nothing));
            window.requests += more(now.requests, before.requests);
            window.errors += more(now.errors, before.errors) + more(now.failures, before.failures);
            window.latency.add(&now.latency.since(&before.latency));
        }
        window
    };
    let others = previewed.iter().map(|(_, pool)| pool).filter(|pool| route.pools.iter().all(|of| of.pool != **pool));
    route.pools.iter().map(|pool| &pool.pool).chain(others).map(increment).collect()
}

/// A candidate that is tried behind its preview is judged by what it did there.
fn is_preview_of(listener: &str, of: &str) -> bool {
    listener == preview_of(of)
}

/// The samples of a window, one for each arm.
pub fn samples(window: &SlotWindow, route: &Route, target: &Target, at: Timestamp) -> Vec<ArmSample> {
    let sample = |counted: &PoolWindow| {
        let pool = route.pools.iter().find(|pool| pool.pool == counted.pool)?;
        Some(ArmSample {
            target: target.clone(),
            role: pool.role.clone(),
            version: pool.version.clone(),
            at,
            window_ms: window.window_ms,
            requests: counted.requests,
            errors: counted.errors,
            p50_us: counted.latency.quantile(0.5),
            p95_us: counted.latency.quantile(0.95),
            p99_us: counted.latency.quantile(0.99),
        })
    };
    window.pools.iter().filter_map(sample).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test needs two instants")]
#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::Ppm;
    use flightdeck_proxy::wire::PoolRoute;
    use std::time::Duration;

    fn stats(pool: &str, requests: u64, failures: u64) -> Stats {
        let mut latency = Histogram::default();
        (0..requests).for_each(|_| latency.record(1000));
        let pool = PoolStats {
            listener: "shop@dev".into(),
            pool: pool.into(),
            requests,
            failures,
            latency,
            ..PoolStats::default()
        };
        Stats { pools: vec![pool], ..Stats::default() }
    }

    #[test]
    fn windows_are_increments_and_an_idle_slot_is_told_once() {
        let slot = SlotKey { service: "shop".into(), environment: "dev".into() };
        let pool = PoolRoute {
            pool: "P-1".into(),
            role: ArmRole::Stable,
            version: "1".into(),
            weight: Ppm::ALL,
            endpoints: Vec::new(),
        };
        let route = Route::to("shop@dev".into(), "127.0.0.1:1".parse().unwrap(), vec![pool]);
        let mut counters = Counters::default();
        let start = Instant::now();
        // Requests and failures so far → requests and errors of the window, traffic.
        for (second, (requests, failures, expected)) in [
            (1000, 5, None),
            (1010, 6, Some((10, 1, true))),
            (1010, 6, Some((0, 0, true))),
            (1010, 6, Some((0, 0, false))),
            (4, 0, Some((4, 0, true))),
        ]
        .into_iter()
        .enumerate()
        {
            let at = start + Duration::from_secs(second as u64);
            let windows = counters.read(stats("P-1", requests, failures), at, [(&slot, &route)].into_iter());
            let got = windows.first().map(|window| {
                assert_eq!(window.window_ms, 1000);
                (window.pools[0].requests, window.pools[0].errors, window.traffic)
            });
            assert_eq!(got, expected, "second {second}");
        }
        assert_eq!(counters.metrics()[0].requests, 4);
        assert_eq!(counters.metrics()[0].version, Version::from("1"));
    }
}
