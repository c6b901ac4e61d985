//! "Stop the line": holds and their release.

use super::commands::{Ask, Done, check_pin, no, not_found};
use super::rollout::covers;
use super::state::{Counters, Slot, State};
use super::step::with_all;
use super::turn::{Turn, note, run_id};
use crate::model::{Facts, Hold, HoldId, HoldTarget, Selector};

pub(super) fn hold(state: &mut State, turn: &mut Turn, ask: &Ask<'_>, selector: &Selector) -> Done {
    check_pin(ask, &Facts::default())?;
    if selector.source.as_ref().is_some_and(|source| *source != state.source) {
        return Err(no(format!("this is {}; {selector} is not here", state.source)));
    }
    let owner = ask.actor.name.clone();
    if let Some(hold) = state.holds.iter().find(|hold| hold.owner == owner && hold.selector == *selector) {
        turn.note = Some(hold.id.to_string());
        return Ok(());
    }
    let id = HoldId::from(format!("H-{}", Counters::next(&mut state.counters.hold)));
    let mut hold = Hold {
        id: id.clone(),
        source: state.source.clone(),
        selector: selector.clone(),
        owner,
        reason: ask.reason.clone(),
        since: turn.now,
        targets: Vec::new(),
    };
    let text = ask.because(&format!("held by {id}"));
    with_all(state, |state, slot| {
        if covers(state, &hold, &slot.key) {
            hold.targets.extend(hold_slot(state, slot, turn, &id, ask, &text));
        }
    });
    state.holds.push(hold);
    turn.note = Some(id.to_string());
    Ok(())
}

fn hold_slot(
    state: &mut State,
    slot: &mut Slot,
    turn: &mut Turn,
    id: &HoldId,
    ask: &Ask<'_>,
    text: &str,
) -> Vec<HoldTarget> {
    let mut targets = Vec::new();
    let runs = slot.run.iter_mut().filter(|run| run.active()).chain(&mut slot.queue);
    let mut held = Vec::new();
    for run in runs {
        let back = run.rolling_back();
        if !back {
            run.pauses.holds.insert(id.clone());
            held.push(run.revision.clone());
        }
        let note = if back { "on its way back to stable: not held" } else { "held" };
        targets.push((run.revision.clone(), !back, note.to_owned()));
    }
    for revision in held {
        slot.generation += 1;
        note(state, slot, turn, &revision, &ask.actor.name, text);
    }
    let target =
        |(revision, held, note): (String, bool, String)| HoldTarget { run: run_id(state, slot, &revision), held, note };
    targets.into_iter().map(target).collect()
}

pub(super) fn release_hold(state: &mut State, turn: &mut Turn, ask: &Ask<'_>, id: &HoldId) -> Done {
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
            note(state, slot, turn, &revision, &ask.actor.name, &text);
        }
    });
    Ok(())
}
