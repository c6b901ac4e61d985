//! The program: parses the command line and chooses what runs.

use clap::Parser;
use color_eyre::eyre::Result;
use flightdeck::cli::hidden::Hidden;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Hidden,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Hidden::Proxy(args) => flightdeck::engine::proxy::run(args)?,
        Hidden::SampleApp(args) => flightdeck::demo::sample::run(args)?,
        Hidden::Load(args) => flightdeck::demo::load::run(args)?,
    }
    Ok(())
}
