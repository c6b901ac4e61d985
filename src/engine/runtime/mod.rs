//! The engine as it runs: one loop owns the core's state, journals it, and carries out its effects.
//!
//! [`Engine`] is the handle that everybody else holds, [`EngineTask`] the loop behind it. Commands
//! that reduce exposure come on a channel of their own that is never full and always read first.

mod asks;
mod clock;
mod commit;
mod configs;
mod connection;
mod engine;
mod execute;
mod handover;
mod link;
mod machine;
mod open;
mod preflight;
mod proxied;
mod publish;
mod retention;
mod run;
mod settings;
mod spilled;
mod takeover;
mod task;
mod windows;

pub use asks::{StagedRelease, Stop};
pub use configs::{Changes, ConfigText};
pub use engine::Engine;
pub use machine::ThisMachine;
pub use retention::Retention;
pub use settings::{EngineError, Settings};
pub use task::EngineTask;
pub use windows::PoolMetrics;
