//! The built-in orchestrator's rules: pure and deterministic, `step(state, input, now)`.
//!
//! `step` lets time pass, takes one input (`commands` with `approvals`, `deploy` and `holds`; `apply` with `configs` and `rename`, `releases`, `pools`, `route`, `judge`), then
//! brings each slot as far as it can go (`steps`, `rollout`). It is level-triggered: instances and
//! routes are compared with what they should be after every input, so that no order of events can
//! leave one behind. `project` shows the state as rows.

mod apply;
mod approvals;
mod commands;
mod configs;
mod context;
mod deploy;
mod holds;
mod jobs;
mod judge;
mod migrations;
mod one_off;
mod pools;
mod project;
mod queue;
mod releases;
mod rename;
mod revert;
mod rollback;
mod rollout;
mod route;
mod rows;
mod run;
mod scheduled;
mod state;
mod step;
mod steps;
mod types;

pub use apply::{diff, why_not_apply};
pub use configs::Configured;
pub use deploy::{Programs, programs, soaking};
pub use migrations::restored;
pub use project::{detail, facts, project, row};
pub use rename::names;
pub use run::*;
pub use state::*;
pub use step::{pending, step};
pub use types::*;
