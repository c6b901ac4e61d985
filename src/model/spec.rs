//! What a person wants to run, checked: the content of `flightdeck.toml`.

use super::{
    ConfigName, Connections, EnvironmentName, Ingress, JobSpec, Limits, RunAs, SecretRef, ServiceKind, ServiceName,
    Step, Strategy, Tier,
};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A whole configuration. `Default` is the empty one of a new server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What it is called among the configurations of a server.
    #[serde(default, skip_serializing_if = "ConfigName::is_default")]
    pub name: ConfigName,
    pub environments: BTreeMap<EnvironmentName, EnvironmentSpec>,
    pub services: BTreeMap<ServiceName, ServiceSpec>,
    /// Analysis templates by name.
    pub analyses: BTreeMap<String, AnalysisTemplate>,
}

/// An environment. `Default` is one that is only named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// Its configuration has no word on it: what another one says counts, if one does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_named: bool,
    /// Promotion order, lowest first.
    pub order: u32,
    /// How much care it asks for.
    pub tier: Tier,
    /// How many rollouts may be in flight at once; more wait in line.
    pub concurrent_rollouts: Option<u32>,
    /// May an author approve their own rollout?
    pub allow_self: bool,
    /// Only what succeeded there comes in here, by its digest.
    #[serde(default)]
    pub promote_from: Option<EnvironmentName>,
    /// So long it must have served there.
    #[serde(default)]
    pub soak: SignedDuration,
}

impl Default for EnvironmentSpec {
    fn default() -> Self {
        EnvironmentSpec {
            only_named: true,
            order: 0,
            tier: Tier::default(),
            concurrent_rollouts: None,
            allow_self: false,
            promote_from: None,
            soak: SignedDuration::ZERO,
        }
    }
}

impl EnvironmentSpec {
    /// The keys that the two say otherwise, unless one of them is only named.
    #[must_use]
    pub fn differs(&self, other: &EnvironmentSpec) -> Vec<&'static str> {
        if self.only_named || other.only_named {
            return Vec::new();
        }
        let keys = [
            ("order", self.order != other.order),
            ("tier", self.tier != other.tier),
            ("concurrent_rollouts", self.concurrent_rollouts != other.concurrent_rollouts),
            ("allow_self", self.allow_self != other.allow_self),
            ("promote_from", self.promote_from != other.promote_from),
            ("soak", self.soak != other.soak),
        ];
        keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// How it is reached.
    #[serde(default)]
    pub kind: ServiceKind,
    /// Program and arguments, inside the unpacked artifact; `{port}`, `{instance}`, `{version}`,
    /// `{environment}` and `{service}` are filled in.
    pub run: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Variable → where it is read at each start; paths are absolute by the time they are in here.
    pub secrets: BTreeMap<String, SecretRef>,
    /// How readiness is checked.
    pub health: HealthSpec,
    /// How an instance is ended.
    pub stop: StopSpec,
    /// As whom it runs; `None`: as the server.
    #[serde(default)]
    pub run_as: Option<RunAs>,
    /// What each instance may use.
    #[serde(default)]
    pub limits: Limits,
    /// Services that must be up, and not on their way, before a rollout of this one starts.
    #[serde(default)]
    pub depends_on: Vec<ServiceName>,
    /// How its users' connections are treated.
    #[serde(default)]
    pub connections: Connections,
    /// It goes on from the service of that name, with all that is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_from: Option<ServiceName>,
    /// Where it runs.
    pub placements: BTreeMap<EnvironmentName, Placement>,
}

/// What an environment says of a service otherwise than the service does everywhere. `Default` says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// In the place of the service's.
    pub run: Option<Vec<String>>,
    /// Beside the service's; of two of one name these count, whether it is a secret there or not.
    pub env: BTreeMap<String, String>,
    /// Beside the service's; of two of one name these count, whether it is a secret there or not.
    pub secrets: BTreeMap<String, SecretRef>,
    /// In the place of the service's.
    pub health: Option<HealthSpec>,
    /// In the place of the service's.
    pub stop: Option<StopSpec>,
    /// In the place of the service's.
    pub run_as: Option<RunAs>,
    /// In the place of the service's.
    pub limits: Option<Limits>,
}

/// How instances of a service are run in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Program and arguments, with placeholders.
    pub run: Vec<String>,
    /// Environment variables, with placeholders. No name is among the secrets too.
    pub env: BTreeMap<String, String>,
    /// Variable → where it is read, placeholders filled in.
    pub secrets: BTreeMap<String, SecretRef>,
    /// How readiness is checked.
    pub health: HealthSpec,
    /// How an instance is ended.
    pub stop: StopSpec,
    /// As whom it runs; `None`: as the server.
    pub run_as: Option<RunAs>,
    /// What each instance may use.
    pub limits: Limits,
}

/// An address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listens {
    /// For whom, such as `shop in production`.
    pub place: String,
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: ServiceKind,
    /// What of it is for that.
    pub ingress: Ingress,
}

