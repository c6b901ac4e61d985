//! Keeps the lists in step with the board, and says what of a change can be seen. A change costs what
//! finding a row's place costs; only what concerns all rows at once drops a list.

use super::controller::RolloutChange;
use super::dialog::Item;
use super::dispatch::of;
use super::pages::{Page, deck};
use super::state::State;
use flightdeck_board::Change;
use flightdeck_model::{Body, Entity, EntityRef, Rollout, ServiceName, SourceId, Target};
use std::sync::Arc;

/// So many rows that go at once are taken out one by one; with more the lists are made anew.
const FEW: usize = 16;

/// Takes a change of the board into the lists. True if it can be seen on the page that is shown.
pub(super) fn follow(state: &mut State, body: &Body, change: &Change) -> bool {
    let in_dialog = in_dialog(state, body);
    let on_page = match change {
        Change::Nothing => false,
        Change::Rollout { old, new } => rollout(state, old.as_ref(), new.as_ref()),
        Change::Gone { rollouts, others } => {
            if *others || rollouts.len() > FEW {
                state.forget_lists();
            }
            for gone in rollouts.iter().filter(|_| rollouts.len() <= FEW) {
                rollout(state, Some(gone), None);
            }
            true
        }
        Change::Other => other(state, body),
    };
    on_page || in_dialog
}

/// Can what an update says be seen in the confirmation that is open? It shows how its candidates do, and who
/// changed its rows.
fn in_dialog(state: &State, body: &Body) -> bool {
    let Some(dialog) = state.dialog() else { return false };
    let about = |target: &Target| dialog.items.iter().filter_map(Item::run).any(|run| run.target == *target);
    match body {
        Body::Samples(samples) => samples.iter().any(|sample| about(&sample.target)),
        Body::Upsert(Entity::Rollout(rollout)) => about(&rollout.run.target),
        Body::Upsert(Entity::Approval(approval)) => about(&approval.run.target),
        Body::Upsert(Entity::Evidence(evidence)) => about(&evidence.run.target),
        Body::Upsert(Entity::Note(note)) => about(&note.run.target),
        Body::Upsert(Entity::Receipt(_) | Entity::Release(_) | Entity::RolloutRecord(_)) => true,
        _ => false,
    }
}

fn rollout(state: &mut State, old: Option<&Arc<Rollout>>, new: Option<&Arc<Rollout>>) -> bool {
    let Some(target) = new.or(old).map(|row| &row.run.target) else { return false };
    let asked_for = state.board.approvals().any(|approval| approval.run.target == *target);
    if asked_for {
        state.approvals.list.clear();
    }
    let (board, now) = (&state.board, state.now);
    let list = state.deck.list.known().map(|list| list.change(board, old, new));
    let needs = state.attention.known().map(|needs| needs.change(board, old, new, now));
    let (before, after) = (old.map(|row| &**row), new.map(|row| &**row));
    let counted = state.phases.known().map(|phases| phases.change(before, after));
    let alerts = after.is_some_and(|row| !board.alerts_of(row).is_empty());
    let filled = state.filled.known().map(|filled| filled.change(before, after, alerts));
    state.unlooked = true;
    let target = target.clone();
    let change = RolloutChange {
        target: &target,
        replaced: old.is_none() || new.is_none(),
        asked_for,
        list,
        needs,
        counted: counted != Some(false) || filled != Some(false),
    };
    of(state.page).sees_rollout(state, &change)
}

fn other(state: &mut State, body: &Body) -> bool {
    let on_page = on_page(state, body);
    match body {
        Body::Samples(samples) => {
            let resorted = deck::resorted(state, samples);
            return on_page || (state.page == Page::Deck && resorted);
        }
        Body::Upsert(Entity::Evidence(evidence)) => {
            let moved = deck::judged(state, &evidence.run.target);
            return if state.page == Page::Deck { moved } else { on_page };
        }
        Body::Upsert(Entity::Environment(_)) | Body::Link(_) => state.forget_lists(),
        Body::Upsert(Entity::Approval(_)) => {
            state.attention.clear();
            state.approvals.list.clear();
            state.unlooked = true;
        }
        Body::Upsert(Entity::Service(service)) => jobs(state, &service.source, &service.name),
        Body::Remove(EntityRef::Service(source, service)) => jobs(state, source, service),
        // What goes on although it is held needs somebody.
        Body::Upsert(Entity::Hold(_)) | Body::Remove(EntityRef::Hold(..)) => {
            state.attention.clear();
            state.unlooked = true;
        }
        // A critical one of a rollout needs somebody, and the Deck has a column where any concerns a row.
        Body::Upsert(Entity::Alert(_)) | Body::Remove(EntityRef::Alert(..)) => {
            state.attention.clear();
            state.filled.clear();
            state.unlooked = true;
        }
        Body::Remove(EntityRef::Environment(..) | EntityRef::Evidence(..) | EntityRef::Approval(_)) => {
            state.forget_lists();
        }
        Body::Upsert(Entity::RolloutRecord(_)) | Body::Remove(EntityRef::RolloutRecord(_)) => state.ended.forget(),
        // Words that depend on it are made when they are drawn.
        _ => {}
    }
    on_page
}

/// A job of a service may have failed, or succeeded again.
fn jobs(state: &mut State, source: &SourceId, service: &ServiceName) {
    let board = &state.board;
    let changed = state.attention.known().is_none_or(|needs| needs.change_jobs(board, source, service));
    state.unlooked |= changed;
}

/// Can what an update says be seen on the page that is shown?
fn on_page(state: &State, body: &Body) -> bool {
    match body {
        // A hold stands in the header. Rows that go are rare, and their keys don't say of what they were.
        Body::Upsert(Entity::Hold(_)) | Body::Remove(_) | Body::SnapshotBegin | Body::SnapshotEnd | Body::Link(_) => {
            true
        }
        Body::Samples(_) | Body::Upsert(_) => of(state.page).sees(state, body),
    }
}
