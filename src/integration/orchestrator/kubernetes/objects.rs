//! The parts of `apps/v1` and core objects that rows are made of; everything else is dropped while
//! parsing. Measured: a whole typed object costs some hundred times what these cost.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::Object;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// A pod template, as far as a version can be read from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodTemplate {
    /// Its annotations.
    pub metadata: TemplateMeta,
    /// Its containers' images.
    pub spec: PodTemplateSpec,
    /// Ten characters that differ when anything in it does, where whoever reads it asks for them.
    #[serde(skip)]
    pub digest: String,
}

/// A template with the digest of all of it, what is dropped here included.
fn with_digest<'de, D: Deserializer<'de>>(from: D) -> Result<PodTemplate, D::Error> {
    let whole = Value::deserialize(from)?;
    let digest = Sha256::digest(whole.to_string().as_bytes());
    let first = digest.iter().take(5).fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let template: PodTemplate = serde_json::from_value(whole).map_err(D::Error::custom)?;
    Ok(PodTemplate { digest: format!("{first:010x}"), ..template })
}

/// See [`PodTemplate`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// One may name the main container, another the moment of a restart.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// Some writers say null where there is nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// See [`PodTemplate`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodTemplateSpec {
    /// In order.
    pub containers: Vec<Container>,
    /// Those that run before them.
    #[serde(deserialize_with = "or_default")]
    pub init_containers: Vec<Container>,
}

/// One container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    pub name: String,
    /// Its image reference.
    pub image: String,
}

/// A condition of a status.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word.
    pub reason: String,
    pub message: String,
    /// When it was looked at last.
    pub last_update_time: Option<Time>,
    /// When it changed last.
    pub last_transition_time: Option<Time>,
}

/// `spec` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// Wanted pods; absent means 1.
    pub replicas: Option<i32>,
    /// Paused by somebody?
    pub paused: bool,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// How it replaces pods.
    pub strategy: UpdateStrategy,
    /// What it runs.
    #[serde(deserialize_with = "with_digest")]
    pub template: PodTemplate,
}

/// How pods are replaced.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// `RollingUpdate`, `Recreate` or `OnDelete`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its bounds.
    pub rolling_update: Option<RollingUpdate>,
}

/// Bounds of a rolling update.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RollingUpdate {
    /// StatefulSet: pods below this ordinal keep the old template.
    pub partition: Option<i32>,
    /// So many more than wanted.
    pub max_surge: Option<IntOrString>,
    /// So many fewer than wanted.
    pub max_unavailable: Option<IntOrString>,
}

/// `status` of a Deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// All pods.
    pub replicas: i32,
    /// Of those with the current template.
    pub updated_replicas: i32,
    /// Ready ones.
    pub ready_replicas: i32,
    /// Ready for long enough.
    pub available_replicas: i32,
    /// Not available.
    pub unavailable_replicas: i32,
    /// Progressing, Available, ReplicaFailure.
    pub conditions: Vec<Condition>,
}

/// `apps/v1` Deployment.
pub type Deployment = Object<DeploymentSpec, DeploymentStatus>;

/// `spec` of a StatefulSet or a DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SetSpec {
    /// StatefulSet: wanted pods; absent means 1.
    pub replicas: Option<i32>,
    /// Which pods are its own.
    pub selector: LabelSelector,
    /// How it replaces pods.
    pub update_strategy: UpdateStrategy,
    /// What it runs.
    #[serde(deserialize_with = "with_digest")]
    pub template: PodTemplate,
}

/// `status` of a StatefulSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatefulSetStatus {
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// All pods.
    pub replicas: i32,
    /// Ready ones.
    pub ready_replicas: i32,
    /// Ready for long enough.
    pub available_replicas: i32,
    /// Pods of the revision before.
    pub current_replicas: i32,
    /// Pods of the newest revision.
    pub updated_replicas: i32,
    /// A ControllerRevision's name.
    pub current_revision: String,
    /// A ControllerRevision's name.
    pub update_revision: String,
}

/// `apps/v1` StatefulSet.
pub type StatefulSet = Object<SetSpec, StatefulSetStatus>;

/// `status` of a DaemonSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DaemonSetStatus {
    /// The generation that the controller has seen.
    pub observed_generation: i64,
    /// Nodes that should run it.
    pub desired_number_scheduled: i32,
    /// Nodes with the newest template.
    pub updated_number_scheduled: i32,
    /// Nodes where it is ready.
    pub number_ready: i32,
    /// Nodes where it is ready for long enough.
    pub number_available: i32,
}

/// `apps/v1` DaemonSet.
pub type DaemonSet = Object<SetSpec, DaemonSetStatus>;

/// `spec` of a ReplicaSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSetSpec {
    /// Wanted pods; absent means 1.
    pub replicas: Option<i32>,
    /// What it runs.
    pub template: PodTemplate,
}

/// `status` of a ReplicaSet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReplicaSetStatus {
    /// All pods.
    pub replicas: i32,
    /// Ready ones.
    pub ready_replicas: i32,
    /// Ready for long enough.
    pub available_replicas: i32,
}

/// `apps/v1` ReplicaSet.
pub type ReplicaSet = Object<ReplicaSetSpec, ReplicaSetStatus>;