impl Listens {
    /// What both want of one address, in words; `None`: they are told apart.
    #[must_use]
    pub fn clash(&self, other: &Listens) -> Option<String> {
        match (self.kind, other.kind) {
            (ServiceKind::Http, ServiceKind::Http) => self.ingress.clash(&other.ingress),
            _ => Some("all of it".to_owned()),
        }
    }
}

impl Spec {
    /// How instances of a service are run in an environment; `None` if it is not there.
    #[must_use]
    pub fn program(&self, service: &ServiceName, environment: &EnvironmentName) -> Option<Program> {
        self.services.get(service)?.program(service, environment)
    }

    /// Every address that is listened on, those of previews and redirects included.
    pub fn listens(&self) -> impl Iterator<Item = Listens> {
        let placements = self.services.iter().flat_map(|(name, of)| of.placements.iter().map(move |at| (name, of, at)));
        placements.flat_map(|(name, service, (environment, of))| {
            let own = of.listen.map(|listen| (listen, of.ingress.clone()));
            // There it is plain HTTP.
            let plain = || Ingress { certificates: Vec::new(), ..of.ingress.clone() };
            let redirect = of.ingress.redirect_from.map(|from| (from, plain()));
            let preview = of.preview.map(|preview| (preview, Ingress::default()));
            let place = format!("{name} in {environment}");
            let all = own.into_iter().chain(redirect).chain(preview);
            all.map(move |(address, ingress)| Listens { place: place.clone(), address, kind: service.kind, ingress })
        })
    }

    /// Does it say nothing at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.environments.is_empty() && self.services.is_empty() && self.analyses.is_empty()
    }

    /// Places for which no user is named: `shop in production`.
    #[must_use]
    pub fn without_user(&self) -> Vec<String> {
        let places = self.services.iter().flat_map(|(name, service)| {
            let environments = service.placements.iter();
            let bare = environments.filter(|(_, of)| service.run_as.is_none() && of.overrides.run_as.is_none());
            bare.map(move |(environment, _)| format!("{name} in {environment}"))
        });
        places.collect()
    }
}

impl Spec {
    /// How connections to a service in an environment are treated; `Default` if it is not there.
    #[must_use]
    pub fn connections(&self, service: &ServiceName, environment: &EnvironmentName) -> Connections {
        self.services.get(service).map(|of| of.connections(environment)).unwrap_or_default()
    }
}

impl ServiceSpec {
    /// How its users' connections are treated in an environment.
    #[must_use]
    pub fn connections(&self, environment: &EnvironmentName) -> Connections {
        let own = self.placements.get(environment).map(|placement| &placement.connections);
        own.map_or_else(|| self.connections.clone(), |own| own.or(&self.connections))
    }

    /// How its instances are run in an environment; `None` if it is not there. `name` is its own.
    #[must_use]
    pub fn program(&self, name: &ServiceName, environment: &EnvironmentName) -> Option<Program> {
        let own = &self.placements.get(environment)?.overrides;
        let (mut env, mut secrets) = (self.env.clone(), self.secrets.clone());
        // A variable may be a plain one in one environment and a secret in another.
        env.retain(|variable, _| !own.secrets.contains_key(variable));
        secrets.retain(|variable, _| !own.env.contains_key(variable));
        env.extend(own.env.clone());
        secrets.extend(own.secrets.clone());
        Some(Program {
            run: own.run.as_ref().unwrap_or(&self.run).clone(),
            env,
            secrets: secrets.into_iter().map(|(variable, from)| (variable, from.at(name, environment))).collect(),
            health: own.health.as_ref().unwrap_or(&self.health).clone(),
            stop: own.stop.as_ref().unwrap_or(&self.stop).clone(),
            run_as: own.run_as.as_ref().or(self.run_as.as_ref()).cloned(),
            limits: own.limits.unwrap_or(self.limits),
        })
    }
}

/// How readiness is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSpec {
    /// What is checked.
    #[serde(flatten)]
    pub probe: Probe,
    /// Between two checks.
    pub interval: SignedDuration,
    /// So many good ones in a row make it ready.
    pub healthy: u32,
    /// So many bad ones in a row make it unhealthy.
    pub unhealthy: u32,
    /// Of one check.
    pub timeout: SignedDuration,
}

/// What makes a check a good one. Told apart by their fields; without any it is [`Probe::Tcp`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Probe {
    /// A program ends with exit status 0.
    Command {
        /// Program and arguments as in a service's `run`.
        command: Vec<String>,
    },
    /// The instance still runs after so long. There are no further checks.
    Runs {
        /// Since its start.
        ready_after: SignedDuration,
    },
    /// `GET` answers 2xx.
    Http {
        /// Path with a leading slash.
        path: String,
    },
    /// The port takes a connection.
    Tcp {},
}

/// How an instance is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopSpec {
    /// `TERM`, `INT`, `QUIT`, `HUP`, `USR1`, `USR2`.
    pub signal: String,
    /// Between that signal and SIGKILL; also the bound of draining.
    pub grace: SignedDuration,
}

/// What happens to a rollout in flight when a newer one is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Concurrency {
    /// The newer one takes its place.
    #[default]
    Supersede,
    /// The newer one waits.
    Queue,
}

