//! Everything outside, one folder a port.

pub mod orchestrator;
