//! What a command sends: from the object as it was read to requests, or to a refusal. Pure.
//!
//! Every request carries JSON-patch `test`s (or the resource version) of what it was decided on, so
//! that it does nothing where that no longer holds at the server.

mod hold;
mod patch;
mod request;
mod rolling;
mod template;

pub use hold::{HoldPlan, check_hold, let_through, plan_hold, plan_release, rewrite};
pub use patch::Ops;
pub use request::{Body, Plan, Request, Rest, Target, refused, seconds};
pub use rolling::{no_pods, restart};
pub use template::{Revisions, Side, image, take_ephemeral, text, words};
