//! Whoever has numbers of rollouts that others steer.

pub mod prometheus;
