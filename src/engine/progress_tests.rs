use super::*;
use flightdeck_model::{
    ActionSet, Arm, ArmRole, Command, DeploymentKind, Facts, Ppm, Replicas, Step, Strategy, Target, Traffic,
    TrafficSource,
};
use jiff::{SignedDuration, Timestamp};

/// A row written short: `r-2 progressing step 1, stable 1.0 95/95, candidate 1.1 5/5`.
struct Row(Rollout);

fn target() -> Target {
    let namespace = Some("production".to_owned());
    Target {
        source: "local".into(),
        kind: "service".into(),
        namespace,
        name: "shop".into(),
        uid: "u".into(),
        first_name: None,
    }
}

fn row(revision: &str, phase: Phase, step: u32) -> Row {
    Row(Rollout {
        run: Run { target: target(), revision: revision.into() },
        service: "shop".into(),
        environment: "production".into(),
        strategy: Strategy::Canary,
        steps: vec![
            Step::SetWeight(Ppm::percent(5)),
            Step::Pause { duration: None },
            Step::SetWeight(Ppm::percent(50)),
            Step::Approval { count: 2, from: Vec::new(), expires: None },
        ]
        .into(),
        step: Some(step),
        arms: Vec::new(),
        phase,
        waits: Vec::new(),
        message: "because".into(),
        started: Timestamp::UNIX_EPOCH,
        since: Timestamp::UNIX_EPOCH,
        author: None,
        facts: Facts::default(),
        offers: ActionSet::EMPTY,
        denied: std::sync::Arc::default(),
        managed_by: None,
        analyses: Vec::new(),
        rollback_plan: None,
        listening: None,
        in_flight: None,
        failing: Vec::new(),
        still_asked: false,
        diagnosis: None,
        watchdog: None,
        objectives: Vec::new(),
    })
}

impl Row {
    /// Percent asked for, percent acknowledged.
    fn arm(mut self, role: ArmRole, version: &str, desired: u32, actual: Option<u32>) -> Row {
        let traffic = Traffic {
            desired: Ppm::percent(desired),
            actual: actual.map(Ppm::percent),
            how: TrafficSource::Acknowledged,
        };
        let ready = u32::from(desired > 0 || actual.is_some_and(|share| share > 0));
        let replicas = Replicas { ready, desired: ready };
        self.0.arms.push(Arm {
            role,
            version: version.into(),
            digest: None,
            replicas,
            traffic,
            pods: None,
            service: None,
        });
        self
    }
    fn stable(self, version: &str, desired: u32, actual: u32) -> Row {
        self.arm(ArmRole::Stable, version, desired, Some(actual))
    }
    fn candidate(self, version: &str, desired: u32, actual: u32) -> Row {
        self.arm(ArmRole::Candidate, version, desired, Some(actual))
    }
    /// No instance of any side is ready.
    fn down(mut self) -> Row {
        self.0.arms.iter_mut().for_each(|arm| arm.replicas.ready = 0);
        self
    }
    fn fact(mut self, fact: Fact, value: &str) -> Row {
        self.0.facts = self.0.facts.with(fact, value);
        self
    }
    fn planned(mut self, steps: &[Step]) -> Row {
        self.0.steps = steps.into();
        self
    }
    fn waits(mut self, wait: Wait) -> Row {
        self.0.waits.push(wait);
        self
    }
    fn says(mut self, message: &str) -> Row {
        self.0.message = message.into();
        self
    }
}

fn resume_wait() -> Wait {
    Wait::Human { what: "resume".into(), who: Some("alice".into()), since: Timestamp::UNIX_EPOCH }
}

fn on(action: Action, revision: &str) -> Command {
    let run = Run { target: target(), revision: revision.into() };
    let subject = match action {
        Action::Approve | Action::Reject => Subject::Approval { id: "A1".into(), run },
        _ => Subject::Run(run),
    };
    Command { id: "c".into(), action, subject, pin: None, reason: None }
}

fn run(revision: &str) -> Run {
    Run { target: target(), revision: revision.into() }
}

