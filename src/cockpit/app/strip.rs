//! How many rollouts of each phase every environment has.

use super::State;
use crate::board::Board;
use crate::model::Phase;
use std::collections::BTreeMap;

/// An environment of the strip; those of several sources with one name are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Its name.
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
pub fn environments(state: &State) -> &[Counted] {
    state.environments.get(|| count(&state.board))
}

fn count(board: &Board) -> Vec<Counted> {
    let mut order: BTreeMap<&str, u32> = BTreeMap::new();
    for environment in board.environments() {
        let at = order.entry(environment.name.as_str()).or_insert(environment.order);
        *at = environment.order.min(*at);
    }
    let mut counts: BTreeMap<(u32, &str), BTreeMap<Phase, usize>> = BTreeMap::new();
    for (name, at) in &order {
        counts.entry((*at, name)).or_default();
    }
    for rollout in board.rollouts() {
        let name = rollout.environment.as_str();
        let at = order.get(name).copied().unwrap_or(u32::MAX);
        *counts.entry((at, name)).or_default().entry(rollout.phase).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((_, name), phases)| Counted {
            name: name.to_owned(),
            phases: ORDER.into_iter().filter_map(|phase| phases.get(&phase).map(|count| (phase, *count))).collect(),
        })
        .collect()
}
