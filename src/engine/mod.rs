//! The built-in orchestrator: real processes behind a real proxy, on one machine.

pub mod core;
pub mod journal;
pub mod process;
pub mod proxy;
pub mod runtime;
pub mod store;
