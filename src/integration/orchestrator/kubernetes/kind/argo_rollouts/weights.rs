//! How much a canary should have, and how much it has.

use super::objects::{ArgoRollout, Canary, RolloutStatus};
use crate::orchestrator::kubernetes::fields::{count, part};
use crate::orchestrator::kubernetes::pod_sets::ReplicaGroup;
use flightdeck_model::{Ppm, TrafficSource};

/// A canary's share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// What the plan asks for.
    pub desired: Ppm,
    /// What is known to be in force.
    pub actual: Option<Ppm>,
    /// Stable's share, as told by the same source.
    pub stable: Option<Ppm>,
    /// How it is known.
    pub how: TrafficSource,
    /// Weights that no router can have, in words.
    pub nonsense: Option<String>,
}

/// The weight that means everything.
pub(super) fn whole(canary: &Canary) -> i32 {
    let most = canary.traffic_routing.as_ref().and_then(|routing| routing.max_traffic_weight);
    most.filter(|most| *most > 0).unwrap_or(100)
}

/// A weight as a share, within nothing and everything.
pub(super) fn ppm(weight: i32, whole: i32) -> Ppm {
    part(count(weight), count(whole)).unwrap_or(Ppm::ZERO)
}

/// The index of the current step; `None` when there is none: no steps, or all done.
pub(super) fn current(canary: &Canary, status: &RolloutStatus) -> Option<usize> {
    let index = usize::try_from(status.current_step_index.unwrap_or(0)).unwrap_or(0);
    (index < canary.steps.len()).then_some(index)
}

/// The share that the plan asks for: the last weight at or before the current step.
fn desired(canary: &Canary, status: &RolloutStatus) -> Ppm {
    if status.abort == Some(true) {
        return Ppm::ZERO;
    }
    let Some(index) = current(canary, status) else { return Ppm::ALL };
    let weights = canary.steps.iter().take(index + 1).rev();
    weights.into_iter().find_map(|step| step.set_weight).map_or(Ppm::ZERO, |weight| ppm(weight, whole(canary)))
}

/// The canary's share. Without a router it follows from available pods: `groups` say whose they are.
#[must_use]
pub fn share(rollout: &ArgoRollout, canary: &Canary, groups: &[ReplicaGroup]) -> Share {
    let none = RolloutStatus::default();
    let status = rollout.status.as_ref().unwrap_or(&none);
    let desired = desired(canary, status);
    let is_stable = status.current_pod_hash.is_some() && status.current_pod_hash == status.stable_rs;
    if canary.traffic_routing.is_none() {
        let how = TrafficSource::Replicas;
        let (actual, stable) = by_pods(status, groups).unzip();
        return Share { desired, actual, stable, how, nonsense: None };
    }
    if is_stable {
        let (actual, stable) = (Some(Ppm::ALL), Some(Ppm::ZERO));
        return Share { desired, actual, stable, how: TrafficSource::Declared, nonsense: None };
    }
    // Before it is told anything nobody knows what a router does. The official tools say 100 % once
    // no step is left; the weights say when that is true.
    let Some(weights) = &status.canary.weights else {
        return Share { desired, actual: None, stable: None, how: TrafficSource::Declared, nonsense: None };
    };
    let whole = whole(canary);
    let how = if weights.verified == Some(true) { TrafficSource::Acknowledged } else { TrafficSource::Declared };
    let (of_canary, of_stable) = (weights.canary.weight, weights.stable.weight);
    if [of_canary, of_stable].iter().any(|weight| !(0..=whole).contains(weight)) {
        let nonsense = Some(format!("its weights can't be: {of_canary} and {of_stable} of {whole}"));
        return Share { desired, actual: None, stable: None, how, nonsense };
    }
    let (actual, stable) = (Some(ppm(of_canary, whole)), Some(ppm(of_stable, whole)));
    Share { desired, actual, stable, how, nonsense: None }
}

/// By available pods, of the canary and of stable, out of those of every template.
fn by_pods(status: &RolloutStatus, groups: &[ReplicaGroup]) -> Option<(Ppm, Ppm)> {
    let hash = status.current_pod_hash.as_deref()?;
    if status.stable_rs.as_deref() == Some(hash) {
        return (status.available_replicas > 0).then_some((Ppm::ALL, Ppm::ZERO));
    }
    let sum = |of: &dyn Fn(&ReplicaGroup) -> bool| {
        let ready = groups.iter().filter(|group| of(group)).map(|group| group.replicas.ready);
        ready.fold(0_u32, u32::saturating_add)
    };
    let (mine, all) = (sum(&|group| group.hash == hash), sum(&|_| true));
    let stable = sum(&|group| Some(group.hash.as_str()) == status.stable_rs.as_deref());
    let older = all.saturating_sub(mine).saturating_sub(stable);
    let actual = part(mine, all)?;
    // Of two sides one is what the other leaves, to the last millionth.
    Some((actual, if older == 0 { actual.rest() } else { part(stable, all)? }))
}
