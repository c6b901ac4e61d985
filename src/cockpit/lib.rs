//! The terminal program.

pub mod app;
pub mod shell;
pub mod view;
