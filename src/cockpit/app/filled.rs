//! Which columns of the Deck have anything to show: one that is empty in every row leaves its room to the others.

use super::State;
use flightdeck_board::Board;
use flightdeck_model::Rollout;

/// In how many rows something stands in columns that are empty while nothing is on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filled {
    steps: usize,
    candidates: usize,
}

impl Filled {
    pub(super) fn of(board: &Board) -> Filled {
        let mut filled = Filled::default();
        board.rollouts().for_each(|rollout| filled.add(rollout));
        filled
    }

    /// A row changed. True if a column comes or goes.
    pub(super) fn change(&mut self, old: Option<&Rollout>, new: Option<&Rollout>) -> bool {
        let before = (self.steps(), self.candidates());
        if let Some(old) = old {
            self.steps = self.steps.saturating_sub(usize::from(at_step(old)));
            self.candidates = self.candidates.saturating_sub(usize::from(old.candidate().is_some()));
        }
        if let Some(new) = new {
            self.add(new);
        }
        before != (self.steps(), self.candidates())
    }

    fn add(&mut self, rollout: &Rollout) {
        self.steps += usize::from(at_step(rollout));
        self.candidates += usize::from(rollout.candidate().is_some());
    }

    /// Is any rollout at a step?
    #[must_use]
    pub const fn steps(self) -> bool {
        self.steps > 0
    }

    /// Has any rollout a candidate, and with it a share?
    #[must_use]
    pub const fn candidates(self) -> bool {
        self.candidates > 0
    }
}

/// What the rows of the board fill.
#[must_use]
pub fn filled(state: &State) -> Filled {
    *state.filled.get(|| Filled::of(&state.board))
}

/// Is it at one of its steps? Where it stopped for good its row tells otherwise.
#[must_use]
pub fn at_step(rollout: &Rollout) -> bool {
    rollout.phase.in_flight() && rollout.step.is_some() && !rollout.steps.is_empty()
}
