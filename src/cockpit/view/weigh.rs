//! What is weighed before a yes, in words: how the candidate does against stable, and what the yes replaces.

use super::{Ctx, Scope, format, glyph};
use flightdeck_board::health::{ArmNumbers, COMPARED, ENOUGH_REQUESTS, Unknown};
use flightdeck_board::objectives;
use flightdeck_board::provenance::{Provenance, Recorded};
use flightdeck_board::watchdog::{Standing, sentence, standing};
use flightdeck_board::{Failing, Health, alerts_problem, metrics_problem};
use flightdeck_model::time::age;
use flightdeck_model::{
    Alert, AlertSeverity, MetricVerdict, ObjectiveStatus, Rollout, ServiceKind, WatchdogStatus, are, counted,
};
use jiff::Timestamp;

/// How a candidate does, line by line: what the line is, its words, how they look.
pub(super) fn health(ctx: &Ctx<'_>, health: &Health) -> Vec<(&'static str, String, Scope)> {
    let mut lines = Vec::new();
    if let (Some(at), Some(numbers)) = (health.as_of, numbers(health)) {
        let old = health.of_now_until.is_some_and(|until| ctx.now >= until);
        let (sign, scope) = match health.failing {
            Some(Failing::Errors) => ("✗ ", Scope::SeverityFailing),
            Some(Failing::Verdict) => ("", Scope::SeverityFailing),
            None if old => ("", Scope::ToneWarn),
            None => ("", Scope::Text),
        };
        let (span, age) = (COMPARED.as_secs(), age(at, ctx.now));
        lines.push(("health", format!("{sign}{numbers}; over {span} s, {age} old"), scope));
    }
    if let Some(judged) = &health.verdict {
        let (sign, _) = glyph::verdict(judged.verdict);
        let scope = match judged.verdict {
            MetricVerdict::Fail => Scope::SeverityFailing,
            MetricVerdict::Pass => Scope::ToneGood,
            MetricVerdict::Missing => Scope::ToneWarn,
        };
        let at = judged.at.map_or_else(String::new, |at| format!(" (at {})", format::clock(at, ctx.zone)));
        lines.push(("verdict", format!("{sign} {}{at}", judged.summary), scope));
    }
    if !health.unknown.is_empty() {
        let words: Vec<String> = health.unknown.iter().map(|unknown| words(ctx, *unknown, health)).collect();
        lines.push(("unknown", format!("? {}", words.join("; ")), Scope::ToneWarn));
    }
    lines
}

/// `errors 18 % against 0.5 %, p95 212 against 181 ms, 200 against 600 requests/s`; connections have no p95.
fn numbers(health: &Health) -> Option<String> {
    let errors = |arm: &ArmNumbers| format!("{} %", format::percent(arm.error_ratio()));
    let p95 = |arm: &ArmNumbers| arm.p95_ms.map_or_else(|| "-".to_owned(), format::millis);
    let rate = |arm: &ArmNumbers| format::rate(arm.per_second);
    let tcp = health.kind == ServiceKind::Tcp;
    let of = |only: &ArmNumbers| {
        let p95 = if tcp { String::new() } else { format!(", p95 {} ms", p95(only)) };
        format!("errors {}{p95}, {} {}s/s", errors(only), rate(only), health.kind.unit())
    };
    match (&health.candidate, &health.stable) {
        (Some(candidate), Some(stable)) => {
            let p95 = if tcp { String::new() } else { format!(", p95 {} against {} ms", p95(candidate), p95(stable)) };
            let errors = format!("errors {} against {}", errors(candidate), errors(stable));
            Some(format!("{errors}{p95}, {} against {} {}s/s", rate(candidate), rate(stable), health.kind.unit()))
        }
        (Some(only), None) => Some(format!("candidate: {}", of(only))),
        (None, Some(only)) => Some(format!("stable: {}", of(only))),
        (None, None) => None,
    }
}

fn words(ctx: &Ctx<'_>, unknown: Unknown, health: &Health) -> String {
    let (span, unit) = (COMPARED.as_secs(), health.kind.unit());
    let because = |words: &str| match metrics_problem(&ctx.state.board, ctx.now) {
        Some(problem) => format!("{words} ({problem})"),
        None => words.to_owned(),
    };
    match unknown {
        Unknown::NoMetrics => because("no metrics here"),
        Unknown::NoNumbers => because("nothing was measured since it began"),
        Unknown::CandidateUnmeasured => format!("the candidate was not measured in {span} s"),
        Unknown::StableUnmeasured => format!("stable was not measured in {span} s"),
        Unknown::CandidateIdle => format!("no {unit} reached the candidate in {span} s"),
        Unknown::StableIdle => format!("no {unit} reached stable in {span} s"),
        Unknown::FewRequests => {
            let few = health.candidate.map_or(0, |candidate| candidate.requests);
            format!("{} {} too few to compare errors by, {ENOUGH_REQUESTS} would do", counted(few, unit), are(few))
        }
        Unknown::BeingJudged => "an analysis is still running".to_owned(),
        Unknown::NotJudged => "no analysis has looked yet".to_owned(),
    }
}

