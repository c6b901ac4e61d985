//! `apps/v1` StatefulSet. Its row is told in the order in which `kubectl rollout status` looks.

use super::{Asked, Kind, Source, Workload, controller_revisions};
use crate::orchestrator::kubernetes::fields::{count, line, time};
use crate::orchestrator::kubernetes::forecast::{is_stuck, rolling as forecast_of_rolling};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::json::name;
use crate::orchestrator::kubernetes::objects::{PodTemplate, SetSpec, StatefulSet, StatefulSetStatus};
use crate::orchestrator::kubernetes::plan::{Plan, Side};
use crate::orchestrator::kubernetes::pod_sets::{PodSets, ReplicaGroup};
use crate::orchestrator::kubernetes::pods::Pods;
use crate::orchestrator::kubernetes::resource::Resource;
use crate::orchestrator::kubernetes::row::{
    RowContext, WorkloadStatus, arms_of, assemble, facts, name_of, newest_before, rolling, settled,
};
use flightdeck_model::{Action, Arm, Forecast, Phase, PodNames, Refusal, Replicas, Rollout, TrafficSource, Wait};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::ObjectMeta;
use serde_json::Value;

const RESOURCE: Resource = Resource { group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets" };

/// After this its first pods should have been up.
const FIRST: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug)]
pub(super) struct StatefulSets;

impl Kind for StatefulSets {
    fn resource(&self) -> Resource {
        RESOURCE
    }

    fn read(&self, from: Source<'_>) -> serde_json::Result<Box<dyn Workload>> {
        from.object::<SetSpec, StatefulSetStatus>()
    }

    fn pod_sets(&self) -> Option<PodSets> {
        Some(PodSets::ControllerRevisions { named_in_full: true })
    }

    fn forecast(&self, action: Action, row: &Rollout) -> Option<Forecast> {
        let mut forecast = forecast_of_rolling(action, row, false)?;
        if action == Action::Rollback && is_stuck(row) {
            // Its controller waits for the broken pod before it touches the next one.
            let by_hand = "a pod that never became ready may have to be deleted by hand before it goes back";
            forecast.warnings.push(by_hand.to_owned());
        }
        Some(forecast)
    }

    /// Its pods have numbers, and keep their names.
    fn names_pod(&self, object: &Value, _sets: &[Value], pod: &str) -> bool {
        let ordinal = pod.strip_prefix(name(object)).and_then(|rest| rest.strip_prefix('-'));
        ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
    }
}

impl Workload for StatefulSet {
    fn kind(&self) -> &'static dyn Kind {
        &StatefulSets
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
        let behind = |status: &StatefulSetStatus| self.metadata.generation.unwrap_or(0) > status.observed_generation;
        in_flight(self) || self.status.as_ref().is_some_and(behind)
    }

    fn has_groups(&self, groups: &[ReplicaGroup]) -> bool {
        let Some(status) = &self.status else { return true };
        let has = |name: &String| name.is_empty() || groups.iter().any(|group| group.name == *name);
        has(&status.update_revision) && has(&status.current_revision)
    }

    fn plan(&self, asked: &Asked<'_>) -> Result<Plan, Refusal> {
        // In flight: what the pods ran before.
        let moving = self.status.as_ref().filter(|status| status.current_revision != status.update_revision);
        let before = |side: &Side<'_>| moving.is_some_and(|status| side.name() == status.current_revision);
        controller_revisions::plan(asked, self.spec.replicas == Some(0), before)
    }
}

fn row(context: &RowContext<'_>, object: &StatefulSet, groups: &[ReplicaGroup]) -> Rollout {
    let none = StatefulSetStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let (phase, message) = phase(object, status, context.now);
    let current = groups.iter().find(|group| group.name == status.update_revision);
    let mut waits = Vec::new();
    if phase == Phase::Paused {
        let since = current.and_then(|group| group.created).unwrap_or(context.now);
        waits.push(Wait::Human { what: "deletion of its old pods".to_owned(), who: None, since });
    } else if phase.in_flight() {
        waits.push(Wait::Health);
    }
    let revision = if status.update_revision.is_empty() { "0".to_owned() } else { line(&status.update_revision) };
    let mut offers = vec![Action::Restart];
    // The first revision has none before it; the others can't be counted from here.
    if object.metadata.generation.unwrap_or(0) > 1 {
        offers.push(Action::Rollback);
    }
    let status = WorkloadStatus {
        arms: arms(object, status, groups, context.pods),
        waits,
        message,
        started: current.and_then(|group| group.created),
        facts: facts(&object.spec.template, &object.metadata, status.observed_generation),
        offers: offers.into_iter().collect(),
        in_flight: phase.in_flight() || (phase == Phase::Degraded && in_flight(object)),
        ..WorkloadStatus::rolling(phase, revision)
    };
    assemble(context, RESOURCE, &object.metadata, status)
}

