//! The Deck: environments, what needs a person, all rollouts.

use super::columns::{Column, Content, LEAD, NUMBERS, REPLICAS, SHARE, Sized, plan};
use super::{empty, phase};
use crate::app::age::{age, countdown};
use crate::app::dispatch::{self};
use crate::app::header::sources;
use crate::app::pages::deck::{self, DeckRow, NeedRow};
use crate::app::state::{DeckPanel, at_step};
use crate::app::strip;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::widgets::spark::{self, Metric, Pair};
use crate::view::widgets::{bar, track};
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_board::{Attention, AttentionSubject, Filter, Severity, numbers_age};
use flightdeck_model::{Arm, Rollout, SourceId};
use jiff::SignedDuration;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use std::ops::Range;

/// One column of a curve stands for so long.
const BUCKET: SignedDuration = SignedDuration::from_secs(10);
/// The numbers beside a curve are those of so long.
const RECENT: SignedDuration = SignedDuration::from_secs(10);

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
    let columns = plan(list.width, content(ctx));
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
    let (steps, candidates, alike) = (filled.steps(), filled.candidates(), filled.alike());
    Content { widest: ctx.state.deck.widest, steps, candidates, several_sources, alike }
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
    let columns = plan(area.width, content(ctx));
    let named = window.rows.iter().filter(|row| row.entry.environment.is_some());
    let widest = named.map(|row| format::width(&row.entry.name)).max().unwrap_or(0);
    let wide = |column| columns.iter().find(|sized| sized.0 == column).map_or(12, |sized| sized.1);
    let widths = (wide(Column::Service).min(widest.max(8)), wide(Column::Environment));
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
        pen.cell(name.as_str(), environment, ctx.style(text)).skip(1);
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
    let style = ctx.style(Scope::Column);
    let mut pen = Pen::new(buf, area, 0);
    pen.skip(LEAD);
    for (column, width) in columns {
        match column {
            Column::Service => pen.cell("service", *width, style),
            Column::Environment => pen.cell(if *width < 11 { "env" } else { "environment" }, *width, style),
            Column::Version => pen.cell("version", *width, style),
            Column::Step => pen.right("step", *width, style),
            Column::Traffic if *width <= SHARE => pen.right("share", *width, style),
            Column::Traffic => pen.cell("traffic", *width, style),
            // Two numbers, canary and stable, in the colours of both.
            Column::Errors | Column::P95 => {
                let name = match (column, *width > 2 * NUMBERS) {
                    (Column::Errors, true) => "err %",
                    (Column::Errors, false) => "err",
                    _ => "p95",
                };
                let arms = if usize::from(*width) > name.len() + 13 { "canary/stable" } else { "can/stable" };
                let arms = if usize::from(*width) > name.len() + arms.len() { arms } else { "c/s" };
                let room = u16::try_from(arms.len()).unwrap_or(NUMBERS);
                pen.cell(name, width - room, style).put(arms, style)
            }
            Column::Rps => pen.right("rps", *width, style),
            Column::Phase => pen.cell("phase", *width, style),
            Column::Since => pen.cell("since", *width, style),
            Column::Replicas if *width < REPLICAS => pen.cell("ready", *width, style),
            Column::Replicas => pen.cell("stable can", *width, style),
            Column::Kind => pen.cell("kind", *width, style),
            Column::Source => pen.cell("source", *width, style),
            Column::Author => pen.cell("author", *width, style),
            Column::Began => pen.cell("began", *width, style),
            Column::Cause => pen.cell("cause", *width, style),
        };
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
    for sized in columns {
        let from = pen.x();
        cell(ctx, &mut pen, row, *sized);
        if matches!(sized.0, Column::Service | Column::Environment | Column::Version) && !filter.is_empty() {
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

fn cell(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, (column, width): Sized) {
    let rollout = row.rollout;
    let (words, scope) = match column {
        Column::Version => return version(ctx, pen, rollout, width),
        Column::Traffic => return traffic(ctx, pen, rollout, width),
        Column::Errors => return numbers(ctx, pen, rollout, Metric::Errors, width),
        Column::P95 => return numbers(ctx, pen, rollout, Metric::P95, width),
        Column::Service => (format::name(&ctx.state.board.service_name(rollout), width), Scope::Strong),
        Column::Environment => (rollout.environment.0.clone(), Scope::Text),
        Column::Step if at_step(rollout) => (track::position(rollout), Scope::Text),
        Column::Step => ("-".to_owned(), Scope::Faint),
        Column::Rps => (rps(ctx, rollout), Scope::Text),
        Column::Phase => phase::words_in(width, rollout, &row.freshness, row.own, ctx.now),
        Column::Since => (format::since(ctx.now, rollout.since, ctx.zone), Scope::Dim),
        Column::Replicas if !rollout.tells_of_users() => ("-".to_owned(), Scope::Faint),
        Column::Replicas => (replicas(rollout), Scope::Text),
        Column::Kind => (ctx.state.board.kind_word(rollout).to_owned(), Scope::Dim),
        Column::Source => (format::name(rollout.run.target.source.as_str(), width), Scope::Text),
        Column::Began => (format::since(ctx.now, rollout.started, ctx.zone), Scope::Dim),
        Column::Author => (rollout.author.clone().unwrap_or_else(|| "-".to_owned()), Scope::Dim),
        Column::Cause => {
            let old = row.freshness.problem(ctx.now);
            (old.unwrap_or_else(|| rollout.message.clone()), Scope::Dim)
        }
    };
    match column {
        Column::Step | Column::Rps => pen.right(&words, width, ctx.style(scope)),
        _ => pen.cell(&words, width, ctx.style(scope)),
    };
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

/// `1.9.0 → 1.10.0`. Where both do not fit, each gets its share of the room.
fn version(ctx: &Ctx<'_>, pen: &mut Pen<'_>, rollout: &Rollout, width: u16) {
    let stable = rollout.stable().map(|arm| arm.version.as_str());
    let candidate = rollout.candidate().map(|arm| arm.version.as_str());
    let (stable_style, candidate_style) = (ctx.style(Scope::ArmStable), ctx.style(Scope::ArmCandidate));
    let end = pen.left().saturating_sub(width);
    match (stable, candidate) {
        (Some(from), Some(to)) => {
            let room = width.saturating_sub(3);
            let long = format::width(to).min(room - room / 3);
            let short = format::width(from).min(room - long);
            let long = format::width(to).min(room - short);
            pen.cell(from, short, stable_style).put(" → ", ctx.style(Scope::Dim)).cell(to, long, candidate_style);
        }
        (Some(only), None) => {
            pen.cell(only, width, stable_style);
        }
        (None, Some(only)) => {
            pen.cell(&format!("→ {only}"), width, candidate_style);
        }
        (None, None) => {}
    }
    let left = pen.left().saturating_sub(end);
    pen.skip(left);
}

fn traffic(ctx: &Ctx<'_>, pen: &mut Pen<'_>, rollout: &Rollout, width: u16) {
    let Some(arm) = rollout.candidate() else {
        pen.cell("", width, Style::new());
        return;
    };
    if !rollout.tells_of_users() {
        pen.right("-", width, ctx.style(Scope::Faint));
        return;
    }
    let columns = width - SHARE;
    if columns > 0 {
        bar::traffic(pen, arm.traffic, columns, Scope::ArmCandidate, ctx.theme);
    }
    let share = arm.traffic.actual.unwrap_or(arm.traffic.desired);
    let style = if arm.traffic.actual.is_some() { Scope::Text } else { Scope::Dim };
    let words = if rollout.is_worker() { ready(arm) } else { whole(share) };
    pen.right(&words, SHARE, ctx.style(style));
}

/// A share without more digits than a row has room for.
fn whole(share: flightdeck_model::Ppm) -> String {
    match share.0 {
        0 => "0 %".to_owned(),
        ppm if ppm < 10_000 => format!("{:.1} %", f64::from(ppm) / 1e4),
        ppm => format!("{} %", (ppm + 5_000) / 10_000),
    }
}

fn numbers(ctx: &Ctx<'_>, pen: &mut Pen<'_>, rollout: &Rollout, metric: Metric, width: u16) {
    if rollout.is_worker() && metric == Metric::Errors {
        // It never has any: what it is stands there.
        pen.right(ctx.state.board.kind_word(rollout), width, ctx.style(Scope::Faint));
        return;
    }
    let pair = Pair::of(&ctx.state.board, &rollout.run.target);
    let Some(newest) = pair.newest() else {
        // Nothing was ever told of it, as in the column beside.
        pen.right("-", width, ctx.style(Scope::Faint));
        return;
    };
    let curves = usize::from(width.saturating_sub(NUMBERS));
    if curves > 2 {
        let each = (curves - 1) / 2;
        let candidate = spark::buckets(pair.candidate, metric, newest, BUCKET, each);
        let stable = spark::buckets(pair.stable, metric, newest, BUCKET, each);
        let top = spark::top(metric, &candidate, &stable);
        pen.put(&spark::curve(&candidate, top), ctx.style(Scope::ArmCandidate)).skip(1);
        pen.put(&spark::curve(&stable, top), ctx.style(Scope::ArmStable));
        pen.skip(u16::try_from(curves - 2 * each - 1).unwrap_or(0));
    }
    let recent = |samples| spark::buckets(samples, metric, newest, RECENT, 1).pop().flatten();
    let words = |value: Option<f64>| match (value, metric) {
        (None, _) => "-".to_owned(),
        (Some(value), Metric::Errors) => format::percent(value),
        (Some(value), _) if value >= 999.5 => format!("{:.0}s", value / 1000.0),
        (Some(value), _) => format::millis(value),
    };
    let (candidate, stable) = (recent(pair.candidate), recent(pair.stable));
    match (candidate, stable) {
        (None, None) => pen.right("no data", NUMBERS, ctx.style(Scope::Faint)),
        _ if is_old(ctx, rollout) => pen.right("old", NUMBERS, ctx.style(Scope::LinkStale)),
        _ if rollout.candidate().is_none() => pen.right(&words(stable), NUMBERS, ctx.style(Scope::ArmStable)),
        _ => {
            let half = (NUMBERS - 1) / 2;
            pen.right(&words(candidate), NUMBERS - 1 - half, ctx.style(Scope::ArmCandidate));
            pen.put("/", ctx.style(Scope::Dim)).cell(&words(stable), half, ctx.style(Scope::ArmStable))
        }
    };
}

/// Are its newest numbers no longer of now?
fn is_old(ctx: &Ctx<'_>, rollout: &Rollout) -> bool {
    numbers_age(&ctx.state.board, &rollout.run.target).is_some_and(|age| ctx.now >= age.old_from)
}

fn rps(ctx: &Ctx<'_>, rollout: &Rollout) -> String {
    let pair = Pair::of(&ctx.state.board, &rollout.run.target);
    let Some(newest) = pair.newest().filter(|_| !is_old(ctx, rollout)) else { return "-".to_owned() };
    let rate = |samples| spark::buckets(samples, Metric::Rate, newest, RECENT, 1).pop().flatten().unwrap_or(0.0);
    format::rate(rate(pair.candidate) + rate(pair.stable))
}

/// Ready of desired instances: stable, then candidate.
fn replicas(rollout: &Rollout) -> String {
    [rollout.stable(), rollout.candidate()].into_iter().flatten().map(ready).collect::<Vec<_>>().join(" ")
}

fn ready(arm: &Arm) -> String {
    format!("{}/{}", arm.replicas.ready, arm.replicas.desired)
}
