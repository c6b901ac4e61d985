//! How long things took in a slot: what the estimate of the next way back is made of.

use flightdeck_model::RollbackPath;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// How long things took in a slot, newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    /// From the decision of a command that begins a rollout until the engine came to it.
    #[serde(default)]
    pub wait: VecDeque<SignedDuration>,
    /// From asking for an instance until it was ready.
    pub ready: VecDeque<SignedDuration>,
    /// From sending a route until the proxy followed it.
    pub switch: VecDeque<SignedDuration>,
    /// How long nothing served while one version took the place of the other.
    pub down: VecDeque<SignedDuration>,
    /// From the decision to go back until all traffic was back.
    pub back: VecDeque<BackTime>,
}

/// How long a way back took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackTime {
    pub path: RollbackPath,
    pub took: SignedDuration,
    /// When it was back.
    pub at: Timestamp,
    /// It was a rehearsal.
    pub drill: bool,
}

/// Times kept of each sort.
const KEPT: usize = 20;

/// A time beyond this is a jump of the clock.
const LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// Keeps a time, unless the clock jumped meanwhile.
pub(crate) fn keep(times: &mut VecDeque<SignedDuration>, took: SignedDuration) {
    if is_plausible(took) {
        push(times, took);
    }
}

impl Timings {
    /// Keeps the time of a way back, unless the clock jumped meanwhile.
    pub(crate) fn went_back(&mut self, back: BackTime) {
        if is_plausible(back.took) {
            push(&mut self.back, back);
        }
    }
}

fn is_plausible(took: SignedDuration) -> bool {
    took >= SignedDuration::ZERO && took < LONGEST
}

fn push<T>(times: &mut VecDeque<T>, one: T) {
    times.push_back(one);
    if times.len() > KEPT {
        times.pop_front();
    }
}
