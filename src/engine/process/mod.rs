//! Instances: start, watch, stop, adopt.
//!
//! Each instance is a process under a [`shim`]: a small process of the same binary in a session of
//! its own, which waits for the instance's end and holds its output and its exit status, so that a server that
//! dies takes nothing with it. The server talks to a shim over a socket in the instance's directory
//! and finds it there again after a restart.
//!
//! An instance's directory holds `spec.json` (what the shim runs), `record.json` (what the server
//! needs to adopt it), `state.json` (who runs: pid and start time), `shim.sock`, `shim.lock`,
//! `root/` (the unpacked artifact), `log/`, and `output.json` (whose output that is). The last two stay after its end.
//!
//! A hook's run is a [`job`]: the same, with `job.json` for `record.json`, and `begun` from the moment
//! on that it may have done something.

pub mod artifact;
pub mod cgroup;
pub mod client;
pub mod confine;
pub mod context;
pub mod diagnose;
pub mod health;
pub mod inspect;
pub mod instance;
pub mod job;
pub mod launch;
pub mod output;
pub mod start_error;
pub mod supervisor;

pub use flightdeck_platform::identity::{self, Identity};
pub use flightdeck_platform::listening;
pub use flightdeck_shim::{self as shim, LogLimits, enter, log, mask, socket_handoff, wire};
