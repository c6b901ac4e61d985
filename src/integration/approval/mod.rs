//! Whoever asks people for a yes before it goes on, one file or folder a system.
//!
//! What they have in common is here: a gate (`gate.rs`) is one request of one run, which people say yes or no to.
//! A system reads its gates and sends what was decided (`system.rs`); rows, approvals, pins, the watch
//! and how far a decision has come follow from the gates.

pub mod circleci;
mod client;
mod execute;
mod gate;
pub mod github;
pub mod gitlab;
pub mod jenkins;
mod progress;
mod provider;
mod row;
mod shared;
mod source;
mod system;
mod text;
mod watch;

pub use source::Approvals;
