//! Subcommands that the program starts by itself.

use super::{Code, Failure};
use crate::demo::load::{self, LoadArgs};
use crate::demo::sample::{self, SampleArgs};
use crate::demo::{self, DemoArgs};
use crate::engine::proxy::{self, ProxyArgs};

/// What runs in a process of its own.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Hidden {
    /// The data plane.
    #[command(hide = true)]
    Proxy(ProxyArgs),
    /// A service to try rollouts with.
    #[command(hide = true)]
    SampleApp(SampleArgs),
    /// Requests at a steady rate.
    #[command(hide = true)]
    Load(LoadArgs),
}

/// Runs one of them; returns when it is over.
pub fn run(hidden: Hidden) -> Result<(), Failure> {
    match hidden {
        Hidden::Proxy(args) => proxy::run(args).map_err(|error| Failure::from_error(Code::Failed, &error)),
        Hidden::SampleApp(args) => sample::run(args).map_err(|error| Failure::from_error(Code::Failed, &error)),
        Hidden::Load(args) => load::run(args).map_err(|error| Failure::from_error(Code::Failed, &error)),
    }
}

/// Runs the demo.
pub fn demo(args: &DemoArgs) -> Result<(), Failure> {
    match demo::run(args) {
        Ok(0) => Ok(()),
        // The cockpit said why itself.
        Ok(code) => std::process::exit(code),
        Err(error) => Err(Failure::from_error(Code::Failed, &error)),
    }
}
