//! What runs where: applies updates, answers questions. Pure.

mod attention;
mod filter;
mod freshness;
mod rows;
mod sort;

pub use attention::{Attention, AttentionSubject, Severity, rank};
pub use filter::{Filter, Term};
pub use freshness::{Freshness, freshness};
pub use rows::{Board, LinkRow};
pub use sort::{Order, compare_versions, sort};
