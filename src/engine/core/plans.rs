//! What a rollout is to do: its plan, and its place in line.

use super::context::{StepContext, note, words};
use super::ending::settle_queued;
use super::holds::holds_on;
use super::migrations;
use super::slots::placement;
use super::state::{Counters, Kind, Measured, Pauses, Progress, RunState, Slot, State, Tally, Watched, keep};
use flightdeck_model::{
    AnalysisTemplate, Concurrency, DeploymentOutcome, HookOn, HookSpec, Phase, Ppm, ReleaseRef, ServiceKind,
    ServiceName, Step, Strategy,
};
use jiff::SignedDuration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A new rollout, not yet in line.
pub(super) fn plan(
    state: &mut State,
    slot: &mut Slot,
    ctx: &StepContext,
    kind: Kind,
    to: ReleaseRef,
    author: &str,
) -> RunState {
    slot.revision += 1;
    slot.generation += 1;
    if ctx.decided < ctx.now {
        keep(&mut slot.timings.wait, ctx.now.duration_since(ctx.decided));
    }
    let placement = placement(state, &slot.key);
    let strategy = placement.map_or(Strategy::Canary, |placement| placement.strategy);
    let none: Arc<[Step]> = Arc::from(Vec::new());
    let hooks = migrations::hooks(state, &slot.key, kind, &to);
    let steps = placement.filter(|_| stepped(kind)).map_or(none, |of| migrations::steps(&of.steps, &hooks));
    let background = placement.filter(|_| stepped(kind)).and_then(|placement| placement.background_analysis.clone());
    let templates = templates(state, &slot.key.service, &steps, background.as_ref());
    RunState {
        revision: format!("r-{}", slot.revision),
        kind,
        to,
        from: slot.stable_pool().map(|pool| pool.release.clone()),
        author: author.to_owned(),
        asked: Counters::next(&mut state.counters.asked),
        started: ctx.now,
        since: ctx.now,
        phase: Phase::Queued,
        steps,
        templates,
        background,
        progress: Progress::Queued,
        step: 0,
        elapsed: SignedDuration::ZERO,
        waited: SignedDuration::ZERO,
        weight: Ppm::ZERO,
        measured: Measured::default(),
        pauses: Pauses { holds: holds_on(state, &slot.key), ..Pauses::default() },
        cause: String::new(),
        watched: Watched::default(),
        strategy,
        hooks,
        job: None,
        cut_off: None,
        watches: BTreeMap::new(),
        undo: None,
        drill: None,
        tally: Tally::default(),
        diagnosis: None,
    }
}

/// The analyses that a plan names.
fn templates(
    state: &State,
    service: &ServiceName,
    steps: &[Step],
    background: Option<&String>,
) -> BTreeMap<String, AnalysisTemplate> {
    let named = steps.iter().filter_map(|step| match step {
        Step::Analysis { name, .. } => Some(name),
        _ => None,
    });
    let template = |name: &String| Some((name.clone(), state.analysis(service, name)?.clone()));
    named.chain(background).filter_map(template).collect()
}

/// Puts a rollout in line; it starts at once if nothing is before it. Gives its revision.
pub(super) fn enqueue(state: &mut State, slot: &mut Slot, ctx: &mut StepContext, run: RunState, text: &str) -> String {
    let (revision, author, name) = (run.revision.clone(), run.author.clone(), words(&run));
    let concurrency = placement(state, &slot.key).map_or(Concurrency::Supersede, |of| of.concurrency);
    if concurrency == Concurrency::Supersede {
        for old in std::mem::take(&mut slot.queue) {
            settle_queued(state, slot, ctx, old, DeploymentOutcome::Superseded, &format!("replaced by {name}"));
        }
    }
    slot.queue.push_back(run);
    note(state, slot, ctx, &revision, &author, text);
    revision
}

/// The plan of a version before which nothing served, and the steps of a whole one that it leaves out: there
/// is nobody to compare with. Hooks, the preview and approvals stay; whatever stood in the plan with a share
/// of the traffic, users get it only once everybody has agreed.
pub(super) fn first_steps(plan: &[Step], hooks: &[HookSpec], kind: ServiceKind) -> (Arc<[Step]>, Vec<Step>) {
    let on = |step: &Step| match step {
        Step::Hook { name } => hooks.iter().find(|hook| hook.name == *name).map(|hook| hook.on),
        _ => None,
    };
    let (before, rest): (Vec<_>, Vec<_>) = plan.iter().cloned().partition(|step| on(step) == Some(HookOn::Before));
    let users = rest.iter().position(|step| matches!(step, Step::SetWeight(_) | Step::Batch { .. }));
    let (unseen, seen) = rest.split_at(users.unwrap_or(rest.len()));
    let is_approval = |step: &&Step| matches!(step, Step::Approval { .. });
    let stays = |step: &&Step| matches!(step, Step::Hook { .. } | Step::Preview) || is_approval(step);
    let gates = unseen.iter().filter(stays).chain(seen.iter().filter(is_approval));
    let gates: Vec<_> = gates.cloned().collect();
    let after: Vec<_> = seen.iter().filter(|step| stays(step) && !is_approval(step)).cloned().collect();
    let up = (!gates.is_empty() || !after.is_empty()).then_some((Step::SetScale(Ppm::ALL), Step::SetWeight(Ppm::ALL)));
    let (scale, switch) = up.unzip();
    let switch = switch.filter(|_| kind != ServiceKind::Worker);
    let steps = before.into_iter().chain(scale).chain(gates).chain(switch).chain(after).collect();
    let compares = |step: &&Step| match step {
        Step::SetWeight(weight) => *weight < Ppm::ALL,
        step => matches!(step, Step::Pause { .. } | Step::Analysis { .. }),
    };
    (steps, rest.iter().filter(compares).cloned().collect())
}

/// Is it the plan of a canary?
pub(super) const fn stepped(kind: Kind) -> bool {
    matches!(kind, Kind::Canary)
}
