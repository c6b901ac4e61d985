//! Everything that a board holds rows of.

use super::{
    Approval, ApprovalId, ArmRole, CertificateState, ConfigName, Diagnosis, Draining, EnvironmentName, HoldId, JobEnd,
    LimitKept, OneOff, Phase, Ppm, Receipt, ReceiptId, Renamed, Rollout, Run, Selector, ServiceJob, ServiceKind,
    ServiceName, SourceId, Step, Target, Version,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A service as its source knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Where it is known.
    pub source: SourceId,
    /// Its name.
    pub name: ServiceName,
    /// Which of its server's configurations brought it; `None`: its source has no such names, or it is being ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<ConfigName>,
    /// How it is reached, where the source says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ServiceKind>,
    /// Where it is configured to run.
    pub environments: Vec<EnvironmentName>,
    /// Where its users reach it, where the source routes them itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<ServiceAddress>,
    /// What is known of each of them beyond its rollouts, where the source knows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
}

/// Where users reach a service in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAddress {
    /// Which environment.
    pub environment: EnvironmentName,
    /// `127.0.0.1:8080`.
    pub address: String,
    /// Is it listened on?
    pub listening: Listening,
    /// Certificates that are in force there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateState>,
}

/// Whether an address is listened on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Listening {
    /// The proxy acknowledged it.
    Open,
    /// Nothing is to be reached there yet, and the address is free.
    Closed,
    /// The proxy was told and has not acknowledged it yet.
    Pending,
    /// It can't be listened on.
    Refused {
        /// Why, such as `in use by another program`.
        why: String,
    },
}

impl Service {
    /// What is known of it in an environment.
    #[must_use]
    pub fn place(&self, environment: &EnvironmentName) -> Option<&Place> {
        self.places.iter().find(|place| place.environment == *environment)
    }
}

/// A service in an environment: what its next rollout goes through, and the data behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Where.
    pub environment: EnvironmentName,
    /// The next rollout's steps, as configured now, whatever its version brings.
    pub steps: Arc<[Step]>,
    /// Steps that are left out of those since nothing serves here yet: there is nobody to compare with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<Step>,
    /// Migrations of its data, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<MigrationRow>,
    /// Commands that people had run once with it: those that run, and the newest that have ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_offs: Vec<OneOff>,
    /// Programs that it has run by the clock, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<ServiceJob>,
    /// The user that it runs as; `None`: as the server, or the backend does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Place {
    /// The migration of that name.
    #[must_use]
    pub fn migration(&self, name: &str) -> Option<&MigrationRow> {
        self.migrations.iter().find(|migration| migration.name == name)
    }

    /// When a command that was run once, or a run of a job, ended and how; `None`: it runs, or is not remembered.
    #[must_use]
    pub fn ended(&self, id: &str) -> Option<&(Timestamp, JobEnd)> {
        let asked = self.one_offs.iter().filter(|of| of.id == id).find_map(|of| of.ended.as_ref());
        let mut runs = self.jobs.iter().filter_map(|job| job.last.as_ref()).filter(|run| run.id == id);
        asked.or_else(|| runs.find_map(|run| run.ended.as_ref()))
    }
}

/// A migration of a service's data in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationRow {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: MigrationStanding,
    /// The version that it was run with; `None`: not run by flightdeck.
    pub version: Option<Version>,
    /// What a rollback from what is there now would do with it: from the rollout in flight, else from stable.
    #[serde(rename = "way_back")]
    pub rollback: MigrationRollback,
}

/// Where a migration stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MigrationStanding {
    /// Never run here, or taken back.
    NotApplied,
    /// It runs, or its way back does.
    Running,
    /// Its data is there.
    Applied,
    /// It ended badly: how far it came a person must look.
    HalfWay {
        /// What happened.
        why: String,
    },
    /// Whether it ran nobody knows: a person must say.
    Unknown {
        /// Why it is not known.
        why: String,
    },
}

/// What a way back does with a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum MigrationRollback {
    /// Nothing: none of it is there.
    Nothing,
    /// It is taken back.
    TakenBack,
    /// It stays as it is.
    Stays {
        /// Why.
        why: String,
    },
}

