//! History: a run that was in flight and is not any more.

use crate::model::{Arm, ArmRole, Deployment, DeploymentKind, DeploymentOutcome, Fact, Phase, Rollout};
use jiff::{SignedDuration, Timestamp};

/// Who asked: the API does not say.
const UNKNOWN: &str = "unknown";

/// Is another version being brought in? Only that is a run: scaling and ill pods are not.
pub(super) fn brings_in(row: &Rollout) -> bool {
    (row.phase.in_flight() || row.phase == Phase::Degraded) && brought_in(row).is_some()
}

/// The run that an old row shows, if by the new row it has ended.
pub(super) fn ended(old: &Rollout, new: &Rollout, now: Timestamp) -> Option<Deployment> {
    let candidate = brought_in(old)?;
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
        kind: DeploymentKind::Deploy,
        digest: None,
        commit_at: None,
        reached: None,
        rollback: None,
        waited: SignedDuration::ZERO,
        manual_steps: 0,
        steps: 0,
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
            Phase::Failed => DeploymentOutcome::Failed,
            _ => return None,
        };
        return Some((outcome, new.message.clone()));
    }
    if is_back(old, new) {
        return Some((DeploymentOutcome::Aborted, format!("undone by revision {}", new.run.revision)));
    }
    Some((DeploymentOutcome::Superseded, format!("replaced by revision {}", new.run.revision)))
}

/// Does the new revision bring back what was there before? By the template's hash, else by its version.
fn is_back(old: &Rollout, new: &Rollout) -> bool {
    if let Some(stable) = old.facts.0.get(&Fact::Stable) {
        return new.facts.0.get(&Fact::Candidate) == Some(stable);
    }
    let wanted = brought_in(new).or_else(|| new.stable()).map(|arm| &arm.version);
    wanted.is_some() && wanted == old.stable().map(|arm| &arm.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ppm, Replicas, Run, Strategy, Target, Traffic, TrafficSource};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn row(revision: &str, phase: Phase, versions: &[(ArmRole, &str)]) -> Rollout {
        let target = Target {
            source: "east".into(),
            kind: "Deployment".into(),
            namespace: None,
            name: "web".into(),
            uid: "u".into(),
        };
        let traffic = Traffic { desired: Ppm::ZERO, actual: None, how: TrafficSource::Replicas };
        let arm = |(role, version): &(ArmRole, &str)| Arm {
            role: role.clone(),
            version: (*version).into(),
            digest: None,
            replicas: Replicas::default(),
            traffic,
        };
        Rollout {
            run: Run { target, revision: revision.into() },
            service: "web".into(),
            environment: "east".into(),
            strategy: Strategy::Rolling,
            steps: [].into(),
            step: None,
            arms: versions.iter().map(arm).collect(),
            phase,
            waits: Vec::new(),
            message: "why".into(),
            started: at(10),
            since: at(20),
            author: None,
            facts: crate::model::Facts::default(),
            offers: crate::model::ActionSet::EMPTY,
            barred: std::sync::Arc::default(),
            managed_by: None,
            way_back: None,
            in_flight: None,
        }
    }

    #[test]
    fn a_run_ends_as_what_came_after_it_says() {
        let two = [(ArmRole::Stable, "v1"), (ArmRole::Candidate, "v2")];
        let old = row("2", Phase::Progressing, &two);
        let how = |new: &Rollout| ended(&old, new, at(30)).map(|run| run.outcome);
        for (what, new, expected) in [
            ("on its way", row("2", Phase::Paused, &two), None),
            ("done", row("2", Phase::Healthy, &[(ArmRole::Stable, "v2")]), Some(DeploymentOutcome::Succeeded)),
            ("aborted", row("2", Phase::Aborted, &two), Some(DeploymentOutcome::Aborted)),
            ("failed", row("2", Phase::Failed, &two), Some(DeploymentOutcome::Failed)),
            ("settling", row("2", Phase::Progressing, &[(ArmRole::Stable, "v2")]), None),
            ("undone", row("3", Phase::Healthy, &[(ArmRole::Stable, "v1")]), Some(DeploymentOutcome::Aborted)),
            (
                "being undone",
                row("3", Phase::Progressing, &[(ArmRole::Stable, "v2"), (ArmRole::Candidate, "v1")]),
                Some(DeploymentOutcome::Aborted),
            ),
            (
                "replaced",
                row("3", Phase::Progressing, &[(ArmRole::Stable, "v1"), (ArmRole::Candidate, "v3")]),
                Some(DeploymentOutcome::Superseded),
            ),
        ] {
            assert_eq!(how(&new), expected, "{what}");
        }
        let run = ended(&old, &row("2", Phase::Healthy, &[]), at(30)).unwrap();
        assert_eq!((run.from.unwrap().as_str(), run.to.as_str(), run.author.as_str()), ("v1", "v2", "unknown"));
        assert_eq!((run.started, run.ended, run.cause.as_str()), (at(10), at(20), "why"));
        let by_hash = |revision: &str, stable: &str, candidate: &str| {
            let mut row = row(revision, Phase::Progressing, &two);
            row.facts = row.facts.with(Fact::Stable, stable).with(Fact::Candidate, candidate);
            row
        };
        let how = |new| ended(&by_hash("2", "a", "b"), &new, at(30)).unwrap().outcome;
        assert_eq!(
            how(by_hash("3", "a", "a")),
            DeploymentOutcome::Aborted,
            "the same images with another template are another"
        );
        assert_eq!(how(by_hash("3", "a", "c")), DeploymentOutcome::Superseded);
    }

    #[test]
    fn scaling_and_ill_pods_are_no_run() {
        assert!(!brings_in(&row("2", Phase::Progressing, &[(ArmRole::Stable, "v1")])));
        assert!(!brings_in(&row("2", Phase::Aborted, &[(ArmRole::Stable, "v1"), (ArmRole::Candidate, "v2")])));
        assert!(brings_in(&row("2", Phase::Initializing, &[(ArmRole::Candidate, "v1")])));
    }
}
