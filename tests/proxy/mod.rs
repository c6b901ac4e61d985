//! The real proxy process in front of real sample apps.

mod access;
mod control;
mod counts;
mod drain;
mod failures;
mod held;
mod hosts;
mod http;
mod idle;
mod lease;
mod redirect;
mod rig;
mod smuggling;
mod sticky;
mod tcp;
mod tls;
mod tools;
mod weights;
