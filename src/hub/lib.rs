//! The loop that owns its sources: decides, carries out, follows each command to its effect.
//!
//! [`Hub`] is a handle; [`HubTask::run`] is the loop, which owns the board, the receipts and the
//! subscribers. Commands that reduce exposure travel in a lane of their own that is never full and
//! is served first. What raises exposure is recorded durably before it is carried out; what reduces
//! it is carried out at once and recorded beside.

mod effects;
mod endings;
mod feed;
mod follow;
mod following;
mod handle;
mod holds;
mod inbox;
mod measured;
mod objectives;
mod probes;
mod query;
mod recording;
mod refusals;
mod settings;
mod silences;
mod state;
mod submit;
mod task;
mod undone;
mod watchdog;

pub use feed::Subscription;
pub use handle::Hub;
pub use settings::{HubSettings, ObjectiveRule, WatchdogRule};
pub use task::HubTask;
