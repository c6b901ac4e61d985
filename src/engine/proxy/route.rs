//! What is in force on a listener, and the choice of who gets a request. Pure: time and randomness
//! are arguments.

use super::access::Logging;
use super::pool::{Instance, Pool};
use super::sticky;
use super::wire::{Route, Sticky};
use flightdeck_model::{ArmRole, Ppm, StickyKey, Version};
use hyper::HeaderMap;
use ipnet::IpNet;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One pool of a route.
#[derive(Debug)]
pub struct Arm {
    /// Its counters and its turn.
    pub pool: Arc<Pool>,
    /// For the access log.
    pub role: ArmRole,
    /// For the access log.
    pub version: Version,
    /// Its share, of [`Ppm::ALL`].
    pub weight: u32,
    /// Who can answer.
    pub endpoints: Vec<Arc<Instance>>,
}

/// A route in force; never changed, only replaced.
#[derive(Debug)]
pub struct Routing {
    /// At least one. With [`Routing::sticky`] the candidate's is first, so that it has the lowest places.
    pub arms: Vec<Arm>,
    /// How a user is kept on one side.
    pub sticky: Option<Sticky>,
    /// The arm that gets everything when the lease is gone, and the lease.
    pub leased: Option<(usize, Lease)>,
    /// Without progress, until an answer's head.
    pub response_timeout: Duration,
    /// Networks of proxies in front, whose word on who asks is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Where requests are written down, if they are.
    pub access_log: Option<Logging>,
}

/// Where a request goes.
#[derive(Debug)]
pub enum Choice {
    Instance(Arc<Pool>, Arc<Instance>),
    /// All that may be tried were tried.
    Exhausted,
    /// There is no instance; the failure counts at this pool.
    Nobody(Arc<Pool>),
}

impl Routing {
    /// Where in 0..1,000,000 a request's user is, where users have places and this one is known.
    pub fn place(&self, headers: &HeaderMap, client: IpAddr) -> Option<u32> {
        sticky::place(self.sticky.as_ref()?, headers, client)
    }

    /// How users are kept apart by a cookie that the proxy sets, if they are.
    pub fn visitors(&self) -> Option<&Sticky> {
        self.sticky.as_ref().filter(|sticky| sticky.key == StickyKey::Own)
    }

    /// Is that one a proxy in front, whose word on who asks is taken?
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// What a pool is in this route.
    pub fn arm(&self, pool: &Pool) -> Option<&Arm> {
        self.arms.iter().find(|arm| std::ptr::eq(&raw const *arm.pool, pool))
    }

    /// Is there somebody else to try?
    pub fn spare(&self) -> bool {
        self.arms.iter().map(|arm| arm.endpoints.len()).sum::<usize>() > 1
    }

    /// Chooses for one request. `place` is below 1,000,000; `preferred` is the pool of the
    /// try before, `tried` the instances that could not be reached.
    ///
    /// A pool whose every instance refused connections lately gets nothing while another one with weight
    /// can be reached: it would only cost a try.
    ///
    /// A pool of weight 0 gets a request only when no pool with weight has any instance; that its
    /// instances can't be reached is not enough, since 0 is somebody's decision.
    pub fn choose(&self, now_ms: u64, place: u32, preferred: Option<&Pool>, tried: &[Arc<Instance>]) -> Choice {
        let fallback = match &self.leased {
            Some((arm, lease)) if !lease.exposed(now_ms) => Some(*arm),
            _ => None,
        };
        let weight = |index: usize, arm: &Arm| match fallback {
            Some(fallback) => u32::from(index == fallback),
            None => arm.weight,
        };
        let manned = self.arms.iter().enumerate().any(|(i, arm)| weight(i, arm) > 0 && !arm.endpoints.is_empty());
        // Without a manned pool among those with weight: by the route's own weights, then any.
        let share = |index: usize, arm: &Arm| match (manned, arm.weight) {
            (true, _) => weight(index, arm),
            (false, 0) => u32::from(self.arms.iter().all(|a| a.weight == 0 || a.endpoints.is_empty())),
            (false, raw) => raw,
        };
        let open = |arm: &Arm| arm.endpoints.iter().any(|e| !was_tried(tried, e));
        let reachable = |arm: &Arm| arm.endpoints.iter().any(|e| !was_tried(tried, e) && !e.refuses(now_ms));
        let weighty = |(index, arm): (usize, &Arm)| share(index, arm) > 0 && reachable(arm);
        let careful = self.arms.iter().enumerate().any(weighty);
        let fit = |arm: &Arm| if careful { reachable(arm) } else { open(arm) };
        let shares = || self.arms.iter().enumerate().map(|(i, arm)| if fit(arm) { share(i, arm) } else { 0 });
        let same = preferred.and_then(|pool| {
            self.arms.iter().zip(shares()).find(|(arm, share)| *share > 0 && std::ptr::eq(&raw const *arm.pool, pool))
        });
        let arm = match same {
            Some((arm, _)) => Some(arm),
            None => pick(shares(), place).and_then(|index| self.arms.get(index)),
        };
        match arm.and_then(|arm| Some((arm, next_instance(arm, now_ms, tried)?))) {
            Some((arm, instance)) => Choice::Instance(Arc::clone(&arm.pool), instance),
            None if !tried.is_empty() => Choice::Exhausted,
            None => self.nobody(place),
        }
    }

