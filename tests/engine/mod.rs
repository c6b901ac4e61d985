//! The core's rules by tables and by simulation.

mod config;
mod connections;
mod hooks;
mod kinds;
mod migrations;
mod one_offs;
mod sim;
mod strategies;
mod tables;
mod world;
