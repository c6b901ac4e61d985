//! History: a run that was in flight and is not any more. What is known of it is noted while it is seen,
//! since the API forgets: what comes next has other sides, times and conditions.

use super::super::images::unknown;
use super::super::kind::Workload;
use super::super::mask::masked;
use super::super::meta::{RESTARTED, annotation, template_writer, writer};
use super::super::pod_sets::ReplicaGroup;
use super::super::row::RESUME;
use flightdeck_model::{
    Arm, ArmRole, DeploymentKind, DeploymentOutcome, Fact, NOT_RECORDED, Phase, Ppm, Rollout, RolloutRecord, Run,
    StepRecord, Version, Wait, sanitize_line,
};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// What people write there says why a revision came.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";
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
    /// The last step that it was seen at: a way back begins anew.
    step: Option<u32>,
    /// Since when it is there; `None`: nobody saw it come there.
    step_since: Option<Timestamp>,
    /// The steps that it was seen to come to and to leave.
    left: Vec<StepRecord>,
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
    /// Which run.
    pub fn run(&self) -> &Run {
        &self.row.run
    }

    /// Takes in a workload's row; gives the run that has ended by it. `before`: its row before.
    pub fn follow(
        flight: &mut Option<Box<Flight>>,
        before: Option<&Rollout>,
        row: &Arc<Rollout>,
        workload: &dyn Workload,
        groups: &[ReplicaGroup],
        now: Timestamp,
    ) -> Option<RolloutRecord> {
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
        // Until the newest set has its name the row is called by the one before.
        if brings_in(row) && !workload.is_named_late(&row.run.revision, groups) {
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
        workload: &dyn Workload,
        groups: &[ReplicaGroup],
        back: Option<String>,
        now: Timestamp,
    ) -> Flight {
        let cause = annotation(workload.meta(), CHANGE_CAUSE).map(|text| sanitize_line(&masked(text)));
        let whole = now.duration_since(row.started) < BEGUN;
        Flight {
            kind: kind(row, workload, groups),
            started: row.started,
            writer: template_writer(workload.meta()).map(|(manager, _)| manager),
            cause: cause.filter(|cause| !cause.is_empty()),
            back,
            whole,
            reached: brought_in(row).and_then(|arm| arm.traffic.actual),
            waits: waits(row),
            waited: SignedDuration::ZERO,
            manual: 0,
            step: row.step,
            step_since: (whole && row.step == Some(0)).then_some(row.started),
            left: Vec::new(),
            failed: false,
            row: Arc::clone(row),
        }
    }

    fn see(&mut self, row: &Arc<Rollout>, now: Timestamp) {
        self.reached = self.reached.max(brought_in(row).and_then(|arm| arm.traffic.actual));
        let waits = waits(row);
        if waits.is_none() || row.step > self.row.step {
            self.stop_waiting(row.phase != Phase::RollingBack, now);
        }
        self.waits = self.waits.or(waits);
        if row.step > self.step {
            self.leave_step(true, now);
            self.step_since = Some(now);
        }
        self.step = self.step.max(row.step);
        self.row = Arc::clone(row);
    }

    fn stop_waiting(&mut self, went_on: bool, now: Timestamp) {
        let Some(since) = self.waits.take() else { return };
        self.waited = self.waited.saturating_add(now.duration_since(since).max(SignedDuration::ZERO));
        self.manual += u32::from(went_on);
    }

    fn leave_step(&mut self, done: bool, ended: Timestamp) {
        let Some(began) = self.step_since.take() else { return };
        let Some((index, step)) = self.step.and_then(|at| Some((at, self.row.steps.get(at as usize)?.clone()))) else {
            return;
        };
        self.left.push(StepRecord { index, step, began, ended: ended.max(began), done });
    }

    /// Its record, if by the new row it has ended.
    fn end(&mut self, new: &Rollout, workload: &dyn Workload, now: Timestamp) -> Option<RolloutRecord> {
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
        self.leave_step(succeeded, if aborted { new.since } else { ended });
        let steps = if succeeded { u32::try_from(old.steps.len()).ok() } else { self.step.or(Some(0)) };
        Some(RolloutRecord {
            run: old.run.clone(),
            service: old.service.clone(),
            called: None,
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
            commit: None,
            commit_at: None,
            pipeline_run: None,
            step_times: std::mem::take(&mut self.left),
            reached: if succeeded { Some(Ppm::ALL) } else { self.reached },
            rollback: Some(back).filter(|back| aborted && *back > SignedDuration::ZERO),
            waited: self.whole.then_some(self.waited),
            manual_steps: if self.whole { self.manual } else { 0 },
            steps: steps.filter(|_| self.whole),
            diagnosis: None,
        })
    }

    fn outcome(&self, new: &Rollout, workload: &dyn Workload) -> Option<(DeploymentOutcome, String)> {
        let old = &self.row;
        if old.run == new.run {
            let (outcome, otherwise) = match new.phase {
                Phase::Healthy => (DeploymentOutcome::Succeeded, "all its pods are available"),
                Phase::Aborted => (DeploymentOutcome::Aborted, "aborted"),
                Phase::Failed => (DeploymentOutcome::Failed, "failed"),
                _ => return None,
            };
            let mut why = if new.message.is_empty() { otherwise.to_owned() } else { new.message.clone() };
            let by = writer(workload.meta(), ["f:status", "f:abort"]).filter(|_| new.phase == Phase::Aborted);
            if let Some((manager, _)) = by {
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
fn kind(row: &Rollout, workload: &dyn Workload, groups: &[ReplicaGroup]) -> DeploymentKind {
    let [Some(current), Some(stable)] = workload.sides(row, groups) else { return DeploymentKind::Deploy };
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
    use crate::orchestrator::kubernetes::kind::{Source, named};
    use flightdeck_model::{Replicas, Step, Strategy, Target, Traffic, TrafficSource};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// A row that began at 10 and stands so since 20.
    fn row(revision: &str, phase: Phase, versions: &[(ArmRole, &str)]) -> Rollout {
        let target = Target {
            source: "east".into(),
            kind: "Deployment".into(),
            namespace: None,
            name: "web".into(),
            uid: "u".into(),
            first_name: None,
        };
        let traffic = Traffic { desired: Ppm::ZERO, actual: None, how: TrafficSource::Replicas };
        let arm = |(role, version): &(ArmRole, &str)| Arm {
            role: role.clone(),
            version: (*version).into(),
            digest: None,
            replicas: Replicas::default(),
            traffic,
            pods: None,
            service: None,
        };
        Rollout {
            strategy: Strategy::Rolling,
            arms: versions.iter().map(arm).collect(),
            phase,
            message: "why".into(),
            started: at(10),
            ..Rollout::bare(Run { target, revision: revision.into() }, "web".into(), "east".into(), at(20))
        }
    }

    fn deployment(change: &serde_json::Value) -> Box<dyn Workload> {
        let mut object = serde_json::json!({
            "metadata": {"name": "web", "managedFields": [
                {"manager": "kubectl-set", "time": at(10).to_string(), "fieldsV1": {"f:spec": {"f:template": {}}}},
                {"manager": "autoscaler", "time": at(25).to_string(), "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {},
        });
        json_patch::merge(&mut object, change);
        named("Deployment").unwrap().read(Source::Value(object)).unwrap()
    }

    fn plain() -> Box<dyn Workload> {
        deployment(&serde_json::json!({}))
    }

    /// Rows one after the other, one every ten seconds; the last one's end, if it is one.
    fn story(workload: &dyn Workload, rows: &[Rollout]) -> Option<RolloutRecord> {
        let (mut flight, mut before) = (None, None);
        let mut ended = None;
        for (second, row) in (1..).zip(rows) {
            let row = Arc::new(row.clone());
            ended = Flight::follow(&mut flight, before.as_deref(), &row, workload, &[], at(second * 10));
            before = Some(row);
        }
        ended
    }

    const TWO: [(ArmRole, &str); 2] = [(ArmRole::Stable, "v1"), (ArmRole::Candidate, "v2")];

    #[test]
    fn a_run_ends_as_what_came_after_it_says() {
        let old = row("2", Phase::Progressing, &TWO);
        let how = |new: &Rollout| story(plain().as_ref(), &[old.clone(), new.clone()]).map(|run| run.outcome);
        for (what, new, expected) in [
            ("on its way", row("2", Phase::Paused, &TWO), None),
            ("done", row("2", Phase::Healthy, &[(ArmRole::Stable, "v2")]), Some(DeploymentOutcome::Succeeded)),
            ("aborted", row("2", Phase::Aborted, &TWO), Some(DeploymentOutcome::Aborted)),
            ("failed", row("2", Phase::Failed, &TWO), Some(DeploymentOutcome::Failed)),
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
        let by_hash = |revision: &str, stable: &str, candidate: &str| {
            let mut row = row(revision, Phase::Progressing, &TWO);
            row.facts = row.facts.with(Fact::Stable, stable).with(Fact::Candidate, candidate);
            row
        };
        let how = |new| story(plain().as_ref(), &[by_hash("2", "a", "b"), new]).unwrap().outcome;
        assert_eq!(
            how(by_hash("3", "a", "a")),
            DeploymentOutcome::Aborted,
            "the same images with another template are another"
        );
        assert_eq!(how(by_hash("3", "a", "c")), DeploymentOutcome::Superseded);
    }

    #[test]
    fn its_record_is_what_was_seen_whatever_follows() {
        let share = |percent: u32| {
            let mut row = row("2", Phase::Paused, &TWO);
            row.arms[1].traffic.actual = Some(Ppm::percent(percent));
            row
        };
        let human = Wait::Human { what: "promotion".into(), who: None, since: at(15) };
        let waiting = Rollout { waits: vec![human], step: Some(1), ..share(20) };
        let on = Rollout { step: Some(2), ..share(50) };
        // The next revision has another beginning, and its own sides.
        let next = Rollout {
            started: at(40),
            ..row("3", Phase::Progressing, &[(ArmRole::Stable, "v1"), (ArmRole::Candidate, "v3")])
        };
        let run =
            story(plain().as_ref(), &[row("2", Phase::Progressing, &TWO), waiting.clone(), on.clone(), next]).unwrap();
        assert_eq!((run.from.as_ref().unwrap().as_str(), run.to.as_str()), ("v1", "v2"));
        assert_eq!((run.started, run.ended, run.cause.as_str()), (at(10), at(40), "replaced by revision 3"));
        assert_eq!((run.author.as_deref(), run.writer.as_deref()), (None, Some("kubectl-set")));
        assert_eq!((run.reached, run.waited), (Some(Ppm::percent(50)), Some(SignedDuration::from_secs(15))));
        assert_eq!((run.steps, run.manual_steps), (Some(2), 1));
        let done = row("2", Phase::Healthy, &[(ArmRole::Stable, "v2")]);
        let cause = serde_json::json!({"metadata": {"annotations": {CHANGE_CAUSE: "new prices --token=hunter2"}}});
        let run = story(deployment(&cause).as_ref(), &[waiting.clone(), done.clone()]).unwrap();
        assert_eq!((run.cause.as_str(), run.ended, run.reached), ("new prices --token=•••", at(20), Some(Ppm::ALL)));
        let late = Rollout { started: at(-500), ..waiting };
        let run = story(plain().as_ref(), &[late, done]).unwrap();
        assert_eq!((run.waited, run.steps), (None, None), "it was not seen from its beginning");
        assert_eq!(run.started, at(-500));
    }

    #[test]
    fn an_abort_says_who_and_how_long_its_way_back_took() {
        let aborted = Rollout { since: at(15), ..row("2", Phase::Aborted, &TWO) };
        let by = |manager: &str| {
            let change = serde_json::json!({"metadata": {"managedFields": [
                {"manager": manager, "time": at(15).to_string(), "fieldsV1": {"f:status": {"f:abort": {}}}}]}});
            story(deployment(&change).as_ref(), &[row("2", Phase::Progressing, &TWO), aborted.clone()]).unwrap()
        };
        let run = by("kubectl-argo-rollouts");
        assert_eq!(run.cause, "why; by kubectl-argo-rollouts (field manager)");
        assert_eq!((run.rollback, run.ended), (Some(SignedDuration::from_secs(5)), at(20)));
        assert_eq!(
            (by("rollouts-controller").cause.as_str(), run.writer),
            ("why", None),
            "nothing is said of who brought it in"
        );
    }

    #[test]
    fn steps_are_those_that_it_had_come_to_whatever_its_way_back_says() {
        let human = Wait::Human { what: "promotion".into(), who: None, since: at(15) };
        let at_step = |step| Rollout { step: Some(step), ..row("2", Phase::Paused, &TWO) };
        let waiting = Rollout { waits: vec![human], ..at_step(1) };
        // The pause ends a moment before the step does.
        let on = at_step(1);
        let back = Rollout { step: Some(0), phase: Phase::RollingBack, ..at_step(0) };
        let aborted = row("2", Phase::Aborted, &TWO);
        let run = story(plain().as_ref(), &[waiting.clone(), on, at_step(3), back.clone(), aborted.clone()]).unwrap();
        assert_eq!((run.steps, run.manual_steps), (Some(3), 1));
        let run = story(plain().as_ref(), &[waiting, back, aborted]).unwrap();
        assert_eq!((run.steps, run.manual_steps), (Some(1), 0), "an abort is no step");
    }

    #[test]
    fn steps_have_the_times_at_which_they_were_seen_to_begin_and_end() {
        let plan: Arc<[Step]> = [20, 50].map(|share| Step::SetWeight(Ppm::percent(share))).into();
        let at_step = |step, phase| Rollout { step: Some(step), steps: plan.clone(), ..row("2", phase, &TWO) };
        let times = |rows: &[Rollout]| {
            let run = story(plain().as_ref(), rows).unwrap();
            let times = run.step_times.iter().map(|of| (of.index, of.began, of.ended, of.done));
            times.collect::<Vec<_>>()
        };
        let (first, second) = (at_step(0, Phase::Progressing), at_step(1, Phase::Progressing));
        let done = Rollout { since: at(40), ..row("2", Phase::Healthy, &[(ArmRole::Stable, "v2")]) };
        let all = [first.clone(), first.clone(), second.clone(), done.clone()];
        assert_eq!(times(&all), [(0, at(10), at(30), true), (1, at(30), at(40), true)]);
        let aborted = Rollout { since: at(35), ..at_step(0, Phase::Aborted) };
        let cut_short = [first.clone(), first, second.clone(), aborted];
        assert_eq!(times(&cut_short), [(0, at(10), at(30), true), (1, at(30), at(35), false)]);
        // It was at its second step when it was first seen.
        assert_eq!(times(&[second, done]), []);
    }

    #[test]
    fn a_revision_that_is_named_late_is_no_run_of_the_one_before() {
        let set = |revision: &str| ReplicaGroup {
            name: revision.into(),
            hash: String::new(),
            revision: Some(revision.into()),
            images: super::super::super::images::one("web:v1"),
            replicas: Replicas { ready: 1, desired: 1 },
            created: None,
            ends: None,
        };
        let mut flight = None;
        let late = Arc::new(row("1", Phase::Progressing, &TWO));
        let sets = [set("1"), set("2")];
        assert!(
            Flight::follow(&mut flight, None, &late, plain().as_ref(), &sets, at(20)).is_none() && flight.is_none()
        );
        let named = Arc::new(row("2", Phase::Progressing, &TWO));
        assert!(Flight::follow(&mut flight, Some(&late), &named, plain().as_ref(), &sets, at(21)).is_none());
        assert_eq!(flight.unwrap().run().revision, "2");
    }

    #[test]
    fn what_failed_may_still_arrive_and_is_told_once_each() {
        let failed = row("2", Phase::Failed, &TWO);
        let rows = [row("2", Phase::Progressing, &TWO), failed.clone(), failed];
        assert!(story(plain().as_ref(), &rows).is_none(), "told before");
        let [begun, failed, _] = rows;
        let done = row("2", Phase::Healthy, &[(ArmRole::Stable, "v2")]);
        assert_eq!(story(plain().as_ref(), &[begun, failed, done]).unwrap().outcome, DeploymentOutcome::Succeeded);
    }

    #[test]
    fn scaling_and_ill_pods_are_no_run() {
        assert!(!brings_in(&row("2", Phase::Progressing, &[(ArmRole::Stable, "v1")])));
        assert!(!brings_in(&row("2", Phase::Aborted, &TWO)));
        assert!(brings_in(&row("2", Phase::Initializing, &[(ArmRole::Candidate, "v1")])));
        assert!(!brings_in(&row("0", Phase::Degraded, &[(ArmRole::Candidate, "v1")])), "never taken up");
    }

    #[test]
    fn what_a_run_is_for_is_told_by_its_replica_sets() {
        let group = |revision: &str, version: &str, created: i64| ReplicaGroup {
            name: revision.into(),
            hash: String::new(),
            revision: Some(revision.into()),
            images: super::super::super::images::one(&format!("web:{version}")),
            replicas: Replicas::default(),
            created: Some(at(created)),
            ends: None,
        };
        let new = row("3", Phase::Progressing, &TWO);
        let marked = |at: Timestamp| {
            let annotations = serde_json::json!({RESTARTED: at.to_string()});
            deployment(&serde_json::json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}))
        };
        let of = |workload: &dyn Workload, groups: &[ReplicaGroup]| kind(&new, workload, groups);
        assert_eq!(of(plain().as_ref(), &[group("2", "v1", 1), group("3", "v2", 10)]), DeploymentKind::Deploy);
        assert_eq!(of(plain().as_ref(), &[group("2", "v2", 5), group("3", "v1", 1)]), DeploymentKind::Rollback);
        let same = [group("2", "v1", 1), group("3", "v1", 10)];
        assert_eq!(of(marked(at(11)).as_ref(), &same), DeploymentKind::Restart);
        assert_eq!(of(marked(at(-900)).as_ref(), &same), DeploymentKind::Deploy, "it was restarted before");
        assert_eq!(of(marked(at(11)).as_ref(), &[group("2", "v1", 1), group("3", "v2", 10)]), DeploymentKind::Deploy);
    }
}
