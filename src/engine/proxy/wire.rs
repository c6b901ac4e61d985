//! What engine and proxy say to each other: JSON lines over a unix socket, requests numbered.

use flightdeck_model::{AccessLog, ArmRole, CertificateState, Histogram, Ingress, Ppm, StickyKey, Version};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// Version of this wire; a newer one is refused with a sentence.
pub const PROXY_WIRE: u32 = 1;

/// What a program knows of this wire: grows with what routes may ask. 0 is one that does not say so, and knows
/// routes as far as [`Route::sticky`]; 1 knows [`RouteOptions`] without `tcp`, `access_log` and `redirect_from`.
pub const PROXY_LEVEL: u32 = 2;

/// After the bound of a drain a WebSocket has so long to answer the close that it is sent.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// One instance that can take requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The engine's instance id.
    pub instance: String,
    /// Where it listens.
    pub address: SocketAddr,
}

/// The instances of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRoute {
    /// The engine's pool id; counters are kept by it.
    pub pool: String,
    /// For labels.
    pub role: ArmRole,
    /// For labels.
    pub version: Version,
    /// Its share; the weights of a route sum to 1,000,000.
    pub weight: Ppm,
    /// Only ready instances.
    pub endpoints: Vec<Endpoint>,
}

/// Everything that is done for one service in one environment, which is called a listener here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The listener's name, `service@environment`.
    pub listener: String,
    /// Grows with each route of a listener; a lower or equal one is refused as stale, except that the same version with the same content is acknowledged again.
    pub version: u64,
    /// Where users reach it.
    pub listen: SocketAddr,
    /// At least one.
    pub pools: Vec<PoolRoute>,
    /// The pool that gets everything when the lease lapses: stable. `Some` makes the route leased.
    pub fallback: Option<String>,
    /// How a user is kept on one side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<Sticky>,
    /// What it asks besides.
    #[serde(default, skip_serializing_if = "RouteOptions::is_default")]
    pub options: Box<RouteOptions>,
}

/// What a route may ask besides where from and where to. `Default` asks nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteOptions {
    /// Milliseconds without progress until an answer begins; the proxy's own bound without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_timeout_ms: Option<u64>,
    /// What of its address is for it, and how users speak to it there.
    #[serde(skip_serializing_if = "Ingress::is_default")]
    pub ingress: Ingress,
    /// Networks of proxies in front, whose word on who asks is taken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trusted_proxies: Vec<IpNet>,
    /// What its access log calls it where that is not its listener: one that was renamed keeps its listener, and
    /// a preview has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// Which requests are written down.
    #[serde(skip_serializing_if = "AccessLog::is_off")]
    pub access_log: AccessLog,
    /// Bytes pass as they are: a pool is chosen for each connection, not for each request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tcp: bool,
}

impl RouteOptions {
    fn is_default(&self) -> bool {
        *self == RouteOptions::default()
    }
}

impl Route {
    /// A route without anything but where from and where to.
    #[must_use]
    pub fn to(listener: String, listen: SocketAddr, pools: Vec<PoolRoute>) -> Route {
        let options = Box::default();
        Route { listener, version: 0, listen, pools, fallback: None, sticky: None, options }
    }

    /// Would a proxy of that level serve it to the wrong people, in the open, or not understand it?
    #[must_use]
    pub fn is_beyond(&self, level: u32) -> bool {
        level < 1 && (!self.options.ingress.is_default() || self.sets_cookie()) || level < 2 && self.options.tcp
    }

    fn sets_cookie(&self) -> bool {
        self.sticky.as_ref().is_some_and(|sticky| sticky.key == StickyKey::Own)
    }

    /// What of it a proxy of that level would do otherwise than asked, by the names of the configuration.
    #[must_use]
    pub fn beyond(&self, level: u32) -> Vec<&'static str> {
        let RouteOptions { response_timeout_ms, ingress, trusted_proxies, called: _, access_log, tcp } = &*self.options;
        // Each with the level that can do it.
        let asked = [
            (response_timeout_ms.is_some(), 1, "response_timeout"),
            (!trusted_proxies.is_empty(), 1, "trusted_proxies"),
            (!ingress.hosts.is_empty(), 1, "hosts"),
            (!ingress.paths.is_empty(), 1, "paths"),
            (!ingress.certificates.is_empty(), 1, "tls"),
            (self.sets_cookie(), 1, "sticky"),
            (*tcp, 2, "tcp"),
            (!access_log.is_off(), 2, "access_log"),
            (ingress.redirect_from.is_some(), 2, "redirect_from"),
        ];
        asked.into_iter().filter(|(asked, since, _)| *asked && level < *since).map(|(.., name)| name).collect()
    }
}

