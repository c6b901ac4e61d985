//! Everything outside, one folder a port.

pub mod http;
pub mod metrics;
pub mod notify;
pub mod orchestrator;
