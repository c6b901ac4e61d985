//! The columns of the Deck's list, one row of a table each: its head, when it is there, how wide it is where there is
//! less or more room, and what stands in it.

use super::columns::{Column, NAME};
use super::{budget, phase};
use crate::app::pages::deck::DeckRow;
use crate::app::state::at_step;
use crate::view::widgets::pen::Pen;
use crate::view::widgets::spark::{self, Metric, Pair};
use crate::view::widgets::{bar, track};
use crate::view::{Ctx, Scope, format};
use flightdeck_board::numbers_age;
use flightdeck_board::watchdog::{self, Standing};
use flightdeck_model::{Alert, AlertSeverity, Arm, BreachResponse, Rollout};
use jiff::SignedDuration;
use ratatui::style::Style;
use std::sync::Arc;

/// Columns of numbers beside a curve: ` 4.1/0.3`.
const NUMBERS: u16 = 8;
/// Columns of the instances of both sides: `10/10 10/10`.
const REPLICAS: u16 = 10;
/// Columns of a share beside its bar: ` 100 %`.
const SHARE: u16 = 6;
/// One column of a curve stands for so long.
const BUCKET: SignedDuration = SignedDuration::from_secs(10);
/// The numbers beside a curve are those of so long.
const RECENT: SignedDuration = SignedDuration::from_secs(10);

