//! The sets of pods behind a workload: one set a template, and how those are told apart. Pure.

use super::fields::{count, line};
use super::images::{Images, unknown};
use super::json::{annotation, at, bare, label, name, text};
use super::objects::{PodTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus};
use super::resource::Resource;
use super::wire::{Meta, object};
use super::{json, meta};
use flightdeck_model::{ArmRole, Replicas, Version};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::Object;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A ReplicaSet's annotation: when it is scaled down.
const DEADLINE: &str = "scale-down-deadline";

/// Pods of one template: a ReplicaSet or a ControllerRevision, as far as a row needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaGroup {
    pub name: String,
    /// Its template's hash, as its pods name it.
    pub hash: String,
    /// Its number.
    pub revision: Option<String>,
    /// What it runs.
    pub images: Images,
    /// Its pods.
    pub replicas: Replicas,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When it is scaled down, where that is planned.
    pub ends: Option<Timestamp>,
}

/// One template that a workload runs or ran, read in full.
#[derive(Debug, Clone)]
pub struct Set<'v> {
    /// The ReplicaSet or ControllerRevision.
    pub object: &'v Value,
    /// How pods name it in their label.
    pub hash: String,
    pub revision: Option<u64>,
    /// Its template, without what controllers added.
    pub template: Value,
    /// What it is called beside the others.
    pub version: Version,
    /// Which side runs it.
    pub role: Option<ArmRole>,
    /// The one that the workload asks for.
    pub current: bool,
}

/// The objects that tell of a kind's sets of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodSets {
    /// ReplicaSets, whose status counts their pods.
    ReplicaSets {
        /// The label with the template's hash, of a set and of its pods.
        hash: &'static str,
        /// The annotation with its number.
        revision: &'static str,
    },
    /// ControllerRevisions, which tell what pods run and no more.
    ControllerRevisions {
        /// Pods name the whole revision in their label, else only its hash.
        named_in_full: bool,
    },
}

impl PodSets {
    /// What is listed.
    #[must_use]
    pub const fn resource(self) -> Resource {
        match self {
            PodSets::ReplicaSets { .. } => Resource::REPLICA_SETS,
            PodSets::ControllerRevisions { .. } => Resource::CONTROLLER_REVISIONS,
        }
    }

    /// A set from JSON, and the uid of the workload that it belongs to.
    #[must_use]
    pub fn group(self, text: &str) -> Option<(String, ReplicaGroup)> {
        match self {
            PodSets::ReplicaSets { hash, revision } => of_replica_set(object(text).ok()?, hash, revision),
            PodSets::ControllerRevisions { .. } => of_revision(text),
        }
    }

    /// A set that was read in full.
    #[must_use]
    pub fn set(self, object: &Value) -> Set<'_> {
        let (hash, revision, template) = match self {
            PodSets::ReplicaSets { hash, revision } => (
                label(object, hash).unwrap_or_default(),
                annotation(object, revision).and_then(|text| text.parse().ok()),
                at(object, "/spec/template"),
            ),
            PodSets::ControllerRevisions { named_in_full } => (
                if named_in_full {
                    name(object)
                } else {
                    label(object, "controller-revision-hash").unwrap_or_default()
                },
                at(object, "/revision").as_u64(),
                at(object, "/data/spec/template"),
            ),
        };
        let (hash, template) = (hash.to_owned(), bare(template));
        Set { object, hash, revision, template, version: unknown(), role: None, current: false }
    }

    /// Says which side each set of a workload is on, newest revision first.
    pub fn assign_roles(self, workload: &Value, sets: &mut [Set<'_>]) {
        match self {
            PodSets::ReplicaSets { .. } => by_template(workload, sets),
            PodSets::ControllerRevisions { .. } => by_revision(workload, sets),
        }
    }

    /// Is a pod of that name one of these sets'? Its controller calls it after its ReplicaSet; by a
    /// ControllerRevision no name is made.
    #[must_use]
    pub fn name_pod(self, sets: &[Value], pod: &str) -> bool {
        let of_set = |set: &Value| pod.strip_prefix(name(set)).is_some_and(|rest| rest.starts_with('-'));
        matches!(self, PodSets::ReplicaSets { .. }) && sets.iter().any(of_set)
    }
}

