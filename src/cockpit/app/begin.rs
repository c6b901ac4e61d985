//! From a key to what it is about: the targets of an action, frozen at the moment of the key press.

use super::Effect;
use super::actions::{
    approval_item, availability, filtered_environments, hold_items, on_approval, on_rollout, release_item, rollout_item,
};
use super::command::Bound;
use super::confirm::start;
use super::dialog::Item;
use super::rows;
use super::state::{DeckPanel, Page, State, Tone};
use crate::model::{Action, EnvironmentName, Hold};
use std::collections::BTreeSet;

/// Begins an action on what is selected or marked.
pub(super) fn action(state: &mut State, action: Action, effects: &mut Vec<Effect>) {
    if let Err(why) = availability(state, Bound::Act(action)).or_else(|why| marked_instead(state, action, why)) {
        return state.say(Tone::Warn, why);
    }
    match collect(state, action) {
        Ok(items) => start(state, action, items, effects),
        Err(why) => state.say(Tone::Warn, why),
    }
}

/// With marks the selected row does not matter: each marked one is looked at by itself.
fn marked_instead(state: &State, action: Action, why: String) -> Result<(), String> {
    let marks = match action {
        Action::Approve | Action::Reject => state.page == Page::Approvals && !state.approvals.marks.is_empty(),
        Action::Pause | Action::Abort => state.page == Page::Deck && !state.deck.marks.is_empty(),
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

/// What holds are called: their ids, with their sources where several sources have one of that id.
pub(super) fn hold_names(state: &State) -> Vec<(String, &Hold)> {
    let alike = |hold: &Hold| state.board.holds().filter(|other| other.id == hold.id).count() > 1;
    let name = |hold: &Hold| if alike(hold) { format!("{}/{}", hold.source, hold.id) } else { hold.id.to_string() };
    state.board.holds().map(|hold| (name(hold), hold)).collect()
}

/// Begins the release of one hold; without a name of the only one.
pub(super) fn release(state: &mut State, named: &str, effects: &mut Vec<Effect>) {
    match availability(state, Bound::Act(Action::Release)).and_then(|()| held(state, named)) {
        Ok(item) => start(state, Action::Release, vec![item], effects),
        Err(why) => state.say(Tone::Warn, why),
    }
}

fn held(state: &State, named: &str) -> Result<Item, String> {
    let in_force = hold_names(state);
    let known = in_force.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let full = |hold: &Hold| format!("{}/{}", hold.source, hold.id);
    let meant = match in_force.as_slice() {
        [only] if named.is_empty() => Some(only),
        _ if named.is_empty() => return Err(format!("release hold: which one? in force: {known}")),
        all => all.iter().find(|(name, hold)| name == named || full(hold) == named),
    };
    let Some((name, hold)) = meant else {
        return Err(format!("release hold: there is no hold {named}; in force: {known}"));
    };
    let item = release_item(state, hold).ok_or_else(|| format!("release hold: no server speaks for {name}"))?;
    match item.freshness.problem(state.now) {
        None => Ok(item),
        Some(problem) => Err(format!("release hold: its server is {problem}")),
    }
}

/// The targets of an action, frozen now.
fn collect(state: &State, action: Action) -> Result<Vec<Item>, String> {
    let label = action.row().label;
    let no_server = || format!("{label}: no server speaks for it");
    match action {
        Action::Hold => Ok(hold_items(state, &filtered_environments(state))),
        Action::Release => Ok(vec![held(state, "")?]),
        Action::Approve | Action::Reject => {
            let marks = visible_marks(state, action, state.approvals.marks.len())?;
            if !marks {
                let approval = rows::selected_approval(state).ok_or_else(no_server)?;
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
                let rollout = rows::selected_rollout(state).ok_or_else(no_server)?;
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
    let hidden = rows::hidden_marks(state);
    match (marked, action) {
        (0, _) => Ok(false),
        _ if hidden > 0 => {
            Err(format!("{label}: {hidden} of {marked} marked rows are hidden; clear the filter or unmark them (Esc)"))
        }
        (_, Action::Approve | Action::Reject | Action::Pause | Action::Abort) => Ok(true),
        _ => Err(format!("{label} works on one row at a time; unmark the {marked} marked rows (Esc)")),
    }
}
