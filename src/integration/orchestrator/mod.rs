//! Whoever carries out rollouts outside, one file or folder a system.

pub mod argo_rollouts;
pub mod exec;
pub mod kubernetes;
