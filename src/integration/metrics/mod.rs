//! Whoever has numbers of rollouts that others steer.
//!
//! What is the same for all of them stands beside them: `naming.rs` by which labels they tell whose a number is,
//! `claims.rs` which numbers are which arm's, `arms.rs` the samples of the arms, `increases.rs` what their counters grew
//! by, `services.rs` which numbers are a service's, whatever it runs, `spans.rs` how often and over what; `asking.rs`
//! asks, and `questioner.rs` is the probe of a system that tells rates only. All but those two are pure.

mod arms;
mod asking;
mod claims;
pub mod datadog;
mod increases;
mod naming;
pub mod new_relic;
mod numbers;
pub mod prometheus;
mod questioner;
mod services;
mod spans;
