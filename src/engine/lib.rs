//! The built-in orchestrator: real processes behind a real proxy, on one machine.

mod executor;
pub mod journal;
pub mod process;
mod progress;
pub mod runtime;
pub mod store;

pub use executor::EngineExecutor;
pub use flightdeck_engine_core as core;
pub use flightdeck_proxy as proxy;
