//! The Deck: environments, what needs a person, all rollouts.

use super::columns::{Content, LEAD, Sized, plan};
use super::deck_columns::COLUMNS;
use super::empty;
use crate::app::dispatch;
use crate::app::header::sources;
use crate::app::pages::deck::{self, DeckRow, NeedRow};
use crate::app::state::DeckPanel;
use crate::app::strip;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_board::{Attention, AttentionSubject, Filter, Severity};
use flightdeck_model::SourceId;
use flightdeck_model::time::{age, countdown};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use std::ops::Range;

/// Draws it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let layout = &ctx.layout;
    let list = rect(layout.list);
    let frame = Rect { x: 0, y: 1, width: ctx.state.columns, height: ctx.state.rows.saturating_sub(2) };
    sides(buf, frame, ctx.theme);
    let mut first = Edge::Top;
    if let Some(area) = layout.environments {
        // What is counted there is as it was seen last.
        let right = not_seen(ctx).unwrap_or_default();
        let title = Title { left: "Environments".to_owned(), right, ..Title::default() };
        edge(buf, frame, area.y - 1, first, &title, ctx.theme);
        first = Edge::Between;
        environments(ctx, rect(area), buf);
    }
    if let Some(area) = layout.needs {
        needs(ctx, rect(area), frame, first, buf);
        first = Edge::Between;
    }
    let window = deck::window(ctx.state);
    let heading = layout.heading.map_or(list, rect);
    edge(buf, frame, heading.y - 1, first, &list_title(ctx, window.matching, window.total), ctx.theme);
    let columns = plan(COLUMNS, list.width, content(ctx));
    if layout.heading.is_some() {
        names(ctx, heading, &columns, buf);
    }
    if window.rows.is_empty() {
        let lines = if window.total == 0 {
            empty::no_rollouts(ctx.state)
        } else {
            vec!["Nothing matches the filter; press / and Esc to drop it.".to_owned()]
        };
        for (row, line) in (0..list.height).zip(&lines) {
            Pen::new(buf, list, row).skip(LEAD).put(line, ctx.style(Scope::Dim));
        }
    }
    let focus = ctx.state.deck.panel == DeckPanel::Rollouts;
    for (y, row) in (0..list.height).zip(&window.rows) {
        let selected = window.selected == Some(usize::from(y));
        draw_row(ctx, list, y, row, (selected, focus), &columns, buf);
    }
    let below = window.matching.saturating_sub(window.top + window.rows.len());
    let more = Title {
        right: match (window.top, below) {
            (0, 0) => String::new(),
            (above, below) => format!("↑ {above}  ↓ {below}"),
        },
        ..Title::default()
    };
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &more, ctx.theme);
    match deck::selected(ctx.state) {
        Some(rollout) => {
            super::rollout::about(ctx, rollout, frame, Edge::Between, buf);
            super::rollout::curves(ctx, rollout, frame, buf);
        }
        None => {
            if let Some(area) = layout.summary {
                edge(buf, frame, area.y - 1, Edge::Between, &Title::default(), ctx.theme);
                Pen::new(buf, rect(area), 0).skip(LEAD).put("no rollout is selected", ctx.style(Scope::Dim));
            }
        }
    }
}

fn content(ctx: &Ctx<'_>) -> Content {
    let several_sources = sources(ctx.state).iter().filter(|source| !source.measures).count() > 1;
    let filled = ctx.state.filled();
    let (steps, candidates, watched) = (filled.steps(), filled.candidates(), filled.watched());
    let promised = filled.promised();
    let (alike, alerts) = (filled.alike(), filled.alerts());
    Content { widest: ctx.state.deck.widest, steps, candidates, watched, promised, several_sources, alike, alerts }
}

fn list_title(ctx: &Ctx<'_>, matching: usize, total: usize) -> Title {
    let deck = &ctx.state.deck;
    let count = if matching == total { format!("{total}") } else { format!("{matching} of {total}") };
    let mut right = Vec::new();
    if !deck.filter.is_empty() {
        right.push(format!("/{}", deck.filter));
    }
    if deck.in_flight_only {
        right.push("in flight".to_owned());
    }
    if !deck.marks.is_empty() {
        let hidden = dispatch::hidden_marks(ctx.state);
        let hidden = if hidden > 0 { format!(", {hidden} hidden") } else { String::new() };
        right.push(format!("{} marked{hidden}", deck.marks.len()));
    }
    right.push(format!("sorted by {}{}", deck.order.word(), if deck.reverse { ", reversed" } else { "" }));
    Title { left: format!("Rollouts ({count})"), right: right.join(" · "), focus: deck.panel == DeckPanel::Rollouts }
}

