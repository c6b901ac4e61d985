//! A gate as rows: what people see of it, and what commands are followed by. Pure.

use super::gate::{Gate, Key, Standing};
use super::system::Words;
use flightdeck_model::{
    Action, Approval, ApprovalId, ApprovalState, Arm, ArmRole, Denied, Entity, Fact, Facts, Phase, Ppm, ReleaseRef,
    Replicas, Requirement, Reviewers, Rollout, Run, SourceId, Step, Target, Traffic, TrafficSource, Verdict, Vote,
    Wait,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps of a row: the gate, the wait for a runner, the job.
const GATE: u32 = 0;
const BEGIN: u32 = 1;
const JOB: u32 = 2;
const DONE: u32 = 3;

/// What stands in a row's facts while only the start of its job is missing.
pub(super) const UNSTARTED: &str = "start";

/// Whose rows these are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub source: &'a SourceId,
    pub read_only: bool,
    /// Whose token it is, once its system has said so.
    pub login: Option<&'a str>,
    pub words: Words,
}

/// The run of a gate; an attempt is a revision.
pub(super) fn run(context: Context<'_>, gate: &Gate, attempt: u64) -> Run {
    let target = Target {
        source: context.source.clone(),
        kind: context.words.kind.to_owned(),
        namespace: Some(gate.key.place.clone()),
        name: gate.name.split_whitespace().collect::<Vec<_>>().join("-"),
        uid: gate.key.uid.clone(),
        first_name: None,
    };
    Run { target, revision: attempt.to_string() }
}

pub(super) fn approval_id(source: &SourceId, gate: &Gate) -> ApprovalId {
    ApprovalId(format!("{source}/{}", gate.approval))
}

/// What a pin is made of. The pending deployment is a fact only while it pends.
pub(super) fn facts(context: Context<'_>, gate: &Gate) -> Facts {
    let mut facts = Facts::default()
        .with(Fact::Workload, gate.key.uid.clone())
        .with(Fact::Revision, gate.newest_attempt.to_string())
        .with(Fact::Candidate, gate.commit.clone())
        // Where several are asked, each yes is another situation.
        .with(Fact::Generation, gate.reviews.len().to_string());
    if gate.unstarted {
        facts = facts.with(Fact::Pause, UNSTARTED);
    }
    if let Some(step) = Shown::of(context, gate).step {
        facts = facts.with(Fact::Step, step.to_string());
    }
    // Nobody is to decide on what a later one has.
    if gate.standing() == Standing::Asks && gate.newer.is_none() {
        facts = facts.with(Fact::Approval, approval_id(context.source, gate).0);
    }
    facts
}

/// How a standing looks in a row; [`standing`] reads it back.
struct Shown {
    phase: Phase,
    step: Option<u32>,
    message: String,
}

impl Shown {
    fn of(context: Context<'_>, gate: &Gate) -> Shown {
        let place = &gate.environment;
        let said = gate.reviews.iter().map(|review| {
            let word = if review.verdict == Verdict::Approved { "approved" } else { "rejected" };
            format!("{word} by {}", review.who)
        });
        let said = said.collect::<Vec<_>>().join(", ");
        let Words { system, tells_reviews, .. } = context.words;
        let yes = match (said.as_str(), tells_reviews) {
            ("", true) => "let go on without a review".to_owned(),
            ("", false) => format!("waits no more, and {system} does not tell who said what"),
            (said, _) => said.to_owned(),
        };
        let holds = match gate.until() {
            Some(until) => format!("its wait timer runs until {}", until.strftime("%H:%M UTC")),
            None => "another protection rule holds it".to_owned(),
        };
        let conclusion = gate.ended.as_ref().map_or("unknown", |ended| ended.conclusion.as_str());
        let ends = format!("{yes}; its run ended: {conclusion}");
        let (phase, step, message) = match gate.standing() {
            // Of what it let through nothing is told but the end of its run.
            Standing::Deploying if !tells_reviews => (Phase::Progressing, JOB, format!("{yes}; its run goes on")),
            Standing::Deployed if !tells_reviews => (Phase::Healthy, DONE, ends),
            Standing::Failed if !tells_reviews => (Phase::Failed, JOB, ends),
            Standing::Stopped if !tells_reviews => (Phase::Aborted, GATE, ends),
            Standing::Ended if !tells_reviews => (Phase::Failed, GATE, ends),
            Standing::Asks => (Phase::Paused, GATE, waiting(gate)),
            Standing::Timer => (Phase::Paused, GATE, format!("no person is asked: {holds}")),
            Standing::Held => (Phase::Paused, BEGIN, format!("{said}; {holds}")),
            Standing::Unreviewed => {
                (Phase::Queued, GATE, format!("waits for {place} no more, and no review of it is told"))
            }
            Standing::Approved => (Phase::Progressing, BEGIN, format!("{yes}; its job has not begun")),
            Standing::Deploying => (Phase::Progressing, JOB, format!("{yes}; its job deploys to {place}")),
            Standing::Deployed => (Phase::Healthy, DONE, format!("{yes}; deployed to {place}")),
            Standing::Failed => (Phase::Failed, JOB, format!("{yes}; its deployment to {place} failed")),
            Standing::Rejected => (Phase::Progressing, GATE, format!("{said}; its run has not ended")),
            Standing::Stopped => (Phase::Aborted, GATE, format!("{said}; nothing was deployed to {place}")),
            Standing::Ended => (Phase::Failed, GATE, format!("its run ended without a review: {conclusion}")),
            Standing::Rerun => {
                let message = format!("{} took its place", newest(context, gate));
                return Shown { phase: Phase::Initializing, step: None, message };
            }
        };
        Shown { phase, step: Some(step), message }
    }
}

