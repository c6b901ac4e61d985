//! The panels of an opened rollout.

use super::{history, run_live};
use crate::app::state::{RolloutPage, RolloutPanel};
use crate::app::timeline::{Happened, Moment, timeline};
use crate::app::{panels, record, rollback_plan, run};
use crate::view::widgets::panel::{Edge, Title, edge};
use crate::view::widgets::pen::Pen;
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_model::{
    Alert, AlertSeverity, ArmRole, Evidence, Instance, InstanceState, MetricVerdict, Receipt, Rollout, Run, Service,
    counted,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// What a panel without rows says.
const fn nothing(panel: RolloutPanel) -> &'static str {
    match panel {
        RolloutPanel::Instances => "no instance is up",
        RolloutPanel::Sets => "there is no set of instances",
        RolloutPanel::Timeline => "nothing happened yet",
        RolloutPanel::Analysis => "nothing was judged yet",
        RolloutPanel::Alerts => "no alert fires",
        RolloutPanel::Revisions => "no revision is known",
        RolloutPanel::Actions => "nobody asked for anything yet",
        RolloutPanel::Plan => "no plan is known",
    }
}

/// Draws a panel's rows that are in sight.
pub(in crate::view) fn draw(
    ctx: &Ctx<'_>,
    page: &RolloutPage,
    rollout: &Rollout,
    panel: RolloutPanel,
    area: Rect,
    buf: &mut Buffer,
) {
    if panels::panel_len(ctx.state, panel) == 0 {
        // What nobody asked for is known; what is read from the backend may not be.
        let (text, scope) = match panel {
            RolloutPanel::Actions | RolloutPanel::Alerts => (nothing(panel).to_owned(), Scope::Dim),
            _ => run_live::empty(ctx, page, nothing(panel)),
        };
        Pen::new(buf, area, 0).skip(1).put(&text, ctx.style(scope));
        return;
    }
    let above = run_live::managed(rollout).filter(|_| panel == RolloutPanel::Revisions);
    let area = match above {
        Some(by) => {
            Pen::new(buf, area, 0).skip(1).put(&format!("! {by}"), ctx.style(Scope::ToneWarn));
            Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }
        }
        None => area,
    };
    let (first, at) = panels::panel_view(ctx.state, panel, usize::from(area.height));
    let focus = page.panel == panel;
    let mark = |row: u16, buf: &mut Buffer| {
        if focus && at == Some(first + usize::from(row)) {
            buf.set_style(Rect { y: area.y + row, height: 1, ..area }, ctx.style(Scope::Selection));
            Pen::new(buf, area, row).cell("▌", 1, ctx.style(Scope::SelectionBar));
        }
    };
    let run = &rollout.run;
    match panel {
        RolloutPanel::Instances => {
            for (row, instance) in (0..area.height).zip(run::instances(ctx.state).into_iter().skip(first)) {
                draw_instance(ctx, instance, area, row, buf);
                mark(row, buf);
            }
        }
        RolloutPanel::Sets => {
            let sets = run::detail(ctx.state).into_iter().flat_map(|detail| &detail.groups);
            for (row, group) in (0..area.height).zip(sets.skip(first)) {
                run_live::set(ctx, group, area, row, buf);
                mark(row, buf);
            }
        }
        RolloutPanel::Timeline => {
            for (row, of) in (0..area.height).zip(timeline(ctx.state, run).into_iter().skip(first)) {
                moment(ctx, &of, area, row, buf);
                mark(row, buf);
            }
        }
        RolloutPanel::Analysis => {
            for row in judgements(ctx, run, first, area, buf) {
                mark(row, buf);
            }
        }
        RolloutPanel::Alerts => {
            for row in alerts(ctx, first, area, buf) {
                mark(row, buf);
            }
        }
        RolloutPanel::Plan => {
            plan(ctx, first, area, buf);
            if let Some(row) = at.and_then(|at| at.checked_sub(first)).and_then(|row| u16::try_from(row).ok()) {
                mark(row, buf);
            }
        }
        RolloutPanel::Revisions => {
            let history = run::detail(ctx.state).into_iter().flat_map(|detail| &detail.history);
            for (row, one) in (0..area.height).zip(history.skip(first)) {
                run_live::revision(ctx, one, false, area, row, buf);
                mark(row, buf);
            }
        }
        RolloutPanel::Actions => {
            for (row, entry) in (0..area.height).zip(run::receipts(ctx.state, run).into_iter().skip(first)) {
                receipt(ctx, entry, area, row, buf);
                mark(row, buf);
            }
        }
    }
}

