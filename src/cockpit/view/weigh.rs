//! What is weighed before a yes, in words: how the candidate does against stable, and what the yes replaces.

use super::{Ctx, Scope, format, glyph};
use flightdeck_board::health::{ArmNumbers, COMPARED, ENOUGH_REQUESTS, Unknown};
use flightdeck_board::provenance::{Provenance, Recorded};
use flightdeck_board::{Failing, Health, metrics_problem};
use flightdeck_model::time::age;
use flightdeck_model::{MetricVerdict, ServiceKind, are, counted};

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
