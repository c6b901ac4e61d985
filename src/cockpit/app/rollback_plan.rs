//! The rollback plan of the opened rollout, line by line.

use super::run::opened;
use super::state::State;
use flightdeck_board::migrations;
use flightdeck_board::rollback_plan::{Objective, estimate, objective, objective_words, path};
use flightdeck_model::{MigrationRollback, MigrationRow, RollbackPlan, Rollout, Step};

/// A line of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine {
    pub name: &'static str,
    pub text: String,
    /// Something to look at.
    pub warns: bool,
}

/// The plan, as its backend knows it, and where the data stands; without either there are no lines.
#[must_use]
pub fn plan(state: &State) -> Vec<PlanLine> {
    let Some(rollout) = opened(state) else { return Vec::new() };
    let mut all = rollout.rollback_plan.as_deref().map(lines).unwrap_or_default();
    all.extend(data(state, rollout));
    all
}

/// The migrations that this rollout or what it is about has to do with.
fn data(state: &State, rollout: &Rollout) -> Vec<PlanLine> {
    let mut services = state.board.services().filter(|service| service.source == rollout.run.target.source);
    let service = services.find(|service| service.name == rollout.service);
    let Some(place) = service.and_then(|service| service.place(&rollout.environment)) else { return Vec::new() };
    let step = |row: &MigrationRow| rollout.steps.iter().any(|step| *step == Step::Hook { name: row.name.clone() });
    let arm = |row: &MigrationRow| rollout.arms.iter().any(|arm| Some(&arm.version) == row.version.as_ref());
    let meant = place.migrations.iter().filter(|row| step(row) || arm(row) || migrations::asks(row));
    let line = |row: &MigrationRow| {
        let run_with = row.version.as_ref().map(|version| format!(", run with {version}")).unwrap_or_default();
        let back = match row.rollback {
            MigrationRollback::Nothing => String::new(),
            _ => format!("; a way back {}", migrations::rollback(row)),
        };
        let text = format!("{}: {}{run_with}{back}", row.name, migrations::standing(row));
        PlanLine { name: "data", text, warns: migrations::asks(row) }
    };
    meant.map(line).collect()
}

fn lines(way: &RollbackPlan) -> Vec<PlanLine> {
    let line = |name, text: String, warns| PlanLine { name, text, warns };
    let mut lines = vec![line("path", path(way), way.path == flightdeck_model::RollbackPath::Recreate)];
    lines.extend(way.steps.iter().zip(1..).map(|(step, number)| line("steps", format!("{number}. {step}"), false)));
    lines.push(line("takes", estimate(way), way.estimate.is_none()));
    let missed = matches!(objective(way), Objective::Missed { .. });
    lines.extend(objective_words(way).map(|words| line("objective", words, missed)));
    lines.extend(way.cannot_undo.iter().map(|what| line("stays", format!("not taken back: {what}"), true)));
    lines
}
