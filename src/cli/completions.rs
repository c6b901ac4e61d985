//! `completions`: for the shell.

use super::{Failure, complete, output};
use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the script.
pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    const NAME: &str = "flightdeck";
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let of_shell = shells
        .completer(&args.shell.to_string())
        .ok_or_else(|| Failure::usage(format!("there is no completion for {}", args.shell)))?;
    of_shell.write_registration(complete::ASKED, NAME, NAME, NAME, &mut script)?;
    if args.shell == Shell::Bash {
        // A rollout is shop@production, and bash would complete each half by itself.
        script.extend_from_slice(b"COMP_WORDBREAKS=${COMP_WORDBREAKS//@/}\n");
    }
    output::print(&String::from_utf8_lossy(&script))
}
