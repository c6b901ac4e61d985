//! Moving: selections in lists, first lines of texts.

use super::dispatch::{layout, of};
use super::hints;
use super::list::{Motion, text};
use super::state::{Overlay, State};

/// Moves on what is shown.
pub(super) fn motion(state: &mut State, by: Motion) {
    let height = usize::from(layout(state).list.height);
    if let Some(Overlay::Help { top }) = &state.overlay {
        let top = text(*top, hints::help(state).len(), height, by);
        state.overlay = Some(Overlay::Help { top });
    } else {
        of(state.page).motion(state, height, by);
    }
}
