//! The kinds of objects that are rows, a file or folder each. Nobody else tells one from another. Pure.

mod argo_rollouts;
mod controller_revisions;
mod daemon_set;
mod deployment;
mod stateful_set;
mod traits;

pub use traits::{Asked, Item, Kind, Live, Needs, Right, Source, Workload};

use super::progress;
use super::resource::Resource;
use super::settings::KubernetesSettings;
use flightdeck_model::{Action, ActionSet, Forecast, Rollout, Stage};
use flightdeck_port::Followed;

/// Every kind, in the order in which sources tell of them.
pub const KINDS: &[&dyn Kind] =
    &[&argo_rollouts::Rollouts, &deployment::Deployments, &stateful_set::StatefulSets, &daemon_set::DaemonSets];

/// The kind of that name, as a [`flightdeck_model::Target`] has it.
#[must_use]
pub fn named(name: &str) -> Option<&'static dyn Kind> {
    let is = |kind: &&&dyn Kind| {
        let Resource { kind, plural, .. } = kind.resource();
        kind.eq_ignore_ascii_case(name) || plural.eq_ignore_ascii_case(name)
    };
    KINDS.iter().find(is).copied()
}

/// Those that a source watches.
#[must_use]
pub fn watched(settings: &KubernetesSettings) -> Vec<&'static dyn Kind> {
    let is = |kind: &&dyn Kind| settings.kinds.is_empty() || settings.kinds.contains(&kind.resource());
    KINDS.iter().copied().filter(is).collect()
}

/// Every action that some kind knows.
#[must_use]
pub fn actions() -> ActionSet {
    KINDS.iter().flat_map(|kind| kind.rights()).flat_map(|right| right.actions).copied().collect()
}

/// The stage of a command that was accepted. Holds and their release are told by the hub, which sees
/// every target.
#[must_use]
pub fn progress(followed: &Followed<'_>) -> Stage {
    match progress::seen(followed) {
        Ok(seen) => match named(&seen.run.target.kind) {
            Some(kind) => kind.progress(seen),
            None => progress::rolling(seen),
        },
        Err(stage) => stage,
    }
}

/// What an action would do, where it differs from what is said of every backend.
#[must_use]
pub fn forecast(action: Action, row: &Rollout) -> Option<Forecast> {
    let forecast = named(&row.run.target.kind)?.forecast(action, row)?;
    Some(super::forecast::with_owner(forecast, action, row))
}

#[cfg(test)]
mod forecast_tests;
#[cfg(test)]
mod plan_tests;
#[cfg(test)]
mod progress_tests;
#[cfg(test)]
mod row_tests;
#[cfg(test)]
mod tests;
