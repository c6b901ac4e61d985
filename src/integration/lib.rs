//! Everything outside, one folder a port.

pub mod notify;
pub mod orchestrator;
