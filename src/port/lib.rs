//! What the program knows of the systems outside: four shapes, whoever is behind them.
//!
//! An [`Executor`] shows rows and carries out commands; a [`Sink`] is told what happened. Both are object-safe,
//! and nothing here names a system.

mod executor;
mod sink;

pub use executor::{Accepted, Capabilities, Executor, Followed, Holding, InspectError, NotDone};
pub use sink::{NotTold, Notification, NotifyEvent, Sink};
