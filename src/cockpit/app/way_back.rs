//! The rollback plan of the opened rollout, line by line.

use super::rows;
use super::state::State;
use crate::board::way_back::{Objective, estimate, objective, objective_words, path};
use crate::model::WayBack;

/// A line of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanLine {
    /// What it is about.
    pub name: &'static str,
    /// In words.
    pub text: String,
    /// Something to look at.
    pub warns: bool,
}

/// The plan, as its backend knows it; without one there are no lines.
#[must_use]
pub fn plan(state: &State) -> Vec<PlanLine> {
    rows::opened(state).and_then(|rollout| rollout.way_back.as_deref()).map(lines).unwrap_or_default()
}

fn lines(way: &WayBack) -> Vec<PlanLine> {
    let line = |name, text: String, warns| PlanLine { name, text, warns };
    let mut lines = vec![line("path", path(way), way.path == crate::model::RollbackPath::Recreate)];
    lines.extend(way.steps.iter().zip(1..).map(|(step, number)| line("steps", format!("{number}. {step}"), false)));
    lines.push(line("takes", estimate(way), way.estimate.is_none()));
    let missed = matches!(objective(way), Objective::Missed { .. });
    lines.extend(objective_words(way).map(|words| line("objective", words, missed)));
    lines.extend(way.cannot_undo.iter().map(|what| line("stays", format!("not taken back: {what}"), true)));
    lines
}
