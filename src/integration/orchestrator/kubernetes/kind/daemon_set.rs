//! `apps/v1` DaemonSet. Its row is told in the order in which `kubectl rollout status` looks.

use super::{Asked, Kind, Source, Workload, controller_revisions};
use crate::orchestrator::kubernetes::fields::{count, line};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::meta::annotation;
use crate::orchestrator::kubernetes::objects::{DaemonSet, DaemonSetStatus, PodTemplate, SetSpec};
use crate::orchestrator::kubernetes::plan::Plan;
use crate::orchestrator::kubernetes::pod_sets::{PodSets, ReplicaGroup};
use crate::orchestrator::kubernetes::resource::Resource;
use crate::orchestrator::kubernetes::row::{
    RowContext, WorkloadStatus, arms_of, assemble, facts, has_earlier, name_of, newest_before, number, rolling, settled,
};
use flightdeck_model::{Action, Arm, Phase, PodNames, Refusal, Replicas, Rollout, TrafficSource, Wait};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;

const RESOURCE: Resource = Resource { group: "apps", version: "v1", kind: "DaemonSet", plural: "daemonsets" };
const GENERATION: &str = "deprecated.daemonset.template.generation";

#[derive(Debug)]
pub(super) struct DaemonSets;

impl Kind for DaemonSets {
    fn resource(&self) -> Resource {
        RESOURCE
    }

    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>> {
        from.object::<SetSpec, DaemonSetStatus>()
    }

    fn pod_sets(&self) -> Option<PodSets> {
        Some(PodSets::ControllerRevisions { named_in_full: false })
    }
}

impl Workload for DaemonSet {
    fn kind(&self) -> &'static dyn Kind {
        &DaemonSets
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn template(&self) -> Option<&PodTemplate> {
        Some(&self.spec.template)
    }

    fn selector(&self) -> Option<&LabelSelector> {
        Some(&self.spec.selector)
    }

    fn row(&self, context: &RowContext<'_>, groups: &[ReplicaGroup]) -> Rollout {
        row(context, self, groups)
    }

    /// Also while a change is not taken up: until then the description is not what runs.
    fn needs_groups(&self) -> bool {
        in_flight(self) || (self.status.is_some() && is_behind(self))
    }

    fn has_groups(&self, groups: &[ReplicaGroup]) -> bool {
        !groups.is_empty()
    }

    fn plan(&self, asked: &Asked<'_>) -> Result<Plan, Refusal> {
        let wants_none = self.status.as_ref().is_some_and(|status| status.desired_number_scheduled == 0);
        controller_revisions::plan(asked, wants_none, |_| false)
    }
}

fn row(context: &RowContext<'_>, object: &DaemonSet, groups: &[ReplicaGroup]) -> Rollout {
    let none = DaemonSetStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let revision = annotation(&object.metadata, GENERATION)
        .map_or_else(|| object.metadata.generation.unwrap_or(0).to_string(), line);
    let (phase, message) = phase(object, status, &revision);
    let newest = newest(groups);
    let mut waits = Vec::new();
    if phase == Phase::Paused {
        let since = newest.and_then(|group| group.created).unwrap_or(context.now);
        waits.push(Wait::Human { what: "deletion of its old pods".to_owned(), who: None, since });
    } else if phase.in_flight() {
        waits.push(Wait::Health);
    }
    let mut offers = vec![Action::Restart];
    if has_earlier(&revision) {
        offers.push(Action::Rollback);
    }
    let started: Option<Timestamp> = newest.and_then(|group| group.created);
    let status = WorkloadStatus {
        arms: arms(object, status, groups),
        waits,
        message,
        started,
        facts: facts(&object.spec.template, &object.metadata, status.observed_generation),
        offers: offers.into_iter().collect(),
        in_flight: phase.in_flight() || (phase == Phase::Degraded && in_flight(object)),
        ..WorkloadStatus::rolling(phase, revision)
    };
    assemble(context, RESOURCE, &object.metadata, status)
}

fn newest(groups: &[ReplicaGroup]) -> Option<&ReplicaGroup> {
    groups.iter().max_by_key(|group| number(group))
}

/// Has its controller yet to take up a change?
fn is_behind(object: &DaemonSet) -> bool {
    let observed = object.status.as_ref().map_or(0, |status| status.observed_generation);
    object.metadata.generation.unwrap_or(0) > observed
}

fn in_flight(object: &DaemonSet) -> bool {
    object.status.as_ref().is_some_and(|status| status.updated_number_scheduled < status.desired_number_scheduled)
}

fn phase(object: &DaemonSet, status: &DaemonSetStatus, revision: &str) -> (Phase, String) {
    let (desired, updated, available) = (
        count(status.desired_number_scheduled),
        count(status.updated_number_scheduled),
        count(status.number_available),
    );
    let moving = if revision == "1" { Phase::Initializing } else { Phase::Progressing };
    if is_behind(object) {
        return (moving, "waiting for its change to be observed".to_owned());
    }
    if updated < desired {
        let text = format!("{updated} of {desired} nodes have the new template");
        return if object.spec.update_strategy.kind == "OnDelete" {
            (Phase::Paused, format!("{text}; each gets it when its pod is deleted"))
        } else {
            (moving, text)
        };
    }
    if available < desired {
        return (moving, format!("{available} of {desired} nodes have it available"));
    }
    (Phase::Healthy, format!("{available} of {desired} nodes have it available"))
}

fn arms(object: &DaemonSet, status: &DaemonSetStatus, groups: &[ReplicaGroup]) -> Vec<Arm> {
    let template = Images::of(&object.spec.template, object.metadata.name.as_deref().unwrap_or_default());
    let newest = newest(groups);
    let taken_up = newest.filter(|_| is_behind(object)).map(|group| &group.images);
    let images = taken_up.unwrap_or(&template);
    let (desired, updated, available) = (
        count(status.desired_number_scheduled),
        count(status.updated_number_scheduled),
        count(status.number_available),
    );
    if !in_flight(object) {
        let pods = Some(PodNames::Set(name_of(&object.metadata)));
        return arms_of(vec![settled(Some(images), available, desired, TrafficSource::Replicas, pods)]);
    }
    let old = desired.saturating_sub(updated);
    // Which of the available pods are the updated ones is told only once all are available.
    let known = available == desired;
    let candidate = Replicas { ready: available.saturating_sub(old).min(updated), desired };
    let stable = Replicas { ready: available.saturating_sub(candidate.ready), desired: old };
    let before = newest_before(groups, newest.map(|group| group.name.as_str())).map(|group| &group.images);
    let untold = || Some(PodNames::Untold);
    rolling((before, stable, untold()), (Some(images), candidate, untold()), &[], known)
}
