//! Who may do what, with how much friction, and what it would do. Pure.

mod authorized;

pub use authorized::Authorized;
