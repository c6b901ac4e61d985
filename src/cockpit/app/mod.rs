//! The cockpit's state and how events change it. Pure.

pub mod dialog;
mod event;
pub mod header;
pub mod keymap;
pub mod layout;
pub mod rows;
pub mod state;

pub use event::{ConnectionId, ConnectionState, Effect, Event, Submitted, Token, key::Key};
pub use state::{Page, Settings, State};
