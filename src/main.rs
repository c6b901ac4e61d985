//! The program: parses the command line and chooses what runs.

use clap::Parser as _;
use flightdeck::cli::{self, Cli, Code, Failure};
use flightdeck::engine::process::shim;
use flightdeck::engine::proxy::{self, ProxyArgs};
use flightdeck::model::{has_hidden, sanitize_line};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// `flightdeck proxy` alone.
#[derive(Debug, clap::Parser)]
#[command(name = "flightdeck proxy")]
struct ProxyCommand {
    #[command(flatten)]
    args: ProxyArgs,
}

fn main() -> ExitCode {
    // Before anything else: a shim must stay small.
    let words: Vec<_> = std::env::args_os().skip(1).take(3).collect();
    if let [command, flag, dir] = words.as_slice()
        && command == "shim"
        && flag == "--dir"
    {
        return match shim::run(Path::new(dir)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&Failure::from_error(Code::Failed, &error)),
        };
    }
    // So must a proxy, which needs nothing of the other commands: what is read to describe them all stays in memory.
    if words.first().is_some_and(|command| command == "proxy") {
        let ProxyCommand { args } = ProxyCommand::parse_from(std::env::args_os().skip(1));
        return match proxy::run(args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => report(&Failure::from_error(Code::Failed, &error)),
        };
    }
    // One provider of cryptography for all TLS; where it is there already it is the same.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A panic says where it was, and that this is a bug.
    let hooks = color_eyre::config::HookBuilder::blank()
        .display_env_section(false)
        .panic_section("This is a bug in flightdeck. Servers and instances go on without this program.");
    if let Err(error) = hooks.install() {
        return report(&Failure::failed(format!("cannot start: {error}")));
    }
    cli::complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // What is suggested instead of an unknown command is one that people may use.
        Err(error) if error.kind() == clap::error::ErrorKind::InvalidSubcommand => {
            let shown = cli::reference::public().try_get_matches_from(std::env::args_os()).err().unwrap_or(error);
            return complain(&shown);
        }
        Err(error) if std::env::args_os().any(|word| has_hidden(&word.to_string_lossy())) => return complain(&error),
        Err(error) => error.exit(),
    };
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// What is wrong with the command line repeats what was pasted into it: without what moves a terminal.
fn complain(error: &clap::Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    for line in error.to_string().lines() {
        // Where standard error is gone there is nobody to tell.
        drop(writeln!(stderr, "{}", sanitize_line(line)));
    }
    ExitCode::from(Code::Usage as u8)
}

/// Says what happened and what to do.
fn report(failure: &Failure) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    let lines = failure.what.lines().chain(failure.todo.as_deref());
    for (number, line) in lines.enumerate() {
        // Where standard error is gone there is nobody to tell.
        let line = sanitize_line(line);
        drop(writeln!(stderr, "{}{line}", if number == 0 { "error: " } else { "       " }));
    }
    ExitCode::from(failure.exit_status())
}
