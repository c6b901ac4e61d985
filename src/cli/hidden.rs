//! Subcommands that the program starts by itself.

use crate::demo::load::LoadArgs;
use crate::demo::sample::SampleArgs;
use crate::engine::process::shim::ShimArgs;
use crate::engine::proxy::ProxyArgs;

/// What runs in a process of its own.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Hidden {
    /// Holds one instance.
    #[command(hide = true)]
    Shim(ShimArgs),
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
