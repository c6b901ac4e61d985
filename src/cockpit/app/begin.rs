//! From a key to what it is about: the targets of an action, frozen at the moment of the key press.

use super::Effect;
use super::actions::{availability, on_approval, on_rollout, own_silence};
use super::command::Bound;
use super::confirm::start;
use super::dialog::Item;
use super::dispatch::{hidden_marks, selected_receipt, selected_rollout};
use super::items::{
    alert_item, approval_item, filtered_environments, hold_items, receipt_item, release_items, rollout_item,
    silence_item,
};
use super::pages::{Page, approvals};
use super::panels::selected_alert;
use super::state::{DeckPanel, State, Tone};
use flightdeck_model::{Action, Direction, EnvironmentName, Hold};
use std::collections::BTreeSet;

/// Begins an action on what is selected or marked.
pub(super) fn action(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = availability(state, Bound::Act(action)).or_else(|why| marked_instead(state, action, why)) {
        return state.say(Tone::Warn, why);
    }
    match collect(state, action) {
        // Nobody says yes to what there is no room to show.
        Ok(items) if action.direction() == Direction::Raises && items.len() > targets_shown(state) => {
            let (marked, room) = (items.len(), targets_shown(state));
            let label = action.row().label;
            state.say(
                Tone::Warn,
                format!("{label}: {marked} are marked and this window shows {room} at once; mark fewer"),
            );
        }
        Ok(items) => start(state, action, items, effects),
        Err(why) => state.say(Tone::Warn, why),
    }
}

/// So many targets have room in a confirmation beside what it asks.
fn targets_shown(state: &State) -> usize {
    usize::from(state.rows.saturating_sub(12)).max(1)
}

/// With marks the selected row does not matter: each marked one is looked at by itself.
fn marked_instead(state: &State, action: Action, why: String) -> Result<(), String> {
    let marks = match action {
        Action::Approve | Action::Reject => state.page == Page::Approvals && !state.approvals.marks.is_empty(),
        Action::Pause | Action::Abort | Action::Promote => state.page == Page::Deck && !state.deck.marks.is_empty(),
        _ => false,
    };
    if marks && !state.settings.read_only { Ok(()) } else { Err(why) }
}

/// Begins a hold of these environments; none: of everything.
pub(super) fn hold(state: &mut State, environments: &BTreeSet<EnvironmentName>, effects: &mut Vec<Effect>) {
    if let Err(why) = availability(state, Bound::Act(Action::Hold)) {
        return state.say(Tone::Warn, why);
    }
    let items = hold_items(state, environments);
    start(state, Action::Hold, items, effects);
}

/// Holds by the id that ends each, once over all sources that have it.
pub(super) fn hold_names(state: &State) -> Vec<(String, &Hold)> {
    let mut names: Vec<(String, &Hold)> = Vec::new();
    for hold in state.board.holds() {
        if !names.iter().any(|(name, _)| *name == hold.id.0) {
            names.push((hold.id.to_string(), hold));
        }
    }
    names
}

/// Begins the release of one hold; without a name of the only one.
pub(super) fn release(state: &mut State, named: &str, effects: &mut Vec<Effect>) {
    match availability(state, Bound::Act(Action::ReleaseHold)).and_then(|()| held(state, named)) {
        Ok(items) => start(state, Action::ReleaseHold, items, effects),
        Err(why) => state.say(Tone::Warn, why),
    }
}