fn environments(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let strip = strip::environments(ctx.state);
    let mut pen = Pen::new(buf, area, 0);
    pen.skip(1);
    if strip.is_empty() {
        pen.put("none is known yet", ctx.style(Scope::Dim));
    }
    for environment in strip {
        pen.put(&environment.name, ctx.style(Scope::Strong));
        for (phase, count) in &environment.phases {
            pen.skip(2).put(&format!("{count} {}", glyph::phase(*phase)), ctx.style(Scope::phase(*phase)));
        }
        pen.skip(6);
    }
}

/// Sources of which nothing is heard now: `not seen now: local`.
fn not_seen(ctx: &Ctx<'_>) -> Option<String> {
    let unseen = sources(ctx.state).into_iter().filter(|source| !source.measures && !source.freshness.is_fresh());
    let names: Vec<String> = unseen.map(|source| source.name).collect();
    (!names.is_empty()).then(|| format!("not seen now: {}", names.join(", ")))
}

fn needs(ctx: &Ctx<'_>, area: Rect, frame: Rect, first: Edge, buf: &mut Buffer) {
    let window = deck::needs(ctx.state);
    let focus = ctx.state.deck.panel == DeckPanel::Needs;
    let below = window.matching.saturating_sub(window.top + window.rows.len());
    let right = if below > 0 { format!("{below} more") } else { String::new() };
    let left = if window.matching == 0 { "Needs you".to_owned() } else { format!("Needs you ({})", window.matching) };
    edge(buf, frame, area.y - 1, first, &Title { left, right, focus }, ctx.theme);
    if window.rows.is_empty() {
        let mut pen = Pen::new(buf, area, 0);
        if let Some(not_seen) = not_seen(ctx) {
            let text = format!("? nothing that could be seen needs you; {not_seen}");
            pen.skip(1).put(&text, ctx.style(Scope::LinkStale));
        } else {
            pen.skip(1).put("✓ nothing needs you", ctx.style(Scope::Dim));
        }
    }
    // Names have the columns of the list below, or fewer where that is enough: the rest is the sentences'.
    let columns = plan(COLUMNS, area.width, content(ctx));
    let named = window.rows.iter().filter(|row| row.entry.environment.is_some());
    let widest = named.map(|row| format::width(&row.entry.name)).max().unwrap_or(0);
    let wide = |column: &str| columns.iter().find(|sized| sized.0.name == column).map_or(12, |sized| sized.1);
    let widths = (wide("service").min(widest.max(8)), wide("environment"));
    for (y, entry) in (0..area.height).zip(&window.rows) {
        let selected = focus && window.selected == Some(usize::from(y));
        need(ctx, area, y, entry, (selected, widths), buf);
    }
}

fn need(
    ctx: &Ctx<'_>,
    area: Rect,
    y: u16,
    row: &NeedRow,
    (selected, (service, environment)): (bool, (u16, u16)),
    buf: &mut Buffer,
) {
    let NeedRow { entry, freshness } = row;
    let old = !freshness.is_fresh();
    let scope = match entry.severity {
        _ if old => Scope::LinkStale,
        Severity::Failing | Severity::Undone | Severity::Failed => Scope::SeverityFailing,
        Severity::Approval => Scope::SeverityApproval,
        Severity::Paused => Scope::SeverityPaused,
        Severity::Degraded => Scope::SeverityDegraded,
        Severity::Stale => Scope::SeverityStale,
    };
    if selected {
        buf.set_style(Rect { y: area.y + y, height: 1, ..area }, ctx.style(Scope::Selection));
    }
    let mut pen = Pen::new(buf, area, y);
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    let when = when(ctx, entry, old);
    pen.tail(&format!("  {when} "), ctx.style(Scope::Dim));
    let (name, text) = if old { (Scope::Dim, Scope::Dim) } else { (Scope::Strong, Scope::Text) };
    pen.cell(if old { "◌" } else { entry.severity.glyph() }, 2, ctx.style(scope));
    // A source has no environment: its name may be as wide as both.
    let room = entry.environment.as_ref().map_or(service + 1 + environment, |_| service);
    pen.cell(&format::name(&entry.name, room), room, ctx.style(name)).skip(1);
    if let Some(name) = &entry.environment {
        pen.cell(&format::name(name.as_str(), environment), environment, ctx.style(text)).skip(1);
    }
    if let Some(source) = told_apart_by(ctx, entry) {
        pen.put(source.as_str(), ctx.style(text)).put(": ", ctx.style(Scope::Dim));
    }
    if old {
        pen.put("may be old: ", ctx.style(scope));
    }
    // Never by glyph and colour alone: the word stands there unless the sentence has it.
    if !entry.sentence.contains(entry.word) {
        pen.put(entry.word, ctx.style(scope)).put(": ", ctx.style(Scope::Dim));
    }
    pen.put(&entry.sentence, ctx.style(text));
}

