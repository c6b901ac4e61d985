//! A DaemonSet's row, in the order in which `kubectl rollout status` looks.

use super::{
    RowContext, WorkloadStatus, arms_of, assemble, count, facts, has_earlier, line, name_of, number, rolling, settled,
};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::objects::{DaemonSet, DaemonSetStatus};
use crate::orchestrator::kubernetes::{ReplicaGroup, Workload};
use flightdeck_model::{Action, Arm, Phase, PodNames, Replicas, Rollout, Strategy, TrafficSource, Wait};
use jiff::Timestamp;

const GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn row(
    context: &RowContext<'_>,
    workload: &Workload,
    object: &DaemonSet,
    groups: &[ReplicaGroup],
) -> Rollout {
    let none = DaemonSetStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let revision =
        workload.annotation(GENERATION).map_or_else(|| object.metadata.generation.unwrap_or(0).to_string(), line);
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
        strategy: Strategy::Rolling,
        steps: [].into(),
        step: None,
        arms: arms(workload, object, status, groups),
        phase,
        waits,
        message,
        started,
        since: None,
        revision,
        facts: facts(&object.spec.template, &object.metadata, status.observed_generation),
        offers: offers.into_iter().collect(),
        in_flight: phase.in_flight() || (phase == Phase::Degraded && in_flight(object)),
        analyses: Vec::new(),
    };
    assemble(context, workload, status)
}

fn newest(groups: &[ReplicaGroup]) -> Option<&ReplicaGroup> {
    groups.iter().max_by_key(|group| number(group))
}

/// Has its controller yet to take up a change?
fn is_behind(object: &DaemonSet) -> bool {
    let observed = object.status.as_ref().map_or(0, |status| status.observed_generation);
    object.metadata.generation.unwrap_or(0) > observed
}

/// Also while a change is not taken up: until then the description is not what runs.
pub(super) fn needs_groups(object: &DaemonSet) -> bool {
    in_flight(object) || (object.status.is_some() && is_behind(object))
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

fn arms(workload: &Workload, object: &DaemonSet, status: &DaemonSetStatus, groups: &[ReplicaGroup]) -> Vec<Arm> {
    let template = Images::of(&object.spec.template, workload.meta().name.as_deref().unwrap_or_default());
    let newest = newest(groups);
    let taken_up = newest.filter(|_| is_behind(object)).map(|group| &group.images);
    let images = taken_up.unwrap_or(&template);
    let (desired, updated, available) = (
        count(status.desired_number_scheduled),
        count(status.updated_number_scheduled),
        count(status.number_available),
    );
    if !in_flight(object) {
        let pods = Some(PodNames::Set(name_of(workload)));
        return arms_of(vec![settled(Some(images), available, desired, TrafficSource::Replicas, pods)]);
    }
    let old = desired.saturating_sub(updated);
    // Which of the available pods are the updated ones is told only once all are available.
    let known = available == desired;
    let candidate = Replicas { ready: available.saturating_sub(old).min(updated), desired };
    let stable = Replicas { ready: available.saturating_sub(candidate.ready), desired: old };
    let before = super::newest_before(groups, newest.map(|group| group.name.as_str())).map(|group| &group.images);
    let untold = || Some(PodNames::Untold);
    rolling((before, stable, untold()), (Some(images), candidate, untold()), &[], known)
}
