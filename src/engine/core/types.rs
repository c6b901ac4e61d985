//! What goes into the core and what comes out.

pub use flightdeck_model::JobEnd;
use flightdeck_model::{
    Actor, Cause, CertificateState, Command, Diagnosis, EnvironmentName, HealthSpec, Histogram, LimitKept, Limits,
    Refusal, Release, Renamed, RolloutRecord, Run, RunAs, SecretRef, ServiceName, ServicePlace, Spec, StopSpec,
    Version,
};
use flightdeck_proxy::wire::Route;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// A service in an environment: what rollouts happen to. Its text is `service@environment`, which
/// is also the proxy's listener name unless the service was renamed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SlotKey {
    pub service: ServiceName,
    pub environment: EnvironmentName,
}

impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.service, self.environment)
    }
}

/// The proxy's listener of the preview beside that of users.
#[must_use]
pub fn preview_of(listener: &str) -> String {
    format!("{listener}!preview")
}

/// Instance ids are unique for the life of the journal, never reused.
pub type InstanceId = String;

/// A pool is the instances of one revision of a slot; its id is unique for the life of the journal.
pub type PoolId = String;

/// A hook's run; unique for the life of the journal.
pub type JobId = String;

/// Effects are numbered without gaps for the life of the journal.
pub type EffectId = u64;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Input {
    /// A person's or system's command: promote, pause, …, deploy, hold, approve. Pins are checked
    /// here. `Apply` and the release actions come as the inputs below instead.
    Command {
        command: Command,
        actor: Actor,
        /// When it was decided that it may be carried out: the time of a way back counts from there.
        decided: Timestamp,
    },
    /// A checked configuration, to be put into force whole.
    Apply(Box<Apply>),
    /// An artifact was stored and verified.
    ReleaseAdded(Release),
    /// A stored release is to be forgotten. Refused while anything runs, is warm or is queued on it.
    ReleaseRemoved { service: ServiceName, version: Version },
    /// Something happened to an instance. What happens to one instance comes in order, so
    /// nothing of an attempt after a later one was asked for; repeating a report at once is harmless.
    Instance { id: InstanceId, event: InstanceEvent },
    /// Something happened to a hook's run. What happens to one comes in order; repeating is harmless.
    Job { id: JobId, event: JobEvent },
    /// The proxy follows a route.
    RouteAcked {
        slot: SlotKey,
        /// Of its preview, not of its users' listener.
        preview: bool,
        /// Which version of its route.
        version: u64,
        /// What of it this proxy, of an older program, can't do, in words.
        #[serde(default)]
        lacking: Option<String>,
    },
    /// An older proxy kept only a part of the route that it followed: it is to be told anew.
    RouteLost { slot: SlotKey, preview: bool },
    /// The proxy could not follow a route, such as a port in use.
    RouteRefused {
        slot: SlotKey,
        preview: bool,
        /// Which version of its route.
        version: u64,
        /// The version that is in force and newer, where that is why.
        #[serde(default)]
        newer: Option<u64>,
        why: String,
    },
    /// The proxy went back to stable by itself, since nobody renewed its lease.
    LeaseLapsed {
        slot: SlotKey,
        /// The route it was on.
        version: u64,
        at: Timestamp,
    },
    /// What the pools of a slot did in one window; increments, not totals. Not journalled.
    Window {
        slot: SlotKey,
        /// One for each pool that has a route; without requests the counts are 0.
        pools: Vec<PoolWindow>,
        /// Length of the window in milliseconds.
        window_ms: u32,
    },
    /// What is in flight on instances that drain. Not journalled.
    InFlight {
        /// Requests and tunnels by instance; those that are not named are not counted.
        requests: BTreeMap<InstanceId, u64>,
    },
    /// The certificates that are in force for a slot, where they changed.
    Certificates {
        slot: SlotKey,
        /// In the order of its route.
        certificates: Vec<CertificateState>,
    },
    /// Whether the address of a slot's redirect is listened on, where that changed.
    Redirect {
        slot: SlotKey,
        /// Why it is not; `None`: it is, or there is none.
        refused: Option<String>,
    },
    /// An address that nothing is routed to yet was tried.
    Tried {
        slot: SlotKey,
        /// Why it can't be listened on; `None`: it can.
        why: Option<String>,
    },
    /// No numbers could be had (the proxy is away).
    WindowMissing,
    /// Time passed. At least one a second while anything is in flight.
    Tick,
}

