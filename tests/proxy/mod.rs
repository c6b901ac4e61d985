//! The real proxy process in front of real sample apps.

mod control;
mod counts;
mod drain;
mod failures;
mod held;
mod hosts;
mod http;
mod lease;
mod rig;
mod smuggling;
mod sticky;
mod tcp;
mod tls;
mod tools;
mod weights;
