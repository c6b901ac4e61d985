//! One rollout: what and who, steps, traffic, charts, and a panel of its instances, events,
//! evidence or receipts.

use super::phase;
use super::{run_live, run_panels};
use crate::app::layout::OBJECTIVES;
use crate::app::state::{RolloutPage, RolloutPanel};
use crate::app::{fresh, reading, run};
use crate::view::widgets::chart::{self, Chart};
use crate::view::widgets::panel::{Edge, Title, edge, sides};
use crate::view::widgets::pen::Pen;
use crate::view::widgets::spark::{Metric, Pair};
use crate::view::widgets::{bar, track};
use crate::view::{Ctx, Scope, format, rect, weigh};
use flightdeck_board::{metrics_problem, numbers_age, rollback_plan};
use flightdeck_model::time::{age, countdown};
use flightdeck_model::{
    Action, Arm, ArmRole, Evidence, MetricVerdict, Phase, Rollout, ServiceKind, TrafficSource, Wait,
};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

/// A page that is at least so wide shows a second panel beside the one that takes the keys.
const TWO: u16 = 110;
/// Columns that the names of the summary's rows take.
const NAME: u16 = 11;

/// Draws it.
pub(in crate::view) fn draw(ctx: &Ctx<'_>, buf: &mut Buffer) {
    let Some(page) = &ctx.state.rollout else { return };
    let frame = Rect { x: 0, y: 1, width: ctx.state.columns, height: ctx.state.rows.saturating_sub(2) };
    sides(buf, frame, ctx.theme);
    edge(buf, frame, frame.bottom() - 1, Edge::Bottom, &Title::default(), ctx.theme);
    let Some(rollout) = run::opened(ctx.state) else {
        return gone(ctx, page, frame, buf);
    };
    about(ctx, rollout, frame, Edge::Top, buf);
    if page.over.is_some() {
        return run_live::over(ctx, page, rollout, frame, buf);
    }
    curves(ctx, rollout, frame, buf);
    panels(ctx, page, rollout, frame, buf);
}

/// The summary, where the page has room for it.
pub(in crate::view) fn about(ctx: &Ctx<'_>, rollout: &Rollout, frame: Rect, at: Edge, buf: &mut Buffer) {
    if let Some(area) = ctx.layout.summary {
        edge(buf, frame, area.y - 1, at, &whose(ctx, rollout, frame.width), ctx.theme);
        summary(ctx, rollout, rect(area), buf);
    }
}

/// The charts, where the page has room for them.
pub(in crate::view) fn curves(ctx: &Ctx<'_>, rollout: &Rollout, frame: Rect, buf: &mut Buffer) {
    if let Some(area) = ctx.layout.charts {
        let source = &rollout.run.target.source;
        let none = if rollout.is_worker() {
            Some("no metrics: a worker has no traffic that could be counted".to_owned())
        } else if ctx.state.board.measures(source) {
            None
        } else {
            Some(match metrics_problem(&ctx.state.board, ctx.now) {
                Some(problem) => format!("no metrics of {source}: {problem}"),
                None => format!("no metrics: {source} tells none; docs/metrics.md says how a Prometheus does"),
            })
        };
        if let Some(none) = none {
            let title = Title { left: "Metrics".to_owned(), ..Title::default() };
            edge(buf, frame, area.y - 1, Edge::Between, &title, ctx.theme);
            Pen::new(buf, rect(area), 0).skip(1).put(&none, ctx.style(Scope::Dim));
            return;
        }
        let title = curves_title(ctx, rollout, frame.width);
        edge(buf, frame, area.y - 1, Edge::Between, &title, ctx.theme);
        charts(ctx, rollout, rect(area), buf);
    }
}

/// What the charts are, or the moment that is read and what happened then.
fn curves_title(ctx: &Ctx<'_>, rollout: &Rollout, width: u16) -> Title {
    let span = reading::span(&ctx.state.board, rollout, ctx.now);
    let Some(at) = reading::moment(ctx.state, rollout, &span) else {
        let left = match ctx.state.board.service_kind(rollout) {
            ServiceKind::Tcp => "Connections, candidate against stable".to_owned(),
            ServiceKind::Http | ServiceKind::Worker => "Canary against stable".to_owned(),
        };
        let right = "━ candidate  ╍ stable  ╌ limit  ┊ event".to_owned();
        return Title { left, right, focus: false };
    };
    let left = format!("At {}, {} ago", format::clock(at, ctx.zone), age(at, ctx.now));
    // The corners, the blanks around both sides, and a piece of line between them.
    let room = width.saturating_sub(format::width(&left) + 13);
    let happened = reading::happened(ctx.state, rollout, &span, at).unwrap_or_default();
    Title { left, right: format::clip(&happened, room), focus: true }
}

