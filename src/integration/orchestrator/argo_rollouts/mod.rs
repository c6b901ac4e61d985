//! What Argo Rollouts' objects mean: phase, steps, weights, who is awaited. Pure; the sources of
//! argo-rollouts v1.10 are the reference.

pub mod objects;
pub mod plan;
pub mod progress;
