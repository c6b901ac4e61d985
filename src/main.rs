//! The program: parses the command line and chooses what runs.

use clap::Parser;
use flightdeck::cli::hidden::Hidden;
use flightdeck::demo::{load, sample};
use flightdeck::engine::{process::shim, proxy};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Hidden,
}

fn main() -> ExitCode {
    // Before anything else: a shim must stay small.
    let words: Vec<OsString> = std::env::args_os().skip(1).take(3).collect();
    if let [command, flag, dir] = words.as_slice()
        && command == "shim"
        && flag == "--dir"
    {
        return ended(shim::run(Path::new(dir)));
    }
    match Cli::parse().command {
        Hidden::Shim(args) => ended(shim::run(&args.dir)),
        Hidden::Proxy(args) => ended(proxy::run(args)),
        Hidden::SampleApp(args) => ended(sample::run(args)),
        Hidden::Load(args) => ended(load::run(args)),
    }
}

fn ended<T, E: std::error::Error>(result: Result<T, E>) -> ExitCode {
    match result {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            let mut why = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                why = format!("{why}: {cause}");
                source = cause.source();
            }
            drop(writeln!(std::io::stderr(), "flightdeck: {why}"));
            ExitCode::FAILURE
        }
    }
}
