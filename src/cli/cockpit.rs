//! No command: the cockpit, on the local server, those of the settings, and a hub of its own over the
//! sources of the settings.

use super::{Code, Context, Failure, links, sources};
use crate::client::{Client, Link};
use crate::cockpit::shell::{self, ShellArgs, guard, guarded};
use crate::config::settings;
use crate::integration::PROVIDERS;
use crate::model::SourceId;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::Command;
use tracing::level_filters::LevelFilter;

/// Opens it. A small parent keeps the terminal safe: whatever happens to the cockpit, that one
/// puts the terminal right again.
pub(super) fn run(context: &Context) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Failure::usage("the cockpit needs a terminal")
            .todo("in a script use `flightdeck status`, `get`, `watch`; `flightdeck --help` lists all"));
    }
    if guarded() {
        let args = super::block_on(args(context))?;
        return shell::run(args).map_err(|error| Failure::from_error(Code::Failed, &error));
    }
    let exe = std::env::current_exe().map_err(|error| Failure::failed(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(exe);
    command.args(std::env::args_os().skip(1));
    let status = guard(command).map_err(|error| Failure::from_error(Code::Failed, &error))?;
    match status.code() {
        Some(0) => Ok(()),
        // What happened was said by the cockpit or its guardian.
        _ => Err(Failure::failed("")),
    }
}

async fn args(context: &Context) -> Result<ShellArgs, Failure> {
    let settings = settings::load(&context.paths, PROVIDERS, &[])?.settings;
    let sources::Sources { planned, found, .. } = sources::find(context)?;
    let watched = planned.iter().map(|planned| (planned.source().clone(), planned.looks_at())).collect();
    let mut links = vec![("local".to_owned(), Link::Server(context.client()?))];
    if context.globals.server.is_none() {
        for server in settings.servers {
            links.push((server.name, Link::Server(Client::unix(&super::socket_of(&server.url)?)?)));
        }
    }
    let local = links::local(context, planned).await?;
    // With sources of one's own nobody needs a server, so none is missed.
    let shows = local.as_ref().is_some_and(|local| !local.sources.is_empty());
    let optional = if shows && context.globals.server.is_none() { vec![0] } else { Vec::new() };
    let mut hub = None;
    if let Some(local) = local {
        let names: Vec<_> = local.sources.iter().chain(&local.alerts).map(SourceId::as_str).collect();
        links.push((names.join(", "), local.link));
        hub = Some(local.task);
    }
    let keymap = settings.keymap.clone().unwrap_or_else(|| context.paths.keymap());
    let keymap = match std::fs::read_to_string(&keymap) {
        Ok(text) => Some((keymap, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && settings.keymap.is_none() => None,
        Err(error) => return Err(Failure::usage(format!("cannot read {}: {error}", keymap.display()))),
    };
    let no_color = context.globals.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Ok(ShellArgs {
        links,
        optional,
        watched,
        hub,
        found,
        theme: settings.theme,
        theme_dir: Some(context.paths.themes()),
        keymap,
        log_level: LevelFilter::INFO,
        record: std::env::var_os("FLIGHTDECK_RECORD").map(PathBuf::from),
        mouse: settings.mouse,
        color: !no_color,
        read_only: context.globals.read_only,
    })
}