/// The hold of that id wherever it is in force; `source/H-3`: there alone.
fn held(state: &State, named: &str) -> Result<Vec<Item>, String> {
    let in_force = hold_names(state);
    let known = in_force.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let full = |hold: &&Hold| format!("{}/{}", hold.source, hold.id) == named;
    let (id, source) = match in_force.as_slice() {
        [(_, only)] if named.is_empty() => (&only.id, None),
        _ if named.is_empty() => return Err(format!("release hold: which one? in force: {known}")),
        all => match (all.iter().find(|(name, _)| name == named), state.board.holds().find(full)) {
            (Some((_, hold)), _) => (&hold.id, None),
            (None, Some(hold)) => (&hold.id, Some(&hold.source)),
            (None, None) => return Err(format!("release hold: there is no hold {named}; in force: {known}")),
        },
    };
    let items = release_items(state, id, source);
    // Where it can't be released now the others still are.
    match items.iter().map(|item| item.freshness.problem(state.now)).collect::<Option<Vec<_>>>() {
        Some(problems) if items.is_empty() => {
            Err(format!("release hold: no server speaks for {id}{}", problems.concat()))
        }
        Some(problems) => Err(format!("release hold: its server is {}", problems.join("; "))),
        None => Ok(items),
    }
}

/// The targets of an action, frozen now.
fn collect(state: &mut State, action: Action) -> Result<Vec<Item>, String> {
    let label = action.row().label;
    let no_server = || format!("{label}: no server speaks for it");
    match action {
        Action::Hold => {
            let environments = filtered_environments(state);
            Ok(hold_items(state, &environments))
        }
        Action::ReleaseHold => held(state, ""),
        Action::Annotate => {
            let (receipt, run) = selected_receipt(state).ok_or_else(no_server)?;
            Ok(vec![receipt_item(state, receipt, run).ok_or_else(no_server)?])
        }
        Action::Silence => {
            let alert = selected_alert(state).ok_or_else(no_server)?;
            Ok(vec![alert_item(state, alert).ok_or_else(no_server)?])
        }
        Action::Unsilence => {
            let alert = selected_alert(state).ok_or_else(no_server)?;
            let silence = own_silence(state, alert).ok_or_else(no_server)?;
            Ok(vec![silence_item(state, alert, silence).ok_or_else(no_server)?])
        }
        Action::Approve | Action::Reject => {
            let marks = visible_marks(state, action, state.approvals.marks.len())?;
            if !marks {
                let approval = approvals::selected(state).ok_or_else(no_server)?;
                return Ok(vec![approval_item(state, action, approval).ok_or_else(no_server)?]);
            }
            let approvals = state.approvals.marks.iter().filter_map(|id| state.board.approval(id));
            approvals
                .map(|approval| {
                    on_approval(state, action, approval)
                        .map_err(|why| format!("{} is marked; {why}", approval.service))?;
                    approval_item(state, action, approval).ok_or_else(no_server)
                })
                .collect()
        }
        _ => {
            let marked = if on_deck_list(state) { state.deck.marks.len() } else { 0 };
            let marks = visible_marks(state, action, marked)?;
            if !marks {
                let rollout = selected_rollout(state).ok_or_else(no_server)?;
                return Ok(vec![rollout_item(state, action, rollout).ok_or_else(no_server)?]);
            }
            let rollouts = state.deck.marks.iter().filter_map(|target| state.board.rollout(target));
            rollouts
                .map(|rollout| {
                    on_rollout(state, action, rollout)
                        .map_err(|why| format!("{} is marked; {why}", rollout.service))?;
                    rollout_item(state, action, rollout).ok_or_else(no_server)
                })
                .collect()
        }
    }
}

fn on_deck_list(state: &State) -> bool {
    state.page == Page::Deck && state.deck.panel == DeckPanel::Rollouts
}

/// Are there marks to act on? Refuses what can't be done to several, and what can't be seen.
fn visible_marks(state: &State, action: Action, marked: usize) -> Result<bool, String> {
    let label = action.row().label;
    let hidden = hidden_marks(state);
    match (marked, action) {
        (0, _) => Ok(false),
        _ if hidden > 0 => {
            Err(format!("{label}: {hidden} of {marked} marked rows are hidden; clear the filter or unmark them (Esc)"))
        }
        (_, Action::Approve | Action::Reject | Action::Pause | Action::Abort | Action::Promote) => Ok(true),
        _ => Err(format!("{label} works on one row at a time; unmark the {marked} marked rows (Esc)")),
    }
}
