//! What a source knows of services, their environments, migrations and stored releases.

use super::{
    CertificateState, ConfigName, EnvironmentName, JobEnd, OneOff, ServiceJob, ServiceKind, ServiceName, SourceId,
    Step, Version,
};
use jiff::Timestamp;
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
    /// Address of the pipeline's run that built it, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_run: Option<String>,
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
