//! Everything that the core remembers.

use super::configs::Configured;
use super::run::RunState;
use super::types::{Effect, EffectId, InstanceId, Numbered, PoolId, SlotKey, preview_of};
use flightdeck_model::{
    Approval, ArmRole, CertificateState, CommandId, ConfigName, Diagnosis, Draining, Evidence, Hold, HookSpec,
    LimitKept, Listening, Note, OneOff, Placement, Ppm, Refusal, Release, ReleaseRef, RollbackPath, Run, ServiceJob,
    ServiceKind, ServiceName, SourceId, Spec, StopSpec, Target, Version,
};
use flightdeck_proxy::wire::{PoolRoute, Route};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

/// The core's whole state. Serialises; the journal gives it a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its name among the sources of a board.
    pub source: SourceId,
    /// What is in force: all configurations together but for their analyses, and what is being taken down.
    pub spec: Spec,
    /// `sha256:…` of the text that was applied last.
    pub config: Option<String>,
    /// The configurations that are in force, by name.
    #[serde(default)]
    pub configs: BTreeMap<ConfigName, Configured>,
    /// Stored releases.
    pub releases: BTreeMap<ServiceName, BTreeMap<Version, Release>>,
    /// Every service in every environment.
    #[serde(with = "pairs")]
    pub slots: BTreeMap<SlotKey, Box<Slot>>,
    /// Holds in force.
    pub holds: Vec<Hold>,
    /// Approvals: all that are pending, and the newest settled ones.
    pub approvals: Vec<Asked>,
    /// Effects that nothing answered yet, by number.
    pub pending: Vec<Numbered>,
    /// The newest commands and what came of them.
    pub commands: VecDeque<Remembered>,
    /// Counters of ids.
    pub counters: Counters,
    /// When the core was last told the time.
    pub last: Option<Timestamp>,
    /// Migrations of services that left the configuration, by `service@environment`: their data stays.
    #[serde(default)]
    pub migrated: BTreeMap<String, BTreeMap<String, Migrated>>,
    /// What ran in places that left the configuration, by `service@environment`: put back, they run it again.
    #[serde(default)]
    pub removed: BTreeMap<String, Removed>,
    /// It was restored from a backup that was made then.
    #[serde(default)]
    pub restored: Option<Timestamp>,
    /// Configurations that were applied since: what comes with them later is new.
    #[serde(default)]
    pub applied_since_restore: BTreeSet<ConfigName>,
    /// Places that had left their configuration in that backup, and are not back yet, as `service@environment`.
    #[serde(default)]
    pub away_at_restore: BTreeSet<String>,
}

/// What is remembered of a place that left the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Removed {
    /// What served when it was removed.
    pub release: Option<ReleaseRef>,
    /// What succeeded there, oldest first.
    pub lineage: Vec<Succeeded>,
    /// For how long each of that served.
    pub served: Vec<(ReleaseRef, SignedDuration)>,
    /// How long things took there.
    pub timings: Timings,
    /// Its rollouts go on being counted from here.
    pub revision: u64,
}

/// Counters of ids; none is used twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub effect: EffectId,
    pub slot: u64,
    pub pool: u64,
    /// Of instances.
    pub instance: u64,
    pub approval: u64,
    /// Of notes.
    pub note: u64,
    pub evidence: u64,
    /// Of runs of hooks.
    #[serde(default)]
    pub job: u64,
    /// Of configurations put into force.
    #[serde(default)]
    pub config: u64,
    /// Of rollouts that were asked for, over all slots: the order of the waiting line.
    pub asked: u64,
}

impl Counters {
    pub(super) const fn next(counter: &mut u64) -> u64 {
        *counter += 1;
        *counter
    }
}

/// A command and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    pub id: CommandId,
    /// Why it was refused, if it was.
    pub refused: Option<Refusal>,
    /// What was answered besides.
    pub note: Option<String>,
    #[serde(default)]
    pub created: Option<Run>,
}