/// The record of how a run ended.
fn record(revision: &str, outcome: DeploymentOutcome) -> RolloutRecord {
    RolloutRecord {
        run: run(revision),
        service: "shop".into(),
        called: None,
        environment: "production".into(),
        from: Some("1.0".into()),
        to: "1.1".into(),
        author: Some("alice".into()),
        writer: None,
        started: Timestamp::UNIX_EPOCH,
        ended: Timestamp::UNIX_EPOCH,
        outcome,
        cause: "its cause".into(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit: None,
        commit_at: None,
        pipeline_run: None,
        step_times: Vec::new(),
        reached: None,
        rollback: None,
        waited: Some(SignedDuration::ZERO),
        manual_steps: 0,
        steps: Some(0),
        diagnosis: None,
    }
}

/// What is known of a command: the run that it created, and how its run ended.
#[derive(Clone, Copy, Default)]
struct Known<'a> {
    created: Option<&'a str>,
    ended: Option<DeploymentOutcome>,
}

/// `accepted`, or `effective: its proof`.
fn told(command: &Command, known: Known<'_>, before: Option<&Row>, now: Option<&Row>) -> String {
    let created = known.created.map(run);
    let of = match (&command.subject, &created) {
        (_, Some(created)) => created.revision.clone(),
        (Subject::Run(run) | Subject::Approval { run, .. }, None) => run.revision.clone(),
        _ => String::new(),
    };
    let ended = known.ended.map(|outcome| record(&of, outcome));
    let stage = progress(&Followed {
        command,
        created: created.as_ref(),
        left: None,
        before: before.map(|row| &row.0),
        current: now.map(|row| &row.0),
        ended: ended.as_ref(),
        now: Timestamp::UNIX_EPOCH,
    });
    stage.detail().map_or(stage.word().to_owned(), |detail| format!("{}: {detail}", stage.word()))
}

fn said(command: &Command, before: Option<&Row>, now: Option<&Row>) -> String {
    told(command, Known::default(), before, now)
}

fn check_known(command: &Command, known: Known<'_>, before: &Row, table: &[(Row, &str)]) {
    for (number, (now, expected)) in table.iter().enumerate() {
        let said = told(command, known, Some(before), Some(now));
        assert!(said.starts_with(expected), "{} case {number}: {said:?}", command.action.name());
    }
}

fn check(command: &Command, before: &Row, table: &[(Row, &str)]) {
    check_known(command, Known::default(), before, table);
}

/// A command that created the run.
fn check_run(command: &Command, created: &str, before: &Row, table: &[(Row, &str)]) {
    check_known(command, Known { created: Some(created), ended: None }, before, table);
}

fn at_pause() -> Row {
    row("r-2", Phase::Paused, 1).stable("1.0", 95, 95).candidate("1.1", 5, 5)
}

#[test]
fn promote_is_effective_once_the_step_s_share_is_acknowledged() {
    check(
        &on(Action::Promote, "r-2"),
        &at_pause(),
        &[
            (at_pause(), "accepted"),
            // The candidate is still coming up to size: asked-for and acknowledged agree, on the old share.
            (row("r-2", Phase::Progressing, 2).stable("1.0", 95, 95).candidate("1.1", 5, 5), "observed"),
            (row("r-2", Phase::Progressing, 2).stable("1.0", 50, 95).candidate("1.1", 50, 5), "observed"),
            (
                row("r-2", Phase::Paused, 3).stable("1.0", 50, 50).candidate("1.1", 50, 50),
                "effective: at step 4 of 4: 1.0 has 50 %, 1.1 has 50 %, acknowledged by the proxy",
            ),
            (row("r-2", Phase::Progressing, 4).stable("1.0", 50, 50).candidate("1.1", 50, 50), "observed"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "effective: finished: 1.1 has 100 %"),
            (
                row("r-2", Phase::RollingBack, 2).stable("1.0", 100, 95).candidate("1.1", 0, 5).says("aborted by bob"),
                "superseded: it is rolling back: aborted by bob",
            ),
            (row("r-3", Phase::Progressing, 0).stable("1.0", 100, 100), "superseded: r-3 of shop took its place"),
        ],
    );
}

