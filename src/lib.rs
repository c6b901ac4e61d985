//! flightdeck: a release cockpit for the terminal.
//!
//! The map, one line a room; ARCHITECTURE.md has the whole.

pub mod cli;
pub mod contract;
pub mod demo;

pub use flightdeck_analysis as analysis;
pub use flightdeck_board as board;
pub use flightdeck_client as client;
pub use flightdeck_cockpit as cockpit;
pub use flightdeck_config as config;
pub use flightdeck_control as control;
pub use flightdeck_engine as engine;
pub use flightdeck_hub as hub;
pub use flightdeck_integration as integration;
pub use flightdeck_ledger as ledger;
pub use flightdeck_model as model;
pub use flightdeck_notify as notify;
pub use flightdeck_platform as platform;
pub use flightdeck_platform::failpoint;
pub use flightdeck_port as port;
pub use flightdeck_server as server;
