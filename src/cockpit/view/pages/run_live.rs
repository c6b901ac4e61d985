//! What the opened rollout's backend said when it was asked: sets, revisions, analyses, what could
//! not be read, the raw object, and templates compared.

use crate::app::pages::rollout;
use crate::app::record;
use crate::app::state::{Live, Over, RolloutPage, RolloutPanel};
use crate::app::{list, panels, run};
use crate::view::widgets::panel::{Edge, Title, edge};
use crate::view::widgets::pen::Pen;
use crate::view::widgets::spark;
use crate::view::{Ctx, Scope, format, glyph, rect};
use flightdeck_model::{Analysis, AnalysisMetric, ArmRole, Group, MetricVerdict, Revision, Rollout};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// Columns of the bar of a set's instances.
const BAR: u16 = 10;
/// Columns of the curve of a metric.
const CURVE: usize = 20;

/// Who describes the workload, and what that means for going back.
pub(super) fn managed(rollout: &Rollout) -> Option<String> {
    let by = rollout.managed_by.as_ref()?;
    Some(format!("described by {} {}: revert there, an undo is put back", by.tool, by.name))
}

/// How old what was read is; nothing where nothing has to be read.
pub(super) fn age(ctx: &Ctx<'_>, live: &Live) -> String {
    match (live.read, live.asked, &live.failed) {
        (Some(at), _, Some(_)) => format!("not read, as of {}", format::clock(at, ctx.zone)),
        (Some(at), ..) => format!("as of {}", format::clock(at, ctx.zone)),
        (None, Some(_), _) => "being read".to_owned(),
        (None, None, Some(_)) => "not read".to_owned(),
        (None, None, None) => String::new(),
    }
}

/// What stands in a panel without rows: `nothing` only where that is known.
pub(super) fn empty(ctx: &Ctx<'_>, page: &RolloutPage, nothing: &str) -> (String, Scope) {
    match (&page.live.detail, &page.live.failed) {
        (Some(detail), _) if !detail.gaps.is_empty() => ("not known, see below".to_owned(), Scope::ToneWarn),
        (None, Some(_)) => ("not known, see below".to_owned(), Scope::ToneWarn),
        (None, None) if run::told(ctx.state) => (nothing.to_owned(), Scope::Dim),
        (None, None) if page.live.asked.is_some() => ("being read".to_owned(), Scope::Dim),
        (None, None) => ("not read: its server is not connected".to_owned(), Scope::ToneWarn),
        _ => (nothing.to_owned(), Scope::Dim),
    }
}

/// What could not be read, below the panels.
pub(super) fn gaps(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let Some(area) = ctx.layout.gaps.map(rect) else { return };
    let all = run::gaps(ctx.state);
    let more = all.len().saturating_sub(usize::from(area.height));
    for (row, why) in (0..area.height).zip(&all) {
        let last = row + 1 == area.height && more > 0;
        let more = if last { format!(" (and {more} more)") } else { String::new() };
        Pen::new(buf, area, row).skip(1).put(&format!("! {why}{more}"), ctx.style(Scope::ToneWarn));
    }
}

fn arm(role: Option<&ArmRole>) -> Scope {
    match role {
        Some(ArmRole::Stable) => Scope::ArmStable,
        Some(ArmRole::Candidate) => Scope::ArmCandidate,
        Some(_) => Scope::ArmOther,
        None => Scope::Dim,
    }
}

fn side(of: Option<&ArmRole>) -> String {
    of.map_or_else(|| "-".to_owned(), ToString::to_string)
}

/// A set: its side, version, how many of its instances are ready, revision and name.
pub(super) fn set(ctx: &Ctx<'_>, group: &Group, area: Rect, row: u16, buf: &mut Buffer) {
    let style = ctx.style(arm(group.role.as_ref()));
    let dim = ctx.style(Scope::Dim);
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1).cell(&side(group.role.as_ref()), 10, style).cell(group.version.as_str(), 9, style).skip(1);
    let (ready, desired) = (group.replicas.ready, group.replicas.desired);
    let filled = (u32::from(BAR) * ready.min(desired)).checked_div(desired).unwrap_or(0);
    let filled = u16::try_from(filled).unwrap_or(BAR);
    pen.put(&"█".repeat(usize::from(filled)), style);
    pen.put(&"░".repeat(usize::from(BAR - filled)), ctx.style(Scope::BarRest)).skip(1);
    let scope = if ready < desired { Scope::ToneWarn } else { Scope::Text };
    pen.cell(&format!("{ready}/{desired} ready"), 12, ctx.style(scope));
    if let Some(revision) = &group.revision {
        pen.put(&format!("revision {revision}"), ctx.style(Scope::Text)).skip(2);
    }
    if let Some(ends) = group.ends {
        pen.put(&format!("until {}", format::clock(ends, ctx.zone)), ctx.style(Scope::ToneWarn)).skip(2);
    }
    pen.put(&group.name, dim);
}

