//! What a rollback or a drill would do, by the backend's own plan.

use flightdeck_board::rollback_plan::{Objective, estimate, objective, objective_words, path};
use flightdeck_model::{Forecast, RollbackPath, RollbackPlan, Rollout};

/// A rollback by this plan; `abort`: what an abort does, where the rollout is in flight.
pub(super) fn rollback(way: &RollbackPlan, abort: Option<Forecast>) -> Forecast {
    let known = abort.unwrap_or_else(|| Forecast { lines: vec![path(way)], ..Forecast::default() });
    let mut forecast = after(way, known);
    forecast.lines.extend(plan(way));
    forecast
}

/// An abort that takes this way: its steps are told where they are more than the switch and the end of
/// what is left.
pub(super) fn abort(way: &RollbackPlan, known: Forecast) -> Forecast {
    let mut forecast = after(way, known);
    if way.path != RollbackPath::Warm || way.steps.len() > 2 {
        forecast.lines.extend(plan(way));
    }
    forecast
}

/// What this way adds to what is known without it: its time and its warnings.
fn after(way: &RollbackPlan, known: Forecast) -> Forecast {
    let takes = way.estimate.or(known.takes.filter(|_| way.path == RollbackPath::Warm));
    let mut forecast = Forecast { path: Some(way.path), takes, ..known };
    forecast.warnings.extend(warnings(way));
    forecast
}

/// A drill: there by the plan, and back again.
pub(super) fn drill(rollout: &Rollout) -> Forecast {
    let current = super::plan::version(rollout.stable());
    let Some(way) = &rollout.rollback_plan else {
        let line = format!("rolls back to the version before and returns to {current}; both are measured");
        return Forecast { lines: vec![line], ..Forecast::default() };
    };
    let mut lines = vec![
        format!("{} meets {} for a while, then {current} again; both ways are measured", rollout.environment, way.to),
        path(way),
    ];
    lines.extend(plan(way));
    Forecast { lines, warnings: warnings(way), path: Some(way.path), ..Forecast::default() }
}

/// Its steps in order, how long it takes, and whether that meets the objective.
fn plan(way: &RollbackPlan) -> Vec<String> {
    let steps = way.steps.iter().zip(1..).map(|(step, number)| format!("{number}. {step}"));
    let takes = format!("time: {}", estimate(way));
    let met = objective_words(way).filter(|_| !matches!(objective(way), Objective::Missed { .. }));
    steps.chain([takes]).chain(met).collect()
}

fn warnings(way: &RollbackPlan) -> Vec<String> {
    let mut warnings: Vec<_> = way.cannot_undo.iter().map(|what| format!("not taken back: {what}")).collect();
    if way.path == RollbackPath::Recreate {
        warnings.push(format!("nothing serves until {} is ready", way.to));
    }
    warnings.extend(objective_words(way).filter(|_| matches!(objective(way), Objective::Missed { .. })));
    warnings
}
