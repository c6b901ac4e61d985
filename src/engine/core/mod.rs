//! The built-in orchestrator's rules: pure and deterministic, `step(state, input, now)`.

mod types;

pub use types::*;