#[test]
fn without_the_row_before_the_pinned_step_counts() {
    let now = row("r-2", Phase::Paused, 3).stable("1.0", 50, 50).candidate("1.1", 50, 50);
    let mut command = on(Action::Promote, "r-2");
    assert_eq!(said(&command, None, Some(&now)), "accepted");
    for (step, expected) in [("1", "effective"), ("3", "accepted")] {
        command.pin = Some(Facts::default().with(Fact::Step, step).pin(Action::Promote));
        assert!(said(&command, None, Some(&now)).starts_with(expected), "{step}");
    }
}

#[test]
fn promote_full_is_effective_only_at_the_end() {
    check(
        &on(Action::PromoteFull, "r-2"),
        &at_pause(),
        &[
            (at_pause(), "accepted"),
            (row("r-2", Phase::Progressing, 4).stable("1.0", 95, 95).candidate("1.1", 5, 5), "observed"),
            (row("r-2", Phase::Progressing, 4).stable("1.0", 0, 0).candidate("1.1", 100, 100), "observed"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 95), "observed"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "effective"),
        ],
    );
}

#[test]
fn pause_and_resume_follow_the_person_s_pause_not_that_of_a_step() {
    let paused = || at_pause().waits(resume_wait());
    check(
        &on(Action::Pause, "r-2"),
        &at_pause(),
        &[
            (at_pause(), "accepted"),
            (paused(), "effective: paused at step 2 of 4; 1.0 has 95 %, 1.1 has 5 %"),
            (
                row("r-2", Phase::Paused, 2).stable("1.0", 50, 95).candidate("1.1", 50, 5).waits(resume_wait()),
                "observed",
            ),
            (row("r-2", Phase::RollingBack, 1).stable("1.0", 100, 95), "superseded"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "superseded"),
        ],
    );
    check(
        &on(Action::Resume, "r-2"),
        &paused(),
        &[
            (paused(), "accepted"),
            (at_pause(), "effective: paused at step 2 of 4"),
            (row("r-2", Phase::Aborted, 1).stable("1.0", 100, 100), "superseded"),
        ],
    );
}

#[test]
fn abort_is_effective_when_the_proxy_acknowledged_that_stable_has_everything() {
    for action in [Action::Abort, Action::Reject] {
        check(
            &on(action, "r-2"),
            &at_pause(),
            &[
                (at_pause(), "accepted"),
                (row("r-2", Phase::RollingBack, 1).stable("1.0", 100, 95).candidate("1.1", 0, 5), "observed"),
                // Stable is too small to carry everything yet.
                (row("r-2", Phase::RollingBack, 1).stable("1.0", 60, 60).candidate("1.1", 40, 40), "observed"),
                (
                    row("r-2", Phase::RollingBack, 1).stable("1.0", 100, 100).candidate("1.1", 0, 0),
                    "effective: rolling back: 1.0 has 100 %, 1.1 has 0 %, acknowledged by the proxy",
                ),
                (row("r-2", Phase::Aborted, 1).stable("1.0", 100, 100), "effective: aborted: 1.0 has 100 %"),
                // Whether it has ended, and how, is not inferred from who is there now.
                (row("r-3", Phase::Queued, 0).stable("1.0", 100, 100), "observed"),
                (row("r-1", Phase::Progressing, 0).stable("1.0", 100, 100), "accepted"),
                (row("r-2", Phase::Aborted, 1).stable("1.0", 100, 100).down(), "observed"),
                (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "failed: it had finished"),
            ],
        );
    }
    let first = |actual| row("r-1", Phase::Aborted, 0).arm(ArmRole::Candidate, "1.0", 0, actual);
    assert!(said(&on(Action::Abort, "r-1"), None, Some(&first(Some(0)))).starts_with("effective"));
    assert_eq!(said(&on(Action::Abort, "r-1"), None, Some(&first(None))), "observed", "nobody knows its share");
    let aborted = Known { ended: Some(DeploymentOutcome::Aborted), ..Known::default() };
    check_known(
        &on(Action::Abort, "r-2"),
        aborted,
        &at_pause(),
        &[
            (
                row("r-3", Phase::Queued, 0).stable("1.0", 100, 100),
                "effective: r-2 has ended (its cause), r-3 came after it",
            ),
            (row("r-1", Phase::Progressing, 0).stable("1.0", 100, 100), "effective: r-2 was in line"),
        ],
    );
}

