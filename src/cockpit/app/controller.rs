//! What a page does with keys, changes of the board and time. A page that is a text or does nothing of its own
//! with something leaves it to the defaults.

use super::Effect;
use super::command::UiCommand;
use super::layout::{Arrange, lines};
use super::list::Motion;
use super::state::State;
use flightdeck_board::Moved;
use flightdeck_model::{Body, Rollout, Target};
use jiff::Timestamp;

/// A page. Its state is in [`State`].
pub trait Controller: Sync {
    /// How it divides the screen.
    fn arrange(&self) -> Arrange {
        lines
    }

    /// Moves what is selected or scrolled; `height`: rows of its list.
    fn motion(&self, state: &mut State, height: usize, by: Motion);

    /// Carries out a command as this page does; false: the rest is as on every page.
    fn command(&self, _: &mut State, _: UiCommand, _: &mut Vec<Effect>) -> bool {
        false
    }

    /// Why this page can't do that now.
    fn refuses(&self, _: &State, _: UiCommand) -> Option<String> {
        None
    }

    /// Selects the first row of a list whose cursor never stood anywhere.
    fn begin(&self, _: &mut State) {}

    /// It was called by its command.
    fn shown(&self, _: &mut State) {}

    /// Is something open on it, so that going back stays here?
    fn is_deeper(&self, _: &State) -> bool {
        false
    }

    /// Closes what is open on it.
    fn close(&self, _: &mut State) {}

    /// What was typed after `/`, where it has rows to filter.
    fn filter<'a>(&self, _: &'a State) -> Option<&'a str> {
        None
    }

    /// Filters its rows. A person who filters looks for something: what fits best is selected, and keys act there.
    fn set_filter(&self, _: &mut State, _: &str) {}

    /// Takes all marks away; says how many there were.
    fn unmark(&self, _: &mut State) -> usize {
        0
    }

    /// Marked rows that the filter hides: nothing is done to what can't be seen.
    fn hidden_marks(&self, _: &State) -> usize {
        0
    }

    /// Is a text shown that may be wider than the screen?
    fn is_wide(&self, _: &State) -> bool {
        false
    }

    /// What copying takes.
    fn copied(&self, _: &State) -> Option<String> {
        None
    }

    /// The rollout that keys act on.
    fn rollout<'a>(&self, _: &'a State) -> Option<&'a Rollout> {
        None
    }

    /// Why no rollout is selected, as it follows the name of an action.
    fn without_rollout(&self, _: &State) -> String {
        " works on a rollout: go to the Deck first".to_owned()
    }

    /// Can a change of a rollout be seen?
    fn sees_rollout(&self, _: &State, _: &RolloutChange<'_>) -> bool {
        false
    }

    /// Can what an update says be seen? What concerns every page is not asked.
    fn sees(&self, _: &State, _: &Body) -> bool {
        false
    }

    /// When something on it changes by itself.
    fn ticks(&self, _: &State, _: &mut Vec<Timestamp>) {}

    /// Do its rows change so often that what ticks on it is looked at once for many changes?
    fn has_many_changes(&self) -> bool {
        false
    }
}

/// What a change of a rollout did to what is kept in step with the board.
pub struct RolloutChange<'a> {
    pub target: &'a Target,
    /// Its row came or went.
    pub replaced: bool,
    /// An approval is asked for it.
    pub asked_for: bool,
    /// Where it was and is in the Deck's list; `None`: the list is made anew.
    pub list: Option<Moved>,
    /// The same of what needs a person.
    pub needs: Option<Vec<Moved>>,
    /// A number in the strip of environments changed, or what columns have to hold.
    pub counted: bool,
}

/// Why a selected row is none that an action works on, as it follows the action's name. `gone`: what was selected.
pub(super) fn unselected(gone: Option<String>) -> String {
    gone.map_or_else(
        || ": no row is selected that it works on".to_owned(),
        |gone| format!(": {gone} is no longer in the list; select a row"),
    )
}