/// A configuration to put into force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Apply {
    /// Checked by the reader.
    pub spec: Spec,
    /// What it was read from, for the history.
    pub text: String,
    /// Where that lies.
    pub path: String,
    /// `sha256:…` of the text.
    pub digest: String,
    pub actor: Actor,
    pub reason: Option<String>,
    /// What runs and may be ended by it.
    pub remove: Vec<ServicePlace>,
}

/// What a pool did in one window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolWindow {
    pub pool: PoolId,
    /// Requests that ended.
    pub requests: u64,
    /// Of those, answered 5xx or not answered whole.
    pub errors: u64,
    /// Of those that were answered.
    pub latency: Histogram,
}

/// What happens to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum InstanceEvent {
    /// Its process runs (or was adopted after a restart of the server).
    Started {
        /// Its process id.
        pid: u32,
        /// Where it listens.
        address: SocketAddr,
        /// What keeps each of its limits.
        #[serde(default)]
        limits: Vec<LimitKept>,
    },
    /// It could not be started: no such command, digest differs, no free port. Counts as a crash
    /// unless `permanent`, which fails the rollout at once.
    StartFailed {
        why: String,
        /// Trying again can't help.
        permanent: bool,
        /// What was found out about it.
        #[serde(default)]
        diagnosis: Option<Box<Diagnosis>>,
    },
    /// It is out of every route, and what is in flight on it is waited for from now on.
    Draining {
        /// At most so long; what is left then is ended.
        bound: SignedDuration,
    },
    /// Nothing is in flight on it any more, or the bound has passed.
    Drained {
        /// Requests and tunnels that were left at the bound; `None`: the proxy did not say.
        remaining: Option<u64>,
    },
    /// Enough good checks in a row.
    Ready,
    /// Enough bad checks in a row.
    Unhealthy {
        /// What the check said.
        why: String,
        /// What was found out about it.
        #[serde(default)]
        diagnosis: Option<Box<Diagnosis>>,
    },
    /// Its process ended.
    Exited {
        /// `exit status 3`, `killed by signal 9`, and the last line of its output.
        why: String,
        /// What was found out about it.
        #[serde(default)]
        diagnosis: Option<Box<Diagnosis>>,
    },
    /// The asked-for stop is complete: drained, ended, reaped.
    Stopped,
}

/// What happens to a hook's run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum JobEvent {
    Ended {
        how: JobEnd,
        /// The last lines of its output, sanitised and without secrets.
        output: Vec<String>,
        /// Why it failed, as far as was seen.
        #[serde(default)]
        cause: Option<Box<Cause>>,
    },
    /// What `EndJob` asked for is done: nothing of it runs, its directory is gone.
    Gone,
}

