//! Pure: a candidate's numbers against its limits and against stable's. Missing data never passes.
//!
//! Two judges: [`Sequential`] holds under looking at it each second, and is what a template gets that says
//! nothing; [`threshold`] compares values with their limits. [`Running`] is a judge at work.

mod e_process;
mod running;
mod sequential;
mod span;
pub mod threshold;
mod words;

pub use running::{Measured, Running};
pub use sequential::{ALPHA, Sequential, Verdict, Window};
pub use span::{Span, Totals, summary};

#[cfg(test)]
mod tests;
