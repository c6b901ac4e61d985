//! The built-in orchestrator: real processes behind a real proxy, on one machine.

pub mod core;
pub mod journal;
pub mod process;
pub mod runtime;
pub mod store;

pub use flightdeck_proxy as proxy;