/// An approval and the step that asked for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// What people see; its facts and what queues behind it are filled in when it is shown.
    pub approval: Approval,
    /// Index of the step.
    pub step: u32,
}

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
    /// The number of the rollout that brought it in ([`RunState::asked`]); `None`: not recorded.
    #[serde(default)]
    pub number: Option<u64>,
}

/// A migration of a slot's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// As it was run; its way back is in there.
    pub hook: HookSpec,
    /// With which release; `None`: no rollout ran it, a person said that it is there.
    pub release: Option<ReleaseRef>,
    /// By which rollout, in its slot of then.
    pub revision: String,
    /// The number of that rollout ([`RunState::asked`]), which no other has: its way back alone takes it back.
    /// `None`: not recorded.
    #[serde(default)]
    pub number: Option<u64>,
    /// Its place in order, over all migrations of the slot.
    pub order: u64,
    /// When it came to stand so.
    pub at: Timestamp,
    /// Where it stands.
    pub state: MigrationState,
}

/// Where a migration stands. One that was taken back is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MigrationState {
    /// It runs, or its way back does.
    Running,
    /// Done; never run again.
    Applied,
    /// It, or its way back, ended badly or was cut off: a person must look.
    Half { why: String },
    /// Whether it ran nobody knows: a person must say.
    Unknown {
        /// Why it is not known.
        why: String,
    },
}

/// How long things took in a slot, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// From the decision of a command that begins a rollout until the engine came to it.
    #[serde(default)]
    pub wait: VecDeque<SignedDuration>,
    /// From asking for an instance until it was ready.
    pub ready: VecDeque<SignedDuration>,
    /// From sending a route until the proxy followed it.
    pub switch: VecDeque<SignedDuration>,
    /// How long nothing served while one version took the place of the other.
    pub down: VecDeque<SignedDuration>,
    /// From the decision to go back until all traffic was back.
    pub back: VecDeque<BackTime>,
}

/// How long a way back took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackTime {
    pub path: RollbackPath,
    pub took: SignedDuration,
    /// When it was back.
    pub at: Timestamp,
    /// It was a rehearsal.
    pub drill: bool,
}

/// A pool that carries nothing and is kept up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warm {
    pub pool: PoolId,
    /// For how long already.
    pub elapsed: SignedDuration,
}

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
    pub(super) fn serving(&self) -> bool {
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
    pub(super) fn staying(&self) -> u32 {
        count(self.instances.values().filter(|instance| !instance.leaving))
    }
}

pub(super) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

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
    pub(super) fn weight(&self, pool: &str) -> Ppm {
        self.pool(pool).map_or(Ppm::ZERO, |of| of.weight)
    }

    /// The share that arrives at instances of a pool: without one, its weight serves nobody.
    pub(super) fn share(&self, pool: &str) -> Ppm {
        self.pool(pool).filter(|of| !of.endpoints.is_empty()).map_or(Ppm::ZERO, |of| of.weight)
    }
}

impl Routing {
    /// Every route that the proxy may follow now.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Sent> {
        self.acked.iter().chain(&self.sent)
    }

    pub(super) fn newest(&self) -> Option<&Sent> {
        self.sent.last().or(self.acked.as_ref())
    }

    /// The route that was told last, if one is to be followed.
    pub fn newest_route(&self) -> Option<&Route> {
        self.newest()?.route.as_ref()
    }

    /// Nothing is under way to the proxy.
    pub(super) fn settled(&self) -> bool {
        self.sent.is_empty() && self.retry.is_none()
    }

    /// The share that arrives at instances of a pool, as the proxy acknowledged it.
    pub(super) fn acked_share(&self, pool: &str) -> Ppm {
        self.acked.as_ref().map_or(Ppm::ZERO, |sent| sent.share(pool))
    }

    /// Does the proxy follow a route to an instance of a pool that serves?
    pub(super) fn reaches(&self, pool: &Pool) -> bool {
        let endpoints = self.acked.iter().filter_map(|sent| sent.pool(&pool.id)).flat_map(|of| &of.endpoints);
        endpoints.filter_map(|endpoint| pool.instances.get(&endpoint.instance)).any(InstanceRecord::serving)
    }

    /// Does the proxy follow a route to exactly the serving instances of a pool?
    pub(super) fn leads_to(&self, pool: &Pool) -> bool {
        let endpoints = self.acked.iter().filter_map(|sent| sent.pool(&pool.id)).flat_map(|of| &of.endpoints);
        let routed: BTreeSet<&str> = endpoints.map(|endpoint| endpoint.instance.as_str()).collect();
        let serving = pool.instances.values().filter(|instance| instance.serving());
        routed == serving.map(|instance| instance.id.as_str()).collect()
    }
}

