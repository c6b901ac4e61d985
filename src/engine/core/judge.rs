//! Analyses: numbers in, judgements out. Missing data pauses or fails, it never passes.

use super::context::{StepContext, evidence, note_run_progress};
use super::ending::{Back, begin_rollback};
use super::said::Said;
use super::state::{Pause, RunState, Slot, State, Watched};
use super::types::PoolWindow;
use flightdeck_analysis::{Span, Totals, Verdict, Window, summary, threshold};
use flightdeck_model::{AnalysisReport, DeploymentOutcome, Judge, MetricVerdict, Missing, Ppm, Step};
use jiff::SignedDuration;

const WHO: &str = "system:analysis";

/// Counts what the pools did.
pub(super) fn window(slot: &mut Slot, pools: &[PoolWindow]) {
    let find = |id: &Option<String>| pools.iter().find(|window| Some(&window.pool) == id.as_ref());
    let (candidate, stable) = (find(&slot.candidate), find(&slot.stable));
    let share = slot.exposed();
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return };
    let totals = |window: Option<&PoolWindow>| {
        let mut totals = Totals::default();
        if let Some(window) = window {
            totals.add(window.requests, window.errors, &window.latency);
        }
        totals
    };
    let (candidate, stable) = (totals(candidate), totals(stable));
    let seen = Window { share, candidate: &candidate, stable: &stable };
    if let Some(Step::Analysis { name, .. }) = run.current_step().cloned() {
        run.measured.candidate.add(candidate.requests, candidate.errors, &candidate.latency);
        run.measured.stable.add(stable.requests, stable.errors, &stable.latency);
        match run.templates.get(&name) {
            Some(template) if template.judge == Judge::Sequential => run.measured.sequential.observe(template, seen),
            Some(template) if template.judge == Judge::MannWhitney => {
                run.measured.mann_whitney.observe(template, seen, run.elapsed);
            }
            _ => {}
        }
    }
    run.watched.fresh = true;
    if share > Ppm::ZERO
        && let Some(template) = run.background.as_ref().and_then(|name| run.templates.get(name))
    {
        match template.judge {
            Judge::Sequential => run.watched.sequential.observe(template, seen),
            Judge::MannWhitney => run.watched.mann_whitney.observe(template, seen, run.watched.exposed),
            Judge::Threshold => {}
        }
        run.watched.windows.push_back((run.watched.exposed, candidate, stable));
    }
}

/// An analysis step: judged over its span, failed early where that is certain.
pub(super) fn step(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    name: &str,
    duration: SignedDuration,
) -> Said {
    let now = ctx.now;
    let Some(run) = &mut slot.run else { return Said::Wait };
    let from = *run.measured.from.get_or_insert(now);
    let Some(template) = run.templates.get(name) else {
        pause(state, slot, ctx, &format!("there is no analysis {name:?} any more"));
        return Said::Moved;
    };
    let measured = &run.measured;
    let span = Span { from, to: now, candidate: &measured.candidate, stable: &measured.stable };
    let over = run.elapsed >= duration;
    let judged = match template.judge {
        Judge::Threshold if over || threshold::clearly_fails(template, &span) => {
            Some(threshold::judge(template, name, &span))
        }
        Judge::Threshold => None,
        Judge::MannWhitney => {
            let judge = &measured.mann_whitney;
            let done = over || judge.verdict(template, &span, false) == Verdict::Fail;
            done.then(|| judge.report(template, name, &span))
        }
        Judge::Sequential => match measured.sequential.verdict(template, analyses(run), &span, over) {
            Verdict::Continue => None,
            Verdict::Pass | Verdict::Fail | Verdict::Inconclusive => {
                Some(measured.sequential.report(template, name, analyses(run), &span))
            }
        },
    };
    match judged {
        None => Said::Wait,
        Some(report) => {
            let missing = Lacking { what: template.missing, of: template.min_requests };
            act(state, slot, ctx, report, missing, "analysis")
        }
    }
}

