//! The steps of a plan and the limits that it is judged by.

use super::hooks::{self, Named};
use super::kind;
use super::known::{Known, MILLISECOND, SECOND, or};
use crate::reader::{Value, quoted};
use flightdeck_model::{AnalysisTemplate, Judge, Metric, MetricLimit, Missing, Ppm, ServiceKind, Step};
use jiff::SignedDuration;
use std::collections::BTreeSet;

/// The kinds of steps, the first not everywhere.
const STEPS: [&str; 5] = ["set_weight", "pause", "analysis", "approval", "hook"];

/// The steps of a plan, and the hooks that stand among them.
#[derive(Default)]
pub(super) struct Steps<'d> {
    pub(super) steps: Vec<Step>,
    pub(super) hooks: Vec<Named<'d>>,
}

/// Reads a list of steps, with weights or without.
pub(super) fn steps<'d>(value: &Value<'d>, of: ServiceKind, known: &Known<'d>, weights: bool) -> Option<Steps<'d>> {
    let mut hooks = Vec::new();
    let kinds = if weights { &STEPS[..] } else { STEPS.get(1..).unwrap_or_default() };
    let values = value.list("a list of steps")?;
    let all: Vec<_> = values.iter().map(|value| step(value, of, kinds, known, &mut hooks)).collect();
    let steps: Vec<Step> = all.into_iter().collect::<Option<_>>()?;
    weights_grow(&values, &steps)?;
    Some(Steps { steps, hooks })
}

/// `None` (noted) if a weight is lower than one before: a plan goes forward, and a rollback is how traffic is
/// taken away.
fn weights_grow(values: &[Value<'_>], steps: &[Step]) -> Option<()> {
    let mut highest: Option<(Ppm, &str)> = None;
    let mut fine = true;
    for (value, step) in values.iter().zip(steps) {
        let Step::SetWeight(weight) = step else { continue };
        match highest {
            Some((before, path)) if *weight < before => {
                let expected =
                    format!("a weight of at least {before}, as in {path}: traffic is taken back by a rollback");
                if let Some(value) = value.map().and_then(|step| step.get("set_weight")) {
                    value.expected(&expected, None);
                }
                fine = false;
            }
            _ => highest = Some((*weight, &value.path)),
        }
    }
    fine.then_some(())
}

/// A name of an analysis that the file has.
pub(super) fn template(value: &Value<'_>, analyses: &BTreeSet<&str>) -> Option<String> {
    let name = value.text("the name of an analysis")?;
    let there = analyses.contains(name);
    if !there {
        let meant = value.nearest(name, analyses.iter().copied()).map(quoted);
        value.expected("the name of an [analysis.…] of this file", meant);
    }
    there.then(|| name.to_owned())
}

fn step<'d>(
    value: &Value<'d>,
    of: ServiceKind,
    kinds: &[&str],
    known: &Known<'d>,
    hooks: &mut Vec<Named<'d>>,
) -> Option<Step> {
    let table = value.table(kinds)?;
    let mut entries = table.entries().filter(|(name, _)| kinds.contains(name));
    let (Some((name, content)), None) = (entries.next(), entries.next()) else {
        let (last, first) = kinds.split_last()?;
        table.wrong(&format!("expected one of {} or {last} in a step, found {}", first.join(", "), table.len()));
        return None;
    };
    match name {
        "set_weight" => weight(&content),
        "pause" => pause(&content),
        "analysis" => kind::judged(of, &content).and_then(|()| judge(&content, &known.analyses)),
        "hook" => {
            let hook = hooks::inline(&content, of)?;
            let name = hook.spec.name.clone();
            hooks.push(hook);
            Some(Step::Hook { name })
        }
        _ => approval(&content, known),
    }
}