/// Which rollout it is, in a title of that width. Its source is always there, since another may have one of the same
/// name; the kind goes first, then what stands before the name, then the environment, which the row has too.
fn whose(ctx: &Ctx<'_>, rollout: &Rollout, width: u16) -> Title {
    // The corners, the blanks around both sides, and a piece of line between them.
    const AROUND: u16 = 11;
    let (kind, source) = (ctx.state.board.kind_word(rollout), &rollout.run.target.source);
    let left = name(ctx, rollout);
    let right = format!("{kind} at {source}");
    let room = |right: &str| width.saturating_sub(AROUND).saturating_sub(format::width(right));
    if format::width(&left) <= room(&right) {
        return Title { left, right, focus: false };
    }
    let (right, service) = (format!("at {source}"), ctx.state.board.service_name(rollout));
    let (room, place) = (room(&right), format!(" in {}", rollout.environment));
    let bare = service.rsplit_once('/').map_or(&*service, |(_, bare)| bare);
    let left = if format::width(bare) + format::width(&place) <= room {
        format!("{}{place}", format::name(&service, room - format::width(&place)))
    } else {
        format::name(&service, room)
    };
    Title { left, right, focus: false }
}

fn name(ctx: &Ctx<'_>, rollout: &Rollout) -> String {
    format!("{} in {}", ctx.state.board.service_name(rollout), rollout.environment)
}

fn gone(ctx: &Ctx<'_>, page: &RolloutPage, frame: Rect, buf: &mut Buffer) {
    let title = Title { left: page.run.target.to_string(), ..Title::default() };
    edge(buf, frame, frame.y, Edge::Top, &title, ctx.theme);
    let newer = ctx.state.board.rollout(&page.run.target).is_some();
    let text = if newer { "A newer rollout took this one's place." } else { "This rollout is gone." };
    let inner = Rect { x: frame.x + 2, y: frame.y + 2, width: frame.width.saturating_sub(4), height: 3 };
    Pen::new(buf, inner, 0).put(text, ctx.style(Scope::ToneWarn));
    Pen::new(buf, inner, 1).put("Esc goes back; what it did is in the ledger.", ctx.style(Scope::Dim));
}

