//! Holds and what they keep still.

use super::{HoldId, Run, Selector, SourceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a hold does to one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldTarget {
    pub run: Run,
    /// Held, or why it could not be.
    pub held: bool,
    pub note: String,
    /// It was held, and somebody let it go on from outside, not by a release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undone: bool,
}

/// "Stop the line."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub id: HoldId,
    /// Where it is in force.
    pub source: SourceId,
    /// What it means.
    pub selector: Selector,
    /// Who holds.
    pub owner: String,
    pub reason: Option<String>,
    pub since: Timestamp,
    /// What it did to each target.
    pub targets: Vec<HoldTarget>,
}

impl Hold {
    /// What stands still by it.
    pub fn held(&self) -> impl Iterator<Item = &HoldTarget> {
        self.targets.iter().filter(|target| target.held)
    }

    /// What goes on although it was held, since somebody ended that from outside.
    pub fn undone(&self) -> impl Iterator<Item = &HoldTarget> {
        self.targets.iter().filter(|target| target.undone)
    }
}