/// The selected row of the panel that takes the keys, in full as far as there is room: `half` of the width where
/// another panel stands beside.
pub(in crate::view) fn selected(
    ctx: &Ctx<'_>,
    rollout: &Rollout,
    panel: RolloutPanel,
    frame: Rect,
    half: Option<u16>,
    buf: &mut Buffer,
) {
    let Some(area) = ctx.layout.detail.map(rect) else { return };
    let area = Rect { width: half.unwrap_or(area.width), ..area };
    let line = Rect { width: area.width + if half.is_some() { 2 } else { frame.width - area.width }, ..frame };
    let lines = record::within(ctx.state, area.width);
    let more = lines.len().saturating_sub(usize::from(area.height));
    let left = format!("Selected: {}", run_live::name(panel, rollout));
    let right = if more > 0 { format!("{}: Enter", counted(more, "more line")) } else { String::new() };
    edge(buf, line, area.y - 1, Edge::Between, &Title { left, right, focus: false }, ctx.theme);
    let mut before = "";
    for (row, line) in (0..area.height).zip(&lines) {
        before = history::record_line(ctx, line, before, area, row, buf);
    }
}

/// One line of the timeline: when, who, what.
fn moment(ctx: &Ctx<'_>, of: &Moment<'_>, area: Rect, row: u16, buf: &mut Buffer) {
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).put(&format::clock(of.at, ctx.zone), ctx.style(Scope::Dim)).skip(1);
    let (sign, scope) = match (of.verdict(), &of.what) {
        (Some(verdict), _) => (glyph::verdict(verdict).0, verdict_scope(verdict)),
        (None, Happened::Asked(_)) => ("→", Scope::StageOpen),
        (None, Happened::ApprovalAsked(_)) => ("?", Scope::SeverityApproval),
        (None, Happened::Analysis(_)) => ("▶", Scope::StageOpen),
        (None, _) => ("·", Scope::Dim),
    };
    pen.cell(sign, 2, ctx.style(scope));
    // A short name keeps the sentence in sight.
    pen.cell(of.who(), 9, ctx.style(Scope::Dim)).skip(1).put(&of.sentence(ctx.state), ctx.style(Scope::Text));
}

const fn verdict_scope(verdict: MetricVerdict) -> Scope {
    match verdict {
        MetricVerdict::Pass => Scope::StageGood,
        MetricVerdict::Fail => Scope::StageBad,
        MetricVerdict::Missing => Scope::ToneWarn,
    }
}

/// How a rollback would go, line by line.
fn plan(ctx: &Ctx<'_>, first: usize, area: Rect, buf: &mut Buffer) {
    let mut before = "";
    for (row, line) in (0..area.height).zip(rollback_plan::plan(ctx.state).into_iter().skip(first)) {
        let scope = if line.warns { Scope::ToneWarn } else { Scope::Text };
        let mut pen = Pen::new(buf, area, row);
        pen.skip(1).cell(if line.name == before { "" } else { line.name }, 10, ctx.style(Scope::Column));
        if line.warns {
            pen.put("! ", ctx.style(scope));
        }
        pen.put(&line.text, ctx.style(scope));
        before = line.name;
    }
}

fn draw_instance(ctx: &Ctx<'_>, instance: &Instance, area: Rect, row: u16, buf: &mut Buffer) {
    let (dim, text) = (ctx.style(Scope::Dim), ctx.style(Scope::Text));
    let arm = match instance.role {
        ArmRole::Stable => Scope::ArmStable,
        ArmRole::Candidate => Scope::ArmCandidate,
        _ => Scope::ArmOther,
    };
    let (glyph, word) = glyph::instance(&instance.state);
    let (scope, why) = match &instance.state {
        InstanceState::Ready => (Scope::StageGood, None),
        InstanceState::Starting | InstanceState::Draining => (Scope::StageOpen, None),
        InstanceState::Unhealthy { why } | InstanceState::BackingOff { why } => (Scope::StageBad, Some(why)),
        InstanceState::Ended { why } => (Scope::Dim, Some(why)),
    };
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).cell(&instance.role.to_string(), 10, ctx.style(arm)).cell(instance.version.as_str(), 9, ctx.style(arm));
    pen.skip(1).cell(&format!("{glyph} {word}"), 14, ctx.style(scope));
    let restarts = match instance.restarts {
        0 => String::new(),
        1 => "1 restart".to_owned(),
        count => format!("{count} restarts"),
    };
    let restarted = if instance.restarts > 0 { ctx.style(Scope::ToneWarn) } else { dim };
    // Where it is no process of this machine its name is what it is looked up by.
    let name = || instance.id.rsplit('/').next().unwrap_or(&instance.id).to_owned();
    pen.put(&instance.pid.map_or_else(name, |pid| format!("pid {pid}")), dim).skip(2);
    pen.put(instance.address.as_deref().unwrap_or(""), dim).skip(2).put(&restarts, restarted);
    if instance.restarts > 0 {
        pen.skip(2);
    }
    if let Some(why) = why {
        pen.put(why, text).skip(2);
    }
    if let Some(draining) = instance.draining {
        let of = |of: &&Service| of.source == instance.target.source && of.name.as_str() == instance.target.name;
        let kind = ctx.state.board.services().find(of).and_then(|of| of.kind).unwrap_or_default();
        pen.put(&draining.words(ctx.now, kind), text).skip(2);
    }
    if let Some(started) = instance.started {
        pen.put(&format!("up since {}", format::since(ctx.now, started, ctx.zone)), dim);
    }
}

