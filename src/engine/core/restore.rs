//! What a state that was restored from a backup knows of what was run since that was made: nothing.

use super::migrations::{configured, record};
use super::slots::with_all;
use super::state::{Job, JobStage, MigrationState, State};
use super::types::{Effect, JobEnd, SlotKey};
use super::{one_off, scheduled};
use flightdeck_model::Spec;
use jiff::Timestamp;
use std::collections::BTreeSet;

/// The state comes from a backup, and what was done to the data since that was made nobody knows. So nothing
/// that was about to run is begun, and nothing is taken back; what is not recorded is not known.
pub fn restored(state: &mut State, made: Timestamp) {
    let lost = |job: &mut Job| {
        if job.stage == JobStage::Running {
            job.stage = JobStage::Ended(JobEnd::Lost);
        }
    };
    state.pending.retain(|numbered| !matches!(numbered.effect, Effect::StartJob(_) | Effect::StopJob { .. }));
    state.restored = Some(made);
    state.applied_since_restore.clear();
    state.away_at_restore = state.removed.keys().chain(state.migrated.keys()).cloned().collect();
    with_all(state, |_, slot| {
        one_off::restored(slot);
        scheduled::restored(slot);
        if let Some(run) = &mut slot.run {
            let watches = run.watches.values_mut().filter_map(|watch| watch.job.as_mut());
            run.job.iter_mut().chain(watches).for_each(lost);
            let runs = run.job.as_ref().filter(|job| job.back).map(|job| job.hook.clone());
            if let Some(undo) = &mut run.undo {
                undo.retain(|undo| !undo.back || runs.as_ref() == Some(&undo.hook.name));
            }
        }
    });
    let slots = state.slots.values_mut().flat_map(|slot| slot.migrations.values_mut());
    for of in slots.chain(state.migrated.values_mut().flat_map(|all| all.values_mut())) {
        of.number = None;
    }
    unknown(state, made, |_| true);
}

/// A configuration is in force. After a restore that is the first thing known of what its services may have had
/// before, and so it is for a place that had left and is back.
pub(super) fn unknown_of(state: &mut State, spec: &Spec) {
    let Some(made) = state.restored else { return };
    let first = state.applied_since_restore.insert(spec.name.clone());
    let has =
        |key: &SlotKey| spec.services.get(&key.service).is_some_and(|of| of.placements.contains_key(&key.environment));
    let places: BTreeSet<String> = state.slots.keys().filter(|key| has(key)).map(ToString::to_string).collect();
    let back: BTreeSet<String> = state.away_at_restore.extract_if(.., |place| places.contains(place)).collect();
    unknown(state, made, |key| has(key) && (first || back.contains(&key.to_string())));
}

/// What is configured and not recorded may have been run after a backup was made.
fn unknown(state: &mut State, made: Timestamp, of: impl Fn(&SlotKey) -> bool) {
    with_all(state, |state, slot| {
        let configured = configured(state, &slot.key).filter(|_| of(&slot.key));
        let names: Vec<String> = configured.map(|hook| hook.name.clone()).collect();
        for name in names.iter().filter(|name| !slot.migrations.contains_key(*name)).cloned().collect::<Vec<_>>() {
            let why = format!("restored from a backup of {made}, which does not have it");
            record(state, slot, &name, made, MigrationState::Unknown { why });
        }
    });
}
