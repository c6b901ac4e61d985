//! The program: parses the command line and chooses what runs.

use flightdeck::engine::process::shim;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a shim must stay small.
    let words: Vec<_> = std::env::args_os().skip(1).take(3).collect();
    if let [command, flag, dir] = words.as_slice()
        && command == "shim"
        && flag == "--dir"
    {
        return if shim::run(Path::new(dir)).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    ExitCode::SUCCESS
}
