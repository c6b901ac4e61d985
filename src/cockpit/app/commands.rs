//! What the cockpit's own commands do on every page: show one, go back, filter, scroll, copy, try again.

use super::command::{Bound, UiCommand};
use super::controller::Controller;
use super::dispatch::of;
use super::keymap::{Context, suggestion};
use super::nav::{descend, enter};
use super::pages::{Page, Reached};
use super::state::{Connection, State, Tone};
use super::{ConnectionState, Effect};
use flightdeck_board::Filter;

/// The page that is shown.
fn here(state: &State) -> &'static dyn Controller {
    of(state.page)
}

/// Shows a page.
pub(super) fn show(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    if page.row().reached != Reached::Over {
        state.back.clear();
        enter(state, page, effects);
    } else if state.page != page {
        descend(state, page, effects);
    }
    of(page).shown(state);
}

/// Filters the page.
pub(super) fn filter(state: &mut State, text: &str) {
    here(state).set_filter(state, text);
}

/// Says what of a filter that was taken means nothing.
pub(super) fn filtered(state: &mut State, text: &str) {
    if let Some(problem) = Filter::parse(text, state.now).problem() {
        state.say(Tone::Warn, format!("filter: {problem}"));
    }
}

/// Is there something to go back from, so that leaving does not end the program?
pub(super) fn leads_back(state: &State) -> bool {
    here(state).is_deeper(state) || !state.back.is_empty()
}

/// Shows what lies further left or right of a text that is wider than the screen.
pub(super) fn shift(state: &mut State, right: bool) {
    if !here(state).is_wide(state) {
        let open = state.settings.keymap.first_key(&[Context::Page(Page::Rollout)], Bound::Ui(UiCommand::Open));
        return state.say(Tone::Plain, format!("nothing here scrolls sideways; {open} shows a row in full"));
    }
    let half = state.columns / 2;
    state.shift = if right { state.shift.saturating_add(half) } else { state.shift.saturating_sub(half) };
}

/// Goes back: out of what is open, to the page before, without the filter, without marks, to the Deck.
pub(super) fn back(state: &mut State, effects: &mut Vec<Effect>) {
    let here = here(state);
    if here.is_deeper(state) {
        here.close(state);
    } else if let Some(page) = state.back.pop() {
        enter(state, page, effects);
    } else if let Some(text) = here.filter(state).filter(|text| !text.is_empty()).map(str::to_owned) {
        here.set_filter(state, "");
        state.say(Tone::Plain, format!("dropped the filter /{text}"));
    } else {
        match (here.unmark(state), state.page) {
            (0, Page::Deck) => {}
            (0, _) => enter(state, Page::Deck, effects),
            (1, _) => state.say(Tone::Plain, "unmarked 1 row"),
            (marks, _) => state.say(Tone::Plain, format!("unmarked {marks} rows")),
        }
    }
}

/// Copies the name of what is selected.
pub(super) fn copy(state: &mut State, effects: &mut Vec<Effect>) {
    match here(state).copied(state) {
        Some(text) => {
            state.say(Tone::Plain, format!("copied {text}"));
            effects.push(Effect::Copy(text));
        }
        None => state.say(Tone::Plain, "nothing is selected that could be copied"),
    }
}

/// Tries lost connections now: the named one, or all.
pub(super) fn reconnect(state: &mut State, name: Option<&str>, effects: &mut Vec<Effect>) {
    let wanted = |connection: &&Connection| name.is_none_or(|name| connection.name == name);
    if let Some(name) = name.filter(|_| !state.connections.iter().any(|connection| wanted(&connection))) {
        let hint = suggestion(name, state.connections.iter().map(|connection| connection.name.as_str()));
        return state.say(Tone::Warn, format!("reconnect: no server is called {name}{hint}"));
    }
    let lost = state
        .connections
        .iter()
        .enumerate()
        .filter(|(_, connection)| wanted(connection) && !matches!(connection.state, ConnectionState::Up { .. }));
    let lost: Vec<_> = lost.map(|(id, connection)| (id, connection.name.clone())).collect();
    let names: Vec<_> = lost.iter().map(|(_, name)| name.as_str()).collect();
    if names.is_empty() {
        state.say(Tone::Plain, "reconnect: it is connected");
    } else {
        state.say(Tone::Plain, format!("trying {}", names.join(", ")));
    }
    effects.extend(lost.into_iter().map(|(connection, _)| Effect::Reconnect { connection }));
}