fn desired(object: &StatefulSet) -> u32 {
    object.spec.replicas.map_or(1, count)
}

/// Pods below this ordinal keep the old template.
fn partition(object: &StatefulSet) -> u32 {
    let of = object.spec.update_strategy.rolling_update.as_ref().and_then(|of| of.partition);
    of.map_or(0, count).min(desired(object))
}

/// Do pods of two templates exist? An undo on the way makes both revisions the same at once, while pods of
/// the one that was left still serve; one whose pods are deleted by hand never makes them the same.
fn in_flight(object: &StatefulSet) -> bool {
    object.status.as_ref().is_some_and(|status| {
        status.replicas > status.updated_replicas
            || (status.update_revision != status.current_revision && !all_by_hand(object, status))
    })
}

/// Updated by deletion, and every pod was.
fn all_by_hand(object: &StatefulSet, status: &StatefulSetStatus) -> bool {
    object.spec.update_strategy.kind == "OnDelete" && count(status.updated_replicas) >= desired(object)
}

fn phase(object: &StatefulSet, status: &StatefulSetStatus, now: Timestamp) -> (Phase, String) {
    let desired = desired(object);
    let (ready, updated) = (count(status.ready_replicas), count(status.updated_replicas));
    let created = time(object.metadata.creation_timestamp.as_ref());
    let generation = object.metadata.generation.unwrap_or(0);
    let first = generation <= 1 && created.is_some_and(|created| now.duration_since(created) < FIRST);
    let moving = if first { Phase::Initializing } else { Phase::Progressing };
    let two = in_flight(object);
    if status.observed_generation == 0 || generation > status.observed_generation {
        return (moving, "waiting for its change to be observed".to_owned());
    }
    if object.spec.update_strategy.kind == "OnDelete" && two && updated < desired {
        let text = format!("{updated} of {desired} pods have the new template; each gets it when it is deleted");
        return (Phase::Paused, text);
    }
    if ready < desired {
        let phase = if two || first { moving } else { Phase::Degraded };
        return (phase, format!("{ready} of {desired} pods are ready"));
    }
    let partition = partition(object);
    if partition > 0 && two {
        let due = desired - partition;
        if updated < due {
            return (moving, format!("{updated} of {due} pods above the partition have the new template"));
        }
        let text = format!("partitioned rollout complete: {updated} of {desired} pods have the new template");
        return (Phase::Healthy, text);
    }
    if two || updated < desired {
        return (moving, format!("{updated} of {desired} pods have the new template"));
    }
    (Phase::Healthy, format!("{ready} of {desired} pods are ready"))
}

fn arms(object: &StatefulSet, status: &StatefulSetStatus, groups: &[ReplicaGroup], pods: Option<&Pods>) -> Vec<Arm> {
    let template = Images::of(&object.spec.template, object.metadata.name.as_deref().unwrap_or_default());
    let of = |revision: &str| groups.iter().find(|group| group.name == revision).map(|group| &group.images);
    let images = of(&status.update_revision).unwrap_or(&template);
    let (ready, updated, all) = (count(status.ready_replicas), count(status.updated_replicas), count(status.replicas));
    if !in_flight(object) {
        let pods = Some(PodNames::Set(name_of(&object.metadata)));
        return arms_of(vec![settled(Some(images), ready, desired(object), TrafficSource::Replicas, pods)]);
    }
    // Which of the ready pods are the updated ones only the pods tell, unless all are ready.
    let old = all.saturating_sub(updated);
    let counted = pods.map(|pods| pods.ready(&status.update_revision).min(ready)).filter(|_| ready < all);
    let least = ready.saturating_sub(old).min(updated);
    let candidate = Replicas { ready: counted.unwrap_or(least), desired: desired(object) - partition(object) };
    let stable = Replicas { ready: ready.saturating_sub(candidate.ready), desired: old };
    // An undo makes both revisions the same at once, while pods of the one that was left still serve.
    let before = if status.current_revision == status.update_revision {
        newest_before(groups, Some(&status.update_revision)).map(|group| &group.images)
    } else {
        of(&status.current_revision)
    };
    let untold = || Some(PodNames::Untold);
    let known = ready == all || counted.is_some();
    rolling((before, stable, untold()), (Some(images), candidate, untold()), &[], known)
}
