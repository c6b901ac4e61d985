//! What every page has: the header with its sources, and the footer with its keys.

use super::widgets::input;
use super::widgets::pen::Pen;
use super::{Ctx, Scope, format, rect};
use crate::app::header::{Header, HoldItem, SourceItem, header as about};
use crate::app::hints::{footer as footer_keys, messages_key, under_way};
use crate::app::state::{Overlay, Tone};
use flightdeck_board::{Filter, Freshness};
use flightdeck_model::time::age;
use ratatui::buffer::Buffer;

/// The first row: name, every source with its freshness, holds, who you are.
pub(super) fn header(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let header = about(ctx.state);
    let mut pen = Pen::new(buf, rect(ctx.layout.header), 0);
    pen.tail(" ", ctx.style(Scope::Text));
    let who = who(&header);
    pen.tail(&who, ctx.style(if header.read_only { Scope::ToneWarn } else { Scope::Dim }));
    pen.tail("   ", ctx.style(Scope::Text));
    let (holds, scope) = holds(ctx, &header);
    pen.tail(&holds, ctx.style(scope));
    pen.tail("   ", ctx.style(Scope::Text));
    pen.put(" flightdeck", ctx.style(Scope::Brand));
    let room = pen.left();
    let mut sources: Vec<_> = header.sources.iter().map(|source| source_words(ctx, source, true)).collect();
    let long = |sources: &[(String, Scope)]| sources.iter().map(|(text, _)| format::width(text) + 3).sum::<u16>();
    if long(&sources) > room {
        sources = header.sources.iter().map(|source| source_words(ctx, source, false)).collect();
    }
    if long(&sources) > room {
        // Those that are not well by name, the others by their number: none goes without a sign.
        let (well, unwell): (Vec<_>, Vec<_>) = header.sources.iter().partition(|source| source.freshness.is_fresh());
        sources = unwell.into_iter().map(|source| source_words(ctx, source, false)).collect();
        if !well.is_empty() {
            sources.insert(0, (format!("{} ●", well.len()), Scope::LinkLive));
        }
    }
    for (text, scope) in sources {
        pen.skip(3).put(&text, ctx.style(scope));
    }
}

/// `local ●`, `prod-us ◌ stale 41 s: connection refused`.
fn source_words(ctx: &Ctx<'_>, source: &SourceItem, full: bool) -> (String, Scope) {
    match &source.freshness {
        Freshness::Fresh => {
            let only = source.only.as_ref().map_or_else(String::new, |only| format!(" only {only}"));
            let read_only = if source.read_only { " read-only" } else { "" };
            (format!("{} ●{only}{read_only}", source.name), Scope::LinkLive)
        }
        Freshness::Connecting => (format!("{} ◌ connecting", source.name), Scope::LinkConnecting),
        Freshness::Stale { since, why } => {
            let why = if full { format!(": {why}") } else { String::new() };
            (format!("{} ◌ stale {}{why}", source.name, age(*since, ctx.now)), Scope::LinkStale)
        }
        Freshness::Never { since, why } => {
            let why = if full { format!(": {why}") } else { String::new() };
            (format!("{} ✗ never reached, {}{why}", source.name, age(*since, ctx.now)), Scope::LinkStale)
        }
        Freshness::Denied { verb, resource } => {
            let what = if full { format!(": no {verb} on {resource}") } else { String::new() };
            (format!("{} ⊘ denied{what}", source.name), Scope::LinkDenied)
        }
    }
}

fn who(header: &Header<'_>) -> String {
    let policy = if header.enforced { "policy enforced" } else { "your policy only warns" };
    let read_only = if header.read_only { ", read-only" } else { "" };
    match header.actor {
        Some(actor) => format!("{actor}, {policy}{read_only}"),
        None => format!("offline{read_only}"),
    }
}

fn holds(ctx: &Ctx<'_>, header: &Header<'_>) -> (String, Scope) {
    let wide = ctx.layout.header.width >= 100;
    let undone: usize = header.holds.iter().map(|item| item.undone).sum();
    let (text, scope) = match header.holds.as_slice() {
        [] => return ("no hold".to_owned(), Scope::Dim),
        [HoldItem { hold, .. }] if wide => (format!("⏸ {} by {}: {}", hold.id, hold.owner, hold.selector), Scope::Hold),
        [HoldItem { hold, .. }] => (format!("⏸ hold {}", hold.id), Scope::Hold),
        holds => (format!("⏸ {} holds", holds.len()), Scope::Hold),
    };
    match undone {
        0 => (text, scope),
        // What goes on although it is held comes first, whatever else is clipped.
        1 => (format!("▶ 1 goes on although held  {text}"), Scope::SeverityFailing),
        more => (format!("▶ {more} go on although held  {text}"), Scope::SeverityFailing),
    }
}

/// The last row: the filter while it is typed, a notice while there is one, else the keys.
pub(super) fn footer(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let mut pen = Pen::new(buf, rect(ctx.layout.footer), 0);
    if let Some(Overlay::Filter { input, .. }) = &ctx.state.overlay {
        pen.put(" / ", ctx.style(Scope::Key));
        // What means nothing is said while it can be mended; a long filter has all the room.
        let wide = format::width(&input.text) + 56 < pen.left();
        match Filter::parse(&input.text, ctx.now).problem() {
            Some(problem) => {
                let room = pen.left() / 2;
                pen.tail(&format::clip(&format!(" {problem} "), room), ctx.style(Scope::ToneWarn))
            }
            None if wide => {
                pen.tail(" Enter keep  Esc undo  !not env:prod by:ann since:7d ", ctx.style(Scope::InputHint))
            }
            None => &mut pen,
        };
        let room = pen.left();
        return input::draw(&mut pen, input, room, true, ctx.theme);
    }
    if let Some(notice) = &ctx.state.notice {
        let (glyph, scope) = match notice.tone {
            Tone::Plain => ("·", Scope::TonePlain),
            Tone::Good => ("✓", Scope::ToneGood),
            Tone::Warn => ("!", Scope::ToneWarn),
            Tone::Bad => ("✗", Scope::ToneBad),
        };
        let text = format!(" {glyph} {}", notice.text);
        if format::width(&text) > pen.left() {
            let key = messages_key(ctx.state);
            pen.tail(&format!(" {key} all of it "), ctx.style(Scope::InputHint));
        }
        pen.put(&text, ctx.style(scope));
        return;
    }
    let from = pen.x();
    if let Some(text) = under_way(ctx.state, ctx.now) {
        pen.tail(&format!("▸ {text} "), ctx.style(Scope::ToneWarn));
    }
    for hint in footer_keys(ctx.state) {
        pen.skip((from + hint.x).saturating_sub(pen.x()));
        pen.put(&hint.key, ctx.style(Scope::Key)).skip(1).put(hint.label, ctx.style(Scope::Text));
    }
}
