//! A service in an environment: its pools, its rollouts, and what its users reach.

use super::migrated::Migrated;
use super::pool::Pool;
use super::routing::Routing;
use super::run::RunState;
use super::timings::Timings;
use crate::types::{PoolId, SlotKey, preview_of};
use flightdeck_model::{
    CertificateState, Evidence, Listening, Note, OneOff, Placement, Ppm, ReleaseRef, ServiceJob, ServiceKind,
    ServiceName, SourceId, Target,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// A service in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slot {
    pub key: SlotKey,
    /// How it is reached; never another one while it is up.
    #[serde(default)]
    pub kind: ServiceKind,
    /// Changes when it is removed and made again.
    pub uid: String,
    /// What its service was called before it was renamed, oldest first.
    #[serde(default)]
    pub names: Vec<ServiceName>,
    /// Its listener at the proxy; `None`: that of its key. A rename leaves it as it is, so that no connection
    /// sees one.
    #[serde(default)]
    pub listener: Option<String>,
    /// All pools with instances.
    pub pools: BTreeMap<PoolId, Pool>,
    /// The pool that users had before, or have.
    pub stable: Option<PoolId>,
    /// The pool that is tried, or left.
    pub candidate: Option<PoolId>,
    /// The pool that is kept up for a rollback.
    pub warm: Option<Warm>,
    /// What succeeded here, oldest first; the last one is stable.
    pub lineage: Vec<Succeeded>,
    /// The rollout in flight, or the newest settled one.
    pub run: Option<RunState>,
    /// Rollouts that wait in line, oldest first.
    pub queue: VecDeque<RunState>,
    /// Settled rollouts before `run`, oldest first.
    pub history: VecDeque<RunState>,
    /// Counts rollouts.
    pub revision: u64,
    /// Counts every change of plan, pause, hold or step.
    pub generation: u64,
    /// What the proxy was told.
    pub routing: Routing,
    pub notes: VecDeque<Note>,
    /// What was judged.
    pub evidence: VecDeque<Evidence>,
    /// It is gone from the configuration and is being taken down.
    pub removed: bool,
    /// What the proxy was told about its preview.
    #[serde(default)]
    pub preview: Routing,
    /// Commands that people had run, oldest first.
    #[serde(default)]
    pub one_offs: Vec<OneOff>,
    /// What it has run by the clock, by name.
    #[serde(default)]
    pub jobs: Vec<ServiceJob>,
    /// Migrations by name, and where each stands.
    #[serde(default)]
    pub migrations: BTreeMap<String, Migrated>,
    /// For how long each version of `lineage` has served here.
    #[serde(default)]
    pub served: Vec<(ReleaseRef, SignedDuration)>,
    /// How long things took here.
    #[serde(default)]
    pub timings: Timings,
    /// Why its address can't be listened on, where nothing is routed to it yet.
    #[serde(default)]
    pub taken: Option<String>,
    /// Why the address of its redirect can't be listened on.
    #[serde(default)]
    pub redirect_refused: Option<String>,
    /// Certificates that the proxy has in force for it.
    #[serde(default)]
    pub certificates: Vec<CertificateState>,
}

/// A version that succeeded in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succeeded {
    #[serde(flatten)]
    pub release: ReleaseRef,
    /// The number of the rollout that brought it in (`RunState::asked`); `None`: not recorded.
    #[serde(default)]
    pub number: Option<u64>,
}

/// A pool that carries nothing and is kept up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    pub pool: PoolId,
    /// For how long already.
    pub elapsed: SignedDuration,
}

impl Slot {
    pub(crate) fn new(key: SlotKey, number: u64, kind: ServiceKind) -> Slot {
        Slot {
            uid: format!("{key}#{number}"),
            names: Vec::new(),
            listener: None,
            key,
            kind,
            pools: BTreeMap::new(),
            stable: None,
            candidate: None,
            warm: None,
            lineage: Vec::new(),
            run: None,
            queue: VecDeque::new(),
            history: VecDeque::new(),
            revision: 0,
            generation: 0,
            routing: Routing::default(),
            notes: VecDeque::new(),
            evidence: VecDeque::new(),
            removed: false,
            preview: Routing::default(),
            one_offs: Vec::new(),
            jobs: Vec::new(),
            migrations: BTreeMap::new(),
            served: Vec::new(),
            timings: Timings::default(),
            taken: None,
            redirect_refused: None,
            certificates: Vec::new(),
        }
    }