/// Alerts that a dialog or a panel names; the others are counted.
const ALERTS: usize = 2;

/// What else speaks against giving a candidate more traffic: alerts that concern it, or that nobody can say whether one
/// does, and what the watchdog has seen.
pub(super) fn beside(ctx: &Ctx<'_>, row: &Rollout) -> Vec<(&'static str, String, Scope)> {
    let (board, now) = (&ctx.state.board, ctx.now);
    let all = board.alerts_of(row);
    let mut lines: Vec<_> = all.iter().take(ALERTS).map(|alert| alerting(alert, now)).collect();
    if all.len() > ALERTS {
        lines.push(("alerts", format!("{} more", all.len() - ALERTS), Scope::Dim));
    }
    lines.extend(alerts_problem(board, now).map(|why| ("alerts", format!("? not known: {why}"), Scope::ToneWarn)));
    lines.extend(row.watchdog.iter().map(|status| {
        let (words, scope) = watchdog(status, now);
        ("watchdog", words, scope)
    }));
    lines
}

/// What its service promises, the worst first: what is left of each budget, how fast it burns, or why that is not known.
pub(super) fn objectives(row: &Rollout, now: Timestamp) -> Vec<(String, Scope)> {
    let line = |status: &ObjectiveStatus| {
        let (sign, scope) = match objectives::standing(status, now) {
            objectives::Standing::Burning => ("✗ ", Scope::SeverityFailing),
            objectives::Standing::Spent => ("✗ ", Scope::SeverityDegraded),
            objectives::Standing::NotKnown => ("? ", Scope::ToneWarn),
            objectives::Standing::Kept => ("", Scope::Text),
        };
        (format!("{sign}{}", objectives::line(status, now)), scope)
    };
    objectives::ranked(&row.objectives, now).into_iter().map(line).collect()
}

/// The same where the server has said already which burn too fast, and of which that is not known.
pub(super) fn kept_objectives(row: &Rollout, now: Timestamp) -> Vec<(&'static str, String, Scope)> {
    let kept = |status: &&ObjectiveStatus| objectives::standing(status, now) == objectives::Standing::Kept;
    let kept: Vec<&ObjectiveStatus> = row.objectives.iter().filter(kept).collect();
    kept.into_iter().map(|status| ("objective", objectives::sentence(status, now), Scope::Text)).collect()
}

/// Whether the watchdog is armed, and what it would do or did.
pub(super) fn watchdog(status: &WatchdogStatus, now: Timestamp) -> (String, Scope) {
    let (sign, scope) = match standing(status, now) {
        Standing::Armed => ("", Scope::Text),
        Standing::Blind => ("? ", Scope::ToneWarn),
        Standing::Breached => ("✗ ", Scope::SeverityFailing),
    };
    (format!("{sign}{}", sentence(status, now)), scope)
}

/// `✗ critical HighErrorRate for 3 m: 6 % of the requests fail`.
fn alerting(alert: &Alert, now: Timestamp) -> (&'static str, String, Scope) {
    let (sign, scope) = match (alert.is_firing(), alert.severity) {
        (true, AlertSeverity::Info) => ("", Scope::Text),
        (true, _) => ("✗ ", Scope::SeverityFailing),
        (false, _) => ("", Scope::Dim),
    };
    let state = if alert.is_firing() { String::new() } else { format!("{} ", alert.state.word()) };
    let (severity, name, summary) = (alert.severity.word(), &alert.name, &alert.summary);
    let what = if summary.is_empty() { String::new() } else { format!(": {summary}") };
    ("alerts", format!("{sign}{state}{severity} {name} for {}{what}", age(alert.since, now)), scope)
}

/// `1.9.0 by alice, 18 Nov, commit 3fa9c01b: fixes the cart`.
pub(super) fn provenance(ctx: &Ctx<'_>, of: &Provenance) -> String {
    let by = match &of.by {
        Recorded::Known(who) => format!(" by {who}"),
        Recorded::Missing => ", by whom is not recorded".to_owned(),
        Recorded::NotKept => String::new(),
    };
    let at = of.at.map_or_else(String::new, |at| format!(", {}", format::since(ctx.now, at, ctx.zone)));
    let commit = match &of.commit {
        Recorded::Known(commit) => format!(", commit {}", commit.chars().take(8).collect::<String>()),
        Recorded::Missing => ", commit not recorded".to_owned(),
        Recorded::NotKept => String::new(),
    };
    let reason = match &of.reason {
        Recorded::Known(reason) => format!(": {reason}"),
        Recorded::Missing => ", reason not recorded".to_owned(),
        Recorded::NotKept => String::new(),
    };
    format!("{}{by}{at}{commit}{reason}", of.version)
}
