//! How many rollouts of each phase every environment has.

use flightdeck_board::Board;
use flightdeck_model::{EnvironmentName, Phase, Rollout};
use std::collections::BTreeMap;

/// How many rollouts of each phase there are, by the name of their environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Phases(pub(crate) BTreeMap<EnvironmentName, BTreeMap<Phase, usize>>);

impl Phases {
    pub(crate) fn of(board: &Board) -> Phases {
        let mut phases = Phases::default();
        board.rollouts().for_each(|rollout| phases.add(rollout));
        phases
    }

    /// A row changed. True if a number did.
    pub(crate) fn change(&mut self, old: Option<&Rollout>, new: Option<&Rollout>) -> bool {
        let place = |rollout: &Rollout| (rollout.environment.clone(), rollout.phase);
        if old.map(place) == new.map(place) {
            return false;
        }
        if let Some(old) = old {
            self.drop(old);
        }
        if let Some(new) = new {
            self.add(new);
        }
        true
    }

    fn add(&mut self, rollout: &Rollout) {
        if let Some(phases) = self.0.get_mut(&rollout.environment) {
            *phases.entry(rollout.phase).or_default() += 1;
        } else {
            self.0.insert(rollout.environment.clone(), BTreeMap::from([(rollout.phase, 1)]));
        }
    }

    fn drop(&mut self, rollout: &Rollout) {
        let Some(phases) = self.0.get_mut(&rollout.environment) else { return };
        if let Some(count) = phases.get_mut(&rollout.phase) {
            *count -= 1;
        }
        phases.retain(|_, count| *count > 0);
        if phases.is_empty() {
            self.0.remove(&rollout.environment);
        }
    }
}
