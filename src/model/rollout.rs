//! A rollout as every backend shows it: arms, steps, phase and what it waits for.

use super::{
    Action, ActionSet, Diagnosis, EnvironmentName, Facts, HoldId, Listening, MetricVerdict, ObjectiveStatus, Phase,
    Ppm, RollbackPath, Run, ServiceKind, ServiceName, Step, Strategy, Version, WatchdogStatus,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What one group of instances is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum ArmRole {
    /// What users had before.
    Stable,
    /// What is being tried.
    Candidate,
    /// Up, but behind an address of its own.
    Preview,
    /// A named cohort (A/B, rings).
    Cohort(String),
    /// Gets copies of requests; its answers are dropped.
    Shadow,
}

impl std::fmt::Display for ArmRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ArmRole::Stable => "stable",
            ArmRole::Candidate => "candidate",
            ArmRole::Preview => "preview",
            ArmRole::Cohort(name) => name,
            ArmRole::Shadow => "shadow",
        })
    }
}

/// Instances of an arm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replicas {
    /// Ready to serve.
    pub ready: u32,
    /// Wanted.
    pub desired: u32,
}

/// How the actual share of traffic is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrafficSource {
    /// A proxy acknowledged the route.
    Acknowledged,
    /// Counted requests.
    Counted,
    /// Derived from ready replicas behind one load balancer.
    Replicas,
    /// Only declared; nobody confirmed it.
    Declared,
    /// There is no traffic, since it is a worker: `actual` is the share of its instances that work, those that
    /// are still to end among them.
    Instances,
}

/// An arm's share of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// What the current step asks for.
    pub desired: Ppm,
    /// What is known to be in force.
    pub actual: Option<Ppm>,
    /// How `actual` is known.
    pub how: TrafficSource,
}

/// Which pods are an arm's, by their names: what is measured of pods is told apart by that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum PodNames {
    /// Those of this set, whose name they have with one part more: `shop-7d5f9c-x2x4z` of `shop-7d5f9c`.
    Set(String),
    /// Those of every set of this workload, whose names have one part more again: `shop-7d5f9c-x2x4z` of `shop`.
    Workload(String),
    /// Their names do not tell whose they are: pods of a StatefulSet are called alike, whatever they run.
    Untold,
}

/// One side of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arm {
    /// What it is for.
    pub role: ArmRole,
    /// What it runs.
    pub version: Version,
    /// The artifact's digest, `sha256:…`, where known.
    pub digest: Option<String>,
    pub replicas: Replicas,
    /// Its share of requests.
    pub traffic: Traffic,
    /// Which pods are its own; `None` where the platform has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodNames>,
    /// The Service behind which its pods alone stand, by name; what a proxy measures of that is told apart by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
}

impl Arm {
    /// `2 of 2 run 1.1`: what there is to say of a worker's.
    #[must_use]
    pub fn running(&self) -> String {
        format!("{} of {} run {}", self.replicas.ready, self.replicas.desired, self.version)
    }
}

/// What a rollout waits for; several can hold at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Wait {
    /// A person: an approval, a manual pause or an indefinite pause step.
    Human {
        /// In words, such as `promote to 50 % of traffic`.
        what: String,
        /// Who caused the wait or who may end it, where known.
        who: Option<String>,
        since: Timestamp,
    },
    /// A moment.
    Until {
        /// When it goes on if nothing else happens.
        at: Timestamp,
    },
    /// A judgement on metrics.
    Analysis {
        /// The template's name.
        name: String,
        /// When the measured span is complete, if all goes well.
        until: Option<Timestamp>,
    },
    /// Instances that are not ready yet.
    Health,
    /// A gate by its id.
    Gate(String),
    Hold(HoldId),
}

/// How a rollback from here would go, as the backend knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RollbackPlan {
    /// How the service is reached: of a worker no traffic goes anywhere.
    #[serde(default)]
    pub kind: ServiceKind,
    pub path: RollbackPath,
    /// What serves afterwards.
    pub to: Version,
    /// What happens, in order, a line each.
    pub steps: Vec<String>,
    /// How long until all traffic is there, from this service's own times; `None`: never measured.
    pub estimate: Option<SignedDuration>,
    /// Of so many times of its own.
    pub measured: u32,
    /// What is not taken back, each with its reason.
    pub cannot_undo: Vec<String>,
    /// The service's objective for it (recovery time objective).
    pub rto: Option<SignedDuration>,
    /// When it was last proven by a drill, and how long it took.
    pub drilled: Option<(Timestamp, SignedDuration)>,
}

