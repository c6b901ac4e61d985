//! How connections of users to a service are treated.

use super::{Ppm, ServiceKind};
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
    /// Which requests are written down; without it none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
}

/// Which requests are written down, a line each. What fails or is answered 5xx always is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum AccessLog {
    /// None.
    #[default]
    Off,
    /// Some or all.
    On {
        /// Chance of a request that goes well.
        sample: Ppm,
        /// Bytes of all files of one service in one environment.
        max_bytes: u64,
    },
}

impl AccessLog {
    /// Is nothing written down?
    #[must_use]
    pub const fn is_off(&self) -> bool {
        matches!(self, AccessLog::Off)
    }
}

impl Connections {
    /// What an environment says, and where it says nothing, what its service says.
    #[must_use]
    pub fn or(&self, service: &Connections) -> Connections {
        Connections {
            response_timeout: self.response_timeout.or(service.response_timeout),
            drain: self.drain.or(service.drain),
            access_log: self.access_log.or(service.access_log),
            trusted_proxies: self.trusted_proxies.as_ref().or(service.trusted_proxies.as_ref()).cloned(),
        }
    }
}

/// An instance is out of every route, and what is in flight on it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Draining {
    /// Requests and tunnels in flight as last counted; `None`: not counted yet, or not all of them could be.
    pub requests: Option<u64>,
    /// It waits no longer than until then; what is left is ended then.
    pub until: Timestamp,
}

impl Draining {
    /// `draining, 3 requests left, at most 40 s more`; of a TCP service they are connections. What is left then is
    /// ended, which the drain itself says when it is done.
    #[must_use]
    pub fn words(&self, now: Timestamp, kind: ServiceKind) -> String {
        let seconds =
            self.until.duration_since(now).max(SignedDuration::ZERO).as_millis().unsigned_abs().div_ceil(1000);
        let left = if seconds < 120 { format!("{seconds} s") } else { format!("{} m", seconds.div_ceil(60)) };
        // That it is over its drain itself says.
        match self.requests.filter(|count| *count > 0).map(|count| kind.in_flight(count)) {
            None if seconds == 0 => "draining, what is left is ended now".to_owned(),
            Some(some) if seconds == 0 => format!("draining, {some} left and ended now"),
            None => format!("draining, at most {left} more"),
            Some(some) => format!("draining, {some} left, at most {left} more"),
        }
    }
}
