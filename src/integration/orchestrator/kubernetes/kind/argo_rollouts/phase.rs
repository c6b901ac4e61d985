//! The phase of a Rollout, in the order in which the official tools look.

use super::objects::{ArgoRollout, RolloutStatus};
use crate::orchestrator::kubernetes::fields::{count, line};

const WORKLOAD_GENERATION: &str = "rollout.argoproj.io/workload-generation";

/// A phase, in the official words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgoPhase {
    /// Done.
    Healthy,
    /// Moving.
    Progressing,
    /// Stands still.
    Paused,
    /// Aborted, invalid or past its deadline.
    Degraded,
    /// Something we don't know.
    Unknown,
}

impl ArgoPhase {
    fn from_name(name: &str) -> ArgoPhase {
        match name {
            "Healthy" => ArgoPhase::Healthy,
            "Progressing" => ArgoPhase::Progressing,
            "Paused" => ArgoPhase::Paused,
            "Degraded" => ArgoPhase::Degraded,
            _ => ArgoPhase::Unknown,
        }
    }
}

/// The phase and a sentence, as `kubectl argo rollouts status` tells them.
#[must_use]
pub fn phase(rollout: &ArgoRollout) -> (ArgoPhase, String) {
    let none = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&none);
    if !is_observed(rollout, status) {
        return progressing("waiting for rollout spec update to be observed");
    }
    if status.controller_pause && status.pause_conditions.is_empty() {
        return progressing("waiting for rollout to unpause");
    }
    if !is_workload_observed(rollout, status) {
        return progressing("waiting for rollout spec update to be observed for the reference workload");
    }
    match status.phase.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => {
            let phase = ArgoPhase::from_name(name);
            let message = line(status.message.as_deref().unwrap_or_default());
            let unknown = phase == ArgoPhase::Unknown && message.is_empty();
            (phase, if unknown { format!("its controller says {}", line(name)) } else { message })
        }
        None => derived(rollout, status),
    }
}

fn progressing(message: &str) -> (ArgoPhase, String) {
    (ArgoPhase::Progressing, message.to_owned())
}

/// Anything but a smaller number counts as observed: old controllers wrote a hash there.
pub(super) fn is_observed(rollout: &ArgoRollout, status: &RolloutStatus) -> bool {
    let observed = status.observed_generation.as_deref().and_then(|text| text.parse::<i64>().ok());
    observed.is_none_or(|observed| observed >= rollout.metadata.generation.unwrap_or(0))
}

pub(super) fn is_workload_observed(rollout: &ArgoRollout, status: &RolloutStatus) -> bool {
    if rollout.spec.workload_ref.is_none() {
        return true;
    }
    let annotations = rollout.metadata.annotations.as_ref();
    let wanted = annotations.and_then(|of| of.get(WORKLOAD_GENERATION)).map(String::as_str);
    // Without the annotation the controller has not looked at the workload yet, nor said that it has.
    wanted.unwrap_or_default() == status.workload_observed_generation.as_deref().unwrap_or_default()
}

/// What controllers before v1.0 left to be found out.
fn derived(rollout: &ArgoRollout, status: &RolloutStatus) -> (ArgoPhase, String) {
    let spec = &rollout.spec;
    for condition in &status.conditions {
        let aborted = matches!(condition.reason.as_str(), "RolloutAborted" | "ProgressDeadlineExceeded");
        if condition.kind == "InvalidSpec" || aborted {
            let name = if aborted { &condition.reason } else { &condition.kind };
            return (ArgoPhase::Degraded, line(&format!("{name}: {}", condition.message)));
        }
    }
    if spec.paused {
        return (ArgoPhase::Paused, "manually paused".to_owned());
    }
    if let Some(pause) = status.pause_conditions.first() {
        return (ArgoPhase::Paused, line(&pause.reason));
    }
    let restarted = status.restarted_at.as_ref().map(|time| time.0);
    if spec.restart_at.as_ref().is_some_and(|at| restarted != Some(at.0)) {
        return progressing("rollout is restarting");
    }
    let (desired, updated) = (spec.replicas.map_or(1, count), count(status.updated_replicas));
    if updated < desired {
        return progressing("more replicas need to be updated");
    }
    if count(status.available_replicas) < updated {
        return progressing("updated replicas are still becoming available");
    }
    let current = status.current_pod_hash.as_deref().unwrap_or_default();
    let is_stable = !current.is_empty() && status.stable_rs.as_deref() == Some(current);
    if spec.strategy.blue_green.is_some() {
        if status.blue_green.active_selector.as_deref().unwrap_or_default() != current {
            return progressing("active service cutover pending");
        }
        if !is_stable {
            return progressing("waiting for analysis to complete");
        }
    } else if let Some(canary) = &spec.strategy.canary {
        if canary.traffic_routing.is_none() && count(status.replicas) > updated {
            return progressing("old replicas are pending termination");
        }
        if !is_stable {
            return progressing("waiting for all steps to complete");
        }
    }
    (ArgoPhase::Healthy, String::new())
}