/// How much care an environment asks for.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Nobody is hurt.
    Low,
    /// Colleagues are hurt.
    #[default]
    Standard,
    /// Customers are hurt.
    Critical,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Where it is known.
    pub source: SourceId,
    /// Its name.
    pub name: EnvironmentName,
    /// Promotion order, lowest first.
    pub order: u32,
    /// How much care it asks for.
    pub tier: Tier,
    /// May an author approve their own rollout here?
    pub allow_self: bool,
}

/// A stored artifact.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// `sha256:…` of its bytes.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// A version of a service that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Where it is stored.
    pub source: SourceId,
    /// Of which service.
    pub service: ServiceName,
    /// As its owner writes it.
    pub version: Version,
    /// Its content.
    pub artifacts: Vec<ArtifactRef>,
    /// Source commit, where told.
    pub commit: Option<String>,
    /// When that was made, where told: where a change's lead time begins.
    #[serde(default)]
    pub commit_at: Option<Timestamp>,
    /// Who stored it.
    pub author: String,
    /// When.
    pub added: Timestamp,
    /// Migrations that it brings, by name: as told when it was stored, else those that it first succeeded
    /// with; `None`: neither yet, and it brings those that are configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migrations: Option<Vec<String>>,
}

impl Release {
    /// Does it bring that migration, if it is configured?
    #[must_use]
    pub fn brings(&self, migration: &str) -> bool {
        self.migrations.as_ref().is_none_or(|names| names.iter().any(|name| name == migration))
    }
}

/// One limit of an analysis, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// `error_rate`, `latency_p99`, …
    pub name: String,
    /// The candidate's value (a ratio, or milliseconds for latencies).
    pub candidate: Option<f64>,
    /// Stable's value over the same span.
    pub stable: Option<f64>,
    /// The limit in words with its unit, such as `at most 1 %`.
    pub limit: String,
    /// Unit of the values: `ratio` or `ms`.
    pub unit: String,
    /// The verdict.
    pub verdict: MetricVerdict,
    /// One sentence with the numbers.
    pub why: String,
}

/// What a metric says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricVerdict {
    /// Within its limits, with enough data.
    Pass,
    /// Over a limit.
    Fail,
    /// Too little data to say, or what was seen may be chance.
    Missing,
}

/// A judgement over a span, with its numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnalysisReport {
    /// The template's name.
    pub template: String,
    /// Judged from.
    pub from: Timestamp,
    /// Judged to.
    pub to: Timestamp,
    /// Requests that reached the candidate.
    pub candidate_requests: u64,
    /// Requests that reached stable.
    pub stable_requests: u64,
    /// Worst of its metrics.
    pub verdict: MetricVerdict,
    /// Each limit.
    pub metrics: Vec<MetricResult>,
}

/// What speaks for or against a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Unique within its source.
    pub id: String,
    /// For which run.
    pub run: Run,
    /// When it was found.
    pub at: Timestamp,
    /// `analysis`, later `scan`, `signature`, …
    pub kind: String,
    /// The numbers, for `analysis`.
    pub analysis: Option<AnalysisReport>,
    /// One sentence.
    pub summary: String,
}

/// Something that happened to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Unique within its source.
    pub id: String,
    /// To which run.
    pub run: Run,
    /// When.
    pub at: Timestamp,
    /// Who or what did it.
    pub who: String,
    /// One sanitised line.
    pub text: String,
}

/// What a hold does to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTarget {
    /// Which run.
    pub run: Run,
    /// Held, or why it could not be.
    pub held: bool,
    /// In words.
    pub note: String,
    /// It was held, and somebody let it go on from outside, not by a release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

/// "Stop the line."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its identity.
    pub id: HoldId,
    /// Where it is in force.
    pub source: SourceId,
    /// What it means.
    pub selector: Selector,
    /// Who holds.
    pub owner: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// What it did to each target.
    pub targets: Vec<HoldTarget>,
}

impl Hold {
    /// What stands still by it.
    pub fn held(&self) -> impl Iterator<Item = &HoldTarget> {
        self.targets.iter().filter(|target| target.held)
    }