/// Analyses that may fail a rollout: the chance of failing a good one is shared among them.
fn analyses(run: &RunState) -> usize {
    let steps = run.steps.iter().filter(|step| matches!(step, Step::Analysis { .. })).count();
    steps + usize::from(run.background.is_some())
}

/// The background analysis. True if it acted.
pub(super) fn background(state: &mut State, slot: &mut Slot, ctx: &mut StepContext) -> bool {
    let now = ctx.now;
    let exposed = slot.exposed() > Ppm::ZERO;
    let Some(run) = slot.run.as_mut().filter(|run| run.active()) else { return false };
    let Some(name) = run.background.clone() else { return false };
    if !exposed {
        run.watched = Watched::default();
        return false;
    }
    let analyses = analyses(run);
    let Some(template) = run.templates.get(&name) else { return false };
    let full = run.watched.exposed >= template.window;
    if !run.watched.fresh && !full {
        return false;
    }
    let (candidate, stable) = run.watched.sums(template.window);
    let measured = run.watched.exposed.min(template.window);
    let from = now.checked_sub(measured).unwrap_or(now);
    let span = Span { from, to: now, candidate: &candidate, stable: &stable };
    let failed = match template.judge {
        Judge::Threshold => (threshold::fails(template, &span) && full || threshold::clearly_fails(template, &span))
            .then(|| threshold::judge(template, &name, &span)),
        Judge::MannWhitney => {
            let judge = &run.watched.mann_whitney;
            (judge.verdict(template, &span, false) == Verdict::Fail).then(|| judge.report(template, &name, &span))
        }
        Judge::Sequential => {
            let sequential = &run.watched.sequential;
            let verdict = sequential.verdict(template, analyses, &span, false);
            (verdict == Verdict::Fail).then(|| sequential.report(template, &name, analyses, &span))
        }
    };
    // A pause for want of data stands already.
    let lacking = || full && run.pauses.analysis.is_none() && span.lacks_data(template);
    let Some(report) = failed.or_else(|| lacking().then(|| threshold::judge(template, &name, &span))) else {
        return false;
    };
    let missing = Lacking { what: template.missing, of: template.min_requests };
    matches!(act(state, slot, ctx, report, missing, "background analysis"), Said::Moved)
}

/// What a template says of too little data.
#[derive(Clone, Copy)]
struct Lacking {
    /// What that means.
    what: Missing,
    /// Fewer requests are too few.
    of: u64,
}

/// Writes a judgement down and does what follows from it.
fn act(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    report: AnalysisReport,
    missing: Lacking,
    what: &str,
) -> Said {
    let (verdict, said) = (report.verdict, format!("{what} {}: {}", report.template, summary(&report)));
    let word = match verdict {
        MetricVerdict::Pass => "passed",
        MetricVerdict::Fail => "failed",
        MetricVerdict::Missing if report.candidate_requests < missing.of => "no data",
        MetricVerdict::Missing => "inconclusive",
    };
    evidence(state, slot, ctx, report, &format!("{word}: {said}"));
    match (verdict, missing.what) {
        (MetricVerdict::Pass, _) => {
            note_run_progress(state, slot, ctx, WHO, format!("passed: {said}"));
            return Said::Done;
        }
        (MetricVerdict::Missing, Missing::Pause) => pause(state, slot, ctx, &format!("{word}: {said}")),
        (MetricVerdict::Fail, _) | (MetricVerdict::Missing, Missing::Fail) => {
            let back = Back::new(DeploymentOutcome::Aborted, format!("{word}: {said}"));
            begin_rollback(state, slot, ctx, WHO, back);
        }
    }
    Said::Moved
}

fn pause(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, why: &str) {
    slot.generation += 1;
    if let Some(run) = &mut slot.run {
        run.pauses.analysis = Some(Pause { who: WHO.to_owned(), why: Some(why.to_owned()), since: ctx.now });
    }
    note_run_progress(state, slot, ctx, WHO, format!("paused: {why}"));
}
