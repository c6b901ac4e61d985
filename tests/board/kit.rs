//! Rows for tests of board, control and hub.

use flightdeck::board::Board;
use flightdeck::model::*;
use jiff::{SignedDuration, Timestamp};

/// A moment, so many seconds after an arbitrary start.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub fn source() -> SourceId {
    "local".into()
}

pub fn scope() -> Scope {
    Scope { source: source(), part: String::new() }
}

pub fn target(service: &str, environment: &str) -> Target {
    Target {
        source: source(),
        kind: "service".into(),
        namespace: Some(environment.into()),
        name: service.into(),
        uid: format!("uid-{service}-{environment}"),
        first_name: None,
    }
}

pub fn arm(role: ArmRole, version: &str, ready: u32, desired: u32, percent: u32) -> Arm {
    let share = Ppm::percent(percent);
    Arm {
        role,
        version: version.into(),
        digest: Some(format!("sha256:{version}")),
        replicas: Replicas { ready, desired },
        traffic: Traffic { desired: share, actual: Some(share), how: TrafficSource::Acknowledged },
        pods: None,
        service: None,
    }
}

/// The plan of every rollout here: 25 %, pause, 50 %, analysis, approval; then all.
pub fn steps() -> Vec<Step> {
    vec![
        Step::SetWeight(Ppm::percent(25)),
        Step::Pause { duration: None },
        Step::SetWeight(Ppm::percent(50)),
        Step::Analysis { name: "golden".into(), duration: SignedDuration::from_mins(2) },
        Step::Approval { count: 1, from: vec!["release-managers".into()], expires: None },
    ]
}

/// 1.9.0 → 1.10.0, at the pause with 25 %; every action of a rollout is offered.
pub fn rollout(service: &str, environment: &str) -> Rollout {
    let run = Run { target: target(service, environment), revision: "r-2".into() };
    let facts = Facts::default()
        .with(Fact::Workload, run.target.uid.clone())
        .with(Fact::Revision, "r-2")
        .with(Fact::Step, "1")
        .with(Fact::Generation, "7")
        .with(Fact::Candidate, "sha256:1.10.0")
        .with(Fact::Stable, "sha256:1.9.0");
    Rollout {
        strategy: Strategy::Canary,
        steps: steps().into(),
        step: Some(1),
        arms: vec![arm(ArmRole::Stable, "1.9.0", 3, 3, 75), arm(ArmRole::Candidate, "1.10.0", 3, 3, 25)],
        phase: Phase::Progressing,
        author: Some("dora".into()),
        facts,
        offers: [
            Action::Promote,
            Action::PromoteFull,
            Action::Pause,
            Action::Resume,
            Action::Abort,
            Action::Rollback,
            Action::Retry,
            Action::Restart,
        ]
        .into_iter()
        .collect(),
        ..Rollout::bare(run, service.into(), environment.into(), at(0))
    }
}

pub fn environment(name: &str, order: u32, tier: Tier) -> Environment {
    Environment { source: source(), name: name.into(), order, tier, allow_self: false }
}

/// Waits for one yes of `release-managers`; asked for by dora.
pub fn approval(rollout: &Rollout) -> Approval {
    Approval {
        id: ApprovalId(format!("A-{}", rollout.service)),
        run: rollout.run.clone(),
        service: rollout.service.clone(),
        environment: rollout.environment.clone(),
        what: "step 5 of 5: then 100 % of traffic".into(),
        from: Some(ReleaseRef { version: "1.9.0".into(), digest: "sha256:1.9.0".into() }),
        to: ReleaseRef { version: "1.10.0".into(), digest: "sha256:1.10.0".into() },
        author: "dora".into(),
        requested: at(0),
        expires: Some(at(3600)),
        requirement: Requirement { count: 1, from: vec!["release-managers".into()], allow_self: false },
        reviewers: None,
        votes: Vec::new(),
        state: ApprovalState::Pending,
        behind: Vec::new(),
        facts: rollout.facts.clone().with(Fact::Approval, format!("A-{}", rollout.service)),
    }
}

/// A judgement on a run.
pub fn evidence(rollout: &Rollout, id: &str, seconds: i64, verdict: MetricVerdict) -> Evidence {
    let why = "errors 4.1 % against 0.3 %, limit 1 %".to_owned();
    let metric = MetricResult {
        name: "error_rate".into(),
        candidate: Some(0.041),
        stable: Some(0.003),
        limit: "at most 1 %".into(),
        max: Some(0.01),
        unit: "ratio".into(),
        verdict,
        why: why.clone(),
    };
    let report = AnalysisReport {
        template: "golden".into(),
        from: at(seconds - 60),
        to: at(seconds),
        candidate_requests: 500,
        stable_requests: 1500,
        verdict,
        metrics: vec![metric],
    };
    Evidence {
        id: id.into(),
        run: rollout.run.clone(),
        at: at(seconds),
        kind: "analysis".into(),
        analysis: Some(report),
        summary: why,
    }
}

/// The record of its end: 1.9.0 → 1.10.0, of which little is known.
pub fn ended(rollout: &Rollout, outcome: DeploymentOutcome) -> RolloutRecord {
    RolloutRecord {
        run: rollout.run.clone(),
        service: rollout.service.clone(),
        called: None,
        environment: rollout.environment.clone(),
        from: Some("1.9.0".into()),
        to: "1.10.0".into(),
        author: Some("dora".into()),
        writer: None,
        started: at(0),
        ended: at(60),
        outcome,
        cause: String::new(),
        kind: DeploymentKind::Deploy,
        digest: None,
        commit_at: None,
        reached: None,
        rollback: None,
        waited: Some(SignedDuration::ZERO),
        manual_steps: 0,
        steps: Some(0),
        diagnosis: None,
    }
}

pub fn apply(board: &mut Board, body: Body) -> bool {
    board.apply(&Scoped { scope: scope(), body })
}

/// A live board with three environments and these rows.
pub fn board(rows: impl IntoIterator<Item = Entity>) -> Board {
    let mut board = Board::default();
    apply(&mut board, Body::Link(LinkState::live(at(0))));
    for (name, order, tier) in
        [("dev", 1, Tier::Low), ("staging", 2, Tier::Standard), ("production", 3, Tier::Critical)]
    {
        apply(&mut board, Body::Upsert(Entity::Environment(environment(name, order, tier))));
    }
    for row in rows {
        apply(&mut board, Body::Upsert(row));
    }
    board
}

pub fn row(rollout: Rollout) -> Entity {
    Entity::Rollout(std::sync::Arc::new(rollout))
}

pub fn actor(name: &str, roles: &[&str]) -> Actor {
    Actor { name: name.into(), uid: Some(1000), roles: roles.iter().map(ToString::to_string).collect() }
}

pub fn command(id: &str, action: Action, subject: Subject, pin: Option<Pin>) -> Command {
    Command { id: id.into(), action, subject, pin, reason: None }
}
