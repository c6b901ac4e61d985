//! A Deployment's row, in the order in which `kubectl rollout status` looks.

use super::{
    RowContext, Told, assemble, count, digest_of_template, facts, has_earlier, line, resume, revision, rolling,
    settled, time, together, version_of_template,
};
use crate::integration::orchestrator::kubernetes::objects::{Condition, Deployment, DeploymentStatus};
use crate::integration::orchestrator::kubernetes::{ReplicaGroup, Workload};
use crate::model::{Action, ActionSet, Arm, Fact, Phase, Replicas, Rollout, Strategy, TrafficSource, Version, Wait};
use jiff::Timestamp;

const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn row(
    context: &RowContext<'_>,
    workload: &Workload,
    object: &Deployment,
    groups: &[ReplicaGroup],
) -> Rollout {
    let none = DeploymentStatus::default();
    let status = object.status.as_ref().unwrap_or(&none);
    let revision = revision(workload, REVISION);
    let (phase, message) = phase(object, status, &revision);
    let progressing = condition(status, "Progressing");
    let updated = progressing.and_then(|of| time(of.last_update_time.as_ref()));
    let changed = progressing.and_then(|of| time(of.last_transition_time.as_ref()));
    let current = groups.iter().find(|group| group.revision.as_deref() == Some(revision.as_str()));
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
    let told = Told {
        strategy: if object.spec.strategy.kind == "Recreate" { Strategy::Recreate } else { Strategy::Rolling },
        steps: [].into(),
        step: None,
        arms: arms(object, status, current, groups),
        phase,
        waits,
        message,
        started: started(current, updated),
        since,
        offers: offers(object, &revision),
        // Past its deadline it goes on trying, and pods that come up take users.
        in_flight: phase.in_flight() || phase == Phase::Failed,
        revision,
        facts,
    };
    assemble(context, workload, told)
}

/// A ReplicaSet that an undo took up again is older than its rollout: then the condition tells more.
fn started(current: Option<&ReplicaGroup>, updated: Option<Timestamp>) -> Option<Timestamp> {
    current.and_then(|group| group.created).or(updated)
}

fn condition<'a>(status: &'a DeploymentStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind)
}

fn desired(object: &Deployment) -> u32 {
    object.spec.replicas.map_or(1, count)
}

/// Do pods of two templates exist, or may they any moment?
pub(super) fn in_flight(object: &Deployment) -> bool {
    let Some(status) = &object.status else { return false };
    status.replicas > status.updated_replicas
        || (!done_before(status) && count(status.updated_replicas) < desired(object))
        || object.metadata.generation.unwrap_or(0) > status.observed_generation
        || object.spec.paused
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
        return (Phase::Paused, "paused by somebody".to_owned());
    }
    if object.metadata.generation.unwrap_or(0) > status.observed_generation {
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

fn arms(
    object: &Deployment,
    status: &DeploymentStatus,
    current: Option<&ReplicaGroup>,
    groups: &[ReplicaGroup],
) -> Vec<Arm> {
    let (version, digest) = (version_of_template(&object.spec.template), digest_of_template(&object.spec.template));
    let (all, updated, available) =
        (count(status.replicas), count(status.updated_replicas), count(status.available_replicas));
    let others = groups.iter().filter(|group| current.is_none_or(|current| current.name != group.name));
    let others = together(others.filter(|group| group.replicas.desired > 0 || group.replicas.ready > 0));
    let old = all.saturating_sub(updated);
    if old == 0 && others.is_none() && (updated > 0 || groups.is_empty() || current.is_some()) {
        return vec![settled(version, digest, available, desired(object), TrafficSource::Replicas)];
    }
    // Until its ReplicaSets are read, the fewest of the new ones that can be available: all old ones are.
    let least = Replicas { ready: available.saturating_sub(old).min(updated), desired: desired(object) };
    let candidate = current.map_or(least, |group| Replicas { desired: desired(object), ..group.replicas });
    let known = !groups.is_empty();
    let stable = others.unwrap_or_else(|| {
        (Version("unknown".to_owned()), Replicas { ready: available.saturating_sub(candidate.ready), desired: old })
    });
    rolling(stable, (version, digest, candidate), known)
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