/// Keeps a user on one side while the weights only grow: their place in 0..1,000,000 is a hash of
/// key and salt, and the candidate has the places below its weight. Who has no key is sent by chance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sticky {
    /// What tells users apart.
    pub key: StickyKey,
    /// Differs from rollout to rollout, so that not always the same users go first.
    pub salt: String,
}

/// What the engine asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Request {
    /// First on each connection.
    Hello {
        /// The asker's [`PROXY_WIRE`].
        wire: u32,
    },
    /// Put a route into force. Answered once every later choice of a pool follows it.
    SetRoute(Route),
    /// Close a listener.
    RemoveRoute { listener: String },
    /// The engine is alive and judging: leased routes stay for so long from now.
    Renew {
        /// Milliseconds.
        ttl_ms: u64,
    },
    /// Counters since the proxy started.
    Stats,
    /// Answered when none of these instances has a request in flight, or at the bound. Their idle
    /// connections are closed. At the bound tunnels end: a WebSocket gets a close frame, and [`CLOSE_GRACE`]
    /// for its answer, which comes on top of the bound.
    Drain {
        /// Which instances; they must be out of every route already.
        instances: Vec<String>,
        /// Bound in milliseconds.
        timeout_ms: u64,
    },
    /// Stop accepting, finish what is in flight up to the bound, exit.
    Shutdown {
        /// Bound in milliseconds.
        timeout_ms: u64,
    },
}

/// A numbered request; the answer has the same number. Answers may come in another order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// Chosen by the asker.
    pub id: u64,
    /// Request or response.
    pub body: T,
}

/// A lease that lapsed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lapse {
    pub listener: String,
    /// The route that it was on.
    pub version: u64,
    /// How long ago, in milliseconds.
    pub ago_ms: u64,
}

/// What the proxy answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Response {
    /// To `Hello`.
    Hello {
        /// The proxy's [`PROXY_WIRE`].
        wire: u32,
        /// Its process id.
        pid: u32,
        /// The file of its program. Empty from one that did not say so yet.
        #[serde(default)]
        program: String,
        /// Its [`PROXY_LEVEL`].
        #[serde(default)]
        level: u32,
        /// The routes in force: listener and version.
        routes: Vec<(String, u64)>,
        /// Leases that lapsed and were not followed by a new route since.
        lapsed: Vec<Lapse>,
    },
    /// To `SetRoute`.
    Acked {
        listener: String,
        /// The version in force.
        version: u64,
        /// Why its `redirect_from` is not listened on; it is tried again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirect_refused: Option<String>,
    },
    /// To `Renew`, `RemoveRoute`, `Shutdown`.
    Done,
    /// To `Drain`.
    Drained {
        /// Requests that were still in flight at the bound.
        remaining: u64,
    },
    /// To `Stats`.
    Stats(Stats),
    /// It could not be done: a port in use, a stale version, a malformed request.
    Refused {
        why: String,
        /// The version of that route which is in force and newer, where that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newer: Option<u64>,
    },
}

/// Counters since the proxy started.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// One per listener and pool that has a route or had requests.
    pub pools: Vec<PoolStats>,
    /// Leases that lapsed and were not followed by a new route since.
    pub lapsed: Vec<Lapse>,
    /// Certificates in force, by listener.
    #[serde(default)]
    pub certificates: Vec<(String, CertificateState)>,
    /// Why their `redirect_from` is not listened on, by listener.
    #[serde(default)]
    pub redirects_refused: Vec<(String, String)>,
    /// Requests that no service answers for, by address.
    #[serde(default)]
    pub unmatched: Vec<(SocketAddr, u64)>,
}

/// Counters of one pool on one listener.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolStats {
    pub listener: String,
    pub pool: String,
    /// Requests that ended; of TCP connections that were opened, or that no instance took.
    pub requests: u64,
    /// Of those, answered 5xx by the instance.
    pub errors: u64,
    /// Of those, not answered whole: connection refused, reset, timed out.
    pub failures: u64,
    /// Not ended yet, tunnels and connections included.
    pub in_flight: u64,
    /// Bytes from users; of TCP alone.
    #[serde(default)]
    pub received: u64,
    /// Bytes to users; of TCP alone.
    #[serde(default)]
    pub sent: u64,
    /// From the request's head to the last byte of the answer.
    pub latency: Histogram,
    /// In flight by instance.
    pub by_instance: Vec<(String, u64)>,
}