#[test]
fn rolling_back_a_finished_version_is_effective_when_the_one_before_has_everything() {
    let done = || row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100);
    check_run(
        &on(Action::Rollback, "r-2"),
        "r-3",
        &done(),
        &[
            (done(), "accepted"),
            (row("r-3", Phase::RollingBack, 0).stable("1.0", 0, 0).candidate("1.1", 100, 100), "observed"),
            (row("r-3", Phase::Healthy, 0).stable("1.0", 100, 100).down(), "observed"),
            (row("r-4", Phase::Progressing, 0).stable("1.0", 100, 100), "superseded: r-4 of shop took its place"),
            (row("r-3", Phase::RollingBack, 0).stable("1.0", 100, 0).candidate("1.1", 0, 100), "observed"),
            (
                row("r-3", Phase::RollingBack, 0).stable("1.0", 100, 100).candidate("1.1", 0, 0),
                "effective: back at 1.0",
            ),
            (row("r-3", Phase::Healthy, 0).stable("1.0", 100, 100), "effective: back at 1.0: 1.0 has 100 %"),
            (
                row("r-3", Phase::Failed, 0).stable("1.1", 100, 100).says("could not go back"),
                "failed: could not go back",
            ),
        ],
    );
    // In flight it is as an abort.
    check(
        &on(Action::Rollback, "r-2"),
        &at_pause(),
        &[
            (at_pause(), "accepted"),
            (row("r-2", Phase::RollingBack, 1).stable("1.0", 100, 95).candidate("1.1", 0, 5), "observed"),
            (row("r-2", Phase::Aborted, 1).stable("1.0", 100, 100).candidate("1.1", 0, 0), "effective"),
        ],
    );
}

#[test]
fn a_drill_is_effective_when_what_it_began_with_has_everything_again() {
    let done = || row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100);
    check_run(
        &on(Action::Drill, "r-2"),
        "r-3",
        &done(),
        &[
            (done(), "accepted"),
            (row("r-3", Phase::RollingBack, 0).stable("1.0", 0, 0).candidate("1.1", 100, 100), "observed"),
            // There, which is half of it.
            (row("r-3", Phase::RollingBack, 0).stable("1.0", 100, 100).candidate("1.1", 0, 0), "observed"),
            (row("r-3", Phase::Progressing, 0).stable("1.0", 100, 100).candidate("1.1", 0, 0), "observed"),
            (row("r-3", Phase::Healthy, 0).stable("1.1", 100, 0), "observed"),
            (
                row("r-3", Phase::Healthy, 0).stable("1.1", 100, 100),
                "effective: went back and returned to 1.1: 1.1 has 100 %",
            ),
            (row("r-3", Phase::Healthy, 0).stable("1.0", 100, 100), "failed: it did not return: 1.0 has 100 %"),
            (row("r-3", Phase::Failed, 0).stable("1.1", 100, 100).says("1.0 did not come up"), "failed: 1.0 did not"),
        ],
    );
    // After a restart of the hub the pinned digest says what it began with.
    let mut command = on(Action::Drill, "r-2");
    command.pin = Some(Facts::default().with(Fact::Stable, "sha256:1.1").pin(Action::Drill));
    for (digest, expected) in [("sha256:1.1", "effective"), ("sha256:1.0", "failed")] {
        let mut now = row("r-3", Phase::Healthy, 0).stable("1.1", 100, 100);
        now.0.facts = Facts::default().with(Fact::Stable, digest);
        assert!(said(&command, None, Some(&now)).starts_with(expected), "{digest}");
    }
}

#[test]
fn the_last_yes_is_effective_when_the_rollout_moved() {
    let waiting = || row("r-2", Phase::Paused, 3).stable("1.0", 50, 50).candidate("1.1", 50, 50);
    check(
        &on(Action::Approve, "r-2"),
        &waiting(),
        &[
            (waiting(), "accepted"),
            (row("r-2", Phase::Progressing, 4).stable("1.0", 50, 50).candidate("1.1", 50, 50), "observed"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "effective: finished"),
        ],
    );
}

