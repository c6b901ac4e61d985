//! The History page: what the selected one's service and environment add up to, and every finished
//! rollout, or one of them with all that is known of it.

use super::fit::fitted;
use crate::app::pages::history;
use crate::app::record::RecordLine;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_board::dora::{self, DAYS, Dora, Figure, span};
use flightdeck_model::{DeploymentKind, DeploymentOutcome, NOT_RECORDED, RolloutRecord};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns that the names of figures and of a record's lines take.
const NAME: u16 = 11;

/// Draws it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let list = rect(ctx.layout.list);
    let frame = Rect { x: 0, y: 1, width: ctx.state.columns, height: ctx.state.rows.saturating_sub(2) };
    sides(buf, frame, ctx.theme);
    let selected = history::selected(ctx.state);
    if let Some(area) = ctx.layout.summary {
        let left = selected.map_or("Delivery".to_owned(), |of| {
            let then = dora::then(ctx.state.board.deployments(), &of.service, &of.environment);
            format!("{} in {}{then}", of.service, of.environment)
        });
        let title = Title { left, right: span_of_figures(ctx), focus: false };
        edge(buf, frame, area.y - 1, Edge::Top, &title, ctx.theme);
        figures(ctx, rect(area), buf);
    }
    match (ctx.state.ended.record, selected) {
        (Some(top), Some(of)) => {
            let left = format!("{} {} {}", of.to, of.kind.word(), of.outcome.word());
            let right = "Esc goes back to the list".to_owned();
            edge(buf, frame, list.y.saturating_sub(1), Edge::Between, &Title { left, right, focus: true }, ctx.theme);
            let lines = history::shown(ctx.state);
            let mut before = "";
            for (row, line) in (0..list.height).zip(lines.iter().skip(top)) {
                before = record_line(ctx, line, before, list, row, buf);
            }
            bottom(ctx, frame, (top, lines.len(), list.height), buf);
        }
        _ => rows(ctx, frame, list, buf),
    }
}

/// The window, and what of it could not be counted.
fn span_of_figures(ctx: &Ctx<'_>) -> String {
    match history::figures(ctx.state).map_or(0, |of| of.unknown) {
        0 => format!("{DAYS} days"),
        unknown => format!("{DAYS} days, {unknown} not counted: it is not known whether users met them"),
    }
}

/// The lower edge, with how many lines are above and below.
fn bottom(ctx: &Ctx<'_>, frame: Rect, (top, lines, height): (usize, usize, u16), buf: &mut Buffer) {
    let below = lines.saturating_sub(top + usize::from(height));
    let right = if (top, below) == (0, 0) { String::new() } else { format!("↑ {top}  ↓ {below}") };
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &Title { right, ..Title::default() }, ctx.theme);
}

/// The figures, each with its n; without data that is said.
fn figures(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let dim = ctx.style(Scope::Dim);
    let Some(of) = history::figures(ctx.state) else {
        Pen::new(buf, area, 0).skip(1).put("no finished rollout is selected", dim);
        return;
    };
    let cells = words(of);
    let across = cells.len().div_ceil(usize::from(area.height.max(1)));
    let width = area.width / u16::try_from(across.max(1)).unwrap_or(1);
    for (row, line) in (0..area.height).zip(cells.chunks(across.max(1))) {
        for (column, (name, text)) in (0_u16..).zip(line) {
            let cell = Rect { x: area.x + column * width, width: width.min(area.width - column * width), ..area };
            let mut pen = Pen::new(buf, cell, row);
            pen.skip(1).cell(name, NAME, ctx.style(Scope::Column)).skip(1);
            match text {
                Some(text) => pen.put(text, ctx.style(Scope::Text)),
                None => pen.put("no data", dim),
            };
        }
    }
}

fn words(of: &Dora) -> Vec<(&'static str, Option<String>)> {
    fn figure<T: Copy>(figure: Figure<T>, unit: &str, words: impl Fn(T) -> String) -> Option<String> {
        figure.value.map(|value| format!("{}, n {}{unit}", words(value), figure.n))
    }
    let percent = |share: f64| format!("{} %", format::percent(share));
    vec![
        ("lead time", figure(of.lead_time, "", |it| span(it.median))),
        ("lead p90", figure(of.lead_time, "", |it| span(it.p90))),
        ("deploys", frequency(of.frequency)),
        ("recovery", figure(of.recovery, "", span)),
        ("fail rate", figure(of.fail_rate, "", percent)),
        ("rework", figure(of.rework_rate, "", percent)),
        ("rollback", figure(of.rollback, "", span)),
        ("by hand", figure(of.manual, " steps", percent)),
    ]
}

