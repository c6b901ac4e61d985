//! Commands without a screen, one file each.

pub mod hidden;