fn summary(ctx: &Ctx<'_>, rollout: &Rollout, area: Rect, buf: &mut Buffer) {
    // Where there is no room for all, what it is and why it is so come first.
    const FIRST: [u16; 9] = [0, 4, 2, 3, 6, 7, 1, 5, 8];
    let objectives = weigh::objectives(rollout, ctx.now);
    let (first, second) = (!objectives.is_empty(), objectives.len() > 1);
    let gone = [(6, rollout.watchdog.is_none()), (7, !first), (8, !second)];
    let there = |of: &u16| !gone.contains(&(*of, true));
    let mut shown: Vec<u16> = FIRST.into_iter().filter(there).take(usize::from(area.height)).collect();
    shown.sort_unstable();
    let row = |buf: &mut Buffer, row: u16, name: &str, draw: &dyn Fn(&mut Pen<'_>)| {
        let Some(row) = shown.iter().position(|of| *of == row).and_then(|at| u16::try_from(at).ok()) else { return };
        let mut pen = Pen::new(buf, area, row);
        pen.skip(1).cell(name, NAME, ctx.style(Scope::Column));
        draw(&mut pen);
    };
    let (dim, text) = (ctx.style(Scope::Dim), ctx.style(Scope::Text));
    row(buf, 0, "version", &|pen| {
        match (rollout.stable(), rollout.candidate()) {
            (Some(from), Some(to)) => pen
                .put(from.version.as_str(), ctx.style(Scope::ArmStable))
                .put(" → ", dim)
                .put(to.version.as_str(), ctx.style(Scope::ArmCandidate)),
            (Some(only), None) => pen.put(only.version.as_str(), ctx.style(Scope::ArmStable)),
            (None, Some(only)) => pen.put(only.version.as_str(), ctx.style(Scope::ArmCandidate)),
            (None, None) => pen,
        };
        let (words, scope) = phase::words(rollout, &fresh::freshness(ctx.state, rollout), None, ctx.now);
        pen.skip(3).put(&words, ctx.style(scope));
        pen.skip(3).put(&origin(ctx, rollout), dim);
    });
    row(buf, 1, "steps", &|pen| track::draw(pen, rollout, ctx.theme));
    row(buf, 2, "waits for", &|pen| {
        pen.put(&waits(ctx, rollout), text);
    });
    row(buf, 3, if rollout.is_worker() { "instances" } else { "traffic" }, &|pen| traffic(ctx, rollout, pen));
    row(buf, 4, "because", &|pen| {
        let old = fresh::freshness(ctx.state, rollout).problem(ctx.now);
        match old {
            None if rollout.phase.in_flight() && verdict(ctx, rollout) => {
                let evidence = run::evidence(ctx.state, &rollout.run);
                let summary = evidence.first().map_or("", |evidence| evidence.summary.as_str());
                pen.put(&format!("✗ {summary}"), ctx.style(Scope::StageBad))
            }
            Some(problem) => {
                pen.put(&format!("◌ {problem}; last known: {}", rollout.message), ctx.style(Scope::LinkStale))
            }
            None => pen.put(if rollout.message.is_empty() { "-" } else { &rollout.message }, text),
        };
    });
    if let Some(status) = &rollout.watchdog {
        let (words, scope) = weigh::watchdog(status, ctx.now);
        row(buf, 6, "watchdog", &|pen| {
            pen.put(&words, ctx.style(scope));
        });
    }
    for (at, (words, scope)) in (7..).zip(objectives.iter().take(OBJECTIVES)) {
        row(buf, at, "objective", &|pen| {
            pen.put(words, ctx.style(*scope));
        });
    }
    row(buf, 5, "way back", &|pen| {
        let (words, scope) = fastest_back(rollout);
        pen.put(&words, ctx.style(scope));
    });
}

/// Does the newest judgement say that a limit is broken?
fn verdict(ctx: &Ctx<'_>, rollout: &Rollout) -> bool {
    let evidence = run::evidence(ctx.state, &rollout.run);
    let report = evidence.first().and_then(|evidence| evidence.analysis.as_ref());
    report.is_some_and(|report| report.verdict == MetricVerdict::Fail)
}

/// Digest, commit, author.
fn origin(ctx: &Ctx<'_>, rollout: &Rollout) -> String {
    let arm = rollout.candidate().or_else(|| rollout.stable());
    let digest = arm.and_then(|arm| arm.digest.as_deref());
    let release = arm.and_then(|arm| {
        let mut releases = ctx.state.board.releases();
        releases.find(|release| release.service == rollout.service && release.version == arm.version)
    });
    let mut words = Vec::new();
    words.extend(digest.map(format::digest));
    words.extend(
        release
            .and_then(|release| release.commit.as_ref())
            .map(|commit| format!("commit {}", commit.chars().take(8).collect::<String>())),
    );
    words.extend(rollout.author.as_ref().map(|author| format!("by {author}")));
    words.extend(rollout.managed_by.as_ref().map(|by| format!("described by {} {}", by.tool, by.name)));
    words.push(format!("since {}", format::since(ctx.now, rollout.started, ctx.zone)));
    words.join(" · ")
}

fn waits(ctx: &Ctx<'_>, rollout: &Rollout) -> String {
    let words: Vec<String> = rollout
        .waits
        .iter()
        .map(|wait| match wait {
            Wait::Human { what, who, since } => {
                let who = who.as_ref().map_or_else(String::new, |who| format!(" by {who}"));
                format!("a person: {what}{who}, {}", age(*since, ctx.now))
            }
            Wait::Until { at } => format!("{} to pass", countdown(*at, ctx.now)),
            Wait::Analysis { name, until: Some(at) } => format!("analysis {name}, {} left", countdown(*at, ctx.now)),
            Wait::Analysis { name, until: None } => format!("analysis {name}"),
            Wait::Health => "instances to be ready".to_owned(),
            Wait::Gate(id) => format!("gate {id}"),
            Wait::Hold(id) => format!("hold {id} to be released"),
        })
        .collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join("; ") }
}

