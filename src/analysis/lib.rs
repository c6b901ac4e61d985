//! Pure: a candidate's numbers against its limits and against stable's. Missing data never passes.
//!
//! Three judges: [`Sequential`] holds under looking at it each second, and is what a template gets that says
//! nothing; [`MannWhitney`] compares short windows as Kayenta does; [`threshold`] compares values with their limits.
//! [`Running`] is a judge at work.

mod e_process;
mod mann_whitney;
mod rank_sum;
mod running;
mod sequential;
mod span;
pub mod threshold;
mod words;

pub use mann_whitney::MannWhitney;
pub use rank_sum::{RankSum, rank_sum};
pub use running::{Measured, Running};
pub use sequential::{ALPHA, Sequential, Verdict, Window};
pub use span::{Span, Totals, summary};

#[cfg(test)]
mod tests;
