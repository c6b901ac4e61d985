//! What runs where: applies updates, answers questions. Pure.

mod rows;

pub use rows::{Board, LinkRow};
