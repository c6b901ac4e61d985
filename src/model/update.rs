//! Updates: what integrations and hubs tell everybody to their right.

use super::{ArmSample, Entity, EntityRef, HubId, SourceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Version of the vocabulary on every wire. A reader refuses a newer one with a sentence.
pub const WIRE_VERSION: u32 = 2;

/// The HTTP header that carries it.
pub const WIRE_HEADER: &str = "flightdeck-wire";

/// The HTTP header in which a client names what came into the vocabulary without a new version of it, and what it reads
/// all the same. What it does not name it is not sent, so that an older one goes on reading everything else.
pub const READS_HEADER: &str = "flightdeck-reads";

/// Alerts, silences, and commands about them.
pub const READS_ALERTS: &str = "alerts";

/// The HTTP header in which a stream of updates says after how many seconds of quiet it says at least
/// that it is there. Servers that don't send it do so each 15 s.
pub const HEARTBEAT_HEADER: &str = "flightdeck-heartbeat";

/// One watch: the unit of freshness.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The backend.
    pub source: SourceId,
    /// What is watched there, such as `rollouts` or a namespace; empty: all of it.
    pub part: String,
}

impl Scope {
    /// The part of the engine's proxy: without it shares of traffic are unknown, and the rows are there all the same.
    pub const PROXY_PART: &str = "proxy";
    /// The part of whoever measures rows of others: without it numbers are unknown, and the rows are there all the same.
    pub const METRICS_PART: &str = "metrics";
    /// The part of whoever tells of alerts: without it nobody knows whether one fires, and the rows are there all the
    /// same.
    pub const ALERTS_PART: &str = "alerts";
}

/// The health of one watch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum LinkState {
    /// Not there yet.
    Connecting,
    /// Complete and followed.
    Live {
        /// Complete since.
        as_of: Timestamp,
        /// All that is looked at, such as `namespace shop`, where more was asked for than is allowed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        only: Option<String>,
    },
    /// What is shown may be old.
    Stale {
        /// When the last word was heard; where none ever was, since when it is tried.
        since: Timestamp,
        why: String,
        /// Nothing was ever heard of it: there are no rows that could be old.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        never: bool,
    },
    /// What is watched does not exist there: complete, and empty.
    Absent {
        /// Why, such as `Argo Rollouts is not installed there`.
        why: String,
    },
    /// Not allowed.
    Denied {
        /// The verb that is missing.
        verb: String,
        resource: String,
    },
}

/// A watch and its health.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Watch {
    /// Which watch.
    pub scope: Scope,
    pub state: LinkState,
}

impl LinkState {
    /// Complete and followed, all that was asked for.
    #[must_use]
    pub const fn live(as_of: Timestamp) -> LinkState {
        LinkState::Live { as_of, only: None }
    }

    /// It was live and is lost.
    #[must_use]
    pub const fn stale(since: Timestamp, why: String) -> LinkState {
        LinkState::Stale { since, why, never: false }
    }

    /// Does what is told of it equal what is there?
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, LinkState::Live { .. } | LinkState::Absent { .. })
    }
}

/// What one update says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Body {
    /// A complete list of the scope follows.
    SnapshotBegin,
    /// A row is new or changed.
    Upsert(Entity),
    /// A row is gone.
    Remove(EntityRef),
    /// The list is complete: rows of the scope that were not in it are gone.
    SnapshotEnd,
    /// Numbers.
    Samples(Vec<ArmSample>),
    /// The watch's own health.
    Link(LinkState),
}

impl Body {
    /// Can only those read it who read alerts?
    #[must_use]
    pub fn is_of_alerts(&self) -> bool {
        match self {
            Body::Upsert(entity) => entity.is_of_alerts(),
            Body::Remove(key) => matches!(key, EntityRef::Alert(..) | EntityRef::Silence(..)),
            Body::SnapshotBegin | Body::SnapshotEnd | Body::Samples(_) | Body::Link(_) => false,
        }
    }
}

/// An update as an integration yields it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scoped {
    /// Of which watch.
    pub scope: Scope,
    pub body: Body,
}

/// An update as a hub stamps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    pub hub: HubId,
    /// Changes when the hub restarts: sequences of two epochs can't be compared.
    pub epoch: u64,
    /// Grows by one each.
    pub seq: u64,
    /// When the hub stamped it.
    pub at: Timestamp,
    pub scoped: Scoped,
}

/// The word for what goes right.
pub type Update = Envelope;
