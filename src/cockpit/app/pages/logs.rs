//! The program's own log, whose records the view takes from the logger.

use crate::app::controller::Controller;
use crate::app::list::Motion;
use crate::app::state::State;

/// The page.
pub struct Logs;

impl Controller for Logs {
    fn motion(&self, state: &mut State, _: usize, by: Motion) {
        let pages = &mut state.logs.pages_back;
        *pages = match by {
            Motion::Last => 0,
            by if by.rows(2) < 0 => *pages + 1,
            _ => pages.saturating_sub(1),
        };
    }
}
