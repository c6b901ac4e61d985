//! The manual page and the reference, both from the definition of the command line.

use super::{Cli, Failure, output};
use clap::{Command, CommandFactory as _};
use clap_mangen::roff::{Roff, bold, roman};
use std::fmt::Write as _;

/// The command line without what the program only starts by itself.
#[must_use]
pub fn public() -> Command {
    let mut whole = Cli::command();
    // Global options must be known to every command.
    whole.build();
    let shown: Vec<_> = whole.get_subcommands().filter(|sub| !sub.is_hide_set()).cloned().collect();
    let arguments: Vec<_> = whole.get_arguments().cloned().collect();
    let about = whole.get_about().cloned().unwrap_or_default();
    let long = whole.get_long_about().cloned().unwrap_or_default();
    Command::new("flightdeck")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .long_about(long)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .args(arguments)
        .subcommands(shown)
}

/// Prints the manual page: the program, then each command in a section of its own.
pub(super) fn man() -> Result<(), Failure> {
    let command = public();
    let mut page = Vec::new();
    let wrap = |error: std::io::Error| Failure::failed(format!("cannot make the manual page: {error}"));
    let whole = clap_mangen::Man::new(command.clone());
    whole.render_title(&mut page).map_err(wrap)?;
    whole.render_name_section(&mut page).map_err(wrap)?;
    whole.render_synopsis_section(&mut page).map_err(wrap)?;
    whole.render_description_section(&mut page).map_err(wrap)?;
    whole.render_options_section(&mut page).map_err(wrap)?;
    for (path, command) in visible(&command, "flightdeck") {
        page.extend_from_slice(format!(".SH \"{}\"\n", path.to_uppercase()).as_bytes());
        let part = clap_mangen::Man::new(own(command));
        part.render_synopsis_section(&mut page).map_err(wrap)?;
        part.render_description_section(&mut page).map_err(wrap)?;
        part.render_options_section(&mut page).map_err(wrap)?;
    }
    list("FILES", &FILES).to_writer(&mut page).map_err(wrap)?;
    list("ENVIRONMENT", &ENVIRONMENT).to_writer(&mut page).map_err(wrap)?;
    output::print(&String::from_utf8_lossy(&page))
}

/// What lies where.
const FILES: [(&str, &str); 7] = [
    ("$XDG_CONFIG_HOME/flightdeck/config.toml", "How the program behaves; `flightdeck config init` writes one."),
    ("$XDG_CONFIG_HOME/flightdeck/keymap.toml, themes/", "Keys and colour themes of the cockpit."),
    (
        "flightdeck.toml",
        "What runs where; a copy of what was applied last is in the journal: `flightdeck config history`.",
    ),
    (
        "$XDG_DATA_HOME/flightdeck/",
        "The server's journal, ledger, artifacts, and the folders of instances and their output.",
    ),
    ("$XDG_STATE_HOME/flightdeck/", "Logs and recordings of the cockpit."),
    (
        "$XDG_RUNTIME_DIR/flightdeck/server.sock",
        "Where the server listens; without a runtime folder, in run/ below the data.",
    ),
    ("~/.kube/config", "Contexts of clusters, where no KUBECONFIG names another file."),
];

/// Variables that are read.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("FLIGHTDECK_CONFIG_DIR", "Folder in the place of $XDG_CONFIG_HOME/flightdeck."),
    ("FLIGHTDECK_DATA_DIR", "Folder in the place of $XDG_DATA_HOME/flightdeck; sockets lie in run/ below it."),
    ("FLIGHTDECK_STATE_DIR", "Folder in the place of $XDG_STATE_HOME/flightdeck."),
    ("FLIGHTDECK_RUNTIME_DIR", "Folder of the sockets."),
    ("FLIGHTDECK_SERVER", "The server to ask, as --server."),
    ("FLIGHTDECK_LOG", "What the server says on standard error: a level such as debug, or a filter of tracing."),
    ("FLIGHTDECK_…", "Any key of config.toml in capitals, with _ for each dot, such as FLIGHTDECK_SERVE_PORTS."),
    ("KUBECONFIG", "Files with contexts of clusters."),
    ("NO_COLOR", "If it is not empty, no colour is used."),
];

/// A section with a name and what it is, for each.
fn list(title: &str, rows: &[(&str, &str)]) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (name, what) in rows {
        section.control("TP", []).text([bold(*name)]).text([roman(*what)]);
    }
    section
}

/// The reference in Markdown: what `--help` says, for every command.
#[must_use]
pub fn markdown() -> String {
    let mut command = Cli::command().term_width(100).color(clap::ColorChoice::Never);
    command.build();
    let mut out = "# Command line\n\nGenerated from the code; a test fails where it differs. \
                   Global options are listed once, at the top.\n"
        .to_owned();
    section(&mut out, &command, "flightdeck");
    for (path, command) in visible(&command, "flightdeck") {
        section(&mut out, command, &path);
    }
    out
}

fn section(out: &mut String, command: &Command, path: &str) {
    let command = if path == "flightdeck" { command.clone() } else { own(command).bin_name(path) };
    let mut command = command.term_width(100);
    let help = command.render_long_help().to_string();
    let help = help.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    let _ = write!(out, "\n## {path}\n\n```text\n{}\n```\n", help.trim_end()); // writing to a String can't fail
}

/// A command with its own options alone.
fn own(command: &Command) -> Command {
    let global: Vec<_> =
        command.get_arguments().filter(|arg| arg.is_global_set()).map(|arg| arg.get_id().clone()).collect();
    global.into_iter().fold(command.clone(), |command, id| command.mut_arg(id, |arg| arg.hide(true)))
}

/// Every command that is not hidden, with its path, depth first.
fn visible<'a>(command: &'a Command, path: &str) -> Vec<(String, &'a Command)> {
    let mut found = Vec::new();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        let path = format!("{path} {}", sub.get_name());
        found.push((path.clone(), sub));
        found.extend(visible(sub, &path));
    }
    found
}
