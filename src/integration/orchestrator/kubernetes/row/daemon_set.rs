//! A DaemonSet's row, in the order in which `kubectl rollout status` looks.

use super::{
    RowContext, Told, assemble, count, digest_of_template, facts, has_earlier, line, rolling, settled,
    version_of_template,
};
use crate::integration::orchestrator::kubernetes::objects::{DaemonSet, DaemonSetStatus};
use crate::integration::orchestrator::kubernetes::{ReplicaGroup, Workload};
use crate::model::{Action, Arm, Phase, Replicas, Rollout, Strategy, TrafficSource, Version, Wait};
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
    let told = Told {
        strategy: Strategy::Rolling,
        steps: [].into(),
        step: None,
        arms: arms(object, status, groups),
        phase,
        waits,
        message,
        started,
        since: None,
        revision,
        facts: facts(&object.spec.template, &object.metadata, status.observed_generation),
        offers: offers.into_iter().collect(),
        in_flight: phase.in_flight() || (phase == Phase::Degraded && in_flight(object)),
    };
    assemble(context, workload, told)
}

fn newest(groups: &[ReplicaGroup]) -> Option<&ReplicaGroup> {
    groups.iter().max_by_key(|group| group.revision.as_deref().and_then(|text| text.parse::<u64>().ok()))
}

pub(super) fn in_flight(object: &DaemonSet) -> bool {
    object.status.as_ref().is_some_and(|status| status.updated_number_scheduled < status.desired_number_scheduled)
}

fn phase(object: &DaemonSet, status: &DaemonSetStatus, revision: &str) -> (Phase, String) {
    let (desired, updated, available) = (
        count(status.desired_number_scheduled),
        count(status.updated_number_scheduled),
        count(status.number_available),
    );
    let moving = if revision == "1" { Phase::Initializing } else { Phase::Progressing };
    if object.metadata.generation.unwrap_or(0) > status.observed_generation {
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
    let (version, digest) = (version_of_template(&object.spec.template), digest_of_template(&object.spec.template));
    let (desired, updated, available) = (
        count(status.desired_number_scheduled),
        count(status.updated_number_scheduled),
        count(status.number_available),
    );
    if !in_flight(object) {
        return vec![settled(version, digest, available, desired, TrafficSource::Replicas)];
    }
    let old = desired.saturating_sub(updated);
    // Which of the available pods are the updated ones is told only once all are available.
    let known = available == desired;
    let candidate = Replicas { ready: available.saturating_sub(old).min(updated), desired };
    let stable = Replicas { ready: available.saturating_sub(candidate.ready), desired: old };
    let newest = newest(groups).map(|group| group.name.as_str());
    let before = super::newest_before(groups, newest);
    let before = before.map_or_else(|| Version("unknown".to_owned()), |group| group.version.clone());
    rolling((before, stable), (version, digest, candidate), known)
}
