//! By which path users would get back to a version, and how long that takes here.

use super::pools::warm_pool;
use super::slots;
use super::slots::replicas;
use super::state::{Pool, Slot, State, Timings};
use flightdeck_model::{ReleaseRef, RollbackPath, Strategy};
use jiff::SignedDuration;
use std::collections::VecDeque;

/// By which path users would get back to `to`.
pub(super) fn path(state: &State, slot: &Slot, to: &ReleaseRef) -> RollbackPath {
    let full = replicas(state, slot);
    let up = |pool: Option<&Pool>| pool.is_some_and(|pool| pool.release == *to && pool.ready() >= full);
    let strategy = slots::placement(state, &slot.key).map(|placement| placement.strategy);
    if up(warm_pool(slot, to)) || (slot.active().is_some() && up(slot.stable_pool())) {
        RollbackPath::Warm
    } else if strategy == Some(Strategy::Recreate) {
        RollbackPath::Recreate
    } else {
        RollbackPath::Start
    }
}

fn median(mut times: Vec<SignedDuration>) -> Option<SignedDuration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

/// How long a way back takes, from this slot's own times, and of how many.
pub(super) fn estimate(timings: &Timings, path: RollbackPath) -> (Option<SignedDuration>, u32) {
    let own: Vec<_> = timings.back.iter().rev().filter(|of| of.path == path).take(5).map(|of| of.took).collect();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    if !own.is_empty() {
        let measured = count(own.len());
        return (median(own), measured);
    }
    let of = |times: &VecDeque<SignedDuration>| median(times.iter().copied().collect());
    let switch = of(&timings.switch).map(|switch| switch.saturating_add(of(&timings.wait).unwrap_or_default()));
    match path {
        RollbackPath::Warm => (switch, count(timings.switch.len())),
        RollbackPath::Start => {
            // All are started at once: the slowest counts.
            let slowest = timings.ready.iter().max().copied();
            let whole = slowest.and_then(|ready| ready.checked_add(switch?));
            (whole, count(timings.ready.len()))
        }
        RollbackPath::Recreate => (of(&timings.down), count(timings.down.len())),
    }
}
