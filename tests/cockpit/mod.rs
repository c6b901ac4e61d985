//! Keys and updates in, state and effects out.

pub mod alerts;
mod approvals;
mod commands;
mod confirmations;
mod decisions;
mod deck;
mod details;
mod history;
mod keymap;
mod order;
mod pages;
mod palette;
mod reading;
mod replay;
mod wakes;
pub mod world;
