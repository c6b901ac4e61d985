//! The core's rules by tables and by simulation.

mod sim;
mod tables;
mod world;