/// What is there instead: `attempt 2`.
fn newest(context: Context<'_>, gate: &Gate) -> String {
    format!("{} {}", context.words.attempt, gate.newest_attempt)
}

fn waiting(gate: &Gate) -> String {
    let (there, of) = (gate.approvals(), gate.required);
    match &gate.newer {
        Some(run) => format!("superseded by {run}, which has it all"),
        None if gate.unstarted && there > 0 => {
            format!("no yes is missing: {} starts its job", gate.reviewers.join(" or "))
        }
        None if gate.unstarted => format!("its job waits to be started by {}", gate.reviewers.join(" or ")),
        None if of > 1 => format!("waits for {of} yes by {}, {there} so far", gate.reviewers.join(" or ")),
        None => format!("waits for a review by {}", gate.reviewers.join(" or ")),
    }
}

/// Is the first step of a row that of people?
fn is_asked(gate: &Gate) -> bool {
    !gate.reviews.is_empty() || gate.standing() == Standing::Asks
}

/// Where a row says that its gate stands, and whether people had a word in it; `None`: it is no row of here.
pub(super) fn standing(row: &Rollout) -> Option<(Standing, bool)> {
    let asked = matches!(row.steps.first(), Some(Step::Approval { .. }));
    let standing = match (row.phase, row.step) {
        (Phase::Paused, Some(GATE)) if asked => Standing::Asks,
        (Phase::Paused, Some(GATE)) => Standing::Timer,
        (Phase::Paused, Some(BEGIN)) => Standing::Held,
        (Phase::Queued, Some(GATE)) => Standing::Unreviewed,
        (Phase::Progressing, Some(GATE)) => Standing::Rejected,
        (Phase::Progressing, Some(BEGIN)) => Standing::Approved,
        (Phase::Progressing, Some(JOB)) => Standing::Deploying,
        (Phase::Healthy, Some(DONE)) => Standing::Deployed,
        (Phase::Failed, Some(JOB)) => Standing::Failed,
        (Phase::Failed, Some(GATE)) => Standing::Ended,
        (Phase::Aborted, Some(GATE)) => Standing::Stopped,
        (Phase::Initializing, None) => Standing::Rerun,
        _ => return None,
    };
    Some((standing, asked))
}

fn steps(context: Context<'_>, gate: &Gate) -> Arc<[Step]> {
    let first = if is_asked(gate) {
        Step::Approval { count: gate.required.max(1), from: gate.reviewers.clone(), expires: None }
    } else {
        Step::Other("protection rules".to_owned())
    };
    let Words { begins, job, .. } = context.words;
    [first, Step::Other(begins.to_owned()), Step::Other(job.to_owned())].into()
}

fn waits(gate: &Gate) -> Vec<Wait> {
    let mut waits = Vec::new();
    match gate.standing() {
        // Nobody is to decide on that one.
        Standing::Asks if gate.newer.is_some() => {
            waits.extend(gate.newer.clone().map(Wait::Gate));
        }
        Standing::Asks => {
            let what = format!("a review of {}", gate.environment);
            waits.push(Wait::Human { what, who: Some(gate.reviewers.join(", ")), since: gate.asked });
        }
        Standing::Timer | Standing::Held if gate.until().is_none() => {
            waits.push(Wait::Gate("another protection rule".to_owned()));
        }
        _ => {}
    }
    waits.extend(gate.until().map(|at| Wait::Until { at }));
    waits
}

/// Its row.
pub(super) fn rollout(context: Context<'_>, gate: &Gate) -> Rollout {
    let Shown { phase, step, message } = Shown::of(context, gate);
    let role = if phase == Phase::Healthy { ArmRole::Stable } else { ArmRole::Candidate };
    // It is known what is deployed, and nothing of instances or users.
    let traffic = Traffic { desired: Ppm::ZERO, actual: None, how: TrafficSource::Declared };
    let (version, replicas) = (gate.version.as_str().into(), Replicas::default());
    let arm = Arm { role, version, digest: None, replicas, traffic, pods: None, service: None };
    let run = run(context, gate, gate.newest_attempt);
    Rollout {
        steps: if step.is_some() { steps(context, gate) } else { Arc::from([]) },
        step,
        arms: vec![arm],
        phase,
        waits: waits(gate),
        message: format!("{message}; {}", gate.url),
        started: gate.began,
        author: gate.author.clone(),
        facts: facts(context, gate),
        denied: denied(context, gate),
        in_flight: Some(!gate.standing().is_over()),
        ..Rollout::bare(run, gate.service.as_str().into(), gate.environment.as_str().into(), gate.since)
    }
}

