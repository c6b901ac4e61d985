//! The built-in orchestrator: real processes behind a real proxy, on one machine.

pub mod core;
pub mod process;
pub mod proxy;
pub mod store;
