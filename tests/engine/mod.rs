//! The core's rules by tables and by simulation.

mod config;
mod configs;
mod connections;
mod hooks;
mod jobs;
mod kinds;
mod migrations;
mod one_offs;
mod rename;
mod sim;
mod strategies;
mod tables;
mod world;