/// The source of an entry, where another source has a rollout of the same name.
fn told_apart_by<'c>(ctx: &Ctx<'c>, entry: &Attention) -> Option<&'c SourceId> {
    let board = &ctx.state.board;
    let target = match &entry.subject {
        AttentionSubject::Rollout(run) => &run.target,
        AttentionSubject::Approval(id) => &board.approval(id)?.run.target,
        _ => return None,
    };
    let rollout = board.rollout(target)?;
    ctx.state.filled().is_alike(rollout).then_some(&rollout.run.target.source)
}

/// How long already, and what happens by itself and when, where that is known to be so still.
fn when(ctx: &Ctx<'_>, entry: &Attention, old: bool) -> String {
    // A watch that is not allowed never was: there is no age to tell.
    if entry.severity == Severity::Stale && entry.since >= ctx.now {
        return String::new();
    }
    let coming = entry.deadline.filter(|_| !old).map(|at| {
        let left = countdown(at, ctx.now);
        match entry.severity {
            Severity::Approval => format!("lapses in {left}"),
            _ => format!("goes on in {left}"),
        }
    });
    let already = age(entry.since, ctx.now);
    match coming {
        Some(coming) if ctx.state.columns >= 100 => format!("{already}, {coming}"),
        Some(coming) => coming,
        None => already,
    }
}

fn names(ctx: &Ctx<'_>, area: Rect, columns: &[Sized], buf: &mut Buffer) {
    let mut pen = Pen::new(buf, area, 0);
    pen.skip(LEAD);
    for (column, width) in columns {
        column.write_head(&mut pen, *width, ctx.style(Scope::Column));
        pen.skip(1);
    }
}

fn draw_row(
    ctx: &Ctx<'_>,
    list: Rect,
    y: u16,
    row: &DeckRow<'_>,
    (selected, focus): (bool, bool),
    columns: &[Sized],
    buf: &mut Buffer,
) {
    let area = Rect { y: list.y + y, height: 1, ..list };
    let mut pen = Pen::new(buf, list, y);
    let bar = match (selected, focus) {
        (true, true) => "▌",
        (true, false) => "▏",
        _ => "",
    };
    pen.cell(bar, 1, ctx.style(Scope::SelectionBar));
    pen.cell(if row.marked { "◆" } else { "" }, 1, ctx.style(Scope::Mark));
    let filter = Filter::parse(&ctx.state.deck.filter, ctx.now);
    for (column, width) in columns {
        let from = pen.x();
        (column.cell)(ctx, &mut pen, row, *width);
        if column.filtered && !filter.is_empty() {
            let to = pen.x();
            underline(&filter, pen.buf, area.y, from..to);
        }
        pen.skip(1);
    }
    if !row.freshness.is_fresh() {
        // What may be old looks old, all of it.
        let phase = ctx.style(Scope::LinkStale);
        let dim = ctx.style(Scope::Dim);
        for x in area.left() + LEAD..area.right() {
            if let Some(cell) = buf.cell_mut((x, area.y))
                && cell.style().fg != phase.fg
            {
                cell.set_style(dim.remove_modifier(Modifier::BOLD));
            }
        }
    }
    if selected && focus {
        buf.set_style(area, ctx.style(Scope::Selection));
    }
}

/// Shows what a filter's word found in what stands there.
fn underline(filter: &Filter, buf: &mut Buffer, y: u16, columns: Range<u16>) {
    let mut text = String::new();
    let mut places = Vec::new();
    for x in columns {
        let Some(cell) = buf.cell((x, y)) else { continue };
        places.push((text.len(), x));
        text.push_str(cell.symbol());
    }
    let Some(found) = filter.found(&text) else { return };
    for (_, x) in places.into_iter().filter(|(at, _)| found.contains(at)) {
        if let Some(cell) = buf.cell_mut((x, y)) {
            cell.set_style(Style::new().add_modifier(Modifier::UNDERLINED));
        }
    }
}