fn controller(owners: Option<&Vec<OwnerReference>>) -> Option<&OwnerReference> {
    owners?.iter().find(|owner| owner.controller == Some(true))
}

fn of_replica_set(set: ReplicaSet, hash: &str, revision: &str) -> Option<(String, ReplicaGroup)> {
    let Object { metadata, spec, status, .. } = set;
    let ReplicaSetSpec { replicas, template } = spec;
    let owner = controller(metadata.owner_references.as_ref())?;
    let label = |of: &BTreeMap<String, String>| of.get(hash).map(|text| line(text));
    let ReplicaSetStatus { available_replicas, .. } = status.unwrap_or_default();
    let group = ReplicaGroup {
        name: line(metadata.name.as_deref().unwrap_or_default()),
        hash: metadata.labels.as_ref().and_then(label).unwrap_or_default(),
        revision: meta::annotation(&metadata, revision).map(line),
        images: Images::of(&template, &owner.name),
        replicas: Replicas { ready: count(available_replicas), desired: replicas.map_or(1, count) },
        ends: meta::annotation(&metadata, DEADLINE).and_then(|text| text.parse().ok()),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
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
    template: PodTemplate,
}

fn of_revision(text: &str) -> Option<(String, ReplicaGroup)> {
    let Revision { metadata, number, data } = serde_json::from_str(text).ok()?;
    let metadata = metadata.into_meta();
    let owner = controller(metadata.owner_references.as_ref())?;
    let name = line(metadata.name.as_deref().unwrap_or_default());
    let group = ReplicaGroup {
        hash: name.clone(),
        name,
        revision: Some(number.to_string()),
        images: Images::of(&data.spec.template, &owner.name),
        replicas: Replicas::default(),
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        ends: None,
    };
    Some((line(&owner.uid), group))
}

/// By the template that the workload has: its status names no set.
fn by_template(workload: &Value, sets: &mut [Set<'_>]) {
    let template = bare(at(workload, "/spec/template"));
    // Of several with the same template the oldest counts, as for the controller.
    let current = sets
        .iter()
        .filter(|set| set.template == template)
        .min_by_key(|set| (text(set.object, "/metadata/creationTimestamp"), name(set.object)))
        .map(|set| set.hash.clone());
    let pods = |set: &Set<'_>| json::count(set.object, "/status/replicas") > 0;
    let others = sets.iter().any(|set| pods(set) && Some(&set.hash) != current.as_ref());
    for set in sets {
        set.current = Some(&set.hash) == current.as_ref();
        set.role = match (set.current, pods(set)) {
            (true, _) if others => Some(ArmRole::Candidate),
            (true, _) | (false, true) => Some(ArmRole::Stable),
            (false, false) => None,
        };
    }
}

/// By the revisions that the workload's status names.
fn by_revision(workload: &Value, sets: &mut [Set<'_>]) {
    let newest = sets.first().map(|set| name(set.object).to_owned()).unwrap_or_default();
    let update = match text(workload, "/status/updateRevision") {
        "" => newest.as_str(),
        update => update,
    };
    let before = text(workload, "/status/currentRevision");
    let count = |path| json::count(workload, path);
    // A DaemonSet does not say which revision it had before: all pods that are not of the newest.
    let moving = match before {
        "" => count("/status/updatedNumberScheduled") < count("/status/desiredNumberScheduled"),
        before => before != update,
    };
    let second = sets.get(1).map(|set| name(set.object).to_owned()).unwrap_or_default();
    let stable = if before.is_empty() { second.as_str() } else { before };
    for set in sets {
        let own = name(set.object);
        set.current = own == update;
        set.role = match () {
            () if set.current && moving => Some(ArmRole::Candidate),
            () if set.current || (moving && own == stable) => Some(ArmRole::Stable),
            () => None,
        };
    }
}