    /// Where a rollback would go.
    pub(crate) fn previous(&self) -> Option<&ReleaseRef> {
        self.lineage.len().checked_sub(2).and_then(|at| self.lineage.get(at)).map(|of| &of.release)
    }

    /// Is anything of it up, or to come up?
    pub(crate) fn is_up(&self) -> bool {
        self.pools.values().any(|pool| !pool.retired && (pool.desired > 0 || !pool.instances.is_empty()))
    }

    /// Whether its users' address is listened on.
    pub fn listening(&self, listen: SocketAddr) -> Listening {
        let routing = &self.routing;
        let open = routing.acked.as_ref().and_then(|sent| sent.route.as_ref()).map(|route| route.listen);
        let settled = routing.settled();
        let why = routing.refused.as_ref().or(self.taken.as_ref().filter(|_| settled && open.is_none()));
        match (why, open) {
            (Some(why), _) => Listening::Refused { why: why.clone() },
            (None, Some(at)) if settled && at == listen => Listening::Open,
            (None, None) if settled => Listening::Closed,
            (None, _) => Listening::Pending,
        }
    }

    /// The address from which users are sent on to TLS, and whether it is listened on.
    pub fn redirect_listening(&self, placement: &Placement) -> Option<(SocketAddr, Listening)> {
        let from = placement.ingress.redirect_from?;
        let listening = match (self.listening(placement.listen?), &self.redirect_refused) {
            (Listening::Open, Some(why)) => Listening::Refused { why: why.clone() },
            // Where the service itself is not reached that is told once.
            (Listening::Refused { .. }, _) => Listening::Closed,
            (as_the_service, _) => as_the_service,
        };
        Some((from, listening))
    }

    /// What the proxy knows it as: its users' listener, or that of its preview.
    #[must_use]
    pub fn listener(&self, preview: bool) -> String {
        let users = self.listener.clone().unwrap_or_else(|| self.key.to_string());
        if preview { preview_of(&users) } else { users }
    }

    /// The workload that its rollouts happen to.
    pub fn target(&self, source: &SourceId) -> Target {
        Target {
            source: source.clone(),
            kind: "service".to_owned(),
            namespace: Some(self.key.environment.0.clone()),
            name: self.key.service.0.clone(),
            uid: self.uid.clone(),
            first_name: self.names.first().map(|name| name.0.clone()),
        }
    }

    /// The stable pool.
    pub fn stable_pool(&self) -> Option<&Pool> {
        self.pools.get(self.stable.as_ref()?)
    }

    /// The candidate's pool.
    pub fn candidate_pool(&self) -> Option<&Pool> {
        self.pools.get(self.candidate.as_ref()?)
    }

    /// The rollout in flight, if one is.
    pub fn active(&self) -> Option<&RunState> {
        self.run.as_ref().filter(|run| run.active())
    }

    /// Is it the rollout in flight, or the newest settled one?
    pub(crate) fn is_current(&self, run: &RunState) -> bool {
        self.run.as_ref().is_some_and(|of| of.revision == run.revision)
    }

    /// The candidate's share in force.
    pub(crate) fn exposed(&self) -> Ppm {
        self.candidate.as_ref().map_or(Ppm::ZERO, |pool| self.share_in_force(pool))
    }

    /// The share of a pool as the proxy acknowledged it; of a worker, to which nothing is routed, as it was decided.
    pub(crate) fn share_in_force(&self, pool: &PoolId) -> Ppm {
        if self.kind != ServiceKind::Worker {
            return self.routing.acked_share(pool);
        }
        let candidate = self.active().map_or(Ppm::ZERO, |run| run.weight);
        match Some(pool) {
            pool if pool == self.candidate.as_ref() => candidate,
            pool if pool == self.stable.as_ref() => candidate.rest(),
            _ => Ppm::ZERO,
        }
    }

    /// Does all that leads to stable lead to its serving instances, and to those alone?
    pub(crate) fn leads_to_stable(&self) -> bool {
        self.kind == ServiceKind::Worker || self.stable_pool().is_some_and(|pool| self.routing.leads_to(pool))
    }

    /// The row that people see: the rollout in flight, else the first in line, else the newest settled one.
    pub(crate) fn shown(&self) -> Option<&RunState> {
        self.active().or_else(|| self.queue.front()).or(self.run.as_ref())
    }

    /// All rollouts that are remembered, newest first.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.queue.iter().rev().chain(&self.run).chain(self.history.iter().rev())
    }
}