/// In the order in which they stand. Turns are shared by all of them: what is given up goes by `less`, spare room by
/// `comes` and `grows`.
pub(super) static COLUMNS: &[Column] = &[
    Column {
        there: |of| of.widest.service.clamp(8, NAME),
        less: &[(60, 14), (80, 12), (150, 10)],
        // Whole names tell more than who began it, and when.
        grows: &[
            (10, |of| of.widest.service.min(36)),
            (99, |of| if of.widest.author > 0 { of.widest.service } else { 0 }),
            (200, |of| of.widest.service),
        ],
        filtered: true,
        cell: |ctx, pen, row, width| {
            let name = format::name(&ctx.state.board.service_name(row.rollout), width);
            pen.cell(&name, width, ctx.style(Scope::Strong));
        },
        ..Column::named("service")
    },
    Column {
        there: |of| of.widest.environment.clamp(3, 11),
        less: &[(140, 7)],
        grows: &[(20, |of| of.widest.environment.min(16))],
        filtered: true,
        head: Some(|pen, width, style| left(pen, if width < 11 { "env" } else { "environment" }, width, style)),
        cell: |ctx, pen, row, width| {
            left(pen, &format::name(&row.rollout.environment.0, width), width, ctx.style(Scope::Text));
        },
        ..Column::named("environment")
    },
    // Where rows can be told apart by their source only it stands beside their names.
    Column {
        there: |of| if of.alike { of.widest.source.clamp(6, 14) } else { 0 },
        less: &[(160, 0)],
        less_alike: &[(51, 8)],
        cell: source,
        ..Column::named("source")
    },
    Column {
        there: |of| of.widest.version.clamp(7, 14),
        less: &[(130, 0)],
        less_alike: &[(54, 9)],
        grows: &[(30, |of| of.widest.version.min(24)), (210, |of| of.widest.version.min(48))],
        filtered: true,
        cell: version,
        ..Column::named("version")
    },
    Column {
        there: |of| if of.steps { 4 } else { 0 },
        less: &[(50, 0)],
        head: Some(|pen, width, style| right(pen, "step", width, style)),
        cell: |ctx, pen, row, width| {
            if at_step(row.rollout) {
                right(pen, &track::position(row.rollout), width, ctx.style(Scope::Text));
            } else {
                right(pen, "-", width, ctx.style(Scope::Faint));
            }
        },
        ..Column::named("step")
    },
    Column {
        there: |of| if of.candidates { 8 + SHARE } else { 0 },
        less: &[(40, 4 + SHARE), (90, SHARE), (120, 0)],
        less_alike: &[(53, SHARE)],
        head: Some(|pen, width, style| match width {
            ..=SHARE => right(pen, "share", width, style),
            _ => left(pen, "traffic", width, style),
        }),
        cell: traffic,
        ..Column::named("traffic")
    },
    Column {
        there: |of| if of.widest.requests { 9 + NUMBERS } else { 0 },
        less: &[(70, 5 + NUMBERS), (100, NUMBERS), (110, 0)],
        less_alike: &[(52, 5 + NUMBERS)],
        grows: &[(40, |_| 9 + NUMBERS), (220, |_| 13 + NUMBERS)],
        curves: Some(NUMBERS),
        head: Some(|pen, width, style| arms(pen, if width > 2 * NUMBERS { "err %" } else { "err" }, width, style)),
        cell: |ctx, pen, row, width| numbers(ctx, pen, row.rollout, Metric::Errors, width),
        ..Column::named("errors")
    },
    Column {
        there: |of| if of.widest.latencies { 9 + NUMBERS } else { 0 },
        less: &[(20, NUMBERS), (30, 0)],
        grows: &[(230, |_| 13 + NUMBERS)],
        curves: Some(NUMBERS),
        head: Some(|pen, width, style| arms(pen, "p95", width, style)),
        cell: |ctx, pen, row, width| numbers(ctx, pen, row.rollout, Metric::P95, width),
        ..Column::named("p95")
    },
    Column {
        there: |of| if of.widest.requests { 4 } else { 0 },
        less: &[(10, 0)],
        head: Some(|pen, width, style| right(pen, "rps", width, style)),
        cell: |ctx, pen, row, width| right(pen, &rps(ctx, row.rollout), width, ctx.style(Scope::Text)),
        ..Column::named("rps")
    },
    Column {
        there: |_| 15,
        // Wide enough for `✗ CrashLoopBackOff ×12`.
        grows: &[(50, |_| 22)],
        cell: |ctx, pen, row, width| {
            let (words, scope) = phase::words_in(width, row.rollout, &row.freshness, row.own, ctx.now);
            left(pen, &words, width, ctx.style(scope));
        },
        ..Column::named("phase")
    },
    Column {
        there: |of| if of.alerts { 9 } else { 0 },
        // Whoever gives up everything else still sees that something fires.
        less: &[(125, 6)],
        cell: |ctx, pen, row, width| {
            let (words, scope) = alerts(&ctx.state.board.alerts_of(row.rollout));
            left(pen, &words, width, ctx.style(scope));
        },
        ..Column::named("alerts")
    },
    Column {
        there: |of| if of.watched { 8 } else { 0 },
        less: &[(15, 0)],
        cell: watchdog,
        ..Column::named("watchdog")
    },
    // What is left of the error budget, then how fast it burns over two windows: `12 % 16/22×`.
    Column {
        there: |of| if of.promised { budget::WIDTH } else { 0 },
        less: &[(22, budget::LEFT), (105, 0)],
        head: Some(|pen, width, style| {
            left(pen, if width > budget::LEFT { "budget burn" } else { "budget" }, width, style);
        }),
        cell: budget::cell,
        ..Column::named("budget")
    },
    Column {
        comes: Some((60, |_| 6)),
        cell: |ctx, pen, row, width| {
            left(pen, &format::since(ctx.now, row.rollout.since, ctx.zone), width, ctx.style(Scope::Dim));
        },
        ..Column::named("since")
    },
    Column {
        comes: Some((70, |of| if of.candidates { REPLICAS } else { 5 })),
        head: Some(|pen, width, style| left(pen, if width < REPLICAS { "ready" } else { "stable can" }, width, style)),
        cell: |ctx, pen, row, width| {
            if row.rollout.tells_of_users() {
                left(pen, &replicas(row.rollout), width, ctx.style(Scope::Text));
            } else {
                left(pen, "-", width, ctx.style(Scope::Faint));
            }
        },
        ..Column::named("replicas")
    },
    Column {
        comes: Some((80, |of| if of.widest.kind > 0 { of.widest.kind.clamp(4, 12) } else { 0 })),
        cell: |ctx, pen, row, width| left(pen, ctx.state.board.kind_word(row.rollout), width, ctx.style(Scope::Dim)),
        ..Column::named("kind")
    },
    Column {
        comes: Some((90, |of| if of.several_sources && !of.alike { of.widest.source.clamp(6, 14) } else { 0 })),
        cell: source,
        ..Column::named("source")
    },
    Column {
        comes: Some((100, |of| if of.widest.author > 0 { of.widest.author.clamp(6, 10) } else { 0 })),
        grows: &[(240, |of| of.widest.author.min(14))],
        cell: |ctx, pen, row, width| {
            left(pen, row.rollout.author.as_deref().unwrap_or("-"), width, ctx.style(Scope::Dim));
        },
        ..Column::named("author")
    },
    Column {
        comes: Some((120, |_| 6)),
        cell: |ctx, pen, row, width| {
            left(pen, &format::since(ctx.now, row.rollout.started, ctx.zone), width, ctx.style(Scope::Dim));
        },
        ..Column::named("began")
    },
    // What the cause has to say takes the room that is left, so it stands last.
    Column {
        comes: Some((110, |_| 20)),
        grows: &[(250, |_| u16::MAX)],
        cell: |ctx, pen, row, width| {
            let old = row.freshness.problem(ctx.now);
            left(pen, old.as_deref().unwrap_or(&row.rollout.message), width, ctx.style(Scope::Dim));
        },
        ..Column::named("cause")
    },
];

