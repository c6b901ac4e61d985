//! Objects as they come over the wire, parsed one by one: one bad object never spoils a page.
//!
//! kube's own guard keeps a second copy of every object while it parses, and its objects keep all of
//! `managedFields`, which is often most of one: here only who wrote what rows tell of is kept.

use super::images::Images;
use super::objects::{ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use super::row::{count, line};
use super::{ReplicaGroup, Workload, WorkloadKind};
use flightdeck_model::Replicas;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry, OwnerReference, Time};
use kube::core::{Object, ObjectMeta};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Annotation that holds the whole object once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// A ReplicaSet's annotation: when it is scaled down.
const DEADLINE: &str = "scale-down-deadline";

/// Metadata as far as rows need it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    managed_fields: Option<Vec<Writer>>,
}

/// Who wrote which fields, and when, as far as rows tell of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Writer {
    manager: Option<String>,
    time: Option<Time>,
    fields_v1: Option<Fields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:spec")]
    spec: Option<SpecFields>,
    #[serde(rename = "f:status")]
    status: Option<StatusFields>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SpecFields {
    #[serde(rename = "f:template")]
    template: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StatusFields {
    #[serde(rename = "f:abort")]
    abort: Option<IgnoredAny>,
}

impl Writer {
    fn into_entry(self) -> Option<ManagedFieldsEntry> {
        let fields = self.fields_v1?;
        let template = fields.spec.is_some_and(|spec| spec.template.is_some());
        let abort = fields.status.is_some_and(|status| status.abort.is_some());
        let mut kept = serde_json::Map::new();
        if template {
            kept.insert("f:spec".to_owned(), serde_json::json!({"f:template": {}}));
        }
        if abort {
            kept.insert("f:status".to_owned(), serde_json::json!({"f:abort": {}}));
        }
        let fields_v1 = (!kept.is_empty()).then(|| FieldsV1(kept.into()))?;
        let (manager, time) = (self.manager, self.time);
        Some(ManagedFieldsEntry { manager, time, fields_v1: Some(fields_v1), ..ManagedFieldsEntry::default() })
    }
}

impl Meta {
    fn into_meta(mut self) -> ObjectMeta {
        if let Some(annotations) = self.annotations.as_mut() {
            annotations.remove(LAST_APPLIED);
        }
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            uid: self.uid,
            resource_version: self.resource_version,
            generation: self.generation,
            creation_timestamp: self.creation_timestamp,
            labels: self.labels,
            annotations: self.annotations,
            owner_references: self.owner_references,
            managed_fields: self.managed_fields.map(|all| all.into_iter().filter_map(Writer::into_entry).collect()),
            ..ObjectMeta::default()
        }
    }
}

#[derive(Deserialize)]
struct Wire<S, U> {
    #[serde(default)]
    metadata: Meta,
    spec: S,
    status: Option<U>,
}

/// An object's metadata alone.
#[derive(Debug, Deserialize)]
pub(super) struct Bare {
    #[serde(default)]
    pub metadata: Meta,
}

/// What a page of a list says of itself.
#[derive(Deserialize)]
pub(super) struct Skimmed {
    #[serde(default)]
    pub metadata: PageMeta,
}

/// The objects of a page.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(default)]
    pub metadata: PageMeta,
    #[serde(borrow)]
    pub items: Option<Vec<&'a RawValue>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PageMeta {
    pub resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// One line of a watch.
#[derive(Deserialize)]
pub(super) struct Line<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// A workload, or as much of it as could be read.
#[derive(Debug)]
pub(super) struct Item {
    pub workload: Workload,
    /// Why the rest could not be read.
    pub problem: Option<String>,
}

fn object<S: DeserializeOwned + Clone, U: DeserializeOwned + Clone>(text: &str) -> serde_json::Result<Object<S, U>> {
    let Wire { metadata, spec, status } = serde_json::from_str(text)?;
    Ok(Object { types: None, metadata: metadata.into_meta(), spec, status })
}