    /// What goes on although it was held, since somebody ended that from outside.
    pub fn undone(&self) -> impl Iterator<Item = &HoldTarget> {
        self.targets.iter().filter(|target| target.undone)
    }
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentOutcome {
    /// The candidate became stable.
    Succeeded,
    /// It ended with stable as before.
    Aborted,
    /// The engine or a person took a live version back.
    RolledBack,
    /// It could not come up.
    Failed,
    /// A newer one replaced it.
    Superseded,
}

impl DeploymentOutcome {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            DeploymentOutcome::Succeeded => "succeeded",
            DeploymentOutcome::Aborted => "aborted",
            DeploymentOutcome::RolledBack => "rolled back",
            DeploymentOutcome::Failed => "failed",
            DeploymentOutcome::Superseded => "superseded",
        }
    }
}

/// What a finished rollout was for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentKind {
    /// A version was brought in.
    #[default]
    Deploy,
    /// The version before came back.
    Rollback,
    /// The same version, instances replaced.
    Restart,
    /// The way back was rehearsed.
    Drill,
}

impl DeploymentKind {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            DeploymentKind::Deploy => "deploy",
            DeploymentKind::Rollback => "rollback",
            DeploymentKind::Restart => "restart",
            DeploymentKind::Drill => "drill",
        }
    }
}

/// A finished rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// Which run.
    pub run: Run,
    /// Of which service.
    pub service: ServiceName,
    /// What that was called when it ended, where it was renamed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<ServiceName>,
    /// In which environment.
    pub environment: EnvironmentName,
    /// What served before.
    pub from: Option<Version>,
    /// What was brought in.
    pub to: Version,
    /// Who asked; `None`: it is not recorded.
    #[serde(default, deserialize_with = "author")]
    pub author: Option<String>,
    /// The program that changed the description, where the backend names that instead: `kubectl-set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: DeploymentOutcome,
    /// Why, one line.
    pub cause: String,
    /// What it was for.
    #[serde(default)]
    pub kind: DeploymentKind,
    /// `sha256:…` of what was brought in.
    #[serde(default)]
    pub digest: Option<String>,
    /// When its commit was made, where known.
    #[serde(default)]
    pub commit_at: Option<Timestamp>,
    /// The largest share of traffic that it had.
    #[serde(default)]
    pub reached: Option<Ppm>,
    /// From the decision to go back until all traffic was back.
    #[serde(default)]
    pub rollback: Option<SignedDuration>,
    /// How long it waited for people; `None`: it is not recorded.
    #[serde(default)]
    pub waited: Option<SignedDuration>,
    /// Promotions, approvals and other steps that a person did.
    #[serde(default)]
    pub manual_steps: u32,
    /// Steps that it went through, those included; `None`: it is not recorded.
    #[serde(default)]
    pub steps: Option<u32>,
    /// What was found out about the instance, or the hook, that failed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
}

impl RolloutRecord {
    /// Its service as it is called now, and then where that was another name: `store (shop then)`.
    #[must_use]
    pub fn service_then(&self) -> String {
        let then = self.called.as_ref().map(|called| format!(" ({called} then)"));
        format!("{}{}", self.service, then.unwrap_or_default())
    }

    /// Its service goes on under another name, if it is that one.
    pub fn rename(&mut self, Renamed { from, to }: &Renamed) {
        if self.service == *from {
            self.called.get_or_insert_with(|| from.clone());
            self.service.clone_from(to);
        }
    }
}

/// What is shown where something about an end was not recorded.
pub const NOT_RECORDED: &str = "not recorded";

/// Earlier records said so in a word.
fn author<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|author| author != "unknown"))
}

impl RolloutRecord {
    /// Did it bring back what was there before the earlier one?
    #[must_use]
    pub fn takes_back(&self, earlier: &RolloutRecord) -> bool {
        let well = matches!(self.outcome, DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack);
        let back = earlier.from.as_ref() == Some(&self.to) && self.from.as_ref() == Some(&earlier.to);
        well && back && !matches!(self.kind, DeploymentKind::Drill | DeploymentKind::Restart)
    }
}

