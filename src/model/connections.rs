//! How connections of users to a service are treated.

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// What a service, or one of its environments, says of its users' connections. `Default` says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Connections {
    /// Time without progress until an answer begins; without it the proxy's own.
    pub response_timeout: Option<SignedDuration>,
    /// Bound for requests in flight and tunnels once an instance leaves; without it the grace of its stop.
    pub drain: Option<SignedDuration>,
    /// Networks of proxies in front, whose word on who asks is taken; without it nobody's is.
    pub trusted_proxies: Option<Vec<IpNet>>,
}

impl Connections {
    /// What an environment says, and where it says nothing, what its service says.
    #[must_use]
    pub fn or(&self, service: &Connections) -> Connections {
        Connections {
            response_timeout: self.response_timeout.or(service.response_timeout),
            drain: self.drain.or(service.drain),
            trusted_proxies: self.trusted_proxies.as_ref().or(service.trusted_proxies.as_ref()).cloned(),
        }
    }
}

/// An instance is out of every route, and what is in flight on it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Draining {
    /// Requests and tunnels in flight as last counted; `None`: not counted yet, or not all of them could be.
    pub requests: Option<u64>,
    /// It waits no longer than until then.
    pub until: Timestamp,
}

impl Draining {
    /// `draining, 3 requests left, at most 40 s more`.
    #[must_use]
    pub fn words(&self, now: Timestamp) -> String {
        let seconds =
            self.until.duration_since(now).max(SignedDuration::ZERO).as_millis().unsigned_abs().div_ceil(1000);
        let left = if seconds < 120 { format!("{seconds} s") } else { format!("{} m", seconds.div_ceil(60)) };
        match self.requests {
            // That it is over its drain itself says.
            None | Some(0) => format!("draining, at most {left} more"),
            Some(1) => format!("draining, 1 request left, at most {left} more"),
            Some(count) => format!("draining, {count} requests left, at most {left} more"),
        }
    }
}
