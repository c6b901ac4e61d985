//! One binary for all integration tests: linking once keeps the suite quick.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]
#![allow(clippy::disallowed_methods, reason = "tests are shells: they read clocks to bound waits")]
#![allow(missing_docs, reason = "a test's name says what it shows")]

mod alerts;
mod architecture;
mod board;
mod circleci;
mod cli;
mod cluster;
mod cockpit;
mod contract;
mod control;
mod crash;
mod demo;
mod engine;
mod github;
mod gitlab;
mod hub;
mod jenkins;
mod ledger;
mod migrations;
mod notify;
mod probe;
mod process;
mod proxy;
mod recovery;
mod runtime;
mod screens;
mod security;
mod server;
mod support;
mod terminal;
mod uncontrolled;