/// How to run a hook: everything that the process room needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLaunch {
    pub job: JobId,
    /// Where it belongs.
    pub slot: SlotKey,
    /// The name of the hook, or of the job that the clock has run.
    pub hook: String,
    /// It is neither: somebody asked for it.
    #[serde(default)]
    pub one_off: bool,
    /// The rollout that runs it; `None`: it is no hook, or an older program asked for it.
    #[serde(default)]
    pub revision: Option<String>,
    /// It runs again and again: what a run wrote that passed is of no use.
    #[serde(default)]
    pub repeats: bool,
    /// Whose artifact it is taken from.
    pub version: Version,
    /// `sha256:…`; verified before.
    pub digest: String,
    /// Program and arguments with placeholders.
    pub run: Vec<String>,
    /// Variables of the service in its environment, and `FLIGHTDECK_HOOK`, `FLIGHTDECK_VERSION`, `FLIGHTDECK_FROM`,
    /// `FLIGHTDECK_SERVICE`, `FLIGHTDECK_ENVIRONMENT`, `FLIGHTDECK_LISTEN`, `FLIGHTDECK_PREVIEW`.
    pub env: BTreeMap<String, String>,
    /// Variable → where it is read.
    pub secrets: BTreeMap<String, SecretRef>,
    /// `{listen}`, else empty.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// `{preview}`, else empty.
    pub preview: Option<SocketAddr>,
    /// It is killed after so long.
    pub timeout: SignedDuration,
    /// As whom; `None`: as the server.
    #[serde(default)]
    pub run_as: Option<RunAs>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// How to start an instance: everything that the process room needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    pub instance: InstanceId,
    /// Where it belongs.
    pub slot: SlotKey,
    pub pool: PoolId,
    /// The rollout that it was made for; `None`: an older program asked for it.
    #[serde(default)]
    pub revision: Option<String>,
    /// What it runs.
    pub version: Version,
    /// `sha256:…`; verified before each start.
    pub digest: String,
    /// Program and arguments with placeholders.
    pub run: Vec<String>,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// Variable → where it is read.
    pub secrets: BTreeMap<String, SecretRef>,
    /// How it is checked.
    pub health: HealthSpec,
    /// How it is ended.
    pub stop: StopSpec,
    /// Counts starts of this instance, from 0: a crash-looping one is started again with a higher one.
    pub attempt: u32,
    /// As whom; `None`: as the server.
    #[serde(default)]
    pub run_as: Option<RunAs>,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// Something to carry out. Carrying one out twice is the same as once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Effect {
    /// Start a process and check its health; answered by `Instance` inputs. An instance that runs
    /// already with the same attempt is left alone; one that still runs with a lower attempt is
    /// ended first.
    Start(Box<Launch>),
    /// Take out: drain at the proxy, signal, grace, kill the group; answered by `Stopped`.
    Stop {
        instance: InstanceId,
        stop: StopSpec,
        /// Bound for what is in flight on it; without it the grace of its stop.
        #[serde(default)]
        drain: Option<SignedDuration>,
    },
    /// Route a slot; answered by `RouteAcked` or `RouteRefused`.
    Route {
        slot: SlotKey,
        /// What; of a preview if its listener is named so.
        route: Route,
        /// It only takes traffic from a candidate: carried out even if the journal can't commit.
        lowers_exposure: bool,
    },
    /// Run a hook, once: one that was started already is not started again, also after a crash;
    /// answered by `JobEvent::Ended`.
    #[serde(rename = "run")]
    StartJob(Box<JobLaunch>),
    /// End a run in order: signal, grace, kill the group; answered by `JobEvent::Ended`.
    StopJob { job: JobId, stop: StopSpec },
    /// A hook's run is over with: whatever of it still runs is killed, its files go; answered by
    /// `JobEvent::Gone`.
    EndJob { job: JobId },
    /// Close a slot's listener: its service is gone from the configuration, or its first version
    /// never came up. Answered by `RouteAcked` with this version.
    Unroute {
        slot: SlotKey,
        /// Counts on from the versions of its routes.
        version: u64,
        /// Its preview's, not its users'.
        #[serde(default)]
        preview: bool,
        /// What the proxy knows it as; `None`: an older program asked for it, and it is called as its slot.
        #[serde(default)]
        listener: Option<String>,
    },
}

impl Effect {
    /// The listener and the version of its route that it is about.
    #[must_use]
    pub fn listener(&self) -> Option<(String, u64)> {
        match self {
            Effect::Route { route, .. } => Some((route.listener.clone(), route.version)),
            Effect::Unroute { listener: Some(listener), version, .. } => Some((listener.clone(), *version)),
            Effect::Unroute { slot, version, preview: true, .. } => Some((preview_of(&slot.to_string()), *version)),
            Effect::Unroute { slot, version, preview: false, .. } => Some((slot.to_string(), *version)),
            _ => None,
        }
    }

    /// The instance that it is about.
    pub(super) fn instance(&self) -> Option<&str> {
        match self {
            Effect::Start(launch) => Some(&launch.instance),
            Effect::Stop { instance, .. } => Some(instance),
            _ => None,
        }
    }

    /// The run of a hook, job or command that it is about.
    pub(super) fn job(&self) -> Option<&str> {
        match self {
            Effect::StartJob(launch) => Some(&launch.job),
            Effect::EndJob { job } | Effect::StopJob { job, .. } => Some(job),
            _ => None,
        }
    }
}

/// An effect with its number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    pub id: EffectId,
    pub effect: Effect,
}

/// What one step gives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// To carry out, in this order, once the new state is durable.
    pub effects: Vec<Numbered>,
    /// Must the state be journalled? False for ticks and windows that only moved timers or rings.
    pub changed: bool,
    /// For `Command`, `Apply` and the release inputs: why nothing was done.
    pub refused: Option<Refusal>,
    /// For `Command`: what there is to answer besides yes, such as a hold's id.
    pub note: Option<String>,
    /// For `Command`: the run that it created.
    pub created: Option<Run>,
    /// Rollouts that ended, to be recorded with the new state; the core does not keep them.
    pub ended: Vec<RolloutRecord>,
    /// For `Apply`: services that were renamed, whose finished rollouts go on under the new name.
    pub renamed: Vec<Renamed>,
}

/// Longest step of time that counts for a wait: what is beyond (a jump of the clock, a suspended
/// machine, a server that was away) does not bring a promotion closer.
pub const LONGEST_TICK: SignedDuration = SignedDuration::from_secs(2);
