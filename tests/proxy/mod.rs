//! The real proxy process in front of real sample apps.

mod control;
mod counts;
mod drain;
mod failures;
mod held;
mod http;
mod lease;
mod rig;
mod smuggling;
mod sticky;
mod tools;
mod weights;
