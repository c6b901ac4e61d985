//! What runs where: applies updates, answers questions. Pure.

mod alerts;
mod attention;
pub mod dora;
mod ended;
mod entry;
mod filter;
mod freshness;
pub mod health;
mod held;
mod jobs;
mod judged;
mod list;
pub mod migrations;
mod needs;
pub mod objectives;
mod ordered;
pub mod provenance;
pub mod rollback_plan;
mod rows;
mod sight;
mod sort;
pub mod watchdog;
mod why_not;

pub use attention::describe;
pub use ended::{EndedOrder, ended};
pub use entry::{About, Attention, AttentionSubject, JobRef, Severity};
pub use filter::{Filter, Fit, Term};
pub use freshness::{Freshness, NumbersAge, alerts_problem, freshness, metrics_problem, numbers_age};
pub use health::{Failing, Health, health};
pub use list::{List, Moved, Wanted};
pub use needs::{Needs, rank};
pub use rows::{Board, Change};
pub use sight::{Sight, Unseen};
pub use sort::{Order, compare_versions, sort};
pub use why_not::why_not;