/// Where an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum InstanceState {
    /// Written down or started, not ready yet.
    Starting,
    /// Serving.
    Ready,
    /// Up, but failing its checks.
    Unhealthy {
        /// What the check said.
        why: String,
    },
    /// Finishing its requests.
    Draining,
    /// Gone, and to be started again after a pause.
    BackingOff {
        /// How it ended last time.
        why: String,
    },
    /// Gone for good.
    Ended {
        /// How.
        why: String,
    },
}

/// One running copy of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Unique within its source.
    pub id: String,
    /// Whose.
    pub target: Target,
    /// For which side.
    pub role: ArmRole,
    /// What it runs.
    pub version: Version,
    /// Where it stands.
    pub state: InstanceState,
    /// Process id, where there is one.
    pub pid: Option<u32>,
    /// Where it listens.
    pub address: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
    /// When it was started last.
    pub started: Option<Timestamp>,
    /// What keeps each of its limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<LimitKept>,
    /// The command line that shows its output, where flightdeck does not follow it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<String>,
    /// What is still waited for before it is ended, where the source counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<Draining>,
}

/// One row of a board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum Entity {
    /// A service.
    Service(Service),
    /// An environment.
    Environment(Environment),
    /// A stored release.
    Release(Release),
    /// A rollout, in flight or settled: one per target, the newest run.
    Rollout(Arc<Rollout>),
    /// An approval.
    Approval(Box<Approval>),
    /// Evidence.
    Evidence(Box<Evidence>),
    /// A receipt.
    Receipt(Box<Receipt>),
    /// A hold.
    Hold(Hold),
    /// A finished rollout.
    #[serde(rename = "deployment")]
    RolloutRecord(Arc<RolloutRecord>),
    /// An instance.
    Instance(Box<Instance>),
    /// Something that happened.
    Note(Note),
}

/// The key of a row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
pub enum EntityRef {
    /// By source and name.
    Service(SourceId, ServiceName),
    /// By source and name.
    Environment(SourceId, EnvironmentName),
    /// By source, service and version.
    Release(SourceId, ServiceName, Version),
    /// By target: a newer run replaces the row.
    Rollout(Target),
    /// By id.
    Approval(ApprovalId),
    /// By source and id.
    Evidence(SourceId, String),
    /// By id.
    Receipt(ReceiptId),
    /// By source and id.
    Hold(SourceId, HoldId),
    /// By run.
    #[serde(rename = "deployment")]
    RolloutRecord(Run),
    /// By source and id.
    Instance(SourceId, String),
    /// By source and id.
    Note(SourceId, String),
}

impl Entity {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> EntityRef {
        match self {
            Entity::Service(e) => EntityRef::Service(e.source.clone(), e.name.clone()),
            Entity::Environment(e) => EntityRef::Environment(e.source.clone(), e.name.clone()),
            Entity::Release(e) => EntityRef::Release(e.source.clone(), e.service.clone(), e.version.clone()),
            Entity::Rollout(e) => EntityRef::Rollout(e.run.target.clone()),
            Entity::Approval(e) => EntityRef::Approval(e.id.clone()),
            Entity::Evidence(e) => EntityRef::Evidence(e.run.target.source.clone(), e.id.clone()),
            Entity::Receipt(e) => EntityRef::Receipt(e.id.clone()),
            Entity::Hold(e) => EntityRef::Hold(e.source.clone(), e.id.clone()),
            Entity::RolloutRecord(e) => EntityRef::RolloutRecord(e.run.clone()),
            Entity::Instance(e) => EntityRef::Instance(e.target.source.clone(), e.id.clone()),
            Entity::Note(e) => EntityRef::Note(e.run.target.source.clone(), e.id.clone()),
        }
    }
}

impl RolloutRecord {
    /// Who asked, as far as it is recorded, in words.
    #[must_use]
    pub fn who(&self) -> std::borrow::Cow<'_, str> {
        match (&self.author, &self.writer) {
            (Some(author), _) => author.into(),
            (None, Some(writer)) => format!("{writer} (field manager)").into(),
            (None, None) => NOT_RECORDED.into(),
        }
    }

    /// The phase that its rollout ended in.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.outcome {
            DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack => Phase::Healthy,
            DeploymentOutcome::Aborted => Phase::Aborted,
            DeploymentOutcome::Failed => Phase::Failed,
            DeploymentOutcome::Superseded => Phase::Superseded,
        }
    }
}