fn frequency(of: Figure<f64>) -> Option<String> {
    match of.value {
        Some(a_day) => Some(format!("{a_day:.2} a day, n {}", of.n)),
        None => (of.n > 0).then(|| format!("{}, too few for a rate", of.n)),
    }
}

/// Widths of the columns; why it ended takes the rest.
struct Widths {
    outcome: u16,
    service: u16,
    environment: u16,
    change: u16,
    took: u16,
    rollback: u16,
    author: u16,
}

impl Widths {
    const fn of(width: u16) -> Widths {
        match width {
            0..70 => Widths { outcome: 13, service: 12, environment: 0, change: 0, took: 0, rollback: 0, author: 0 },
            70..100 => {
                Widths { outcome: 13, service: 11, environment: 10, change: 14, took: 9, rollback: 7, author: 0 }
            }
            100..150 => {
                Widths { outcome: 13, service: 14, environment: 11, change: 18, took: 9, rollback: 8, author: 10 }
            }
            _ => Widths { outcome: 13, service: 20, environment: 14, change: 24, took: 10, rollback: 10, author: 14 },
        }
    }
}

impl Widths {
    fn fitted(self, rows: &[&RolloutRecord]) -> Widths {
        let Widths { service, environment, change, author, .. } = self;
        let mut widest = ["service", "env", "from → to", "by"].map(format::width);
        for of in rows {
            let (change, who, service) = (self::change(of), of.who(), of.service_then());
            let texts = [service.as_str(), of.environment.as_str(), &change, &who];
            for (widest, text) in widest.iter_mut().zip(texts) {
                *widest = format::width(text).max(*widest);
            }
        }
        let [service, environment, change, author] = fitted([service, environment, change, author], widest);
        Widths { service, environment, change, author, ..self }
    }
}

fn change(of: &RolloutRecord) -> String {
    format!("{} → {}", of.from.as_ref().map_or("-", |from| from.as_str()), of.to)
}

fn rows(ctx: &Ctx<'_>, frame: Rect, list: Rect, buf: &mut Buffer) {
    let page = &ctx.state.ended;
    let window = history::window(ctx.state);
    let count = match (window.matching, window.total) {
        (matching, total) if matching == total => format!("{total}"),
        (matching, total) => format!("{matching} of {total}"),
    };
    let mut right = Vec::new();
    let behind = history::behind(ctx.state);
    right.extend(behind.iter().map(|(source, why)| format!("◌ {source} {why}: newer ones may be missing")));
    if !page.filter.is_empty() {
        right.push(format!("/{}", page.filter));
    }
    right.push(format!("sorted by {}{}", page.order.word(), if page.reverse { ", reversed" } else { "" }));
    let heading = ctx.layout.heading.map_or(list, rect);
    let title = Title { left: format!("History ({count})"), right: right.join(" · "), focus: true };
    edge(buf, frame, heading.y.saturating_sub(1), Edge::Between, &title, ctx.theme);
    let widths = Widths::of(list.width).fitted(&window.rows);
    names(ctx, &widths, heading, buf);
    if window.rows.is_empty() {
        let text = match (window.total, history::is_listing(ctx.state)) {
            (0, true) => "… being told",
            (0, false) => "No rollout has ended yet.",
            _ => "Nothing matches the filter; press / and Esc to drop it.",
        };
        Pen::new(buf, list, 0).skip(2).put(text, ctx.style(Scope::Dim));
    }
    for (y, of) in (0..list.height).zip(&window.rows) {
        draw_row(ctx, &widths, of, window.selected == Some(usize::from(y)), list, y, buf);
    }
    bottom(ctx, frame, (window.top, window.matching, list.height), buf);
}

fn names(ctx: &Ctx<'_>, widths: &Widths, area: Rect, buf: &mut Buffer) {
    let style = ctx.style(Scope::Column);
    let mut pen = Pen::new(buf, area, 0);
    pen.skip(1).cell("ended", 6, style).skip(1).cell("outcome", widths.outcome, style).skip(1);
    for (name, width) in [("service", widths.service), ("env", widths.environment), ("from → to", widths.change)] {
        cell(&mut pen, width, |pen, width| pen.cell(name, width, style));
    }
    for (name, width) in [("took", widths.took), ("back in", widths.rollback)] {
        cell(&mut pen, width, |pen, width| pen.right(name, width, style));
    }
    cell(&mut pen, widths.author, |pen, width| pen.cell("by", width, style));
    pen.put("because", style);
}

/// A column, where there is room for it, and the gap after it.
fn cell<'p, 'b>(pen: &'p mut Pen<'b>, width: u16, write: impl FnOnce(&'p mut Pen<'b>, u16) -> &'p mut Pen<'b>) {
    if width > 0 {
        write(pen, width).skip(1);
    }
}

