//! Finding a slot, working on it with the rest of the state at hand, and what is configured for it.

use super::refusals::not_found;
use super::state::{Slot, State};
use super::types::SlotKey;
use flightdeck_model::{Placement, Refusal, Run};
use jiff::SignedDuration;

/// The slot whose rollout is meant.
pub(super) fn find_slot(state: &State, run: &Run) -> Result<SlotKey, Refusal> {
    let slot = state.slots.values().find(|slot| slot.target(&state.source) == run.target);
    slot.map(|slot| slot.key.clone()).ok_or_else(|| not_found(format!("there is no {} here", run.target)))
}

/// What is configured for a service in an environment.
pub(super) fn placement<'a>(state: &'a State, key: &SlotKey) -> Option<&'a Placement> {
    state.spec.services.get(&key.service)?.placements.get(&key.environment)
}

/// Instances of a full pool.
pub(super) fn replicas(state: &State, slot: &Slot) -> u32 {
    placement(state, &slot.key).map_or(1, |placement| placement.replicas.max(1))
}

/// So long a rollout may be without progress.
pub(super) fn deadline(state: &State, slot: &Slot) -> SignedDuration {
    placement(state, &slot.key).map_or(SignedDuration::ZERO, |placement| placement.progress_deadline)
}

/// Works on one slot with the rest of the state at hand. `None`: there is no such slot.
pub(super) fn with<T>(state: &mut State, key: &SlotKey, work: impl FnOnce(&mut State, &mut Slot) -> T) -> Option<T> {
    let mut slot = state.slots.remove(key)?;
    let result = work(state, &mut slot);
    state.slots.insert(slot.key.clone(), slot);
    Some(result)
}

/// The same for every slot.
pub(super) fn with_all(state: &mut State, mut work: impl FnMut(&mut State, &mut Slot)) {
    let keys: Vec<_> = state.slots.keys().cloned().collect();
    for key in keys {
        with(state, &key, &mut work);
    }
}
