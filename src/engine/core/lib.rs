//! The built-in orchestrator's rules: pure and deterministic, `step(state, input, now)`.
//!
//! `step` lets time pass, takes one input, then brings each slot as far as it can go (`queue`, `moves`, `scale`, `route`).
//! It is level-triggered: instances and routes are compared with what they should be after every input, so that no
//! order of events can leave one behind. `project` shows the state as rows.
//!
//! The files are in groups, read from the top: none uses one of a later group, and no two use each other.

// What goes in and out, and what is remembered.
mod state;
mod types;

// Helpers: a slot, its pools and shares, who asks and why not, what is written down.
mod configs;
mod context;
mod pins;
mod pools;
mod refusals;
mod said;
mod shares;
mod slots;

// The rules of one thing each.
mod approvals;
mod holds;
mod jobs;
mod migrations;
mod one_off;
mod rollback_path;
mod scheduled;

// How a rollout begins and ends, and what may end it.
mod ending;
mod hooks;
mod judge;
mod plans;
mod queue;
mod revert;
mod rollback;
mod route;

// How it moves meanwhile, and its instances.
mod instances;
mod moves;
mod phase;
mod scale;
mod steps;

// What an input does.
mod apply;
mod commands;
mod deploy;
mod diff;
mod dispatch;
mod may_apply;
mod releases;
mod removals;
mod rename;
mod restore;
mod votes;

// The entry, which alone drives all of them.
mod step;

// Only reads: the state as rows.
mod migration_rows;
mod project;
mod reasons;
mod rollback_plan;
mod rows;

pub use deploy::{Programs, programs, soaking};
pub use diff::diff;
pub use may_apply::why_not_apply;
pub use pins::facts;
pub use project::{detail, project, row};
pub use rename::names;
pub use restore::restored;
pub use state::*;
pub use step::{pending, step};
pub use types::*;