/// What would be done by itself, or that nothing would: `aborts`, `blind`, `✗ abort`.
fn watchdog(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, width: u16) {
    let Some(status) = &row.rollout.watchdog else { return left(pen, "-", width, ctx.style(Scope::Faint)) };
    match (watchdog::standing(status, ctx.now), &status.breach) {
        (_, Some(breach)) => {
            let words = match &breach.response {
                BreachResponse::Sent { action, .. } => format!("✗ {}", action.name()),
                BreachResponse::Notified | BreachResponse::NotOffered { .. } => "✗ told".to_owned(),
                BreachResponse::Refused { .. } => "✗ refuse".to_owned(),
            };
            left(pen, &words, width, ctx.style(Scope::SeverityFailing));
        }
        (Standing::Blind, None) => left(pen, "? blind", width, ctx.style(Scope::ToneWarn)),
        (_, None) => left(pen, watchdog::would(status.on_breach), width, ctx.style(Scope::Text)),
    }
}

fn left(pen: &mut Pen<'_>, text: &str, width: u16, style: Style) {
    pen.cell(text, width, style);
}

fn right(pen: &mut Pen<'_>, text: &str, width: u16, style: Style) {
    pen.right(text, width, style);
}

/// The head of two numbers, canary and stable.
fn arms(pen: &mut Pen<'_>, name: &str, width: u16, style: Style) {
    let arms = if usize::from(width) > name.len() + 13 { "canary/stable" } else { "can/stable" };
    let arms = if usize::from(width) > name.len() + arms.len() { arms } else { "c/s" };
    let room = u16::try_from(arms.len()).unwrap_or(NUMBERS);
    pen.cell(name, width - room, style).put(arms, style);
}

fn source(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, width: u16) {
    let name = format::name(row.rollout.run.target.source.as_str(), width);
    pen.cell(&name, width, ctx.style(Scope::Text));
}

/// `1.9.0 → 1.10.0`. Where both do not fit, each gets its share of the room.
fn version(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, width: u16) {
    let rollout = row.rollout;
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

/// The worst that fires and how many others do: `crit 2 +1`; `quiet 1` where nobody is notified of any.
fn alerts(all: &[&Arc<Alert>]) -> (String, Scope) {
    let firing = all.iter().filter(|alert| alert.is_firing()).count();
    let Some(worst) = all.first().filter(|_| firing > 0) else {
        let quiet = if all.is_empty() { String::new() } else { format!("quiet {}", all.len()) };
        return (quiet, Scope::Dim);
    };
    let alike = all.iter().filter(|alert| alert.is_firing() && alert.severity == worst.severity).count();
    let (word, scope) = match worst.severity {
        AlertSeverity::Critical => ("crit", Scope::SeverityFailing),
        AlertSeverity::Warning => ("warn", Scope::SeverityDegraded),
        AlertSeverity::Unknown => ("fire", Scope::SeverityDegraded),
        AlertSeverity::Info => ("info", Scope::Text),
    };
    let others = if firing > alike { format!(" +{}", firing - alike) } else { String::new() };
    (format!("{word} {alike}{others}"), scope)
}

fn traffic(ctx: &Ctx<'_>, pen: &mut Pen<'_>, row: &DeckRow<'_>, width: u16) {
    let rollout = row.rollout;
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