#[test]
fn every_strategy_is_effective_at_the_first_share_of_its_plan() {
    let command = Command {
        subject: Subject::NewRollout {
            source: "local".into(),
            service: "shop".into(),
            environment: "production".into(),
            version: Some("1.1".into()),
            from: None,
        },
        ..on(Action::Deploy, "")
    };
    let hook = || Step::Hook { name: "migrate".into() };
    let (whole, all) = (Step::SetScale(Ppm::ALL), Step::SetWeight(Ppm::ALL));
    let batch = |instances| Step::Batch { instances, unavailable: 0 };
    let before = row("r-1", Phase::Healthy, 0).stable("1.0", 100, 100);
    for (steps, at, share, expected) in [
        // Recreate: nothing before all.
        (vec![hook(), Step::TakeDown, whole.clone(), all.clone()], 3, 0, "observed"),
        (vec![hook(), Step::TakeDown, whole.clone(), all.clone()], 3, 100, "effective"),
        // Blue/green: its preview is not met by users.
        (vec![whole.clone(), Step::Preview, Step::Pause { duration: None }, all.clone()], 2, 0, "observed"),
        (vec![whole, Step::Preview, Step::Pause { duration: None }, all.clone()], 3, 100, "effective"),
        // Rolling: its first batch.
        (vec![hook(), batch(1), batch(4)], 1, 0, "observed"),
        (vec![hook(), batch(1), batch(4)], 1, 20, "observed"),
        (vec![hook(), batch(1), batch(4)], 1, 25, "effective"),
        // A canary whose plan begins with a migration or a person.
        (vec![hook(), Step::SetWeight(Ppm::percent(10)), all.clone()], 1, 0, "observed"),
        (vec![hook(), Step::SetWeight(Ppm::percent(10)), all], 1, 10, "effective"),
        // Without a step that sets one: all of them.
        (Vec::new(), 0, 50, "observed"),
    ] {
        let now = row("r-2", Phase::Progressing, at).stable("1.0", 100 - share, 100 - share);
        let now = now.candidate("1.1", share, share).planned(&steps);
        let said = told(&command, Known { created: Some("r-2"), ended: None }, Some(&before), Some(&now));
        assert!(said.starts_with(expected), "{steps:?} at {at} with {share}: {said}");
    }
}

#[test]
fn resume_is_effective_when_it_goes_on_with_the_share_of_its_step() {
    let before = || at_pause().waits(resume_wait()).fact(Fact::Generation, "7");
    let flying = |step, share| {
        row("r-2", Phase::Progressing, step)
            .stable("1.0", 100 - share, 100 - share)
            .candidate("1.1", share, share)
            .fact(Fact::Generation, "8")
    };
    check(
        &on(Action::Resume, "r-2"),
        &before(),
        &[
            // A row of before.
            (at_pause().fact(Fact::Generation, "7"), "accepted"),
            (flying(2, 5), "observed"),
            (flying(2, 50), "effective"),
            (flying(2, 50).down(), "observed"),
        ],
    );
}