fn traffic(ctx: &Ctx<'_>, rollout: &Rollout, pen: &mut Pen<'_>) {
    if !rollout.tells_of_users() {
        let words = format!("{} tells neither shares nor instances", rollout.run.target.source);
        pen.put(&words, ctx.style(Scope::Dim));
        return;
    }
    let wide = pen.left() >= 100;
    for arm in &rollout.arms {
        let scope = match arm.role {
            ArmRole::Stable => Scope::ArmStable,
            ArmRole::Candidate => Scope::ArmCandidate,
            _ => Scope::ArmOther,
        };
        pen.put(&arm.role.to_string(), ctx.style(scope)).skip(1);
        bar::traffic(pen, arm.traffic, if wide { 16 } else { 8 }, scope, ctx.theme);
        if arm.traffic.how == TrafficSource::Instances {
            pen.skip(1).put(&arm.running(), ctx.style(Scope::Text)).skip(3);
            continue;
        }
        pen.skip(1).put(&share(arm), ctx.style(Scope::Text));
        pen.put(&format!(" {}/{} ready", arm.replicas.ready, arm.replicas.desired), ctx.style(Scope::Dim)).skip(3);
    }
}

/// What is in force, and what is asked for where that differs.
fn share(arm: &Arm) -> String {
    let how = match arm.traffic.how {
        TrafficSource::Acknowledged | TrafficSource::Counted | TrafficSource::Instances => "",
        TrafficSource::Replicas => " by replicas",
        TrafficSource::Declared => " declared",
    };
    match arm.traffic.actual {
        Some(actual) if actual == arm.traffic.desired => format!("{actual}{how}"),
        Some(actual) => format!("{actual}{how}, {} asked", arm.traffic.desired),
        None => format!("{} asked, not confirmed", arm.traffic.desired),
    }
}

/// What the fastest way back would do.
fn fastest_back(rollout: &Rollout) -> (String, Scope) {
    let offers = rollout.offers;
    if let Some(way) = &rollout.rollback_plan {
        let missed = matches!(rollback_plan::objective(way), rollback_plan::Objective::Missed { .. });
        let parts =
            [Some(rollback_plan::estimate(way)), rollback_plan::objective_words(way), Some(rollback_plan::path(way))];
        let scope = if missed || !way.cannot_undo.is_empty() { Scope::ToneWarn } else { Scope::Text };
        return (parts.into_iter().flatten().collect::<Vec<_>>().join("; "), scope);
    }
    if !rollout.tells_of_users() {
        return (format!("{} tells of none", rollout.run.target.source), Scope::Dim);
    }
    let Some(stable) = rollout.stable() else {
        return ("none: there is no version before".to_owned(), Scope::ToneWarn);
    };
    let ready = format!("{} of {} ready", stable.replicas.ready, stable.replicas.desired);
    if offers.contains(Action::Abort) && rollout.candidate().is_some() {
        let enough = stable.replicas.ready >= stable.replicas.desired && stable.replicas.ready > 0;
        if rollout.is_worker() {
            return (format!("abort: {} goes on working, {ready}", stable.version), Scope::Text);
        }
        let words = format!("abort: all traffic to {} at once, {ready}", stable.version);
        return if enough {
            (words, Scope::Text)
        } else {
            (format!("{words}: it carries what it can until the rest is up"), Scope::ToneWarn)
        };
    }
    if offers.contains(Action::Rollback) {
        return match &rollout.managed_by {
            Some(by) => (format!("revert in {} {}, which would put an undo back", by.tool, by.name), Scope::ToneWarn),
            None => ("roll back to the version before; its plan is shown first".to_owned(), Scope::Text),
        };
    }
    match rollout.phase {
        Phase::RollingBack => ("under way".to_owned(), Scope::Text),
        Phase::Aborted | Phase::Failed => (format!("taken: {} serves, {ready}", stable.version), Scope::Text),
        _ => ("nothing to take back".to_owned(), Scope::Dim),
    }
}