    fn nobody(&self, place: u32) -> Choice {
        let index = pick(self.arms.iter().map(|arm| arm.weight), place).unwrap_or(0);
        match self.arms.get(index) {
            Some(arm) => Choice::Nobody(Arc::clone(&arm.pool)),
            None => Choice::Exhausted,
        }
    }
}

fn was_tried(tried: &[Arc<Instance>], instance: &Arc<Instance>) -> bool {
    tried.iter().any(|t| Arc::ptr_eq(t, instance))
}

/// The index that a place falls on; shares of 0 have none. `None` when all are 0.
fn pick(shares: impl Iterator<Item = u32> + Clone, place: u32) -> Option<usize> {
    let total: u64 = shares.clone().map(u64::from).sum();
    let mut draw = u64::from(place) * total / u64::from(Ppm::ALL.0);
    for (index, share) in shares.enumerate().filter(|(_, share)| *share > 0) {
        if draw < u64::from(share) {
            return Some(index);
        }
        draw -= u64::from(share);
    }
    None
}

/// Round robin over those not tried yet; ejected ones only when no other is left.
fn next_instance(arm: &Arm, now_ms: u64, tried: &[Arc<Instance>]) -> Option<Arc<Instance>> {
    let start = arm.pool.turn() % arm.endpoints.len().max(1);
    let (before, after) = arm.endpoints.split_at_checked(start)?;
    let turn = || after.iter().chain(before).filter(|e| !was_tried(tried, e));
    turn().find(|e| e.usable(now_ms)).or_else(|| turn().next()).map(Arc::clone)
}

/// While somebody judges, the route is in force; else its fallback. Lapses by itself at its time,
/// and for good.
#[derive(Debug)]
pub struct Lease {
    until_ms: AtomicU64,
    /// Not lapsed, but waiting for the first renewal.
    suspended: AtomicBool,
    /// 0: not lapsed.
    lapsed_ms: AtomicU64,
}

impl Lease {
    /// In force until then.
    pub fn until(until_ms: u64) -> Self {
        Self { until_ms: AtomicU64::new(until_ms), suspended: AtomicBool::new(false), lapsed_ms: AtomicU64::new(0) }
    }

    /// Of a route that was read back: nobody is known to judge, so it is on its fallback until
    /// somebody renews, and lapses when nobody does in time.
    pub fn suspended_until(until_ms: u64) -> Self {
        Self { suspended: AtomicBool::new(true), ..Self::until(until_ms) }
    }

    /// Of a route whose lapse was read back.
    pub fn lapsed_since(at_ms: u64) -> Self {
        Self { lapsed_ms: AtomicU64::new(at_ms.max(1)), ..Self::until(at_ms) }
    }

    /// May the route's own weights be used?
    pub fn exposed(&self, now_ms: u64) -> bool {
        self.lapsed(now_ms).is_none() && !self.suspended.load(Relaxed)
    }

    /// When it lapsed, if it did.
    pub fn lapsed(&self, now_ms: u64) -> Option<u64> {
        let lapsed = self.lapsed_ms.load(Relaxed);
        let until = self.until_ms.load(Relaxed);
        if lapsed == 0 && now_ms >= until {
            self.lapsed_ms.store(until.max(1), Relaxed);
            return Some(until);
        }
        (lapsed != 0).then_some(lapsed)
    }

    /// Somebody judges: it stays for so long from now, unless it lapsed before.
    pub fn renew(&self, now_ms: u64, ttl_ms: u64) {
        if self.lapsed(now_ms).is_none() {
            self.until_ms.store(now_ms.saturating_add(ttl_ms), Relaxed);
            self.suspended.store(false, Relaxed);
        }
    }

    /// When it lapses without a renewal.
    pub fn deadline_ms(&self) -> u64 {
        self.until_ms.load(Relaxed)
    }
}

/// Is it a route that can be followed? If not: why, as a sentence.
pub fn check(route: &Route) -> Result<(), String> {
    let name = &route.listener;
    if route.pools.is_empty() {
        return Err(format!("the route of {name} has no pool"));
    }
    let mut pools = HashSet::new();
    if let Some(twice) = route.pools.iter().find(|pool| !pools.insert(&pool.pool)) {
        return Err(format!("the route of {name} names pool {} twice", twice.pool));
    }
    let mut instances = HashSet::new();
    let endpoints = route.pools.iter().flat_map(|pool| &pool.endpoints);
    if let Some(twice) = endpoints.clone().find(|endpoint| !instances.insert(&endpoint.instance)) {
        return Err(format!("the route of {name} names instance {} twice", twice.instance));
    }
    let total: u64 = route.pools.iter().map(|pool| u64::from(pool.weight.0)).sum();
    if total != u64::from(Ppm::ALL.0) {
        return Err(format!("the weights of {name} sum to {total}, not to {}", Ppm::ALL.0));
    }
    match &route.fallback {
        Some(fallback) if !pools.contains(fallback) => {
            Err(format!("the fallback {fallback} of {name} is not one of its pools"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