/// The judgements and analyses that are in sight; gives their rows.
fn judgements(ctx: &Ctx<'_>, run: &Run, first: usize, area: Rect, buf: &mut Buffer) -> std::ops::Range<u16> {
    let judged = run::evidence(ctx.state, run);
    let mut rows = 0;
    for (row, of) in (0..area.height).zip(judged.iter().skip(first)) {
        judgement(ctx, of, area, row, buf);
        rows = row + 1;
    }
    let measured = run::analyses(ctx.state).skip(first.saturating_sub(judged.len()));
    for (row, analysis) in (rows..area.height).zip(measured) {
        run_live::analysis(ctx, analysis, area, row, buf);
        rows = row + 1;
    }
    0..rows
}

/// The alerts that are in sight; gives their rows.
fn alerts(ctx: &Ctx<'_>, first: usize, area: Rect, buf: &mut Buffer) -> std::ops::Range<u16> {
    let mut rows = 0;
    for (row, of) in (0..area.height).zip(run::alerts(ctx.state).into_iter().skip(first)) {
        alert(ctx, of, area, row, buf);
        rows = row + 1;
    }
    0..rows
}

/// An alert in one line: how bad, what, since when, and until when nobody is notified of it.
fn alert(ctx: &Ctx<'_>, of: &Alert, area: Rect, row: u16, buf: &mut Buffer) {
    let scope = match (of.is_firing(), of.severity) {
        (true, AlertSeverity::Critical) => Scope::SeverityFailing,
        (true, _) => Scope::SeverityDegraded,
        (false, _) => Scope::Dim,
    };
    let state = match ctx.state.board.silenced_until(of) {
        Some(silence) => format!("silenced until {}", format::clock(silence.until, ctx.zone)),
        None => of.state.word().to_owned(),
    };
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).cell(of.severity.word(), 8, ctx.style(scope)).skip(1).put(&of.name, ctx.style(Scope::Strong));
    pen.put(&format!(" {state}"), ctx.style(scope));
    pen.put(&format!(" since {}", format::since(ctx.now, of.since, ctx.zone)), ctx.style(Scope::Dim));
    if !of.summary.is_empty() {
        pen.put(&format!(": {}", of.summary), ctx.style(Scope::Text));
    }
}

/// A judgement in one line.
fn judgement(ctx: &Ctx<'_>, evidence: &Evidence, area: Rect, row: u16, buf: &mut Buffer) {
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).put(&format::clock(evidence.at, ctx.zone), ctx.style(Scope::Dim)).skip(2);
    if let Some(verdict) = evidence.analysis.as_ref().map(|report| report.verdict) {
        pen.put(glyph::verdict(verdict).0, ctx.style(verdict_scope(verdict))).skip(1);
    }
    pen.put(&evidence.summary, ctx.style(Scope::Text));
}

/// A command in one line: who, what, how far and why.
fn receipt(ctx: &Ctx<'_>, entry: &Receipt, area: Rect, row: u16, buf: &mut Buffer) {
    let stage = entry.stage();
    let style = ctx.style(Scope::stage(stage));
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1);
    if let Some(begun) = entry.stages.first() {
        pen.put(&format::clock(begun.at, ctx.zone), ctx.style(Scope::Dim)).skip(2);
    }
    pen.put(&format!("{} ", glyph::stage(stage)), style);
    pen.put(entry.command.action.row().label, ctx.style(Scope::Strong));
    pen.put(&format!(" by {}: ", entry.actor.name), ctx.style(Scope::Dim)).put(stage.word(), style);
    if let Some(detail) = stage.detail() {
        pen.put(&format!(": {detail}"), ctx.style(Scope::Text));
    }
}
