//! The only part of the cockpit that touches the world: terminal, input, the loop, effects.

mod connections;
mod effects;
#[cfg(test)]
mod fuzz;
mod guardian;
mod input;
mod logs;
mod parse;
mod recorder;
mod run;
mod screen;
mod terminal;

pub use guardian::{GuardError, guard, guarded};
pub use recorder::RECORDING_VERSION;
pub use run::{ShellArgs, ShellError, run};
pub use screen::Screen;
