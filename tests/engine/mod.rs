//! The core's rules by tables and by simulation.

mod tables;
mod world;
