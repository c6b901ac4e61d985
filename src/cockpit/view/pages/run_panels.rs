//! The panels of an opened rollout.

use super::run_live;
use crate::cockpit::app::state::{RolloutPage, RolloutPanel};
use crate::cockpit::app::{rows, way_back};
use crate::cockpit::view::widgets::pen::Pen;
use crate::cockpit::view::{Ctx, Scope, format, glyph};
use crate::model::{ArmRole, Evidence, Instance, InstanceState, MetricVerdict, Note, Receipt, Rollout};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A panel's name.
pub(in crate::cockpit::view) const fn name(panel: RolloutPanel) -> &'static str {
    match panel {
        RolloutPanel::Instances => "Instances",
        RolloutPanel::Sets => "Sets",
        RolloutPanel::Events => "Events",
        RolloutPanel::Evidence => "Evidence",
        RolloutPanel::History => "History",
        RolloutPanel::Receipts => "Receipts",
        RolloutPanel::Plan => "Rollback plan",
    }
}

/// An arm's name.
pub(in crate::cockpit::view) fn role(role: &ArmRole) -> String {
    match role {
        ArmRole::Stable => "stable".to_owned(),
        ArmRole::Candidate => "candidate".to_owned(),
        ArmRole::Preview => "preview".to_owned(),
        ArmRole::Cohort(name) => name.clone(),
        ArmRole::Shadow => "shadow".to_owned(),
    }
}

/// What a panel without rows says.
const fn nothing(panel: RolloutPanel) -> &'static str {
    match panel {
        RolloutPanel::Instances => "no instance is up",
        RolloutPanel::Sets => "there is no set of instances",
        RolloutPanel::Events => "nothing happened yet",
        RolloutPanel::Evidence => "nothing was judged yet",
        RolloutPanel::History => "no revision is known",
        RolloutPanel::Receipts => "nobody asked for anything yet",
        RolloutPanel::Plan => "no plan is known",
    }
}

/// Draws a panel's rows that are in sight.
pub(in crate::cockpit::view) fn draw(
    ctx: &Ctx<'_>,
    page: &RolloutPage,
    rollout: &Rollout,
    panel: RolloutPanel,
    area: Rect,
    buf: &mut Buffer,
) {
    let first = page.scroll.get(&panel).copied().unwrap_or(0);
    // What nobody asked for is known; what is read from the backend may not be.
    let empty = |buf: &mut Buffer, text: &str| {
        let (text, scope) = match panel {
            RolloutPanel::Receipts => (text.to_owned(), Scope::Dim),
            _ => run_live::empty(ctx, page, text),
        };
        Pen::new(buf, area, 0).skip(1).put(&text, ctx.style(scope));
    };
    if rows::panel_len(ctx.state, panel) == 0 {
        empty(buf, nothing(panel));
    }
    match panel {
        RolloutPanel::Instances => instances(ctx, area, buf),
        RolloutPanel::Sets => {
            let sets = rows::detail(ctx.state).into_iter().flat_map(|detail| &detail.groups);
            for (row, group) in (0..area.height).zip(sets.skip(first)) {
                run_live::set(ctx, group, area, row, buf);
            }
        }
        RolloutPanel::Events => {
            let notes = rows::notes(ctx.state, &rollout.run);
            for (row, note) in (0..area.height).zip(notes.into_iter().skip(first)) {
                event(ctx, note, area, row, buf);
            }
        }
        RolloutPanel::Evidence => {
            let evidence = rows::evidence(ctx.state, &rollout.run);
            let (mut row, judged) = (0, evidence.len());
            for evidence in evidence.into_iter().skip(first) {
                row = judgement(ctx, evidence, area, row, buf);
            }
            for analysis in rows::analyses(ctx.state).skip(first.saturating_sub(judged)) {
                row = run_live::analysis(ctx, analysis, area, row, buf);
            }
        }
        RolloutPanel::Plan => plan(ctx, first, area, buf),
        RolloutPanel::History => run_live::history(ctx, rollout, first, area, buf),
        RolloutPanel::Receipts => {
            let receipts = rows::receipts(ctx.state, &rollout.run);
            let mut row = 0;
            for entry in receipts.into_iter().skip(first) {
                row = receipt(ctx, entry, area, row, buf);
            }
        }
    }
}

/// How a rollback would go, line by line.
fn plan(ctx: &Ctx<'_>, first: usize, area: Rect, buf: &mut Buffer) {
    let mut before = "";
    for (row, line) in (0..area.height).zip(way_back::plan(ctx.state).into_iter().skip(first)) {
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

fn instances(ctx: &Ctx<'_>, area: Rect, buf: &mut Buffer) {
    let window = rows::instance_window(ctx.state);
    for (row, instance) in (0..area.height).zip(&window.rows) {
        draw_instance(ctx, instance, window.selected == Some(usize::from(row)), area, row, buf);
    }
}

fn draw_instance(ctx: &Ctx<'_>, instance: &Instance, selected: bool, area: Rect, row: u16, buf: &mut Buffer) {
    let (dim, text) = (ctx.style(Scope::Dim), ctx.style(Scope::Text));
    let focus = ctx.state.rollout.as_ref().is_some_and(|page| page.panel == RolloutPanel::Instances);
    if selected && focus {
        buf.set_style(Rect { y: area.y + row, height: 1, ..area }, ctx.style(Scope::Selection));
    }
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
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    pen.cell(&role(&instance.role), 10, ctx.style(arm)).cell(instance.version.as_str(), 9, ctx.style(arm));
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
        pen.put(&draining.words(ctx.now), text).skip(2);
    }
    if let Some(started) = instance.started {
        pen.put(&format!("up since {}", format::since(ctx.now, started, ctx.zone)), dim);
    }
}

fn event(ctx: &Ctx<'_>, note: &Note, area: Rect, row: u16, buf: &mut Buffer) {
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).put(&format::clock(note.at, ctx.zone), ctx.style(Scope::Dim)).skip(2);
    // A short name keeps the sentence in sight; the program's own names are the longest.
    let who = note.who.strip_prefix("system:").unwrap_or(&note.who);
    pen.cell(who, 9, ctx.style(Scope::Dim)).skip(1).put(&note.text, ctx.style(Scope::Text));
}

