//! Subcommands that the program starts by itself.

use super::{Code, Failure};
use crate::demo::load::{self, LoadArgs};
use crate::demo::sample::{self, SampleArgs};
use crate::engine::process::enter::{self, EnterArgs};
use crate::engine::process::shim::{self, ShimArgs};

/// What runs in a process of its own.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Hidden {
    /// Holds one instance.
    #[command(hide = true)]
    Shim(ShimArgs),
    /// Takes a user and limits, then becomes a program.
    #[command(hide = true)]
    Enter(EnterArgs),
    /// A service to try rollouts with.
    #[command(hide = true)]
    SampleApp(SampleArgs),
    /// Requests at a steady rate.
    #[command(hide = true)]
    Load(LoadArgs),
}

/// Runs one of them.
pub(super) fn run(hidden: Hidden) -> Result<(), Failure> {
    let wrong = |error: &dyn std::error::Error| Failure::from_error(Code::Failed, error);
    match hidden {
        Hidden::Shim(args) => shim::run(&args.dir).map_err(|error| wrong(&error)),
        Hidden::Enter(args) => match enter::run(&args) {
            Ok(never) => match never {},
            Err(error) => Err(wrong(&error)),
        },
        Hidden::SampleApp(args) => sample::run(args).map_err(|error| wrong(&error)),
        Hidden::Load(args) => load::run(args).map_err(|error| wrong(&error)),
    }
}
