//! What the proxy was told, and what it follows.

use super::pool::{InstanceRecord, Pool};
use flightdeck_model::Ppm;
use flightdeck_proxy::wire::{PoolRoute, Route};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What the proxy was told and what it follows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Routing {
    /// Of the newest route.
    pub version: u64,
    /// Newer than what is acknowledged, oldest first; each may be in force.
    pub sent: Vec<Sent>,
    /// What the proxy follows.
    pub acked: Option<Sent>,
    /// Refusals since the last acknowledgement. While there are any, what the proxy follows is not
    /// known: nothing that may be in its route is stopped.
    pub refusals: u32,
    /// Why the newest one was refused.
    pub refused: Option<String>,
    /// Until a refused route is sent again.
    pub retry: Option<SignedDuration>,
    /// What of the acknowledged route the proxy, of an older program, can't do, in words.
    #[serde(default)]
    pub lacking: Option<String>,
}

/// A route with its version; `None`: closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    pub version: u64,
    pub route: Option<Route>,
    /// When it was sent.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

impl Sent {
    fn pool(&self, pool: &str) -> Option<&PoolRoute> {
        self.route.iter().flat_map(|route| &route.pools).find(|of| of.pool == pool)
    }

    /// The share that the route gives a pool.
    pub(crate) fn weight(&self, pool: &str) -> Ppm {
        self.pool(pool).map_or(Ppm::ZERO, |of| of.weight)
    }

    /// The share that arrives at instances of a pool: without one, its weight serves nobody.
    pub(crate) fn share(&self, pool: &str) -> Ppm {
        self.pool(pool).filter(|of| !of.endpoints.is_empty()).map_or(Ppm::ZERO, |of| of.weight)
    }
}

impl Routing {
    /// Every route that the proxy may follow now.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Sent> {
        self.acked.iter().chain(&self.sent)
    }

    pub(crate) fn newest(&self) -> Option<&Sent> {
        self.sent.last().or(self.acked.as_ref())
    }

    /// The route that was told last, if one is to be followed.
    pub fn newest_route(&self) -> Option<&Route> {
        self.newest()?.route.as_ref()
    }

    /// Nothing is under way to the proxy.
    pub(crate) fn settled(&self) -> bool {
        self.sent.is_empty() && self.retry.is_none()
    }

    /// The share that arrives at instances of a pool, as the proxy acknowledged it.
    pub(crate) fn acked_share(&self, pool: &str) -> Ppm {
        self.acked.as_ref().map_or(Ppm::ZERO, |sent| sent.share(pool))
    }

    /// Does the proxy follow a route to an instance of a pool that serves?
    pub(crate) fn reaches(&self, pool: &Pool) -> bool {
        let endpoints = self.acked.iter().filter_map(|sent| sent.pool(&pool.id)).flat_map(|of| &of.endpoints);
        endpoints.filter_map(|endpoint| pool.instances.get(&endpoint.instance)).any(InstanceRecord::serving)
    }

    /// Does the proxy follow a route to exactly the serving instances of a pool?
    pub(crate) fn leads_to(&self, pool: &Pool) -> bool {
        let endpoints = self.acked.iter().filter_map(|sent| sent.pool(&pool.id)).flat_map(|of| &of.endpoints);
        let routed: BTreeSet<&str> = endpoints.map(|endpoint| endpoint.instance.as_str()).collect();
        let serving = pool.instances.values().filter(|instance| instance.serving());
        routed == serving.map(|instance| instance.id.as_str()).collect()
    }
}
