//! GitHub as the tests know it, to try flightdeck against: `cargo run --example github_stub`, with a token file that
//! says `github_pat_of_octo`. Requests that change something are written to standard output, with `--all` each one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    dead_code,
    missing_docs,
    reason = "it is made of what tests are made of"
)]

#[path = "../tests/github/description.rs"]
mod description;
#[path = "../tests/github/stub.rs"]
mod stub;

use std::time::Duration;
use stub::{Run, Stub};

fn main() {
    let stub = Stub::at("127.0.0.1:8787");
    {
        let mut world = stub.world();
        world.loud = std::env::args().any(|word| word == "--all");
        (world.runner, world.job) = (Duration::from_secs(4), Some(Duration::from_secs(20)));
        let other =
            |repository: &str, number, title: &str| Run { title: title.into(), ..Run::waiting(repository, number) };
        world.runs.push(other("acme/shop", 41, "Show prices with tax"));
        world.runs.push(other("acme/shop", 42, "Round prices once"));
        let mut not_yours = other("acme/till", 7, "Print receipts twice");
        not_yours.workflow = (8, "Release".into());
        not_yours.gates[0].can_approve = false;
        not_yours.gates[0].reviewers = vec![("Team", "payments".into())];
        world.runs.push(not_yours);
        let mut timed = Run { event: "workflow_dispatch".into(), ..other("acme/till", 9, "Pay by card") };
        timed.gates[0].wait_timer = 30;
        timed.gates[0].name = "staging".into();
        world.runs.push(timed);
    }
    println!("GitHub's stub is at {}, its token is {}", stub.url(), stub::TOKEN);
    let mut seen = 0;
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let world = stub.world();
        for line in world.requests.iter().skip(seen).filter(|line| line.starts_with("POST")) {
            println!("{line}");
        }
        world.wrong.iter().for_each(|why| println!("not as GitHub describes: {why}"));
        seen = world.requests.len();
    }
}