/// One rollout, or the settled state of a workload that has none in flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub run: Run,
    /// What people call it.
    pub service: ServiceName,
    /// Where it happens.
    pub environment: EnvironmentName,
    pub strategy: Strategy,
    /// The plan; shared, since it never changes within a run.
    pub steps: Arc<[Step]>,
    /// Index of the current step; `steps.len()` when all are done; `None` without steps.
    pub step: Option<u32>,
    /// All sides, stable first.
    pub arms: Vec<Arm>,
    /// Where it stands.
    pub phase: Phase,
    pub waits: Vec<Wait>,
    /// Why it stands so, one sanitised line.
    pub message: String,
    /// When the rollout began.
    pub started: Timestamp,
    /// When the phase last changed.
    pub since: Timestamp,
    /// Who asked for it.
    pub author: Option<String>,
    /// What pins are made of.
    pub facts: Facts,
    /// What the backend could do now; what *you* may comes with a [`super::Prepared`].
    pub offers: ActionSet,
    /// What the backend would not let us do here, whatever the state; shared by rows.
    #[serde(rename = "barred", default, skip_serializing_if = "nothing_denied")]
    pub denied: Arc<[Denied]>,
    /// What owns the workload's description and may put it back, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_by: Option<Box<ManagedBy>>,
    /// How a rollback would go, where the backend plans it itself.
    #[serde(rename = "way_back", default, skip_serializing_if = "Option::is_none")]
    pub rollback_plan: Option<Arc<RollbackPlan>>,
    /// Whether its users' address is listened on, where the backend routes them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listening: Option<Listening>,
    /// Can it still change what users get by itself? A rollout past its progress deadline can, whatever
    /// its phase is called. `None`: the backend does not say, and the phase tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<bool>,
    /// Instances that do not get ready and why, the reason of the most of them first. Empty: none does so, or
    /// the backend does not tell it in its rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingInstances>,
    /// Aborted, yet its description still asks for the version that was: whatever touches it next may bring that
    /// in again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub still_asked: bool,
    /// Analyses that the backend runs by itself for this run, as its row tells of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyses: Vec<BackendAnalysis>,
    /// What was found out about an instance, or a hook, that failed it or keeps it from coming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
    /// What the hub's watchdog has seen of it and does, where its environment has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Box<WatchdogStatus>>,
    /// What its service promises, and what the hub knows of that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objectives: Vec<ObjectiveStatus>,
}

/// An analysis that a backend runs by itself; what it measured is in the [`super::Detail`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackendAnalysis {
    /// The backend's name of it.
    pub name: String,
    /// The backend's own word for where it stands, such as `Inconclusive`.
    pub phase: String,
    /// Its verdict; `None` while it runs. What could not be measured is missing.
    pub verdict: Option<MetricVerdict>,
    /// Why, one line; may be empty.
    pub message: String,
}

impl BackendAnalysis {
    /// `shop-7d5-2 Inconclusive: metric "errors" assessed Inconclusive`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let why = if self.message.is_empty() { String::new() } else { format!(": {}", self.message) };
        format!("{} {}{why}", self.name, self.phase)
    }
}

/// Instances of a rollout that do not get ready for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FailingInstances {
    /// The platform's word for it: `CrashLoopBackOff`, `ImagePullBackOff`, `Unschedulable`, `exit status 3`.
    pub reason: String,
    /// How many they are.
    pub instances: u32,
    /// How often they were restarted, all together.
    pub restarts: u32,
    /// What the platform says of one of them beyond the reason, such as `exit status 3`; may be empty.
    pub detail: String,
}

impl FailingInstances {
    /// `CrashLoopBackOff ×4`.
    #[must_use]
    pub fn counted(&self) -> String {
        if self.instances == 1 { self.reason.clone() } else { format!("{} ×{}", self.reason, self.instances) }
    }

