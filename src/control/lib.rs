//! Who may do what, with how much friction, and what it would do. Pure.

mod approvals;
mod authorized;
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
pub use decide::{decide, decide_live};
pub use forecast::{forecast, grade};
pub use friction::{Blast, direction, friction};
pub use policy::Policy;
pub use prepare::{prepare, prepare_live};
