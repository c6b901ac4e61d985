//! The History page: what the selected one's service and environment add up to, and every finished
//! rollout, or one of them with all that is known of it.

use super::fit::{Column, Fits, cells, heads, widths};
use crate::app::pages::history;
use crate::app::record::RecordLine;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_board::dora::{self, DAYS, Dora, Figure};
use flightdeck_model::time::span;
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

/// The columns of the list; why it ended takes the rest.
fn columns<'a>() -> [Column<&'a RolloutRecord>; 9] {
    [
        Column {
            head: |_| "ended",
            widths: [6; 4],
            fits: Fits::Always,
            right: false,
            cell: |ctx, of, _| (format::since(ctx.now, of.ended, ctx.zone), ctx.style(Scope::Dim)),
        },
        Column {
            head: |_| "outcome",
            widths: [13; 4],
            fits: Fits::Always,
            right: false,
            cell: |ctx, of, _| {
                let (sign, word, scope) = ending(of);
                (format!("{sign} {word}"), ctx.style(scope))
            },
        },
        Column {
            head: |_| "service",
            widths: [12, 11, 14, 20],
            fits: Fits::Names,
            right: false,
            cell: |ctx, of, width| (format::name(&of.service_then(), width), ctx.style(Scope::Strong)),
        },
        Column {
            head: |_| "env",
            widths: [0, 10, 11, 14],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, of, width| (format::name(of.environment.as_str(), width), ctx.style(Scope::Text)),
        },
        Column {
            head: |_| "from → to",
            widths: [0, 14, 18, 24],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, of, _| (change(of), ctx.style(Scope::Text)),
        },
        Column {
            head: |_| "took",
            widths: [0, 9, 9, 10],
            fits: Fits::Always,
            right: true,
            cell: |ctx, of, _| (span(of.ended.duration_since(of.started)), ctx.style(Scope::Dim)),
        },
        Column {
            head: |_| "back in",
            widths: [0, 7, 8, 10],
            fits: Fits::Always,
            right: true,
            cell: |ctx, of, _| (of.rollback.map_or_else(|| "-".to_owned(), span), ctx.style(Scope::Dim)),
        },
        Column {
            head: |_| "by",
            widths: [0, 0, 10, 14],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, of, _| (of.who().into_owned(), ctx.style(Scope::Dim)),
        },
        Column {
            head: |_| "because",
            widths: [0; 4],
            fits: Fits::Rest,
            right: false,
            cell: |ctx, of, _| (of.cause.clone(), ctx.style(Scope::Text)),
        },
    ]
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
    let columns = columns();
    let widths = widths(ctx, &columns, list.width, &window.rows);
    heads(ctx, &columns, &widths, 1, heading, buf);
    if window.rows.is_empty() {
        let text = match (window.total, history::is_listing(ctx.state)) {
            (0, true) => "… being told",
            (0, false) => "No rollout has ended yet.",
            _ => "Nothing matches the filter; press / and Esc to drop it.",
        };
        Pen::new(buf, list, 0).skip(2).put(text, ctx.style(Scope::Dim));
    }
    for (y, of) in (0..list.height).zip(&window.rows) {
        draw_row(ctx, (&columns, &widths), of, window.selected == Some(usize::from(y)), (list, y), buf);
    }
    bottom(ctx, frame, (window.top, window.matching, list.height), buf);
}

fn draw_row<'a>(
    ctx: &Ctx<'_>,
    (columns, widths): (&[Column<&'a RolloutRecord>], &[u16]),
    of: &'a RolloutRecord,
    selected: bool,
    (list, y): (Rect, u16),
    buf: &mut Buffer,
) {
    if selected {
        buf.set_style(Rect { y: list.y + y, height: 1, ..list }, ctx.style(Scope::Selection));
    }
    let mut pen = Pen::new(buf, list, y);
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    cells(ctx, columns, widths, &of, &mut pen);
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
