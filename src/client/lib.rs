//! The server's calls from the other side: for the cockpit, the command line and tests. A [`Link`]
//! makes the same calls on a hub in this process.

mod client;
mod error;
mod events;
mod link;
mod sse;
mod transfer;

pub use client::{Client, fresh_id};
pub use error::{ClientError, SubmitError};
pub use events::ClientEvent;
pub use link::Link;
pub use transfer::NewRelease;
