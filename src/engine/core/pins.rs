//! Who asks what, and whether what they saw is still so.

use super::refusals::Done;
use super::state::{RunState, Slot, State};
use flightdeck_model::{Action, Actor, Fact, FactChange, Facts, Pin, Refusal, RefusalKind, Run};

/// Who asks what, and why.
pub(super) struct Ask<'a> {
    pub(super) action: Action,
    pub(super) actor: &'a Actor,
    pub(super) pin: Option<&'a Pin>,
    pub(super) reason: Option<String>,
}

impl Ask<'_> {
    pub(super) fn because(&self, what: &str) -> String {
        let because = self.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
        format!("{what} by {}{because}", self.actor.name)
    }
}

/// What the person saw must still be so, as far as it counts for the action.
pub(super) fn check_pin(ask: &Ask<'_>, facts: &Facts) -> Done {
    let Some(pin) = ask.pin else { return Ok(()) };
    if pin.action != ask.action {
        let why = format!("the pin is for {}, not for {}; nothing was done", pin.action.name(), ask.action.name());
        return Err(Refusal::new(RefusalKind::PinChanged, why));
    }
    let mut changes = pin.changes(facts);
    changes.extend(pin.missing(facts).into_iter().map(|fact: Fact| FactChange {
        fact,
        pinned: "not pinned".to_owned(),
        current: facts.0.get(&fact).cloned(),
    }));
    if changes.is_empty() { Ok(()) } else { Err(Refusal::pin(changes)) }
}

/// What is true of a run now: what pins are made of.
pub(super) fn facts_of(slot: &Slot, run: &RunState) -> Facts {
    let mut facts = Facts::default()
        .with(Fact::Workload, slot.uid.clone())
        .with(Fact::Revision, run.revision.clone())
        .with(Fact::Step, run.step.to_string())
        .with(Fact::Generation, slot.generation.to_string())
        .with(Fact::Candidate, run.to.digest.clone());
    if let Some(pool) = slot.stable_pool() {
        facts = facts.with(Fact::Stable, pool.release.digest.clone());
    }
    facts
}

/// A run that is remembered, and its slot.
pub(super) fn find<'a>(state: &'a State, run: &Run) -> Option<(&'a Slot, &'a RunState)> {
    let slot = state.slots.values().find(|slot| slot.target(&state.source) == run.target)?;
    Some((slot, slot.runs().find(|of| of.revision == run.revision)?))
}

/// The facts of a run that is remembered.
#[must_use]
pub fn facts(state: &State, run: &Run) -> Option<Facts> {
    find(state, run).map(|(slot, run)| facts_of(slot, run))
}
