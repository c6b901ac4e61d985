//! Who may do what, with how much friction, and what it would do. Pure.

mod approvals;
mod authorized;
mod budgets;
mod context;
mod data;
mod decide;
mod forecast;
mod friction;
mod plan;
mod policy;
mod prepare;
mod rollback_plan;

pub use approvals::may_vote;
pub use authorized::Authorized;
pub use decide::{awaits_budget, decide, decide_live};
pub use forecast::{forecast, grade};
pub use friction::{Blast, direction, friction};
pub use policy::Policy;
pub use prepare::{budget_warnings, prepare, prepare_live};
