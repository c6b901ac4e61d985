//! What Argo Rollouts' objects mean: phase, steps, weights, who is awaited. Pure; the sources of
//! argo-rollouts v1.10 are the reference.

pub mod objects;
mod phase;
pub mod plan;
pub mod progress;
mod row;
mod steps;
#[cfg(test)]
mod tests;
mod weights;

pub use phase::{ArgoPhase, phase};
pub use row::{has_groups, in_flight, is_invalid, needs_groups, row};
pub use steps::{PauseSpan, pause_of, steps};
pub use weights::{Share, share};