impl Default for State {
    fn default() -> State {
        State::new(SourceId::from("local"))
    }
}

impl State {
    /// The empty state of a new engine.
    #[must_use]
    pub fn new(source: SourceId) -> State {
        State {
            source,
            spec: Spec::default(),
            config: None,
            configs: BTreeMap::new(),
            releases: BTreeMap::new(),
            slots: BTreeMap::new(),
            holds: Vec::new(),
            approvals: Vec::new(),
            pending: Vec::new(),
            commands: VecDeque::new(),
            counters: Counters::default(),
            last: None,
            migrated: BTreeMap::new(),
            removed: BTreeMap::new(),
            restored: None,
            applied_since_restore: BTreeSet::new(),
            away_at_restore: BTreeSet::new(),
        }
    }

    /// The slot of a listener's name, and whether it is the preview's.
    #[must_use]
    pub fn of_listener(&self, listener: &str) -> Option<(SlotKey, bool)> {
        self.slots.values().find_map(|slot| {
            let preview = [false, true].into_iter().find(|preview| slot.listener(*preview) == listener)?;
            Some((slot.key.clone(), preview))
        })
    }

    /// The stored release, if there is one.
    pub fn release(&self, service: &ServiceName, version: &Version) -> Option<&Release> {
        self.releases.get(service)?.get(version)
    }
}

impl Slot {
    pub(super) fn new(key: SlotKey, number: u64, kind: ServiceKind) -> Slot {
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

    /// Is anything of it up, or to come up?
    pub(super) fn is_up(&self) -> bool {
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

    /// The candidate's share in force.
    pub(super) fn exposed(&self) -> Ppm {
        self.candidate.as_ref().map_or(Ppm::ZERO, |pool| self.share_in_force(pool))
    }

    /// The share of a pool as the proxy acknowledged it; of a worker, to which nothing is routed, as it was decided.
    pub(super) fn share_in_force(&self, pool: &PoolId) -> Ppm {
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
    pub(super) fn leads_to_stable(&self) -> bool {
        self.kind == ServiceKind::Worker || self.stable_pool().is_some_and(|pool| self.routing.leads_to(pool))
    }

    /// The row that people see: the rollout in flight, else the first in line, else the newest settled one.
    pub(super) fn shown(&self) -> Option<&RunState> {
        self.active().or_else(|| self.queue.front()).or(self.run.as_ref())
    }

    /// All rollouts that are remembered, newest first.
    pub fn runs(&self) -> impl Iterator<Item = &RunState> {
        self.queue.iter().rev().chain(&self.run).chain(self.history.iter().rev())
    }
}

impl Effect {
    pub(super) fn instance(&self) -> Option<&str> {
        match self {
            Effect::Start(launch) => Some(&launch.instance),
            Effect::Stop { instance, .. } => Some(instance),
            _ => None,
        }
    }

    pub(super) fn job(&self) -> Option<&str> {
        match self {
            Effect::StartJob(launch) => Some(&launch.job),
            Effect::EndJob { job } | Effect::StopJob { job, .. } => Some(job),
            _ => None,
        }
    }
}

/// A map with keys that JSON can't have, as a list of pairs.
mod pairs {
    use super::{Slot, SlotKey};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<SlotKey, Box<Slot>>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<SlotKey, Box<Slot>>, D::Error> {
        let slots = Vec::<Box<Slot>>::deserialize(from)?;
        Ok(slots.into_iter().map(|slot| (slot.key.clone(), slot)).collect())
    }
}
