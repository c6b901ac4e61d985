//! How many rollouts of each phase every environment has.

use super::State;
use super::state::Phases;
use flightdeck_model::{EnvironmentName, Phase};
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
