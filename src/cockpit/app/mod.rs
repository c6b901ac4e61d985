//! The cockpit's state and how events change it. Pure.

pub mod actions;
pub mod age;
mod begin;
pub mod command;
pub mod confirm;
pub mod dialog;
mod event;
pub mod filled;
pub mod header;
pub mod hints;
pub mod history;
mod input;
pub mod keymap;
pub mod keys;
pub mod layout;
mod lists;
mod live;
mod motion;
mod pages;
mod palette;
pub mod record;
pub mod rollback_plan;
pub mod rows;
pub mod state;
pub mod strip;
pub mod superseded;
pub mod timeline;
pub mod typing;
mod update;
mod wake;
pub mod widest;
pub mod wrap;

pub use event::{ConnectionId, ConnectionState, Effect, Event, Submitted, Token, key::Key};
pub use keymap::Keymap;
pub use state::{Found, Page, Settings, State};
pub use update::update;
