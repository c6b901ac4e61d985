//! The Approvals page: one queue over all sources, and everything about the selected request.

use super::fit::{Column, Fits, cells, heads, widths};
use super::phase;
use crate::app::actions::may_approve;
use crate::app::pages::approvals::{self, ApprovalRow};
use crate::app::run;
use crate::app::wrap::wrap;
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, glyph, rect, weigh};
use flightdeck_board::Health;
use flightdeck_model::time::{age, countdown};
use flightdeck_model::{Approval, ApprovalState, ReleaseRef, Rollout, Verdict};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

/// Columns that the names of the details take.
const NAME: u16 = 12;

/// Draws it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let list = rect(ctx.layout.list);
    let frame = Rect { x: 0, y: 1, width: ctx.state.columns, height: ctx.state.rows.saturating_sub(2) };
    sides(buf, frame, ctx.theme);
    let window = approvals::window(ctx.state);
    let count = match (window.matching, window.total) {
        (matching, total) if matching == total => format!("{total}"),
        (matching, total) => format!("{matching} of {total}"),
    };
    let filter = &ctx.state.approvals.filter;
    let right = if filter.is_empty() { "pending first, oldest risk first".to_owned() } else { format!("/{filter}") };
    let title = Title { left: format!("Approvals ({count})"), right, focus: true };
    let heading = ctx.layout.heading.map_or(list, rect);
    edge(buf, frame, heading.y - 1, Edge::Top, &title, ctx.theme);
    let columns = columns();
    let widths = widths(ctx, &columns, list.width, &window.rows);
    heads(ctx, &columns, &widths, 4, heading, buf);
    if window.rows.is_empty() {
        let text = if window.total == 0 { "✓ nothing waits for a yes" } else { "Nothing matches the filter." };
        Pen::new(buf, list, 0).skip(2).put(text, ctx.style(Scope::Dim));
    }
    for (y, row) in (0..list.height).zip(&window.rows) {
        draw_row(ctx, (&columns, &widths), row, window.selected == Some(usize::from(y)), (list, y), buf);
    }
    if let Some(area) = ctx.layout.detail {
        let chosen = approvals::selected(ctx.state);
        let left =
            chosen.map_or_else(String::new, |approval| format!("{} in {}", approval.service, approval.environment));
        edge(buf, frame, area.y - 1, Edge::Between, &Title { left, ..Title::default() }, ctx.theme);
        if let Some(approval) = chosen {
            details(ctx, approval, rect(area), buf);
        }
    }
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &Title::default(), ctx.theme);
}

/// The columns of the list; what a yes lets through takes the rest.
fn columns<'a>() -> [Column<ApprovalRow<'a>>; 7] {
    [
        Column {
            head: |_| "service",
            widths: [12, 12, 14, 20],
            fits: Fits::Names,
            right: false,
            cell: |ctx, row, width| {
                let pending = row.approval.state == ApprovalState::Pending;
                let style = if pending { ctx.style(Scope::Strong) } else { plain(ctx, row.approval) };
                (format::name(row.approval.service.as_str(), width), style)
            },
        },
        Column {
            head: |_| "env",
            widths: [0, 10, 11, 14],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, row, width| (format::name(row.approval.environment.as_str(), width), plain(ctx, row.approval)),
        },
        Column {
            head: |_| "from → to",
            widths: [0, 15, 18, 24],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, row, _| (change(row.approval), plain(ctx, row.approval)),
        },
        Column {
            head: |_| "author",
            widths: [0, 0, 12, 16],
            fits: Fits::Texts,
            right: false,
            cell: |ctx, row, _| (row.approval.author.clone(), plain(ctx, row.approval)),
        },
        Column {
            head: |_| "votes",
            widths: [8, 8, 8, 10],
            fits: Fits::Always,
            right: false,
            cell: |ctx, row, _| (said(row.approval), ctx.style(sign(&row.approval.state).1)),
        },
        Column {
            head: |width| if width < 9 { "since" } else { "requested" },
            widths: [6, 6, 22, 24],
            fits: Fits::Always,
            right: false,
            cell: |ctx, row, width| (when(ctx, row.approval, width), ctx.style(Scope::Dim)),
        },
        Column {
            head: |_| "what a yes lets through",
            widths: [0; 4],
            fits: Fits::Rest,
            right: false,
            cell: |ctx, row, _| what(ctx, row),
        },
    ]
}

/// What is settled stands back, and a line goes through what is void.
fn plain(ctx: &Ctx<'_>, approval: &Approval) -> Style {
    match approval.state {
        ApprovalState::Pending => ctx.style(Scope::Text),
        ApprovalState::Superseded { .. } => ctx.style(Scope::Dim).add_modifier(Modifier::CROSSED_OUT),
        _ => ctx.style(Scope::Dim),
    }
}

