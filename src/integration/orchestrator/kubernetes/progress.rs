//! How far a command has come, from the row before it and the row now. Pure.
//!
//! Effective only when pods, weights or selectors moved: a status that says so is not enough.

use crate::integration::orchestrator::argo_rollouts;
use crate::model::{Action, Arm, ArmRole, Command, Fact, Phase, Proof, Rollout, Run, Stage, Subject, TrafficSource};

/// The stage of a command that was accepted. Holds and their release are told by the hub, which sees
/// every target.
#[must_use]
pub fn progress(command: &Command, before: Option<&Rollout>, current: Option<&Rollout>) -> Stage {
    let Subject::Run(run) = &command.subject else { return Stage::Accepted };
    let Some(row) = current else { return superseded(format!("{} was deleted", run.target)) };
    if row.run.target != run.target {
        return superseded(format!("{} was deleted and made anew", run.target));
    }
    let seen = Seen { command, run, before: before.filter(|before| before.run.target == run.target), row };
    if command.action == Action::LetThrough {
        if row.held_by().is_some() {
            return Stage::Accepted;
        }
        if seen.paused() {
            return effective(format!("no longer held; it stands still by a pause of its own; {}", pods(row)));
        }
    }
    if run.target.kind == "Rollout" { argo_rollouts::progress::progress(seen) } else { of_built_in(seen) }
}

/// A command and the rows around it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What was asked.
    pub command: &'a Command,
    /// Of which run.
    pub run: &'a Run,
    /// Its row when it was asked.
    pub before: Option<&'a Rollout>,
    /// Its row now.
    pub row: &'a Rollout,
}

impl<'a> Seen<'a> {
    /// A fact as it was when the command was asked: as pinned, else as the row had it.
    #[must_use]
    pub fn then(self, fact: Fact) -> Option<&'a str> {
        let pinned = self.command.pin.as_ref().and_then(|pin| pin.facts.get(&fact));
        pinned.or_else(|| self.before?.facts.0.get(&fact)).map(String::as_str)
    }

    /// A fact as it is.
    #[must_use]
    pub fn now(self, fact: Fact) -> Option<&'a str> {
        self.row.facts.0.get(&fact).map(String::as_str)
    }

    /// Paused by hand or by a hold?
    #[must_use]
    pub fn paused(self) -> bool {
        self.now(Fact::Pause).is_some_and(|pause| pause.split('+').any(|part| part == "paused"))
    }
}

/// It took effect.
#[must_use]
pub fn effective(text: impl Into<String>) -> Stage {
    Stage::Effective { proof: Proof { text: text.into() } }
}

/// Something else came.
#[must_use]
pub fn superseded(by: impl Into<String>) -> Stage {
    Stage::Superseded { by: by.into() }
}

/// `stable 1.9: 4 of 5 pods ready, 80 % of traffic; candidate 1.10: 1 of 1 pods ready, 20 % of traffic`.
#[must_use]
pub fn pods(row: &Rollout) -> String {
    let arms: Vec<String> = row.arms.iter().map(arm).collect();
    if arms.is_empty() { "no pods are known".to_owned() } else { arms.join("; ") }
}

fn arm(arm: &Arm) -> String {
    let role = match &arm.role {
        ArmRole::Stable => "stable",
        ArmRole::Candidate => "candidate",
        ArmRole::Preview => "preview",
        ArmRole::Shadow => "shadow",
        ArmRole::Cohort(name) => name,
    };
    let how = match arm.traffic.how {
        TrafficSource::Replicas => "",
        TrafficSource::Acknowledged => ", verified by the router",
        TrafficSource::Counted => ", counted",
        TrafficSource::Declared => ", as told to the router",
    };
    let share = arm.traffic.actual.map_or(String::new(), |share| format!(", {share} of traffic{how}"));
    format!("{role} {}: {} of {} pods ready{share}", arm.version, arm.replicas.ready, arm.replicas.desired)
}

/// Are all pods there that are to be?
#[must_use]
pub fn ready(arm: &Arm) -> bool {
    arm.replicas.ready >= arm.replicas.desired
}

fn of_built_in(seen: Seen<'_>) -> Stage {
    let row = seen.row;
    let moved = row.run.revision != seen.run.revision;
    match seen.command.action {
        Action::Pause if seen.paused() && row.phase == Phase::Paused => effective(format!("paused; {}", pods(row))),
        Action::Pause if seen.paused() => Stage::Observed,
        Action::Resume | Action::LetThrough if !seen.paused() => {
            effective(format!("{}: {}; {}", row.phase.word(), row.message, pods(row)))
        }
        Action::Restart | Action::Rollback if moved => replaced(row),
        Action::Pause | Action::Resume | Action::Restart | Action::Rollback => Stage::Accepted,
        other => Stage::Failed { why: format!("{} does not fit a {}", other.name(), seen.run.target.kind) },
    }
}

/// Every pod runs the new revision.
fn replaced(row: &Rollout) -> Stage {
    match row.phase {
        Phase::Healthy if row.arms.iter().all(ready) => {
            effective(format!("revision {} everywhere; {}", row.run.revision, pods(row)))
        }
        Phase::Failed => Stage::Failed { why: format!("revision {}: {}", row.run.revision, row.message) },
        _ => Stage::Observed,
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
