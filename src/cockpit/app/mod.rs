//! The cockpit's state and how events change it. Pure.

mod event;

pub use event::{ConnectionId, ConnectionState, Effect, Event, Submitted, Token, key::Key};
