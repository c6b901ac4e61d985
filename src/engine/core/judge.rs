//! Analyses: numbers in, judgements out. Missing data pauses or fails, it never passes.

use super::rollout::{Back, begin_rollback};
use super::run::{Pause, Watched};
use super::state::{Slot, State};
use super::turn::{Turn, evidence, note_run};
use super::types::PoolWindow;
use crate::analysis::{Totals, clearly_fails, judge, summary};
use crate::model::{AnalysisReport, DeploymentOutcome, MetricVerdict, Missing, Ppm, Step};
use jiff::SignedDuration;

const WHO: &str = "system:analysis";

/// What an analysis step says.
pub(super) enum StepSays {
    /// Still measuring.
    Wait,
    /// Within its limits for its whole span.
    Passed,
    /// It paused or ended the rollout.
    Acted,
}

/// Counts what the pools did.
pub(super) fn window(slot: &mut Slot, pools: &[PoolWindow]) {
    let find = |id: &Option<String>| pools.iter().find(|window| Some(&window.pool) == id.as_ref());
    let (candidate, stable) = (find(&slot.candidate), find(&slot.stable));
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    let totals = |window: Option<&PoolWindow>| {
        let mut totals = Totals::default();
        if let Some(window) = window {
            totals.add(window.requests, window.errors, &window.latency);
        }
        totals
    };
    let (candidate, stable) = (totals(candidate), totals(stable));
    if matches!(run.current_step(), Some(Step::Analysis { .. })) {
        run.measured.candidate.add(candidate.requests, candidate.errors, &candidate.latency);
        run.measured.stable.add(stable.requests, stable.errors, &stable.latency);
    }
    run.watched.fresh = true;
    if exposed && run.background.is_some() {
        run.watched.windows.push_back((run.watched.exposed, candidate, stable));
    }
}

/// An analysis step: judged over its span, failed early where that is certain.
pub(super) fn step(
    state: &mut State,
    slot: &mut Slot,
    turn: &mut Turn,
    name: &str,
    duration: SignedDuration,
) -> StepSays {
    let now = turn.now;
    let Some(run) = &mut slot.run else { return StepSays::Wait };
    let from = *run.measured.from.get_or_insert(now);
    let Some(template) = run.templates.get(name) else {
        pause(state, slot, turn, &format!("there is no analysis {name:?} any more"));
        return StepSays::Acted;
    };
    let (missing, measured) = (template.missing, &run.measured);
    let over = run.elapsed >= duration;
    let sure = || clearly_fails(template, &measured.candidate, &measured.stable);
    if !(over || sure()) {
        return StepSays::Wait;
    }
    let report = judge(template, name, &measured.candidate, &measured.stable, from, now);
    act(state, slot, turn, report, missing, "analysis")
}

/// The background analysis. True if it acted.
pub(super) fn background(state: &mut State, slot: &mut Slot, turn: &mut Turn) -> bool {
    let now = turn.now;
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return false };
    let Some(name) = run.background.clone() else { return false };
    if !exposed {
        run.watched = Watched::default();
        return false;
    }
    let Some(template) = run.templates.get(&name) else { return false };
    let (span, missing) = (template.window, template.missing);
    let full = run.watched.exposed >= span;
    if !run.watched.fresh && !full {
        return false;
    }
    let oldest = run.watched.exposed.saturating_sub(span);
    while run.watched.windows.front().is_some_and(|(at, ..)| *at <= oldest && full) {
        run.watched.windows.pop_front();
    }
    let (mut candidate, mut stable) = (Totals::default(), Totals::default());
    for (_, of_candidate, of_stable) in &run.watched.windows {
        candidate.add(of_candidate.requests, of_candidate.errors, &of_candidate.latency);
        stable.add(of_stable.requests, of_stable.errors, &of_stable.latency);
    }
    run.watched.fresh = false;
    let measured = run.watched.exposed.min(span);
    let from = now.checked_sub(measured).unwrap_or(now);
    let report = judge(template, &name, &candidate, &stable, from, now);
    let acts = match report.verdict {
        MetricVerdict::Fail => full || clearly_fails(template, &candidate, &stable),
        // A pause for want of data stands already.
        MetricVerdict::Missing => full && run.pauses.analysis.is_none(),
        MetricVerdict::Pass => false,
    };
    acts && matches!(act(state, slot, turn, report, missing, "background analysis"), StepSays::Acted)
}

/// Writes a judgement down and does what follows from it.
fn act(
    state: &mut State,
    slot: &mut Slot,
    turn: &mut Turn,
    report: AnalysisReport,
    missing: Missing,
    what: &str,
) -> StepSays {
    let (verdict, said) = (report.verdict, format!("{what} {}: {}", report.template, summary(&report)));
    let word = match verdict {
        MetricVerdict::Pass => "passed",
        MetricVerdict::Fail => "failed",
        MetricVerdict::Missing => "no data",
    };
    evidence(state, slot, turn, report, &format!("{word}: {said}"));
    match (verdict, missing) {
        (MetricVerdict::Pass, _) => {
            note_run(state, slot, turn, WHO, format!("passed: {said}"));
            return StepSays::Passed;
        }
        (MetricVerdict::Missing, Missing::Pause) => pause(state, slot, turn, &format!("no data: {said}")),
        (MetricVerdict::Fail, _) | (MetricVerdict::Missing, Missing::Fail) => {
            let back = Back::new(DeploymentOutcome::Aborted, format!("{word}: {said}"));
            begin_rollback(state, slot, turn, WHO, back);
        }
    }
    StepSays::Acted
}

fn pause(state: &mut State, slot: &mut Slot, turn: &mut Turn, why: &str) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.analysis = Some(Pause { who: WHO.to_owned(), why: Some(why.to_owned()), since: turn.now });
    }
    note_run(state, slot, turn, WHO, format!("paused: {why}"));
}
