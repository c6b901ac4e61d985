//! Keeps the lists in step with the board, and says what of a change can be seen. A change costs what
//! finding a row's place costs; only what concerns all rows at once drops a list.

use super::dialog::Item;
use super::rows;
use super::state::{Page, State};
use flightdeck_board::{Change, Moved, Order};
use flightdeck_model::{ArmSample, Body, Entity, EntityRef, Rollout, Run, ServiceName, SourceId, Target};
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
    let filled = state.filled.known().map(|filled| filled.change(before, after));
    state.unlooked = true;
    match state.page {
        Page::Approvals => asked_for,
        Page::Rollout => opened(state) == Some(target),
        Page::History | Page::Logs | Page::Messages | Page::Output => false,
        Page::Deck => {
            let selected = rows::selected_rollout(state).is_some_and(|row| row.run.target == *target);
            let replaced = old.is_none() || new.is_none();
            let listed = list.is_none_or(|moved| on_list(state, moved));
            let needed = || needs.is_none_or(|moved| moved.into_iter().any(|moved| on_needs(state, moved)));
            let columns = filled != Some(false);
            selected || replaced || counted != Some(false) || columns || listed || needed()
        }
    }
}

fn other(state: &mut State, body: &Body) -> bool {
    let on_page = on_page(state, body);
    match body {
        Body::Samples(samples) => return on_page | resorted(state, samples),
        Body::Upsert(Entity::Evidence(evidence)) => {
            let (on_deck, moved) = (state.page == Page::Deck, judged(state, &evidence.run.target));
            return if on_deck { moved } else { on_page };
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

/// Numbers move rows where numbers are sorted by.
fn resorted(state: &mut State, samples: &[ArmSample]) -> bool {
    if !matches!(state.deck.order, Order::Errors | Order::Risk) {
        return false;
    }
    let (board, mut seen) = (&state.board, Vec::new());
    if let Some(list) = state.deck.list.known() {
        let mut last: Option<&Target> = None;
        for sample in samples {
            // The arms of a target are told together.
            if last != Some(&sample.target) {
                seen.push(list.refresh(board, &sample.target));
                last = Some(&sample.target);
            }
        }
    }
    state.page == Page::Deck && seen.into_iter().any(|moved| moved.from != moved.to && on_list(state, moved))
}

/// A judgement on a rollout: it may need a person now, and stand elsewhere.
fn judged(state: &mut State, target: &Target) -> bool {
    let (board, now) = (&state.board, state.now);
    let list = state.deck.list.known().map(|list| list.refresh(board, target));
    let needs = state.attention.known().map(|needs| needs.refresh(board, target, now));
    state.unlooked = true;
    list.is_none_or(|moved| on_list(state, moved)) || needs.is_none_or(|moved| on_needs(state, moved))
}

fn on_list(state: &State, moved: Moved) -> bool {
    let (top, height) = rows::deck_view(state);
    moved.seen(top, height)
}

fn on_needs(state: &State, moved: Moved) -> bool {
    let (top, height) = rows::needs_view(state);
    moved.seen(top, height)
}

fn opened(state: &State) -> Option<&Target> {
    state.rollout.as_ref().filter(|_| state.page == Page::Rollout).map(|page| &page.run.target)
}

/// Can what an update says be seen on the page that is shown?
fn on_page(state: &State, body: &Body) -> bool {
    let opened = opened(state);
    let of_opened = |run: &Run| opened == Some(&run.target);
    let record =
        state.ended.cursor.key.as_ref().filter(|_| state.page == Page::History && state.ended.record.is_some());
    let of_record = |run: &Run| record == Some(run);
    let listed = matches!(state.page, Page::Deck | Page::Approvals);
    match body {
        Body::Samples(samples) => match state.page {
            Page::Rollout => samples.iter().any(|sample| opened == Some(&sample.target)),
            Page::Deck => {
                let window = rows::deck(state);
                samples.iter().any(|sample| window.rows.iter().any(|row| row.rollout.run.target == sample.target))
            }
            Page::Approvals => rows::selected_approval(state)
                .is_some_and(|approval| samples.iter().any(|sample| sample.target == approval.run.target)),
            _ => false,
        },
        Body::Upsert(entity) => match entity {
            Entity::Hold(_) => true,
            Entity::Rollout(rollout) => listed || of_opened(&rollout.run),
            Entity::Approval(approval) => listed || of_opened(&approval.run),
            Entity::Evidence(evidence) => listed || of_opened(&evidence.run) || of_record(&evidence.run),
            // A service says what its rows are: a worker, a TCP service.
            Entity::Environment(_) | Entity::Service(_) => listed || opened.is_some(),
            Entity::Instance(instance) => opened == Some(&instance.target),
            Entity::Note(note) => of_opened(&note.run) || of_record(&note.run),
            Entity::RolloutRecord(deployment) => state.page == Page::History || of_opened(&deployment.run),
            Entity::Receipt(_) => opened.is_some(),
            Entity::Release(_) => matches!(state.page, Page::Deck | Page::Rollout),
        },
        // Rows that go are rare, and their keys don't say of what they were.
        Body::Remove(_) | Body::SnapshotBegin | Body::SnapshotEnd | Body::Link(_) => true,
    }
}
