//! One workload of any kind, and what is known of the sets of pods behind it.

use super::WorkloadKind;
use super::images::Images;
use super::objects::{DaemonSet, Deployment, PodTemplate, StatefulSet};
use crate::orchestrator::argo_rollouts::objects::ArgoRollout;
use flightdeck_model::{HoldId, HoldTarget, Replicas, Selector, sanitize_line};
use jiff::Timestamp;
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Annotation with a [`HoldMark`] as JSON on each workload that a hold stopped.
pub const HOLD_ANNOTATION: &str = "flightdeck.dev/hold";

/// The programs that carry out what workloads say.
const CONTROLLERS: [&str; 2] = ["rollouts-controller", "kube-controller-manager"];

/// Who holds a workload; any hub that reads it can show and release the hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMark {
    /// Unique over all hubs.
    pub id: HoldId,
    /// Who asked for it.
    pub owner: String,
    pub reason: Option<String>,
    pub since: Timestamp,
    /// What it meant.
    pub selector: Selector,
    /// It stood still before: a release takes the mark away and leaves it as it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused_before: bool,
    /// What the hold could not stop, and why; the marks of one hold add up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unheld: Vec<HoldTarget>,
}

/// A workload as it was read.
#[derive(Debug, Clone)]
pub enum Workload {
    /// Argo Rollouts' own.
    Rollout(Box<ArgoRollout>),
    /// `apps/v1`.
    Deployment(Box<Deployment>),
    /// `apps/v1`.
    StatefulSet(Box<StatefulSet>),
    /// `apps/v1`.
    DaemonSet(Box<DaemonSet>),
}

impl Workload {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> WorkloadKind {
        match self {
            Workload::Rollout(_) => WorkloadKind::Rollout,
            Workload::Deployment(_) => WorkloadKind::Deployment,
            Workload::StatefulSet(_) => WorkloadKind::StatefulSet,
            Workload::DaemonSet(_) => WorkloadKind::DaemonSet,
        }
    }

    /// Its metadata.
    #[must_use]
    pub const fn meta(&self) -> &ObjectMeta {
        match self {
            Workload::Rollout(object) => &object.metadata,
            Workload::Deployment(object) => &object.metadata,
            Workload::StatefulSet(object) => &object.metadata,
            Workload::DaemonSet(object) => &object.metadata,
        }
    }

    /// Its own template; `None` where another workload has it.
    #[must_use]
    pub fn template(&self) -> Option<&PodTemplate> {
        match self {
            Workload::Rollout(object) => object.spec.template.as_ref(),
            Workload::Deployment(object) => Some(&object.spec.template),
            Workload::StatefulSet(object) => Some(&object.spec.template),
            Workload::DaemonSet(object) => Some(&object.spec.template),
        }
    }

    /// An annotation's value.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.meta().annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Who wrote a field last and when, by the object's `managedFields`: the name of a program, such as
    /// `kubectl-set`, never that of a person. `path` is written as there: `["f:spec", "f:template"]`.
    #[must_use]
    pub fn writer(&self, path: [&str; 2]) -> Option<(String, Timestamp)> {
        let entries = self.meta().managed_fields.iter().flatten();
        let wrote = entries.filter(|entry| {
            let by = entry.manager.as_deref().unwrap_or_default();
            let fields = entry.fields_v1.as_ref();
            // Controllers write objects back whole, and what they write follows from what somebody else did.
            !CONTROLLERS.contains(&by)
                && fields.is_some_and(|fields| path.iter().try_fold(&fields.0, |at, key| at.get(key)).is_some())
        });
        let newest = wrote.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
        Some((sanitize_line(newest.manager.as_deref()?), newest.time.as_ref()?.0))
    }

    /// Who brought in the template that it has now, and when; see [`Self::writer`].
    #[must_use]
    pub fn template_writer(&self) -> Option<(String, Timestamp)> {
        self.writer(["f:spec", "f:template"])
    }

    /// Who holds it, where its annotation can be read.
    #[must_use]
    pub fn hold(&self) -> Option<HoldMark> {
        serde_json::from_str(self.annotation(HOLD_ANNOTATION)?).ok()
    }
}

/// Pods of one template: a ReplicaSet, as far as a row needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaGroup {
    pub name: String,
    /// Its template's hash: label `pod-template-hash` or `rollouts-pod-template-hash`.
    pub hash: String,
    /// Its revision annotation.
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
