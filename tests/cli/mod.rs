//! The command line as scripts and people use it: the real binary, mostly against a real server.

mod apply;
mod check;
mod commands;
mod confirm;
mod drill;
mod environments;
mod failures;
mod metrics;
mod output;
mod reference;
mod rename;
mod run;
mod sources;
mod unseen;
mod wait;
