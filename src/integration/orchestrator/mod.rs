//! Whoever carries out rollouts outside, one file or folder a system.

pub mod exec;
pub mod kubernetes;
