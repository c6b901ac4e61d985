//! A rollout's row as a board holds it.

use flightdeck_model::{Rollout, Scope, Target};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::sync::Arc;

/// Who told of a row, and during which list.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub scope: Arc<Scope>,
    pub list: u32,
}

/// A rollout as the board holds it; its target is its identity.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub rollout: Arc<Rollout>,
    pub origin: Origin,
}

impl Borrow<Target> for Held {
    fn borrow(&self) -> &Target {
        &self.rollout.run.target
    }
}

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Held) -> Ordering {
        self.rollout.run.target.cmp(&other.rollout.run.target)
    }
}