#[test]
fn deploy_is_effective_when_users_meet_the_version() {
    let command = Command {
        subject: Subject::NewRollout {
            source: "local".into(),
            service: "shop".into(),
            environment: "production".into(),
            version: Some("1.1".into()),
            from: None,
        },
        ..on(Action::Deploy, "")
    };
    let before = row("r-1", Phase::Healthy, 0).stable("1.0", 100, 100);
    let by = |known: Known<'_>, now: &Row| told(&command, known, Some(&before), Some(now));
    check_run(
        &command,
        "r-2",
        &before,
        &[
            (row("r-1", Phase::Healthy, 0).stable("1.0", 100, 100), "accepted"),
            (row("r-2", Phase::Queued, 0).stable("1.0", 100, 100).candidate("1.1", 0, 0), "observed"),
            // A step's number proves nothing, nor do shares without an instance.
            (row("r-2", Phase::Progressing, 3).stable("1.0", 100, 100).candidate("1.1", 0, 0), "observed"),
            (row("r-2", Phase::Progressing, 0).stable("1.0", 95, 95).candidate("1.1", 5, 5).down(), "observed"),
            (row("r-2", Phase::Progressing, 0).stable("1.0", 98, 98).candidate("1.1", 2, 2), "observed"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100).down(), "observed"),
            // Until it has ended, its way back may end in more than one way.
            (row("r-2", Phase::RollingBack, 0).stable("1.0", 95, 95).candidate("1.1", 5, 5), "observed"),
            (row("r-2", Phase::Superseded, 0).stable("1.0", 100, 100).says("replaced by 1.2"), "superseded: replaced"),
            (row("r-3", Phase::Healthy, 4).stable("1.1", 100, 100), "superseded: r-3 of shop took its place"),
            (row("r-2", Phase::Progressing, 0).stable("1.0", 95, 100).candidate("1.1", 5, 0), "observed"),
            (
                row("r-2", Phase::Progressing, 0).stable("1.0", 95, 95).candidate("1.1", 5, 5),
                "effective: in flight at step 1",
            ),
            (
                row("r-2", Phase::Failed, 0).stable("1.0", 100, 100).candidate("1.1", 0, 0).says("no such command: x"),
                "failed: it is failed: no such command: x",
            ),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "effective"),
        ],
    );
    let later = row("r-3", Phase::Progressing, 0).stable("1.1", 100, 100);
    for (outcome, expected) in [
        (DeploymentOutcome::Succeeded, "effective: r-2 ended well: its cause; r-3 came after it"),
        (DeploymentOutcome::Superseded, "superseded: its cause"),
        (DeploymentOutcome::Failed, "failed: r-2: its cause"),
        (DeploymentOutcome::Aborted, "failed: r-2: its cause"),
    ] {
        assert_eq!(by(Known { created: Some("r-2"), ended: Some(outcome) }, &later), expected);
    }
    assert_eq!(said(&command, None, None), "accepted");
    let first = row("r-1", Phase::Initializing, 0).candidate("1.1", 0, 0);
    assert_eq!(told(&command, Known { created: Some("r-1"), ended: None }, None, Some(&first)), "observed");
    // Where the engine's word of it was lost, the run that came after what was there is taken for its own,
    // if it brings in what was asked for.
    let flying = |version: &str| {
        row("r-2", Phase::Progressing, 0).stable("1.0", 95, 95).candidate(version, 5, 5).fact(Fact::Step, "0")
    };
    assert!(by(Known::default(), &flying("1.1")).starts_with("effective"));
    assert_eq!(by(Known::default(), &flying("1.2")), "accepted");
}

#[test]
fn holds_are_effective_for_what_they_hold() {
    let command = Command {
        subject: Subject::Scope { selector: Selector::default(), frozen: Vec::new(), hold: None },
        ..on(Action::Hold, "")
    };
    let held = || at_pause().waits(Wait::Hold("H-1".into()));
    check(
        &command,
        &at_pause(),
        &[
            (at_pause(), "accepted"),
            (held(), "effective: held at step 2 of 4"),
            (row("r-2", Phase::Aborted, 1), "effective: shop is aborted: nothing to hold"),
        ],
    );
    assert!(said(&command, None, None).starts_with("effective: nothing was in flight"));
    let release = Command {
        subject: Subject::Hold { source: Some("local".into()), id: "H-1".into() },
        ..on(Action::ReleaseHold, "")
    };
    check(&release, &held(), &[(held(), "accepted"), (at_pause(), "effective: paused at step 2 of 4")]);
}

#[test]
fn a_restart_is_effective_when_it_is_done() {
    let before = row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100);
    check_run(
        &on(Action::Restart, "r-2"),
        "r-3",
        &before,
        &[
            (row("r-3", Phase::Healthy, 0).stable("1.1", 100, 100).down(), "observed"),
            // Somebody's deploy came after it.
            (row("r-4", Phase::Healthy, 0).stable("1.2", 100, 100), "superseded: r-4 of shop took its place"),
            (row("r-2", Phase::Healthy, 4).stable("1.1", 100, 100), "accepted"),
            (row("r-3", Phase::Progressing, 0).stable("1.1", 100, 100), "observed"),
            (row("r-3", Phase::Healthy, 0).stable("1.1", 100, 100), "effective"),
            (row("r-3", Phase::Failed, 0).stable("1.1", 100, 100), "failed"),
        ],
    );
}
