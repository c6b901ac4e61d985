//! History: a run that was in flight and is not any more.

use crate::model::{Arm, ArmRole, Deployment, DeploymentOutcome, Fact, Phase, Rollout};
use jiff::Timestamp;

/// Who asked: the API does not say.
const UNKNOWN: &str = "unknown";

/// The run that the old row shows, if by the new row it has ended.
pub(super) fn ended(old: &Rollout, new: &Rollout, now: Timestamp) -> Option<Deployment> {
    // Only what brought another version in is a run: scaling and ill pods are not.
    let candidate = brought_in(old)?;
    if !old.phase.in_flight() && !matches!(old.phase, Phase::Degraded | Phase::Failed) {
        return None;
    }
    let (outcome, cause) = outcome(old, new)?;
    Some(Deployment {
        run: old.run.clone(),
        service: old.service.clone(),
        environment: old.environment.clone(),
        from: old.stable().map(|arm| arm.version.clone()),
        to: candidate.version.clone(),
        author: old.author.clone().unwrap_or_else(|| UNKNOWN.to_owned()),
        started: old.started,
        ended: if old.run == new.run && new.since > old.started { new.since.min(now) } else { now },
        outcome,
        cause,
    })
}

fn brought_in(row: &Rollout) -> Option<&Arm> {
    row.arms.iter().find(|arm| matches!(arm.role, ArmRole::Candidate | ArmRole::Preview))
}

fn outcome(old: &Rollout, new: &Rollout) -> Option<(DeploymentOutcome, String)> {
    if old.run == new.run {
        let outcome = match new.phase {
            Phase::Healthy => DeploymentOutcome::Succeeded,
            Phase::Aborted => DeploymentOutcome::Aborted,
            Phase::Failed if old.phase != Phase::Failed => DeploymentOutcome::Failed,
            _ => return None,
        };
        return Some((outcome, new.message.clone()));
    }
    let fact = |row: &Rollout, fact| row.facts.0.get(&fact).cloned();
    let back = fact(old, Fact::Stable).is_some_and(|stable| fact(new, Fact::Candidate) == Some(stable));
    let before = old.stable().is_some_and(|arm| new.arms.iter().any(|of| of.version == arm.version));
    if back
        || (fact(old, Fact::Stable).is_none()
            && before
            && brought_in(new).is_none_or(|arm| old.stable().is_some_and(|of| of.version == arm.version)))
    {
        return Some((DeploymentOutcome::Aborted, format!("undone by revision {}", new.run.revision)));
    }
    Some((DeploymentOutcome::Superseded, format!("replaced by revision {}", new.run.revision)))
}