pub(super) fn revision(ctx: &Ctx<'_>, one: &Revision, selected: bool, area: Rect, row: u16, buf: &mut Buffer) {
    if selected {
        buf.set_style(Rect { y: area.y + row, height: 1, ..area }, ctx.style(Scope::Selection));
    }
    let style = ctx.style(arm(one.role.as_ref()));
    let dim = ctx.style(Scope::Dim);
    let mut pen = Pen::new(buf, area, row);
    pen.cell(if selected { "▌" } else { "" }, 1, ctx.style(Scope::SelectionBar));
    pen.right(&one.revision, 4, ctx.style(Scope::Strong)).skip(2);
    pen.cell(&side(one.role.as_ref()), 10, style).cell(one.version.as_str(), 9, style).skip(1);
    let made = one.at.map_or_else(String::new, |at| format::since(ctx.now, at, ctx.zone));
    pen.cell(&made, 7, dim).skip(1);
    let count = |sign: char| one.diff.iter().filter(|line| line.starts_with(sign)).count();
    let change = match (count('-'), count('+')) {
        (0, 0) => "as now".to_owned(),
        (gone, new) => format!("+{new} -{gone}"),
    };
    pen.cell(&change, 9, ctx.style(Scope::Text)).skip(1).put(one.cause.as_deref().unwrap_or(""), dim);
}

/// A panel's name with the number of its rows, `?` where that is not known.
pub(super) fn tab(ctx: &Ctx<'_>, page: &RolloutPage, rollout: &Rollout, panel: RolloutPanel) -> String {
    let name = name(panel, rollout);
    match panels::panel_len(ctx.state, panel) {
        0 if !matches!(panel, RolloutPanel::Actions | RolloutPanel::Alerts) && !empty(ctx, page, "").0.is_empty() => {
            format!("{name} ?")
        }
        len => format!("{name} {len}"),
    }
}

/// An analysis in one line: what it belongs to, where it stands, and the curve of its first metric.
pub(super) fn analysis(ctx: &Ctx<'_>, analysis: &Analysis, area: Rect, row: u16, buf: &mut Buffer) {
    let (sign, scope) = match analysis.phase.as_str() {
        "Successful" => (glyph::verdict(MetricVerdict::Pass).0, Scope::StageGood),
        "Failed" | "Error" => (glyph::verdict(MetricVerdict::Fail).0, Scope::StageBad),
        "Inconclusive" => (glyph::verdict(MetricVerdict::Missing).0, Scope::ToneWarn),
        _ => ("▶", Scope::StageOpen),
    };
    let mut pen = Pen::new(buf, area, row);
    pen.skip(1);
    pen.cell(&analysis.started.map_or_else(String::new, |at| format::clock(at, ctx.zone)), 8, ctx.style(Scope::Dim));
    pen.skip(2).put(sign, ctx.style(scope)).skip(1);
    pen.put(&analysis.belongs, ctx.style(Scope::Strong)).put(": ", ctx.style(Scope::Dim));
    pen.put(&analysis.phase, ctx.style(scope)).skip(2);
    if !analysis.message.is_empty() {
        pen.put(&analysis.message, ctx.style(Scope::Text)).skip(2);
    }
    for metric in &analysis.metrics {
        metric_curve(ctx, metric, &mut pen);
    }
    pen.put(&analysis.name, ctx.style(Scope::Dim));
}

/// `success-rate ▁▂▇ 0.93`.
fn metric_curve(ctx: &Ctx<'_>, metric: &AnalysisMetric, pen: &mut Pen<'_>) {
    let values: Vec<Option<f64>> = metric.measurements.iter().map(|one| one.value).collect();
    let shown = values.get(values.len().saturating_sub(CURVE)..).unwrap_or_default();
    let top = shown.iter().flatten().copied().fold(0.0, f64::max);
    let newest = shown.last().copied().flatten().map_or_else(|| "-".to_owned(), format::precise);
    pen.put(&metric.name, ctx.style(Scope::Text)).skip(1);
    pen.put(&spark::curve(shown, top), ctx.style(Scope::ArmCandidate)).skip(1);
    pen.put(&newest, ctx.style(Scope::Text)).skip(2);
}