fn draw_row(ctx: &Ctx<'_>, widths: &Widths, of: &RolloutRecord, selected: bool, list: Rect, y: u16, buf: &mut Buffer) {
    let (text, dim) = (ctx.style(Scope::Text), ctx.style(Scope::Dim));
    if selected {
        buf.set_style(Rect { y: list.y + y, height: 1, ..list }, ctx.style(Scope::Selection));
    }
    let (sign, word, scope) = ending(of);
    let took = span(of.ended.duration_since(of.started));
    let mut pen = Pen::new(buf, list, y);
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    pen.cell(&format::since(ctx.now, of.ended, ctx.zone), 6, dim).skip(1);
    pen.cell(&format!("{sign} {word}"), widths.outcome, ctx.style(scope)).skip(1);
    cell(&mut pen, widths.service, |pen, width| {
        pen.cell(&format::name(&of.service_then(), width), width, ctx.style(Scope::Strong))
    });
    cell(&mut pen, widths.environment, |pen, width| pen.cell(of.environment.as_str(), width, text));
    cell(&mut pen, widths.change, |pen, width| pen.cell(&change(of), width, text));
    cell(&mut pen, widths.took, |pen, width| pen.right(&took, width, dim));
    let back = of.rollback.map_or_else(|| "-".to_owned(), span);
    cell(&mut pen, widths.rollback, |pen, width| pen.right(&back, width, dim));
    cell(&mut pen, widths.author, |pen, width| pen.cell(&of.who(), width, dim));
    pen.put(&of.cause, text);
}

/// How it ended and what it was for, in one word with its sign.
const fn ending(of: &RolloutRecord) -> (&'static str, &'static str, Scope) {
    match (of.outcome, of.kind) {
        (DeploymentOutcome::Succeeded, DeploymentKind::Restart) => ("↻", "restarted", Scope::StageGood),
        (DeploymentOutcome::Succeeded | DeploymentOutcome::RolledBack, DeploymentKind::Drill) => {
            ("✓", "drilled", Scope::StageGood)
        }
        (DeploymentOutcome::Succeeded, _) => ("✓", "succeeded", Scope::PhaseHealthy),
        (DeploymentOutcome::Aborted, _) => ("■", "aborted", Scope::PhaseAborted),
        (DeploymentOutcome::RolledBack, _) => ("↩", "rolled back", Scope::PhaseRollingBack),
        (DeploymentOutcome::Failed, DeploymentKind::Drill) => ("✗", "drill failed", Scope::PhaseFailed),
        (DeploymentOutcome::Failed, _) => ("✗", "failed", Scope::PhaseFailed),
        (DeploymentOutcome::Superseded, _) => ("»", "superseded", Scope::PhaseSuperseded),
    }
}

/// One line of a whole record; gives its name, which the next line of the same name leaves out.
pub(super) fn record_line(
    ctx: &Ctx<'_>,
    line: &RecordLine<'_>,
    before: &str,
    area: Rect,
    row: u16,
    buf: &mut Buffer,
) -> &'static str {
    let (name, text, scope) = match line {
        RecordLine::Text(name, text) => (*name, text.clone(), Scope::Text),
        RecordLine::At(name, at) => {
            let at = at.to_zoned(ctx.zone.clone());
            (*name, at.strftime("%Y-%m-%d %H:%M:%S %Z").to_string(), Scope::Text)
        }
        RecordLine::Moment(name, at, text) => (*name, format!("{}  {text}", format::clock(*at, ctx.zone)), Scope::Text),
        RecordLine::Took(name, Some(took)) => (*name, span(*took), Scope::Text),
        RecordLine::Took(name, None) => (*name, NOT_RECORDED.to_owned(), Scope::Dim),
        RecordLine::Note(note) => {
            let who = note.who.strip_prefix("system:").unwrap_or(&note.who);
            ("events", format!("{}  {who}  {}", format::clock(note.at, ctx.zone), note.text), Scope::Text)
        }
        RecordLine::Evidence(evidence) => {
            let verdict = evidence.analysis.as_ref().map_or("·", |report| glyph::verdict(report.verdict).0);
            let text = format!("{}  {verdict} {}", format::clock(evidence.at, ctx.zone), evidence.summary);
            ("analysis", text, Scope::Text)
        }
        RecordLine::Metric(metric) => {
            ("analysis", format!("          {} {}", glyph::verdict(metric.verdict).0, metric.why), Scope::Dim)
        }
    };
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).cell(if name == before { "" } else { name }, NAME, ctx.style(Scope::Column)).skip(1);
    pen.put(&text, ctx.style(scope));
    name
}
