//! History: a run that was in flight and is not any more. What is known of it is noted while it is seen,
//! since the API forgets: what comes next has other sides, times and conditions.

use super::super::images::unknown;
use super::super::inspect::masked;
use super::super::plan::RESTARTED;
use super::super::row::RESUME;
use super::super::{ReplicaGroup, Workload};
use crate::model::{
    Arm, ArmRole, Deployment, DeploymentKind, DeploymentOutcome, Fact, NOT_RECORDED, Phase, Ppm, Rollout, Version,
    Wait, sanitize_line,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// What people write there says why a revision came.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
/// Who writes the status of Rollouts by itself.
const CONTROLLER: &str = "rollouts-controller";
/// A run that began longer ago than this when it was seen first was not seen from its beginning.
const BEGUN: SignedDuration = SignedDuration::from_mins(1);
/// How far the moments that a restart writes down may be apart.
const RESTART: SignedDuration = SignedDuration::from_secs(10);

/// A run in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// As it was last seen bringing a version in.
    row: Arc<Rollout>,
    kind: DeploymentKind,
    started: Timestamp,
    /// The program that brought it in: who used it the API does not say.
    writer: Option<String>,
    /// What its author wrote down.
    cause: Option<String>,
    /// What the workload was asked to run before, by [`Fact::Candidate`].
    back: Option<String>,
    /// Was it seen from its beginning on?
    whole: bool,
    /// The largest share seen.
    reached: Option<Ppm>,
    /// Since when it waits for a person.
    waits: Option<Timestamp>,
    waited: SignedDuration,
    /// Waits for a person that ended by its going on.
    manual: u32,
    /// It was told as failed, and may still succeed.
    failed: bool,
}

/// Is another version being brought in? Only that is a run: scaling and ill pods are not. Before its
/// controller has taken a workload up there is no revision that could be one.
fn brings_in(row: &Rollout) -> bool {
    (row.phase.in_flight() || row.phase == Phase::Degraded) && brought_in(row).is_some() && row.run.revision != "0"
}

fn brought_in(row: &Rollout) -> Option<&Arm> {
    row.arms.iter().find(|arm| matches!(arm.role, ArmRole::Candidate | ArmRole::Preview))
}

/// Does a step of it wait for a person? Who paused it by hand made it wait.
fn waits(row: &Rollout) -> Option<Timestamp> {
    row.waits.iter().find_map(|wait| match wait {
        Wait::Human { what, since, .. } if what != RESUME => Some(*since),
        _ => None,
    })
}

impl Flight {
    /// Takes in a workload's row; gives the run that has ended by it. `before`: its row before.
    pub fn follow(
        flight: &mut Option<Box<Flight>>,
        before: Option<&Rollout>,
        row: &Arc<Rollout>,
        workload: &Workload,
        groups: &[ReplicaGroup],
        now: Timestamp,
    ) -> Option<Deployment> {
        let ended = flight.as_mut().and_then(|flight| flight.end(row, workload, now));
        let mut over = None;
        if let Some(run) = &ended {
            // Past its deadline it goes on, and may still arrive.
            let failed = run.outcome == DeploymentOutcome::Failed;
            match flight.as_mut().filter(|_| failed) {
                Some(flight) => flight.failed = true,
                None => over = flight.take(),
            }
        }
        if brings_in(row) {
            if let Some(flight) = flight.as_mut().filter(|flight| flight.row.run == row.run) {
                flight.see(row, now);
            } else {
                let back = over.and_then(|over| over.back).or_else(|| asked_before(before, row));
                *flight = Some(Box::new(Flight::begin(row, workload, groups, back, now)));
            }
        }
        ended
    }

    fn begin(
        row: &Arc<Rollout>,
        workload: &Workload,
        groups: &[ReplicaGroup],
        back: Option<String>,
        now: Timestamp,
    ) -> Flight {
        let cause = workload.annotation(CHANGE_CAUSE).map(|text| sanitize_line(&masked(text)));
        Flight {
            kind: kind(row, workload, groups),
            started: row.started,
            writer: workload.template_writer().map(|(manager, _)| manager),
            cause: cause.filter(|cause| !cause.is_empty()),
            back,
            whole: now.duration_since(row.started) < BEGUN,
            reached: brought_in(row).and_then(|arm| arm.traffic.actual),
            waits: waits(row),
            waited: SignedDuration::ZERO,
            manual: 0,
            failed: false,
            row: Arc::clone(row),
        }
    }

    fn see(&mut self, row: &Arc<Rollout>, now: Timestamp) {
        self.reached = self.reached.max(brought_in(row).and_then(|arm| arm.traffic.actual));
        let waits = waits(row);
        if waits.is_none() || row.step > self.row.step {
            self.stop_waiting(row.step > self.row.step, now);
        }
        self.waits = self.waits.or(waits);
        self.row = Arc::clone(row);
    }

    fn stop_waiting(&mut self, went_on: bool, now: Timestamp) {
        let Some(since) = self.waits.take() else { return };
        self.waited = self.waited.saturating_add(now.duration_since(since).max(SignedDuration::ZERO));
        self.manual += u32::from(went_on);
    }

