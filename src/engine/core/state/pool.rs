//! The instances of one revision, and where each of them stands.

use crate::types::{InstanceId, PoolId};
use flightdeck_model::{ArmRole, Diagnosis, Draining, LimitKept, ReleaseRef, StopSpec};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The instances of one revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    pub id: PoolId,
    /// What it is or was for.
    pub role: ArmRole,
    /// What it runs.
    pub release: ReleaseRef,
    /// How many instances it should have.
    pub desired: u32,
    /// It is to end: out of the route, drained, stopped.
    pub retired: bool,
    pub instances: BTreeMap<InstanceId, InstanceRecord>,
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum InstanceStage {
    /// Written down, to be started or starting.
    Starting,
    /// Serving.
    Ready,
    /// Failing its checks. With `left`: replaced when that has passed; without: it never was ready
    /// since its start and is waited for.
    Unhealthy {
        /// What the check said.
        why: String,
        /// Until it is started anew.
        left: Option<SignedDuration>,
    },
    /// Its process ended; started again when `left` has passed.
    BackingOff {
        why: String,
        /// Until the next start.
        left: SignedDuration,
    },
    /// Being stopped in order to be started anew.
    Cycling { why: String },
    /// Being stopped for good.
    Stopping,
}

/// An instance, written down before it is started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceRecord {
    pub id: InstanceId,
    /// Where it stands.
    pub stage: InstanceStage,
    /// It is to go: out of every route first, then stopped.
    pub leaving: bool,
    /// Its process.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<SocketAddr>,
    /// Counts starts, from 0.
    pub attempt: u32,
    /// Ends in a row, for the back-off.
    pub crashes: u32,
    /// Since its last start, was it ready, and since when?
    pub ready_since: Option<Timestamp>,
    /// When it was last started.
    pub started: Option<Timestamp>,
    /// What went wrong last.
    pub error: Option<String>,
    /// Trying again can't help: why.
    pub hopeless: Option<String>,
    /// How it is ended; as configured when it was started.
    pub stop: StopSpec,
    /// When its last start was asked for.
    #[serde(default)]
    pub asked: Option<Timestamp>,
    /// What is still waited for before it is ended.
    #[serde(default)]
    pub draining: Option<Draining>,
    /// The rollout that it was made for; `None`: an older program made it.
    #[serde(default)]
    pub revision: Option<String>,
    /// What was found out about it when it last failed; `None` once it is ready.
    #[serde(default)]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// What keeps each of its limits since its last start.
    #[serde(default)]
    pub limits: Vec<LimitKept>,
}

impl InstanceRecord {
    pub(crate) fn serving(&self) -> bool {
        self.stage == InstanceStage::Ready && !self.leaving && self.address.is_some()
    }
}

impl Pool {
    /// Instances that can take requests.
    pub fn ready(&self) -> u32 {
        count(self.instances.values().filter(|instance| instance.serving()))
    }

    /// Instances of a worker that work, or still do until they have ended.
    pub fn working(&self) -> u32 {
        let leaves = |of: &InstanceRecord| (of.leaving || of.stage == InstanceStage::Stopping) && of.pid.is_some();
        count(self.instances.values().filter(|instance| instance.serving() || leaves(instance)))
    }

    /// Instances that are there to stay.
    pub(crate) fn staying(&self) -> u32 {
        count(self.instances.values().filter(|instance| !instance.leaving))
    }
}

pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
