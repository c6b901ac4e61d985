//! How a service is reached.

use serde::{Deserialize, Serialize};

/// How a service is reached, and with that what a rollout of it can share out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceKind {
    /// By HTTP requests, which the proxy shares out one by one.
    #[default]
    Http,
    /// By connections of any other protocol, which the proxy shares out one by one.
    Tcp,
    /// Not at all: it works by itself as long as it runs, and nothing is routed to it.
    Worker,
}

impl ServiceKind {
    /// As the configuration says it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            ServiceKind::Http => "http",
            ServiceKind::Tcp => "tcp",
            ServiceKind::Worker => "worker",
        }
    }

    /// What such a service is in a sentence.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            ServiceKind::Http => "service",
            ServiceKind::Tcp => "tcp service",
            ServiceKind::Worker => "worker",
        }
    }

    /// One of what is counted on it.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            ServiceKind::Tcp => "connection",
            ServiceKind::Http | ServiceKind::Worker => "request",
        }
    }

    /// What so many in flight are: `1 request`, `3 connections`.
    #[must_use]
    pub fn in_flight(self, count: u64) -> String {
        super::counted(count, self.unit())
    }
}
