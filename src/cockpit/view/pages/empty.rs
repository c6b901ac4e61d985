//! What a person sees who has nothing yet: what was looked for, and what to do.

use crate::app::command::UiCommand;
use crate::app::header::sources;
use crate::app::{ConnectionState, State};
use crate::view::widgets::panel::centered;
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::collections::BTreeMap;

/// Nothing was ever told by any server, and none is up. Logs can be read all the same.
pub(in crate::view) fn applies(state: &State) -> bool {
    let nothing = state.board.is_empty();
    let none_up = !state.connections.iter().any(|connection| matches!(connection.state, ConnectionState::Up { .. }));
    nothing && none_up && state.page.takes(UiCommand::Filter)
}

const OFFERS: [(&str, &str); 4] = [
    ("flightdeck demo", "a live system to try everything on; it cleans up after itself"),
    ("flightdeck --context NAME", "the workloads of a Kubernetes cluster, through your kubeconfig"),
    ("flightdeck serve", "the server that runs your services on this machine"),
    ("flightdeck config init", "write a commented configuration to start from"),
];

/// Draws it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let connecting =
        ctx.state.connections.iter().any(|connection| matches!(connection.state, ConnectionState::Connecting));
    let servers = u16::try_from(ctx.state.connections.len().max(1)).unwrap_or(u16::MAX);
    let servers = servers + u16::try_from(ctx.state.settings.found.len()).unwrap_or(0);
    let rows = 4 + servers + 2 + u16::try_from(OFFERS.len()).unwrap_or(0) + 2;
    let inside = Rect { y: area.y + 1, height: area.height.saturating_sub(2), ..area };
    let at = centered(inside, 90, rows);
    let title = if connecting { "Connecting …" } else { "Nothing found" };
    Pen::new(buf, at, 0).put(title, ctx.style(Scope::Strong));
    Pen::new(buf, at, 2).put("Looked for:", ctx.style(Scope::Dim));
    let mut row = 3;
    for found in &ctx.state.settings.found {
        let (glyph, scope) = if found.good { ("●", Scope::LinkLive) } else { ("✗", Scope::LinkStale) };
        let mut pen = Pen::new(buf, at, row);
        pen.skip(2).put(glyph, ctx.style(scope)).skip(1).put(&found.what, ctx.style(Scope::Strong));
        pen.skip(2).put(&found.came, ctx.style(Scope::Text));
        row += 1;
    }
    if ctx.state.connections.is_empty() {
        Pen::new(buf, at, row).skip(2).put("nothing: no server is configured", ctx.style(Scope::Text));
        row += 1;
    }
    for connection in &ctx.state.connections {
        let (glyph, why, scope) = match &connection.state {
            ConnectionState::Connecting => ("◌", "connecting", Scope::LinkConnecting),
            ConnectionState::Up { .. } => ("●", "up", Scope::LinkLive),
            ConnectionState::Down { why, .. } => ("✗", why.as_str(), Scope::LinkStale),
        };
        let mut pen = Pen::new(buf, at, row);
        pen.skip(2).put(glyph, ctx.style(scope)).skip(1).put(&connection.name, ctx.style(Scope::Strong));
        pen.skip(2).put(why, ctx.style(Scope::Text));
        row += 1;
    }
    row += 1;
    Pen::new(buf, at, row).put("Start with:", ctx.style(Scope::Dim));
    for (command, what) in OFFERS {
        row += 1;
        let mut pen = Pen::new(buf, at, row);
        pen.skip(2).cell(command, 27, ctx.style(Scope::Link)).put(what, ctx.style(Scope::Text));
    }
    let again = "This page changes by itself as soon as something answers.";
    Pen::new(buf, at, row + 2).put(again, ctx.style(Scope::Dim));
}

/// What stands in the place of rollouts while there is none: what was looked at, and where a server
/// answers, how to give it something to run.
pub(super) fn no_rollouts(state: &State) -> Vec<String> {
    let fresh = sources(state).into_iter().filter(|source| source.freshness.is_fresh() && !source.measures);
    let fresh: BTreeMap<String, Option<String>> = fresh.map(|source| (source.name, source.only)).collect();
    let watched = &state.settings.watched;
    let mut lines: Vec<String> = watched
        .iter()
        .filter_map(|(source, at)| Some((source, at, fresh.get(source.as_str())?)))
        .map(|(source, at, only)| match only {
            Some(only) => format!("{source} has nothing to show; looked at: {only} alone, of {at}."),
            None => format!("{source} has nothing to show; looked at: {at}."),
        })
        .collect();
    let ours = |name: &String| watched.iter().any(|(source, _)| source.as_str() == name);
    if watched.is_empty() || fresh.keys().any(|name| !ours(name)) {
        let apply = "No service is known yet: `flightdeck apply flightdeck.toml` tells the server what to run.";
        lines.push(apply.to_owned());
    }
    if lines.is_empty() {
        lines.push("Nothing is known yet; the first row says how far each source is.".to_owned());
    }
    lines
}
