//! What the footer said, in full.

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

/// The page.
pub struct Messages;

impl Controller for Messages {
    fn motion(&self, state: &mut State, height: usize, by: Motion) {
        state.messages_top = text(state.messages_top, lines(state).len(), height, by);
    }

    fn shown(&self, state: &mut State) {
        state.messages_top = 0;
    }

    fn copied(&self, state: &State) -> Option<String> {
        state.messages.back().map(|(_, _, text)| text.clone())
    }
}