fn denied(context: Context<'_>, gate: &Gate) -> Arc<[Denied]> {
    if context.read_only {
        let actions = [Action::Approve, Action::Reject].into_iter().collect();
        return Arc::from([Denied { actions, why: read_only(context.source) }]);
    }
    let yes = |why: &str| Denied { actions: std::iter::once(Action::Approve).collect(), why: why.to_owned() };
    gate.yes_denied().map(yes).into_iter().collect()
}

/// Why nothing is changed through a source.
pub(super) fn read_only(source: &SourceId) -> String {
    format!("the source {source} is read-only in the configuration: nothing can be changed through it")
}

/// What it asks of people, or asked; nothing where none are asked. `others` are all gates that are known.
pub(super) fn approval<'a>(
    context: Context<'_>,
    gate: &Gate,
    others: impl Iterator<Item = &'a Gate>,
) -> Option<Approval> {
    let superseded = |by: String| ApprovalState::Superseded { by };
    let state = match (gate.standing(), is_asked(gate)) {
        (Standing::Asks, _) => {
            let newer = gate.newer.as_ref();
            newer.map_or(ApprovalState::Pending, |run| superseded(format!("{run}, which has it all")))
        }
        (Standing::Rejected | Standing::Stopped, true) => ApprovalState::Rejected,
        (Standing::Rerun, _) => superseded(newest(context, gate)),
        (Standing::Ended, _) => superseded("the end of its run".to_owned()),
        (_, true) => ApprovalState::Approved,
        (_, false) if gate.reviewers.is_empty() => return None,
        (_, false) if !context.words.tells_reviews => superseded(format!("somebody at {}", context.words.system)),
        (_, false) => superseded("somebody who let it go on without a review".to_owned()),
    };
    let votes = gate.reviews.iter().map(|review| Vote {
        who: review.who.clone(),
        verdict: review.verdict,
        at: review.at.or(gate.reviewed).unwrap_or(gate.since),
        reason: Some(review.comment.clone()).filter(|comment| !comment.is_empty()),
    });
    let behind = others.filter(|other| {
        let there = (&other.key.place, &other.environment) == (&gate.key.place, &gate.environment);
        there && other.sequence > gate.sequence && other.standing() == Standing::Asks
    });
    let denied = if context.read_only { Some(read_only(context.source)) } else { gate.denied().map(str::to_owned) };
    Some(Approval {
        id: approval_id(context.source, gate),
        run: run(context, gate, gate.key.attempt),
        service: gate.service.as_str().into(),
        environment: gate.environment.as_str().into(),
        what: gate.what.clone(),
        from: None,
        to: ReleaseRef { version: gate.version.as_str().into(), digest: gate.commit.clone() },
        author: gate.author.clone().unwrap_or_else(|| "unknown".to_owned()),
        requested: gate.asked,
        expires: None,
        // Its system decides who may, and whether the author may.
        requirement: Requirement { count: gate.required.max(1), from: Vec::new(), allow_self: true },
        reviewers: Some(Box::new(Reviewers {
            names: gate.reviewers.clone(),
            login: context.login.map(str::to_owned),
            denied,
            untold: !context.words.says_who_may,
        })),
        votes: votes.collect(),
        state,
        behind: behind.map(|other| other.title.clone()).collect(),
        facts: facts(context, gate),
    })
}

/// Everything that is shown of a place.
pub(super) fn rows(context: Context<'_>, gates: &BTreeMap<Key, Gate>) -> Vec<Entity> {
    let mut rows = Vec::new();
    for gate in gates.values() {
        rows.extend(approval(context, gate, gates.values()).map(|asked| Entity::Approval(Box::new(asked))));
        // The attempts of a run share a row, which is that of the last one.
        let later = |other: &Gate| other.key.is_at(&gate.key) && other.key.attempt > gate.key.attempt;
        if !gates.values().any(later) {
            rows.push(Entity::Rollout(Arc::new(rollout(context, gate))));
        }
    }
    rows
}

/// Did anything change for people? Then the standing is as old as now.
pub(super) fn settle(gate: &mut Gate, before: Option<&Gate>, now: Timestamp) {
    let Some(before) = before else { return };
    gate.asked = before.asked;
    gate.since = if before.standing() == gate.standing() { before.since } else { now };
    gate.reviewed = (!gate.reviews.is_empty()).then(|| before.reviewed.unwrap_or(now));
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