fn charts(ctx: &Ctx<'_>, rollout: &Rollout, area: Rect, buf: &mut Buffer) {
    let pair = Pair::of(&ctx.state.board, &rollout.run.target);
    let span = reading::span(&ctx.state.board, rollout, ctx.now);
    let read = reading::moment(ctx.state, rollout, &span);
    let old = numbers_age(&ctx.state.board, &rollout.run.target).filter(|age| ctx.now >= age.old_from);
    let edge = old.map_or_else(|| "now".to_owned(), |old| format!("{} ago", age(old.at, ctx.now)));
    let evidence = run::evidence(ctx.state, &rollout.run);
    let marks = reading::marks(ctx.state, rollout);
    let all: &[_] = match ctx.state.board.service_kind(rollout) {
        ServiceKind::Tcp => &[("failed", Metric::Errors, ""), ("connections/s", Metric::Rate, "")],
        ServiceKind::Http | ServiceKind::Worker => &[
            ("errors", Metric::Errors, "error_rate"),
            ("p95 ms", Metric::P95, "latency_p95"),
            ("requests/s", Metric::Rate, ""),
            ("p99 ms", Metric::P99, "latency_p99"),
            ("p50 ms", Metric::P50, "latency_p50"),
        ],
    };
    let most = u16::try_from(all.len()).unwrap_or(u16::MAX);
    let count = (area.width / 28).clamp(1, most);
    let each = (area.width - 1) / count;
    for (index, &(name, metric, limited)) in (0..count).zip(all) {
        let limit = limit(&evidence, limited);
        let chart = Chart { name, metric, pair, span, edge: &edge, marks: &marks, reading: read, limit };
        let area = Rect { x: area.x + 1 + index * each, width: each.saturating_sub(2), ..area };
        chart::draw(&chart, area, buf, ctx.theme);
    }
}

/// The limit that the newest judgement has for a metric, whatever stable does.
fn limit(evidence: &[&Evidence], metric: &str) -> Option<f64> {
    let newest = evidence.iter().find_map(|evidence| evidence.analysis.as_ref())?;
    newest.metrics.iter().find(|result| result.name == metric)?.max
}

fn panels(ctx: &Ctx<'_>, page: &RolloutPage, rollout: &Rollout, frame: Rect, buf: &mut Buffer) {
    let list = rect(ctx.layout.list);
    let tabs: Vec<String> = run::panels(ctx.state)
        .into_iter()
        .map(|panel| {
            let name = run_live::tab(ctx, page, rollout, panel);
            if panel == page.panel { format!("[{name}]") } else { name }
        })
        .collect();
    // Beside a second panel the line's end is that one's; what has long rows stands alone.
    let long = matches!(page.panel, RolloutPanel::Sets | RolloutPanel::Revisions | RolloutPanel::Plan);
    let alone = list.width < if long { TWO * 3 / 2 } else { TWO };
    let right = if alone { run_live::age(ctx, &page.live) } else { String::new() };
    let title = Title { left: tabs.join("  "), right, focus: true };
    edge(buf, frame, list.y - 1, Edge::Between, &title, ctx.theme);
    run_live::gaps(ctx, buf);
    if alone {
        run_panels::draw(ctx, page, rollout, page.panel, list, buf);
        return run_panels::selected(ctx, rollout, page.panel, frame, None, buf);
    }
    // Beside the panel that takes the keys stands what happened, or what was asked for.
    let beside = if page.panel == RolloutPanel::Timeline { RolloutPanel::Actions } else { RolloutPanel::Timeline };
    let half = (list.width * 11 / 20).max(format::width(&tabs.join("  ")) + 4);
    let left = Rect { width: half, ..list };
    let height = ctx.layout.detail.map_or(list.height, |detail| detail.y + detail.height - list.y);
    let right = Rect { x: list.x + half + 1, width: list.width - half - 1, height, ..list };
    let line = ctx.style(Scope::Border);
    buf.set_string(list.x + half, list.y - 1, "┬", line);
    let age = Some(run_live::age(ctx, &page.live)).filter(|age| !age.is_empty());
    let name =
        format!(" {}{} ", run_live::name(beside, rollout), age.map_or_else(String::new, |age| format!(", {age}")));
    buf.set_string(list.x + half + 2, list.y - 1, name, ctx.style(Scope::Title));
    for y in right.y..right.bottom() {
        buf.set_string(list.x + half, y, "│", line);
    }
    if ctx.layout.gaps.is_none() {
        buf.set_string(list.x + half, right.bottom(), "┴", line);
    }
    run_panels::draw(ctx, page, rollout, page.panel, left, buf);
    run_panels::selected(ctx, rollout, page.panel, frame, Some(half), buf);
    run_panels::draw(ctx, page, rollout, beside, right, buf);
}
