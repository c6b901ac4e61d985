//! The engine as it runs: real processes, the real proxy, real traffic.

mod faults;
mod handover;
mod journey;
pub mod rig;
