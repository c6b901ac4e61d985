//! From page to page.

use super::Effect;
use super::pages::Page;
use super::state::{Live, RolloutPage, RolloutPanel, State};
use flightdeck_model::Run;
use std::collections::BTreeMap;

/// Goes to a page; what is followed on the page that is left is let go.
pub(super) fn enter(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    state.shift = 0;
    if page != Page::Output
        && let Some(output) = state.output.take()
    {
        effects.push(Effect::Unfollow { token: output.token });
    }
    state.page = page;
}

/// Goes to a page from which going back leads here.
pub(super) fn descend(state: &mut State, page: Page, effects: &mut Vec<Effect>) {
    state.back.push(state.page);
    enter(state, page, effects);
}

/// Opens a rollout.
pub(super) fn open_run(state: &mut State, run: Run, effects: &mut Vec<Effect>) {
    state.rollout = Some(RolloutPage {
        run,
        panel: RolloutPanel::default(),
        cursors: BTreeMap::new(),
        live: Live::default(),
        over: None,
        reading: None,
    });
    descend(state, Page::Rollout, effects);
}
