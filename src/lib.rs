//! flightdeck: a release cockpit for the terminal.
//!
//! The map, one line a room; ARCHITECTURE.md has the whole.

pub mod analysis;
pub mod board;
pub mod cli;
pub mod client;
pub mod cockpit;
pub mod config;
pub mod contract;
pub mod control;
pub mod demo;
pub mod engine;
pub mod hub;
pub mod integration;
pub mod ledger;
pub mod notify;
pub mod port;
pub mod server;

pub use flightdeck_model as model;
pub use flightdeck_platform::{self as platform, failpoint};