    /// `4 pods: CrashLoopBackOff, exit status 3; 12 restarts`, of instances that are called so.
    #[must_use]
    pub fn sentence(&self, one: &str, many: &str) -> String {
        let Self { reason, instances, restarts, detail } = self;
        let mut words = format!("{instances} {}: {reason}", if *instances == 1 { one } else { many });
        if !detail.is_empty() {
            words = format!("{words}, {detail}");
        }
        match restarts {
            0 => words,
            1 => format!("{words}; 1 restart"),
            count => format!("{words}; {count} restarts"),
        }
    }
}

/// Actions that are not ours to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Denied {
    pub actions: ActionSet,
    /// Why, such as `you lack patch on rollouts/status in shop`.
    pub why: String,
}

/// The system that a workload's description comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ManagedBy {
    /// `Argo CD`, `Flux` or `Helm`.
    pub tool: String,
    /// Its object, such as `application shop`.
    pub name: String,
}

fn nothing_denied(denied: &Arc<[Denied]>) -> bool {
    denied.is_empty()
}

impl Rollout {
    /// A run of which nothing more is told than what it is of and since when: whatever builds a row names what it
    /// knows, and takes the rest from here.
    #[must_use]
    pub fn bare(run: Run, service: ServiceName, environment: EnvironmentName, since: Timestamp) -> Rollout {
        Rollout {
            run,
            service,
            environment,
            strategy: Strategy::Other,
            steps: Arc::default(),
            step: None,
            arms: Vec::new(),
            phase: Phase::Unknown,
            waits: Vec::new(),
            message: String::new(),
            started: since,
            since,
            author: None,
            facts: Facts::default(),
            offers: ActionSet::EMPTY,
            denied: Arc::default(),
            managed_by: None,
            rollback_plan: None,
            listening: None,
            in_flight: None,
            failing: Vec::new(),
            still_asked: false,
            analyses: Vec::new(),
            diagnosis: None,
            watchdog: None,
            objectives: Vec::new(),
        }
    }

    /// The arm of that role.
    #[must_use]
    pub fn arm(&self, role: &ArmRole) -> Option<&Arm> {
        self.arms.iter().find(|arm| arm.role == *role)
    }

    /// The stable arm.
    #[must_use]
    pub fn stable(&self) -> Option<&Arm> {
        self.arm(&ArmRole::Stable)
    }

    /// The candidate arm.
    #[must_use]
    pub fn candidate(&self) -> Option<&Arm> {
        self.arm(&ArmRole::Candidate)
    }

    /// Why the backend would not let us do that here, if so.
    #[must_use]
    pub fn denial(&self, action: Action) -> Option<&str> {
        self.denied.iter().find(|denied| denied.actions.contains(action)).map(|denied| denied.why.as_str())
    }

    /// Can it still change what users get by itself?
    #[must_use]
    pub fn in_flight(&self) -> bool {
        self.in_flight.unwrap_or(self.phase.in_flight())
    }

    /// The hold that keeps it still, if one does.
    #[must_use]
    pub fn held_by(&self) -> Option<&HoldId> {
        self.waits.iter().find_map(|wait| match wait {
            Wait::Hold(id) => Some(id),
            _ => None,
        })
    }

    /// Does its platform tell of instances and shares of users? One that only lets a pipeline go on tells neither.
    #[must_use]
    pub fn tells_of_users(&self) -> bool {
        let silent = |arm: &Arm| {
            arm.traffic.how == TrafficSource::Declared
                && arm.traffic.actual.is_none()
                && arm.traffic.desired == Ppm::ZERO
                && arm.replicas == Replicas::default()
        };
        self.strategy != Strategy::Other || !self.arms.iter().all(silent)
    }

    /// Does it work by itself, without traffic that could be shared out?
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.arms.iter().any(|arm| arm.traffic.how == TrafficSource::Instances)
    }

    /// Does it wait for a person?
    #[must_use]
    pub fn awaits_human(&self) -> bool {
        self.waits.iter().any(|wait| matches!(wait, Wait::Human { .. }))
    }
}
