//! How many rollouts of each phase every environment has.

use super::State;
use flightdeck_board::Board;
use flightdeck_model::{EnvironmentName, Phase, Rollout};
use std::collections::BTreeMap;

/// An environment of the strip; those of several sources with one name are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub name: String,
    /// In the order of `ORDER`, without zeros.
    pub phases: Vec<(Phase, usize)>,
}

/// Healthy first, as what is expected; then what asks for a look.
const ORDER: [Phase; 11] = [
    Phase::Healthy,
    Phase::Progressing,
    Phase::Initializing,
    Phase::Queued,
    Phase::Paused,
    Phase::RollingBack,
    Phase::Degraded,
    Phase::Failed,
    Phase::Aborted,
    Phase::Superseded,
    Phase::Unknown,
];

/// How many rollouts of each phase there are, by the name of their environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Phases(BTreeMap<EnvironmentName, BTreeMap<Phase, usize>>);

impl Phases {
    pub(super) fn of(board: &Board) -> Phases {
        let mut phases = Phases::default();
        board.rollouts().for_each(|rollout| phases.add(rollout));
        phases
    }

    /// A row changed. True if a number did.
    pub(super) fn change(&mut self, old: Option<&Rollout>, new: Option<&Rollout>) -> bool {
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

/// All environments in promotion order.
#[must_use]
pub fn environments(state: &State) -> Vec<Counted> {
    let phases = state.phases.get(|| Phases::of(&state.board));
    let mut order: BTreeMap<&str, u32> = phases.0.keys().map(|name| (name.as_str(), u32::MAX)).collect();
    for environment in state.board.environments() {
        let at = order.entry(environment.name.as_str()).or_insert(environment.order);
        *at = environment.order.min(*at);
    }
    let mut names: Vec<(u32, &str)> = order.into_iter().map(|(name, at)| (at, name)).collect();
    names.sort_unstable();
    let counted = names.into_iter().map(|(_, name)| {
        let here = phases.0.get(&EnvironmentName::from(name));
        let count = |phase: Phase| here.and_then(|here| here.get(&phase)).map(|count| (phase, *count));
        Counted { name: name.to_owned(), phases: ORDER.into_iter().filter_map(count).collect() }
    });
    counted.collect()
}
