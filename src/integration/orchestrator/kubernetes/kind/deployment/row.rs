//! A Deployment's row, in the order in which `kubectl rollout status` looks.

use super::{RESOURCE, REVISION};
use crate::orchestrator::kubernetes::fields::{count, line, time};
use crate::orchestrator::kubernetes::images::Images;
use crate::orchestrator::kubernetes::meta::template_writer;
use crate::orchestrator::kubernetes::objects::{Condition, Deployment, DeploymentStatus};
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use crate::orchestrator::kubernetes::row::{
    PAUSED, RowContext, WorkloadStatus, arms_of, assemble, facts, has_earlier, has_pods, name_of, number, pods_of,
    resume, revision, rolling, settled,
};
use flightdeck_model::{
    Action, ActionSet, Arm, Fact, Phase, PodNames, Replicas, Rollout, Strategy, TrafficSource, Wait,
};
use jiff::Timestamp;

pub(super) fn row(context: &RowContext<'_>, object: &Deployment, groups: &[ReplicaGroup]) -> Rollout {
    let none = DeploymentStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let revision = revision(&object.metadata, REVISION);
    let (phase, message) = phase(object, status, &revision);
    let progressing = condition(status, "Progressing");
    let updated = progressing.and_then(|of| time(of.last_update_time.as_ref()));
    let changed = progressing.and_then(|of| time(of.last_transition_time.as_ref()));
    let current = current(groups, &revision);
    let since = match phase {
        // The condition's transition is the moment of pausing while it says so.
        Phase::Paused => progressing.filter(|of| of.reason == "DeploymentPaused").and(updated),
        Phase::Failed | Phase::Degraded => changed,
        _ => updated,
    };
    let mut waits = Vec::new();
    if object.spec.paused {
        waits.push(resume(since.unwrap_or(context.now)));
    } else if phase.in_flight() {
        waits.push(Wait::Health);
    }
    let mut facts = facts(&object.spec.template, &object.metadata, status.observed_generation);
    if object.spec.paused {
        facts = facts.with(Fact::Pause, "paused");
    }
    let status = WorkloadStatus {
        strategy: if object.spec.strategy.kind == "Recreate" { Strategy::Recreate } else { Strategy::Rolling },
        arms: arms(object, current, groups),
        waits,
        message,
        started: started(object, current, groups, updated),
        since,
        offers: offers(object, &revision),
        // Past its deadline it goes on trying, and pods that come up take users.
        in_flight: phase.in_flight() || phase == Phase::Failed,
        facts,
        ..WorkloadStatus::rolling(phase, revision)
    };
    assemble(context, RESOURCE, &object.metadata, status)
}

/// The ReplicaSet of its newest template: that of its revision, or a newer one, which is made a moment before
/// the Deployment says so.
fn current<'a>(groups: &'a [ReplicaGroup], revision: &str) -> Option<&'a ReplicaGroup> {
    let own = revision.parse::<u64>().unwrap_or(0);
    let newer = groups.iter().filter(|group| has_pods(group) && number(group).is_some_and(|number| number > own));
    let named = || groups.iter().find(|group| group.revision.as_deref() == Some(revision));
    newer.max_by_key(|group| number(group)).or_else(named)
}

/// When its newest template came in: its ReplicaSet was made then, unless an undo took an older one up
/// again; then whoever wrote the template did so, else its condition tells how far it is.
fn started(
    object: &Deployment,
    current: Option<&ReplicaGroup>,
    groups: &[ReplicaGroup],
    updated: Option<Timestamp>,
) -> Option<Timestamp> {
    let made = current.and_then(|group| group.created);
    let newest = groups.iter().filter_map(|group| group.created).max();
    let written = || template_writer(&object.metadata).map(|(_, at)| at);
    made.filter(|made| Some(*made) == newest).or_else(written).or(made).or(updated)
}

fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

fn desired(object: &Deployment) -> u32 {
    object.spec.replicas.map_or(1, count)
}

/// Do pods of two templates exist, or may they any moment?
pub(super) fn needs_groups(object: &Deployment) -> bool {
    let Some(status) = &object.status else { return false };
    status.replicas > status.updated_replicas
        || (!done_before(status) && count(status.updated_replicas) < desired(object))
        || is_behind(object)
}

/// Has its controller yet to take up a change?
fn is_behind(object: &Deployment) -> bool {
    let observed = object.status.as_ref().map_or(0, |status| status.observed_generation);
    object.metadata.generation.unwrap_or(0) > observed
}