fn what(ctx: &Ctx<'_>, row: &ApprovalRow<'_>) -> (String, Style) {
    let under_way = row.own.filter(|own| own.progress.is_open());
    match (under_way, &row.approval.state) {
        (Some(own), _) => {
            (format!("→ {} {}", own.action.row().label, own.progress.word()), ctx.style(Scope::StageOpen))
        }
        (None, ApprovalState::Superseded { by }) => (format!("» superseded by {by}"), ctx.style(Scope::Dim)),
        _ if !row.freshness.is_fresh() => {
            (format!("◌ {}", row.freshness.problem(ctx.now).unwrap_or_default()), ctx.style(Scope::LinkStale))
        }
        _ => (row.approval.what.clone(), plain(ctx, row.approval)),
    }
}

fn draw_row<'a>(
    ctx: &Ctx<'_>,
    (columns, widths): (&[Column<ApprovalRow<'a>>], &[u16]),
    row: &ApprovalRow<'a>,
    selected: bool,
    (list, y): (Rect, u16),
    buf: &mut Buffer,
) {
    let (sign, scope) = sign(&row.approval.state);
    if selected {
        buf.set_style(Rect { y: list.y + y, height: 1, ..list }, ctx.style(Scope::Selection));
    }
    let mut pen = Pen::new(buf, list, y);
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    pen.cell(if row.marked { "◆" } else { "" }, 1, ctx.style(Scope::Mark));
    pen.cell(sign, 2, ctx.style(scope));
    cells(ctx, columns, widths, row, &mut pen);
}

const fn sign(state: &ApprovalState) -> (&'static str, Scope) {
    match state {
        ApprovalState::Pending => ("?", Scope::SeverityApproval),
        ApprovalState::Approved => ("✓", Scope::StageGood),
        ApprovalState::Rejected => ("✗", Scope::StageBad),
        ApprovalState::Expired => ("⌛", Scope::ToneWarn),
        ApprovalState::Superseded { .. } => ("»", Scope::Dim),
    }
}

fn change(approval: &Approval) -> String {
    let from = approval.from.as_ref().map_or("-", |release| release.version.as_str());
    format!("{from} → {}", approval.to.version)
}

/// How many said yes, or how it ended.
fn said(approval: &Approval) -> String {
    match &approval.state {
        ApprovalState::Pending => format!("{} of {}", yes(approval), approval.requirement.count),
        ApprovalState::Approved => "approved".to_owned(),
        ApprovalState::Rejected => "rejected".to_owned(),
        ApprovalState::Expired => "expired".to_owned(),
        ApprovalState::Superseded { .. } => "void".to_owned(),
    }
}

fn yes(approval: &Approval) -> usize {
    approval.votes.iter().filter(|vote| vote.verdict == Verdict::Approved).count()
}

fn when(ctx: &Ctx<'_>, approval: &Approval, width: u16) -> String {
    if approval.state != ApprovalState::Pending {
        return format::since(ctx.now, approval.requested, ctx.zone);
    }
    let asked = age(approval.requested, ctx.now);
    match approval.expires {
        Some(at) if width > 10 => format!("{asked}, lapses {}", countdown(at, ctx.now)),
        _ => asked,
    }
}

/// Everything about one request, as many lines as there is room for, most wanted first.
fn details(ctx: &Ctx<'_>, approval: &Approval, area: Rect, buf: &mut Buffer) {
    let text = Scope::Text;
    let mut lines: Vec<(&str, String, Scope)> = vec![
        ("a yes", approval.what.clone(), Scope::Strong),
        ("from", from(approval), Scope::ArmStable),
        ("to", release(&approval.to), Scope::ArmCandidate),
    ];
    let health = run::health(ctx.state, &approval.run).filter(|_| approval.state == ApprovalState::Pending);
    let row = health.as_ref().and_then(|_| ctx.state.board.rollout(&approval.run.target));
    let objectives = |row: &Rollout| weigh::objectives(row, ctx.now).into_iter();
    let objectives = row.into_iter().flat_map(|row| objectives(row).map(|(words, scope)| ("objective", words, scope)));
    let beside = row.into_iter().flat_map(|row| weigh::beside(ctx, row)).chain(objectives);
    for (name, words, scope) in health.iter().flat_map(|health| weigh::health(ctx, health)).chain(beside) {
        let rows = wrap(&words, area.width.saturating_sub(NAME + 1));
        lines.extend(rows.into_iter().map(|row| (name, row, scope)));
    }
    lines.extend([asks(ctx, approval), you(ctx, approval), needs(approval)]);
    for vote in &approval.votes {
        let (glyph, word) = match vote.verdict {
            Verdict::Approved => ("✓", "yes"),
            Verdict::Rejected => ("✗", "no"),
        };
        let why = vote.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        let at = format::clock(vote.at, ctx.zone);
        lines.push(("vote", format!("{glyph} {} said {word} at {at}{why}", vote.who), text));
    }
    if let ApprovalState::Superseded { by } = &approval.state {
        lines.push(("replaced", format!("» {by}"), text));
    }
    let behind = approval.behind.join("; ");
    lines.push(("behind it", if behind.is_empty() { "nothing waits".to_owned() } else { behind }, text));
    evidence(ctx, approval, health.as_ref(), &mut lines);
    let mut before = "";
    for (row, (name, words, scope)) in (0..area.height).zip(&lines) {
        let mut pen = Pen::new(buf, area, row);
        pen.skip(1).cell(if *name == before { "" } else { name }, NAME, ctx.style(Scope::Column));
        pen.put(words, ctx.style(*scope));
        before = name;
    }
}

fn asks(ctx: &Ctx<'_>, approval: &Approval) -> (&'static str, String, Scope) {
    let pending = approval.state == ApprovalState::Pending;
    let lapses = match approval.expires {
        Some(at) if pending => format!("; lapses in {}, then its rollout is aborted", countdown(at, ctx.now)),
        _ => String::new(),
    };
    let ago = if pending { format!(", {} ago", age(approval.requested, ctx.now)) } else { String::new() };
    let at = format::clock(approval.requested, ctx.zone);
    ("asks", format!("{} at {at}{ago}{lapses}", approval.author), Scope::Text)
}

fn you(ctx: &Ctx<'_>, approval: &Approval) -> (&'static str, String, Scope) {
    match may_approve(ctx.state, approval) {
        _ if approval.state != ApprovalState::Pending => ("you", "can't: it is settled".to_owned(), Scope::Dim),
        Ok(()) if approval.reviewers.as_ref().is_some_and(|reviewers| reviewers.untold) => {
            let source = &approval.run.target.source;
            ("you", format!("? {source} says whether you may only once it is asked"), Scope::Text)
        }
        Ok(()) => ("you", "✓ may approve or reject".to_owned(), Scope::ToneGood),
        Err(why) => ("you", format!("✗ may not approve: {why}"), Scope::ToneWarn),
    }
}

fn needs(approval: &Approval) -> (&'static str, String, Scope) {
    let requirement = &approval.requirement;
    if let Some(reviewers) = &approval.reviewers {
        let ours =
            reviewers.login.as_ref().map_or_else(String::new, |login| format!("; what you say counts as {login}"));
        let who = reviewers.names.join(" or ");
        return ("needs", format!("{} of {} yes by {who}{ours}", yes(approval), requirement.count), Scope::Text);
    }
    let who = if requirement.from.is_empty() { "anybody here".to_owned() } else { requirement.from.join(" or ") };
    let own = if requirement.allow_self { "" } else { ", not by its author" };
    let count = requirement.count;
    ("needs", format!("{} of {count} yes by {who}{own}", yes(approval)), Scope::Text)
}

fn evidence(ctx: &Ctx<'_>, approval: &Approval, above: Option<&Health>, lines: &mut Vec<(&str, String, Scope)>) {
    let judged = run::evidence(ctx.state, &approval.run);
    if judged.is_empty() && above.is_none() {
        lines.push(("analysis", "nothing was judged yet".to_owned(), Scope::Dim));
    }
    for evidence in judged {
        let verdict = evidence.analysis.as_ref().map(|report| glyph::verdict(report.verdict).0);
        let at = format::clock(evidence.at, ctx.zone);
        let newest = above.and_then(|health| health.verdict.as_ref());
        if newest.is_none_or(|judged| (judged.at, &judged.summary) != (Some(evidence.at), &evidence.summary)) {
            lines.push(("analysis", format!("{} {at}  {}", verdict.unwrap_or("·"), evidence.summary), Scope::Text));
        }
        for metric in evidence.analysis.iter().flat_map(|report| &report.metrics) {
            lines.push(("analysis", format!("   {} {}", glyph::verdict(metric.verdict).0, metric.why), Scope::Dim));
        }
    }
    if let Some(rollout) = ctx.state.board.rollout(&approval.run.target).filter(|rollout| rollout.run == approval.run) {
        let (word, scope) = phase::state(rollout);
        let line = format!("{} {word}: {}", glyph::phase(rollout.phase), rollout.message);
        lines.push(("rollout", line, scope));
    }
}

/// What serves now. A source that counts votes itself does not tell.
fn from(approval: &Approval) -> String {
    match &approval.from {
        Some(serves) => release(serves),
        None if approval.reviewers.is_some() => format!("{} does not tell what serves", approval.run.target.source),
        None => "nothing serves yet".to_owned(),
    }
}

fn release(release: &ReleaseRef) -> String {
    format!("{}  {}", release.version, release.digest)
}