/// What lies over the panels.
pub(super) fn over(ctx: &Ctx<'_>, page: &RolloutPage, rollout: &Rollout, frame: Rect, buf: &mut Buffer) {
    let Some(over) = &page.over else { return };
    let area = rect(rollout::over(ctx.state));
    if let Over::Record { top } = over {
        return record_over(ctx, page, rollout, *top, frame, buf);
    }
    let lines = run::over_lines(ctx.state);
    let (left, top) = match over {
        Over::Record { .. } => return,
        Over::Raw { top } => ("Raw object".to_owned(), *top),
        Over::Diff { revision, top } => {
            let of = revision.as_ref().map_or_else(String::new, |revision| format!(": revision {revision} and now"));
            (format!("Templates{of}"), *top)
        }
    };
    let mut right = vec![age(ctx, &page.live)];
    if !lines.is_empty() {
        right.push(format!("line {} of {}", (top + 1).min(lines.len()), lines.len()));
    }
    let title = Title { left, right: right.join(", "), focus: true };
    edge(buf, frame, area.y - 1, Edge::Between, &title, ctx.theme);
    let text = rect(rollout::over_text(ctx.state));
    gaps(ctx, buf);
    if let Some(revisions) = rollout::over_revisions(ctx.state) {
        comparison(ctx, page, rollout, rect(revisions), buf);
    }
    for (row, line) in (0..text.height).zip(lines.iter().skip(top.min(lines.len().saturating_sub(1)))) {
        let scope = match (over, line.chars().next()) {
            (Over::Diff { .. }, Some('+')) => Scope::StageGood,
            (Over::Diff { .. }, Some('-')) => Scope::StageBad,
            (Over::Diff { .. }, Some('@')) => Scope::Dim,
            _ => Scope::Text,
        };
        Pen::new(buf, text, row).skip(1).put(format::right_of(line, ctx.state.shift), ctx.style(scope));
    }
}

/// The selected row of the panel, all of it.
fn record_over(ctx: &Ctx<'_>, page: &RolloutPage, rollout: &Rollout, top: usize, frame: Rect, buf: &mut Buffer) {
    let area = rect(rollout::over(ctx.state));
    let lines = record::shown(ctx.state);
    let right = match lines.len() {
        0 => "it is gone".to_owned(),
        all => format!("line {} of {all}", (top + 1).min(all)),
    };
    let title = Title { left: format!("{}, in full", name(page.panel, rollout)), right, focus: true };
    edge(buf, frame, area.y - 1, Edge::Between, &title, ctx.theme);
    let text = rect(rollout::over_text(ctx.state));
    gaps(ctx, buf);
    let mut before = "";
    for (row, line) in (0..text.height).zip(lines.iter().skip(top.min(lines.len().saturating_sub(1)))) {
        before = super::history::record_line(ctx, line, before, text, row, buf);
    }
}

/// The revisions to choose from, and what the signs below them mean.
fn comparison(ctx: &Ctx<'_>, page: &RolloutPage, rollout: &Rollout, area: Rect, buf: &mut Buffer) {
    let history = page.live.detail.as_ref().map(|detail| detail.history.as_slice()).unwrap_or_default();
    let compared = run::compared(ctx.state);
    let at = compared.and_then(|compared| history.iter().position(|one| one.revision == compared.revision));
    let first = list::scrolled(0, at, usize::from(area.height), history.len());
    for (row, (index, one)) in (0..area.height).zip(history.iter().enumerate().skip(first)) {
        revision(ctx, one, at == Some(index), area, row, buf);
    }
    let below = Rect { y: area.bottom(), height: 1, ..area };
    let (words, scope) = match compared {
        None => {
            let (words, scope) = empty(ctx, page, "this backend knows no revision to compare with");
            Pen::new(buf, area, 0).skip(1).put(&words, ctx.style(scope));
            return;
        }
        Some(one) if one.diff.is_empty() => ("nothing differs from what is asked for now".to_owned(), Scope::Dim),
        Some(one) => match managed(rollout) {
            Some(by) => (format!("! {by}"), Scope::ToneWarn),
            None => (format!("- now  + revision {}: what going back to it would change", one.revision), Scope::Dim),
        },
    };
    Pen::new(buf, below, 0).skip(1).put(&words, ctx.style(scope));
}

/// A panel's name.
pub(in crate::view) fn name(panel: RolloutPanel, rollout: &Rollout) -> &'static str {
    match panel {
        RolloutPanel::Instances => "Instances",
        RolloutPanel::Sets => match rollout.run.target.kind.as_str() {
            "StatefulSet" | "DaemonSet" => "ControllerRevisions",
            _ => "ReplicaSets",
        },
        RolloutPanel::Timeline => "Timeline",
        RolloutPanel::Analysis => "Analysis",
        RolloutPanel::Alerts => "Alerts",
        RolloutPanel::Revisions => "Revisions",
        RolloutPanel::Actions => "Actions",
        RolloutPanel::Plan => "Rollback plan",
    }
}