/// A judgement: its sentence, then each limit with its numbers. Gives the next free row.
fn judgement(ctx: &Ctx<'_>, evidence: &Evidence, area: Rect, row: u16, buf: &mut Buffer) -> u16 {
    let verdict = evidence.analysis.as_ref().map(|report| report.verdict);
    let scope = |verdict| match verdict {
        MetricVerdict::Pass => Scope::StageGood,
        MetricVerdict::Fail => Scope::StageBad,
        MetricVerdict::Missing => Scope::ToneWarn,
    };
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).put(&format::clock(evidence.at, ctx.zone), ctx.style(Scope::Dim)).skip(2);
    if let Some(verdict) = verdict {
        pen.put(glyph::verdict(verdict).0, ctx.style(scope(verdict))).skip(1);
    }
    pen.put(&evidence.summary, ctx.style(Scope::Text));
    let mut next = row + 1;
    for metric in evidence.analysis.iter().flat_map(|report| &report.metrics) {
        let fails = metric.verdict == MetricVerdict::Fail;
        let value = |value: Option<f64>| match value {
            None => "-".to_owned(),
            // What is beyond its limit must not be rounded to it.
            Some(value) if fails && metric.unit == "ratio" => format!("{} %", format::precise(value * 100.0)),
            Some(value) if fails => format!("{} {}", format::precise(value), metric.unit),
            Some(value) if metric.unit == "ratio" => format!("{} %", format::percent(value)),
            Some(value) => format!("{} {}", format::millis(value), metric.unit),
        };
        let (glyph, word) = glyph::verdict(metric.verdict);
        let mut pen = Pen::new(buf, area, next);
        pen.skip(11).put(&format!("{glyph} "), ctx.style(scope(metric.verdict)));
        pen.cell(&metric.name, 12, ctx.style(Scope::Text)).skip(1);
        pen.right(&value(metric.candidate), 8, ctx.style(Scope::ArmCandidate));
        pen.put(" / ", ctx.style(Scope::Dim)).cell(&value(metric.stable), 8, ctx.style(Scope::ArmStable));
        pen.skip(1).put(&format!("{word}: {}", metric.limit), ctx.style(Scope::Dim));
        next += 1;
    }
    next
}

/// A command: who, what and how far; then the way it went and how that compares with its forecast.
/// Gives the next free row.
fn receipt(ctx: &Ctx<'_>, entry: &Receipt, area: Rect, row: u16, buf: &mut Buffer) -> u16 {
    let stage = entry.stage();
    let style = ctx.style(Scope::stage(stage));
    let begun = entry.stages.first().map(|record| record.at);
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1);
    if let Some(at) = begun {
        pen.put(&format::clock(at, ctx.zone), ctx.style(Scope::Dim)).skip(2);
    }
    pen.put(&format!("{} ", glyph::stage(stage)), style);
    pen.put(entry.command.action.row().label, ctx.style(Scope::Strong));
    pen.put(&format!(" by {}: ", entry.actor.name), ctx.style(Scope::Dim)).put(stage.word(), style);
    let mut next = row + 1;
    let mut line = |text: &str, scope: Scope| {
        Pen::new(buf, area, next).skip(11).put(text, ctx.style(scope));
        next += 1;
    };
    if let Some(detail) = stage.detail() {
        line(detail, Scope::Text);
    }
    if entry.stages.len() > 1 {
        line(&way(entry), Scope::Dim);
    }
    if let Some(grade) = &entry.grade {
        let sign = if grade.as_forecast { "as forecast" } else { "not as forecast" };
        line(&format!("{sign}: {}", grade.text), if grade.as_forecast { Scope::Dim } else { Scope::ToneWarn });
    }
    if let Some(reason) = &entry.command.reason {
        line(&format!("reason: {reason}"), Scope::Dim);
    }
    next
}

/// `requested → accepted 0.02 s → effective 0.84 s`, counted from the first.
fn way(entry: &Receipt) -> String {
    let Some(begun) = entry.stages.first().map(|record| record.at) else { return String::new() };
    let words: Vec<String> = entry
        .stages
        .iter()
        .map(|record| {
            let after = record.at.duration_since(begun).as_secs_f64();
            let word = record.stage.word();
            match after {
                after if after <= 0.0 => word.to_owned(),
                after if after < 10.0 => format!("{word} {after:.2} s"),
                after => format!("{word} {after:.0} s"),
            }
        })
        .collect();
    words.join(" → ")
}