/// The newest template was once fully rolled out.
fn done_before(status: &DeploymentStatus) -> bool {
    condition(status, "Progressing").is_some_and(|of| of.reason == "NewReplicaSetAvailable")
}

fn phase(object: &Deployment, status: &DeploymentStatus, revision: &str) -> (Phase, String) {
    let desired = desired(object);
    let (updated, available) = (count(status.updated_replicas), count(status.available_replicas));
    let moving = if revision == "1" && !done_before(status) { Phase::Initializing } else { Phase::Progressing };
    // kubectl ignores it, yet nothing goes on.
    if object.spec.paused {
        return (Phase::Paused, PAUSED.to_owned());
    }
    if is_behind(object) {
        return (moving, "waiting for its change to be observed".to_owned());
    }
    if let Some(stuck) = condition(status, "Progressing").filter(|of| of.reason == "ProgressDeadlineExceeded") {
        return (Phase::Failed, format!("exceeded its progress deadline: {}", line(&stuck.message)));
    }
    if updated < desired {
        return (moving, format!("{updated} of {desired} pods have the new template{}", failure(status)));
    }
    if count(status.replicas) > updated {
        let old = count(status.replicas) - updated;
        return (moving, format!("{old} old {} still to be terminated", if old == 1 { "pod is" } else { "pods are" }));
    }
    if available < updated {
        // Rolled out before: what is missing now is not a rollout's.
        let phase = if done_before(status) { Phase::Degraded } else { moving };
        return (phase, format!("{available} of {updated} updated pods are available{}", failure(status)));
    }
    (Phase::Healthy, format!("{available} of {desired} pods are available"))
}

fn failure(status: &DeploymentStatus) -> String {
    let failed = condition(status, "ReplicaFailure").filter(|of| of.status == "True");
    failed.map_or(String::new(), |of| format!("; pods can't be made: {}", line(&of.message)))
}

fn arms(object: &Deployment, current: Option<&ReplicaGroup>, groups: &[ReplicaGroup]) -> Vec<Arm> {
    let none = DeploymentStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let template = Images::of(&object.spec.template, object.metadata.name.as_deref().unwrap_or_default());
    let (all, updated, available) =
        (count(status.replicas), count(status.updated_replicas), count(status.available_replicas));
    // Until its controller has taken a change up, or begins what came in while it was paused, the description
    // is not what runs: its ReplicaSet is.
    let waits = is_behind(object) || (object.spec.paused && updated == 0);
    let described = (!waits || status.observed_generation == 0).then_some(&template);
    let images = current.map(|group| &group.images).filter(|_| waits).or(described);
    let mut others: Vec<&ReplicaGroup> = groups.iter().filter(|group| has_pods(group)).collect();
    others.retain(|group| current.is_none_or(|current| current.name != group.name));
    let old = all.saturating_sub(updated);
    let counted = old == 0 && (updated > 0 || groups.is_empty());
    let alone = others.is_empty() && (current.is_some() || counted);
    if alone {
        // Its sets are read in flight only. At rest all its pods are of one.
        let pods = Some(current.map_or_else(|| PodNames::Workload(name_of(&object.metadata)), pods_of));
        return arms_of(vec![settled(images, available, desired(object), TrafficSource::Replicas, pods)]);
    }
    // Where its ReplicaSets can't be read: the fewest of the new ones that can be available, all old ones are.
    let least = Replicas { ready: available.saturating_sub(old).min(updated), desired: desired(object) };
    let candidate = current.map_or(least, |group| Replicas { desired: desired(object), ..group.replicas });
    // Most users are with the largest one.
    others.sort_by_key(|group| std::cmp::Reverse((group.replicas.desired.max(group.replicas.ready), number(group))));
    let rest = || Replicas { ready: available.saturating_sub(candidate.ready), desired: old };
    let (stable, others) = others.split_first().map_or_else(
        || ((None, rest(), None), &[][..]),
        |(stable, others)| ((Some(&stable.images), stable.replicas, Some(pods_of(stable))), others),
    );
    rolling(stable, (images, candidate, current.map(pods_of)), others, !groups.is_empty())
}

fn offers(object: &Deployment, revision: &str) -> ActionSet {
    let paused = object.spec.paused;
    let may = [
        (Action::Pause, !paused),
        (Action::Resume, paused),
        (Action::Restart, !paused),
        (Action::Rollback, !paused && has_earlier(revision)),
    ];
    may.into_iter().filter_map(|(action, may)| may.then_some(action)).collect()
}
