//! What the footer said, in full.

use super::Page;
use crate::app::controller::Controller;
use crate::app::list::{Motion, text};
use crate::app::record::{NAME, RecordLine, first_at};
use crate::app::state::{State, Tone};

/// What was said, newest first, in lines of the width of the page.
#[must_use]
pub fn lines(state: &State) -> Vec<RecordLine<'static>> {
    let columns = state.columns.saturating_sub(2 + NAME);
    let all = state.messages.iter().rev();
    all.flat_map(|(at, tone, text)| {
        let name = match tone {
            Tone::Plain => "",
            Tone::Good => "done",
            Tone::Warn => "look",
            Tone::Bad => "failed",
        };
        first_at(name, *at, text, columns)
    })
    .collect()
}

/// The first line shown.
#[must_use]
pub fn top(state: &State) -> usize {
    state.cursors.get(&Page::Messages).map_or(0, |cursor| cursor.top)
}

/// The page.
pub struct Messages;

impl Controller for Messages {
    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        let top = text(top(state), lines(state).len(), height, by);
        state.cursors.entry(Page::Messages).or_default().top = top;
    }

    fn shown(&self, state: &mut State) {
        state.cursors.remove(&Page::Messages);
    }

    fn copied(&self, state: &State) -> Option<String> {
        state.messages.back().map(|(_, _, text)| text.clone())
    }
}