/// A workload from JSON.
pub(super) fn workload(kind: WorkloadKind, text: &str) -> serde_json::Result<Workload> {
    Ok(match kind {
        WorkloadKind::Rollout => Workload::Rollout(Box::new(object(text)?)),
        WorkloadKind::Deployment => Workload::Deployment(Box::new(object(text)?)),
        WorkloadKind::StatefulSet => Workload::StatefulSet(Box::new(object(text)?)),
        WorkloadKind::DaemonSet => Workload::DaemonSet(Box::new(object(text)?)),
    })
}

fn empty(kind: WorkloadKind, metadata: ObjectMeta) -> Workload {
    fn bare<S: Default + Clone, U: Clone>(metadata: ObjectMeta) -> Box<Object<S, U>> {
        Box::new(Object { types: None, metadata, spec: S::default(), status: None })
    }
    match kind {
        WorkloadKind::Rollout => Workload::Rollout(bare(metadata)),
        WorkloadKind::Deployment => Workload::Deployment(bare(metadata)),
        WorkloadKind::StatefulSet => Workload::StatefulSet(bare(metadata)),
        WorkloadKind::DaemonSet => Workload::DaemonSet(bare(metadata)),
    }
}

/// A workload, or its metadata and why the rest can't be read; `None` if not even that.
pub(super) fn item(kind: WorkloadKind, text: &str) -> Option<Item> {
    match workload(kind, text) {
        Ok(workload) => Some(Item { workload, problem: None }),
        Err(error) => {
            let metadata = serde_json::from_str::<Bare>(text).ok()?.metadata.into_meta();
            Some(Item { workload: empty(kind, metadata), problem: Some(line(&error.to_string())) })
        }
    }
}

/// A set of pods and the uid of the workload that it belongs to.
pub(super) fn group(kind: WorkloadKind, text: &str) -> Option<(String, ReplicaGroup)> {
    match kind {
        WorkloadKind::Rollout | WorkloadKind::Deployment => of_replica_set(kind, object(text).ok()?),
        WorkloadKind::StatefulSet | WorkloadKind::DaemonSet => of_revision(text),
    }
}

fn controller(owners: Option<&Vec<OwnerReference>>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

fn of_replica_set(kind: WorkloadKind, set: ReplicaSet) -> Option<(String, ReplicaGroup)> {
    let Object { metadata, spec, status, .. } = set;
    let ReplicaSetSpec { replicas, template } = spec;
    let owner = controller(metadata.owner_references.as_ref())?;
    let (label, revision) = match kind {
        WorkloadKind::Rollout => ("rollouts-pod-template-hash", "rollout.argoproj.io/revision"),
        _ => ("pod-template-hash", "deployment.kubernetes.io/revision"),
    };
    let find =
        |map: Option<&BTreeMap<String, String>>, key: &str| map.and_then(|map| map.get(key)).map(|text| line(text));
    let ReplicaSetStatus { available_replicas, .. } = status.unwrap_or_default();
    let group = ReplicaGroup {
        name: line(metadata.name.as_deref().unwrap_or_default()),
        hash: find(metadata.labels.as_ref(), label).unwrap_or_default(),
        revision: find(metadata.annotations.as_ref(), revision),
        images: Images::of(&template, &owner.name),
        replicas: Replicas { ready: count(available_replicas), desired: replicas.map_or(1, count) },
        created: metadata.creation_timestamp.map(|time| time.0),
        ends: find(metadata.annotations.as_ref(), DEADLINE).and_then(|text| text.parse().ok()),
    };
    Some((line(&owner.uid), group))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Revision {
    metadata: Meta,
    #[serde(rename = "revision")]
    number: i64,
    data: RevisionData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RevisionData {
    spec: RevisionSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RevisionSpec {
    template: super::objects::PodTemplate,
}

/// A ControllerRevision: its pods are not told, only what they run.
fn of_revision(text: &str) -> Option<(String, ReplicaGroup)> {
    let Revision { metadata, number, data } = serde_json::from_str(text).ok()?;
    let owner = controller(metadata.owner_references.as_ref())?;
    let name = line(metadata.name.as_deref().unwrap_or_default());
    let group = ReplicaGroup {
        hash: name.clone(),
        name,
        revision: Some(number.to_string()),
        images: Images::of(&data.spec.template, &owner.name),
        replicas: Replicas::default(),
        created: metadata.creation_timestamp.map(|time| time.0),
        ends: None,
    };
    Some((line(&owner.uid), group))
}