/// A service in an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Where its users reach it; `None`: nobody does, it is a worker.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// Instances of a full pool.
    pub replicas: u32,
    /// A candidate that makes no progress for so long fails.
    pub progress_deadline: SignedDuration,
    /// The version before stays up so long after a success.
    pub keep_warm: SignedDuration,
    /// Supersede or queue.
    pub concurrency: Concurrency,
    /// How a version is brought in.
    #[serde(default = "canary")]
    pub strategy: Strategy,
    /// Its plan: what the strategy's preset expands to.
    pub steps: Arc<[Step]>,
    /// Template that is judged from the first weight on; failing it rolls back.
    pub background_analysis: Option<String>,
    /// Where a candidate is reached before users get it (blue/green).
    #[serde(default)]
    pub preview: Option<SocketAddr>,
    /// What keeps a user on one side.
    #[serde(default)]
    pub sticky: Option<StickyKey>,
    /// Programs around the rollout, migrations first; names are unique.
    #[serde(default)]
    pub hooks: Arc<[HookSpec]>,
    /// Programs that are run by the clock, by name; no hook has one of these names.
    #[serde(default)]
    pub jobs: BTreeMap<String, JobSpec>,
    /// Objective for the time to roll back.
    #[serde(default)]
    pub rto: Option<SignedDuration>,
    /// What is otherwise here than in the service's other environments.
    #[serde(default)]
    pub overrides: Overrides,
    /// How its users' connections are treated otherwise here.
    #[serde(default)]
    pub connections: Connections,
    /// What of its address is for it, and how users speak to it there.
    #[serde(default)]
    pub ingress: Ingress,
}

/// What was written before there were others.
const fn canary() -> Strategy {
    Strategy::Canary
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum HookOn {
    /// Before anything of the candidate is started.
    Before,
    /// At its own place among the steps.
    Step,
    /// With all traffic at the candidate, before it counts as stable.
    After,
    /// Once traffic is back at stable.
    Rollback,
    /// Again and again while the candidate has traffic (a synthetic transaction).
    While {
        /// Between an end and the next start.
        every: SignedDuration,
    },
}

/// A program that runs around a rollout. Exit status 0 is success, one of `transient` is tried again,
/// any other, a signal or the timeout is final.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HookSpec {
    /// Unique in its placement.
    pub name: String,
    /// Program and arguments, inside the unpacked artifact of the candidate; `{version}`,
    /// `{environment}`, `{service}`, `{listen}` and `{preview}` are filled in.
    pub run: Vec<String>,
    pub on: HookOn,
    /// Bound of one run.
    pub timeout: SignedDuration,
    /// So often it is run again after a transient failure.
    pub retries: u32,
    /// Before the first of them; doubles each time.
    pub backoff: SignedDuration,
    /// Exit statuses that may pass by themselves.
    pub transient: Vec<i32>,
    /// It changes data: recorded by its name, run once an environment.
    #[serde(default)]
    pub migration: Option<Migration>,
    /// What it does can't be taken back: why.
    #[serde(default)]
    pub irreversible: Option<String>,
}

/// What makes a hook a migration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Migration {
    /// Program and arguments that take it back; empty: there are none.
    pub back: Vec<String>,
}

/// What tells one user from another, so that each stays on one side of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum StickyKey {
    /// The value of a cookie of the service's own.
    Cookie(String),
    /// The value of a request header.
    Header(String),
    /// A cookie that the proxy sets for whoever has none.
    Own,
}

/// Limits on a candidate's metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisTemplate {
    /// Each limit.
    pub limits: Vec<MetricLimit>,
    /// Fewer requests at the candidate in the span are too few to pass it.
    pub min_requests: u64,
    /// What too little data means.
    pub missing: Missing,
    /// Length of the sliding span of a background analysis.
    pub window: SignedDuration,
    /// By which rule.
    #[serde(default)]
    pub judge: Judge,
}

/// How a candidate's numbers are held against their limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// It fails what is beyond a limit and not by chance, however often it is looked at.
    #[default]
    Sequential,
    /// It fails what is beyond a limit and higher than stable by the test that Kayenta uses; made for one look at the
    /// end of a span.
    MannWhitney,
    /// It fails what is beyond a limit.
    Threshold,
}

/// What too little data means. Never a pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Stand still and ask a person.
    #[default]
    Pause,
    /// Roll back.
    Fail,
}

/// A metric of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Failed requests ÷ requests, 0 to 1.
    ErrorRate,
    /// Median, milliseconds.
    LatencyP50,
    /// 95th percentile, milliseconds.
    LatencyP95,
    /// 99th percentile, milliseconds.
    LatencyP99,
}

/// Limits on one metric; each that is set must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricLimit {
    pub metric: Metric,
    /// Absolute: a ratio for errors, milliseconds for latencies.
    pub max: Option<f64>,
    /// Candidate minus stable, same unit.
    pub over_stable: Option<f64>,
    /// Candidate ÷ stable.
    pub ratio_to_stable: Option<f64>,
}