fn weight(value: &Value<'_>) -> Option<Step> {
    let Some(percent) = value.number().filter(|percent| (0.0..=100.0).contains(percent)) else {
        value.expected("a weight from 0 to 100 (percent)", None);
        return None;
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000")]
    let ppm = (percent * 10_000.0).round() as u32;
    Some(Step::SetWeight(Ppm(ppm)))
}

fn pause(value: &Value<'_>) -> Option<Step> {
    let table = value.table(&["duration"])?;
    let duration = or(&table, "duration", None, |value| value.duration(MILLISECOND).map(Some))?;
    Some(Step::Pause { duration })
}

fn judge(value: &Value<'_>, analyses: &BTreeSet<&str>) -> Option<Step> {
    let table = value.table(&["use", "duration"])?;
    let name = table.need("use", "the name of an analysis").and_then(|value| template(&value, analyses));
    let duration = table.need("duration", "a duration such as \"2m\"").and_then(|value| value.duration(SECOND));
    Some(Step::Analysis { name: name?, duration: duration? })
}

fn approval(value: &Value<'_>, known: &Known<'_>) -> Option<Step> {
    let table = value.table(&["from", "count", "expires"])?;
    let from = or(&table, "from", Vec::new(), |value| {
        let all: Vec<_> = value.list("a list of roles or names")?.iter().map(|value| approver(value, known)).collect();
        all.into_iter().collect()
    });
    let count = or(&table, "count", 1, |value| value.count(1..=100));
    let expires = or(&table, "expires", None, |value| value.duration(SECOND).map(Some));
    Some(Step::Approval { count: count?, from: from?, expires: expires? })
}

/// One whose yes counts: a name or a role, which is a group of the server's machine.
fn approver(value: &Value<'_>, known: &Known<'_>) -> Option<String> {
    let name = value.text("text")?;
    if let Some(Err(why)) = known.machine.map(|machine| machine.approver(name)) {
        value.wrong(&why, None);
        return None;
    }
    Some(name.to_owned())
}

/// Each metric with its key.
const METRICS: [(&str, Metric); 4] = [
    ("error_rate", Metric::ErrorRate),
    ("latency_p50", Metric::LatencyP50),
    ("latency_p95", Metric::LatencyP95),
    ("latency_p99", Metric::LatencyP99),
];

pub(super) fn analysis(value: &Value<'_>) -> Option<AnalysisTemplate> {
    judged(value, &["missing"])
}

/// The same where `more` keys stand beside it.
pub(crate) fn judged(value: &Value<'_>, more: &[&str]) -> Option<AnalysisTemplate> {
    let mut keys = [&["min_requests", "window", "judge"], more].concat();
    keys.extend(METRICS.map(|(key, _)| key));
    let table = value.table(&keys)?;
    let limits: Vec<_> =
        METRICS.iter().filter_map(|(key, metric)| table.get(key).map(|value| limit(&value, *metric))).collect();
    if limits.is_empty() {
        table.wrong("expected at least one of error_rate, latency_p50, latency_p95 or latency_p99, found none");
        return None;
    }
    let limits: Option<Vec<_>> = limits.into_iter().collect();
    // Without a request there is nothing to judge, whatever the file says.
    let min_requests = or(&table, "min_requests", 100, |value| value.count(1..=u32::MAX));
    let missing = or(&table, "missing", Missing::default(), |value| {
        value.word(&[("pause", Missing::Pause), ("fail", Missing::Fail)])
    });
    let window = or(&table, "window", SignedDuration::from_mins(1), |value| value.duration(SECOND));
    let judge = or(&table, "judge", Judge::default(), |value| {
        value.word(&[("sequential", Judge::Sequential), ("threshold", Judge::Threshold)])
    });
    Some(AnalysisTemplate {
        limits: limits?,
        min_requests: u64::from(min_requests?),
        missing: missing?,
        window: window?,
        judge: judge?,
    })
}

fn limit(value: &Value<'_>, metric: Metric) -> Option<MetricLimit> {
    let table = value.table(&["max", "over_stable", "ratio_to_stable"])?;
    if table.len() == 0 {
        table.wrong("expected at least one of max, over_stable or ratio_to_stable, found none");
        return None;
    }
    let amount = |value: Value<'_>| match metric {
        Metric::ErrorRate => value.percentage().map(Some),
        _ => value.duration(SignedDuration::ZERO).map(|duration| Some(duration.as_millis_f64())),
    };
    let max = or(&table, "max", None, amount);
    let over_stable = or(&table, "over_stable", None, amount);
    let ratio_to_stable = or(&table, "ratio_to_stable", None, |value| {
        let ratio = value.number().filter(|ratio| *ratio >= 1.0);
        if ratio.is_none() {
            value.expected("a number from 1, such as 1.5", None);
        }
        ratio.map(Some)
    });
    Some(MetricLimit { metric, max: max?, over_stable: over_stable?, ratio_to_stable: ratio_to_stable? })
}