    /// Its record, if by the new row it has ended.
    fn end(&mut self, new: &Rollout, workload: &Workload, now: Timestamp) -> Option<Deployment> {
        let old = Arc::clone(&self.row);
        let (outcome, why) = self.outcome(new, workload)?;
        if outcome == DeploymentOutcome::Failed && self.failed {
            return None;
        }
        let succeeded = outcome == DeploymentOutcome::Succeeded;
        self.stop_waiting(succeeded, now);
        let candidate = brought_in(&old)?;
        // When its traffic was back nobody writes down: that is seen.
        let told = old.run == new.run && new.since > self.started && outcome != DeploymentOutcome::Aborted;
        let ended = if told { new.since.min(now) } else { now };
        let aborted = outcome == DeploymentOutcome::Aborted && old.run == new.run && new.since > self.started;
        let back = now.duration_since(new.since);
        let steps = if succeeded { u32::try_from(old.steps.len()).ok() } else { old.step.or(Some(0)) };
        Some(Deployment {
            run: old.run.clone(),
            service: old.service.clone(),
            environment: old.environment.clone(),
            from: old.stable().map(|arm| recorded(&arm.version)),
            to: candidate.version.clone(),
            author: None,
            writer: self.writer.clone(),
            started: self.started.min(ended),
            ended,
            outcome,
            cause: self.cause.clone().filter(|_| succeeded).unwrap_or(why),
            kind: self.kind,
            digest: candidate.digest.clone(),
            commit_at: None,
            reached: if succeeded { Some(Ppm::ALL) } else { self.reached },
            rollback: Some(back).filter(|back| aborted && *back > SignedDuration::ZERO),
            waited: self.whole.then_some(self.waited),
            manual_steps: if self.whole { self.manual } else { 0 },
            steps: steps.filter(|_| self.whole),
        })
    }

    fn outcome(&self, new: &Rollout, workload: &Workload) -> Option<(DeploymentOutcome, String)> {
        let old = &self.row;
        if old.run == new.run {
            let (outcome, otherwise) = match new.phase {
                Phase::Healthy => (DeploymentOutcome::Succeeded, "all its pods are available"),
                Phase::Aborted => (DeploymentOutcome::Aborted, "aborted"),
                Phase::Failed => (DeploymentOutcome::Failed, "failed"),
                _ => return None,
            };
            let mut why = if new.message.is_empty() { otherwise.to_owned() } else { new.message.clone() };
            let by = workload.writer(["f:status", "f:abort"]).filter(|_| new.phase == Phase::Aborted);
            if let Some((manager, _)) = by.filter(|(manager, _)| manager != CONTROLLER) {
                why = format!("{why}; by {manager} (field manager)");
            }
            return Some((outcome, why));
        }
        if self.is_undone_by(new) {
            return Some((DeploymentOutcome::Aborted, format!("undone by revision {}", new.run.revision)));
        }
        Some((DeploymentOutcome::Superseded, format!("replaced by revision {}", new.run.revision)))
    }

    /// Does the new revision bring back what was there before? By the template's hash, else by its images.
    fn is_undone_by(&self, new: &Rollout) -> bool {
        let asked = new.facts.0.get(&Fact::Candidate);
        if let Some(before) = self.row.facts.0.get(&Fact::Stable).or(self.back.as_ref()) {
            return asked == Some(before);
        }
        let wanted = brought_in(new).or_else(|| new.stable()).map(|arm| &arm.version);
        wanted.is_some() && wanted == self.row.stable().map(|arm| &arm.version)
    }
}

/// A version, unless nobody could tell it.
fn recorded(version: &Version) -> Version {
    if *version == unknown() { Version(NOT_RECORDED.to_owned()) } else { version.clone() }
}

/// What the workload was asked to run before the row's revision.
fn asked_before(before: Option<&Rollout>, row: &Rollout) -> Option<String> {
    let before = before.filter(|before| before.run != row.run && brought_in(before).is_none());
    before?.facts.0.get(&Fact::Candidate).cloned()
}

/// What a run is for: an older ReplicaSet that is taken up again is a way back, and the same images with the
/// mark of a restart are one.
fn kind(row: &Rollout, workload: &Workload, groups: &[ReplicaGroup]) -> DeploymentKind {
    let fact = |fact: Fact| row.facts.0.get(&fact).map(String::as_str);
    let is_current = |group: &&ReplicaGroup| match workload {
        Workload::Rollout(_) => Some(group.hash.as_str()) == fact(Fact::Candidate),
        Workload::Deployment(_) => group.revision.as_ref() == Some(&row.run.revision),
        Workload::StatefulSet(_) | Workload::DaemonSet(_) => group.name == row.run.revision,
    };
    let current = groups.iter().find(is_current);
    let stable = match workload {
        Workload::Rollout(_) => groups.iter().find(|group| Some(group.hash.as_str()) == fact(Fact::Stable)),
        _ => groups.iter().filter(|group| !is_current(group)).max_by_key(|group| group.replicas.ready),
    };
    let (Some(current), Some(stable)) = (current, stable) else { return DeploymentKind::Deploy };
    if current.created < stable.created {
        return DeploymentKind::Rollback;
    }
    let mark = workload.template().and_then(|template| template.metadata.annotations.get(RESTARTED)?.parse().ok());
    let restarted = mark.is_some_and(|at: Timestamp| row.started.duration_since(at).abs() < RESTART);
    if restarted && current.images == stable.images { DeploymentKind::Restart } else { DeploymentKind::Deploy }
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
