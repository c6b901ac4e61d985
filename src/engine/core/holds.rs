//! "Stop the line": holds, what is let through, and their release.

use super::context::{StepContext, note_progress, run_id, words};
use super::pins::{Ask, check_pin};
use super::refusals::{Done, no, not_found};
use super::slots::with_all;
use super::state::{RunState, Slot, State};
use super::types::SlotKey;
use flightdeck_model::{Facts, Hold, HoldId, HoldTarget, Refusal, RefusalKind, Selector};

/// Does the hold mean this slot?
pub(super) fn covers(state: &State, hold: &Hold, key: &SlotKey) -> bool {
    let selector = &hold.selector;
    selector.source.as_ref().is_none_or(|source| *source == state.source)
        && selector.environment.as_ref().is_none_or(|environment| *environment == key.environment)
        && selector.service.as_ref().is_none_or(|service| *service == key.service)
}

pub(super) fn holds_on(state: &State, key: &SlotKey) -> std::collections::BTreeSet<HoldId> {
    state.holds.iter().filter(|hold| covers(state, hold, key)).map(|hold| hold.id.clone()).collect()
}

pub(super) fn hold(state: &mut State, ctx: &mut StepContext, ask: &Ask<'_>, selector: &Selector, id: HoldId) -> Done {
    check_pin(ask, &Facts::default())?;
    if selector.source.as_ref().is_some_and(|source| *source != state.source) {
        return Err(no(format!("this is {}; {selector} is not here", state.source)));
    }
    let owner = ask.actor.name.clone();
    let known = state.holds.iter().position(|hold| hold.owner == owner && hold.selector == *selector);
    let mut hold = match known {
        // The same once more is the same hold: what was let through meanwhile is held again.
        Some(at) => state.holds.remove(at),
        None => new_hold(state, ctx, ask, (owner, selector.clone(), id))?,
    };
    let text = ask.because(&format!("held by {}", hold.id));
    let mut left = Vec::new();
    with_all(state, |state, slot| {
        if covers(state, &hold, &slot.key) {
            left.extend(hold_slot(state, slot, ctx, &hold.id, ask, &text));
        }
    });
    hold.targets = left;
    ctx.note = Some(hold.id.to_string());
    state.holds.push(hold);
    Ok(())
}

fn new_hold(
    state: &State,
    ctx: &StepContext,
    ask: &Ask<'_>,
    (owner, selector, id): (String, Selector, HoldId),
) -> Result<Hold, Refusal> {
    if !id.is_well_formed() || state.holds.iter().any(|hold| hold.id == id) {
        let why = format!("a new hold can't be called {id}: that is taken, or no id; nothing was done");
        return Err(Refusal::new(RefusalKind::Invalid, why));
    }
    let (source, reason, since) = (state.source.clone(), ask.reason.clone(), ctx.now);
    Ok(Hold { id, source, selector, owner, reason, since, targets: Vec::new() })
}

/// Holds the rollouts of a slot; gives those that it leaves alone.
fn hold_slot(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    id: &HoldId,
    ask: &Ask<'_>,
    text: &str,
) -> Vec<HoldTarget> {
    let (mut left, mut held) = (Vec::new(), Vec::new());
    let runs = slot.run.iter_mut().filter(|run| run.active()).chain(&mut slot.queue);
    for run in runs {
        if run.rolling_back() {
            left.push(run.revision.clone());
        } else if run.pauses.holds.insert(id.clone()) {
            held.push(run.revision.clone());
        }
    }
    for revision in held {
        slot.generation += 1;
        note_progress(state, slot, ctx, &revision, &ask.actor.name, text);
    }
    left.iter().map(|revision| not_held(state, slot, revision, "on its way back to stable: not held")).collect()
}

fn not_held(state: &State, slot: &Slot, revision: &str, note: &str) -> HoldTarget {
    HoldTarget { run: run_id(state, slot, revision), held: false, note: note.to_owned(), undone: false }
}

/// A hold with what stands still by it now, and what it left alone or let through.
pub(super) fn held_now(state: &State, hold: &Hold) -> Hold {
    let mut targets = Vec::new();
    for slot in state.slots.values().filter(|slot| !slot.removed) {
        let runs = slot.run.iter().filter(|run| run.active()).chain(&slot.queue);
        for run in runs {
            let id = run_id(state, slot, &run.revision);
            if run.pauses.holds.contains(&hold.id) {
                targets.push(HoldTarget { run: id, held: true, note: "held".to_owned(), undone: false });
            } else if let Some(left) = hold.targets.iter().find(|left| left.run == id) {
                targets.push(left.clone());
            }
        }
    }
    Hold { targets, ..hold.clone() }
}

pub(super) fn release_hold(state: &mut State, ctx: &mut StepContext, ask: &Ask<'_>, id: &HoldId) -> Done {
    check_pin(ask, &Facts::default())?;
    let Some(at) = state.holds.iter().position(|hold| hold.id == *id) else {
        return Err(not_found(format!("there is no hold {id}")));
    };
    state.holds.remove(at);
    let text = ask.because(&format!("{id} released"));
    with_all(state, |state, slot| {
        let runs = slot.run.iter_mut().chain(&mut slot.queue);
        let freed: Vec<_> = runs.filter_map(|run| run.pauses.holds.remove(id).then(|| run.revision.clone())).collect();
        for revision in freed {
            slot.generation += 1;
            note_progress(state, slot, ctx, &revision, &ask.actor.name, &text);
        }
    });
    Ok(())
}

/// May it go on although it is held?
pub(super) fn may_let_through(run: &RunState) -> Done {
    if run.pauses.holds.is_empty() { Err(no(format!("{} is not held", words(run)))) } else { Ok(()) }
}

/// One rollout goes on; what else its holds stopped stays where it is.
pub(super) fn let_through(
    state: &mut State,
    slot: &mut Slot,
    ctx: &mut StepContext,
    ask: &Ask<'_>,
    revision: &str,
) -> Done {
    if ask.reason.is_none() {
        return Err(Refusal::new(RefusalKind::Invalid, "letting one through needs a reason; nothing was done"));
    }
    let mut runs = slot.run.iter_mut().chain(&mut slot.queue);
    let Some(run) = runs.find(|run| run.revision == revision) else { return Err(not_found("it is gone")) };
    may_let_through(run)?;
    let ids = std::mem::take(&mut run.pauses.holds);
    slot.generation += 1;
    let target = not_held(state, slot, revision, &ask.because("let through"));
    for hold in state.holds.iter_mut().filter(|hold| ids.contains(&hold.id)) {
        hold.targets.retain(|of| of.run != target.run);
        hold.targets.push(target.clone());
    }
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let text = ask.because(&format!("let through {}", ids.join(", ")));
    note_progress(state, slot, ctx, revision, &ask.actor.name, &text);
    Ok(())
}
