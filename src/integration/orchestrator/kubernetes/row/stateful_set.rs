//! A StatefulSet's row, in the order in which `kubectl rollout status` looks.

use super::{
    RowContext, WorkloadStatus, arms_of, assemble, count, facts, line, name_of, newest_before, rolling, settled, time,
};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::objects::{StatefulSet, StatefulSetStatus};
use crate::orchestrator::kubernetes::pods::Pods;
use crate::orchestrator::kubernetes::{ReplicaGroup, Workload};
use flightdeck_model::{Action, Arm, Phase, PodNames, Replicas, Rollout, Strategy, TrafficSource, Wait};
use jiff::{SignedDuration, Timestamp};

/// After this its first pods should have been up.
const FIRST: SignedDuration = SignedDuration::from_mins(10);

pub(super) fn row(
    context: &RowContext<'_>,
    workload: &Workload,
    object: &StatefulSet,
    groups: &[ReplicaGroup],
) -> Rollout {
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
        strategy: Strategy::Rolling,
        steps: [].into(),
        step: None,
        arms: arms(workload, object, status, groups, context.pods),
        phase,
        waits,
        message,
        started: current.and_then(|group| group.created),
        since: None,
        revision,
        facts: facts(&object.spec.template, &object.metadata, status.observed_generation),
        offers: offers.into_iter().collect(),
        in_flight: phase.in_flight() || (phase == Phase::Degraded && in_flight(object)),
        analyses: Vec::new(),
    };
    assemble(context, workload, status)
}

fn desired(object: &StatefulSet) -> u32 {
    object.spec.replicas.map_or(1, count)
}

/// Pods below this ordinal keep the old template.
fn partition(object: &StatefulSet) -> u32 {
    let of = object.spec.update_strategy.rolling_update.as_ref().and_then(|of| of.partition);
    of.map_or(0, count).min(desired(object))
}

/// Also while a change is not taken up: until then the description is not what runs.
pub(super) fn needs_groups(object: &StatefulSet) -> bool {
    let behind = |status: &StatefulSetStatus| object.metadata.generation.unwrap_or(0) > status.observed_generation;
    in_flight(object) || object.status.as_ref().is_some_and(behind)
}

pub(super) fn has_groups(object: &StatefulSet, groups: &[ReplicaGroup]) -> bool {
    let Some(status) = &object.status else { return true };
    let has = |name: &String| name.is_empty() || groups.iter().any(|group| group.name == *name);
    has(&status.update_revision) && has(&status.current_revision)
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

fn arms(
    workload: &Workload,
    object: &StatefulSet,
    status: &StatefulSetStatus,
    groups: &[ReplicaGroup],
    pods: Option<&Pods>,
) -> Vec<Arm> {
    let template = Images::of(&object.spec.template, workload.meta().name.as_deref().unwrap_or_default());
    let of = |revision: &str| groups.iter().find(|group| group.name == revision).map(|group| &group.images);
    let images = of(&status.update_revision).unwrap_or(&template);
    let (ready, updated, all) = (count(status.ready_replicas), count(status.updated_replicas), count(status.replicas));
    if !in_flight(object) {
        let pods = Some(PodNames::Set(name_of(workload)));
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
