//! A canary's steps, and the durations of its pauses.

use super::objects::{Canary, CanaryStep, Pause};
use crate::orchestrator::kubernetes::fields::line;
use flightdeck_model::Step;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;

/// The plan, in the vocabulary's words.
#[must_use]
pub fn steps(canary: &Canary) -> Vec<Step> {
    let whole = super::weights::whole(canary);
    canary.steps.iter().map(|one| step(one, whole)).collect()
}

fn step(step: &CanaryStep, whole: i32) -> Step {
    if let Some(weight) = step.set_weight {
        return Step::SetWeight(super::weights::ppm(weight, whole));
    }
    if let Some(pause) = &step.pause {
        return match pause_of(pause) {
            PauseSpan::Endless => Step::Pause { duration: None },
            PauseSpan::For(duration) => Step::Pause { duration: Some(duration) },
            PauseSpan::Unreadable(text) => Step::Other(format!("pause of {text}, which is no duration")),
        };
    }
    Step::Other(other(step))
}

fn other(step: &CanaryStep) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(line);
    let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_i64);
    if let Some(scale) = &step.set_canary_scale {
        return match (number(scale, "replicas"), number(scale, "weight")) {
            (Some(replicas), _) => format!("scale the candidate to {replicas} pods"),
            (None, Some(weight)) => format!("scale the candidate to {weight} %"),
            (None, None) => "scale the candidate with its traffic".to_owned(),
        };
    }
    if let Some(route) = &step.set_header_route {
        return format!("header route {}", text(route, "name").unwrap_or_default());
    }
    if let Some(route) = &step.set_mirror_route {
        let share = number(route, "percentage").unwrap_or(100);
        return format!("mirror {share} % by {}", text(route, "name").unwrap_or_default());
    }
    if let Some(analysis) = &step.analysis {
        return named("analysis", analysis, "templateName");
    }
    if let Some(experiment) = &step.experiment {
        return named("experiment", experiment, "name");
    }
    match &step.plugin {
        Some(plugin) => format!("plugin {}", text(plugin, "name").unwrap_or_default()),
        None => "a step that this program does not know".to_owned(),
    }
}

/// `analysis success-rate, latency`.
fn named(word: &str, of: &Value, key: &str) -> String {
    let templates = of.get("templates").and_then(Value::as_array).into_iter().flatten();
    let names: Vec<String> = templates.filter_map(|one| one.get(key)?.as_str().map(line)).collect();
    if names.is_empty() { word.to_owned() } else { format!("{word} {}", names.join(", ")) }
}

/// How long a pause lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseSpan {
    /// Until somebody promotes.
    Endless,
    /// So long.
    For(SignedDuration),
    /// Nobody knows: this is no duration.
    Unreadable(String),
}

/// How long a pause lasts: whole seconds as a number or as text, or a duration as Go writes it.
#[must_use]
pub fn pause_of(pause: &Pause) -> PauseSpan {
    match &pause.duration {
        None => PauseSpan::Endless,
        Some(IntOrString::Int(seconds)) => PauseSpan::For(SignedDuration::from_secs(i64::from(*seconds))),
        Some(IntOrString::String(text)) => match text.parse::<i32>() {
            Ok(seconds) => PauseSpan::For(SignedDuration::from_secs(i64::from(seconds))),
            Err(_) => go_duration(text).map_or_else(|| PauseSpan::Unreadable(line(text)), PauseSpan::For),
        },
    }
}

/// `1h30m`, `1.5h`, `-2m`, `300ms`: as Go's `time.ParseDuration` reads it.
fn go_duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut whole = SignedDuration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let nanos: i64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        whole = whole.checked_add(of_units(number, nanos)?)?;
        rest = tail;
    }
    Some(if negative { -whole } else { whole })
}

/// So many units, with a fraction of up to nine digits.
fn of_units(number: &str, nanos: i64) -> Option<SignedDuration> {
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (integer.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let integer: i64 = if integer.is_empty() { 0 } else { integer.parse().ok()? };
    let mut sum = i128::from(integer) * i128::from(nanos);
    let mut scale: i128 = 1;
    let mut digits: i128 = 0;
    for digit in fraction.chars().take(9).filter_map(|c| c.to_digit(10)) {
        digits = digits * 10 + i128::from(digit);
        scale *= 10;
    }
    sum += digits * i128::from(nanos) / scale;
    // Go's durations end at 292 years.
    i64::try_from(sum).ok().map(SignedDuration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flightdeck_model::Ppm;

    #[test]
    fn pauses_are_read_as_seconds_or_as_go_writes_durations() {
        let for_ms = |ms: i64| PauseSpan::For(SignedDuration::from_millis(ms));
        let bad = |text: &str| PauseSpan::Unreadable(text.to_owned());
        for (given, expected) in [
            ("30", for_ms(30_000)),
            ("0", for_ms(0)),
            ("-5", for_ms(-5_000)),
            ("30s", for_ms(30_000)),
            ("1h30m", for_ms(5_400_000)),
            ("1.5h", for_ms(5_400_000)),
            (".5s", for_ms(500)),
            ("1.s", for_ms(1_000)),
            ("-2m", for_ms(-120_000)),
            ("+10ms", for_ms(10)),
            ("1m0.25s", for_ms(60_250)),
            ("1000µs", for_ms(1)),
            ("", bad("")),
            ("s", bad("s")),
            ("abc", bad("abc")),
            ("1d", bad("1d")),
            ("1.2.3s", bad("1.2.3s")),
            ("1h 30m", bad("1h 30m")),
            ("99999999999h", bad("99999999999h")),
            ("10m\u{1b}[2J", bad("10m\u{fffd}[2J")),
        ] {
            let pause = Pause { duration: Some(IntOrString::String(given.to_owned())) };
            assert_eq!(pause_of(&pause), expected, "{given:?}");
        }
        assert_eq!(pause_of(&Pause { duration: Some(IntOrString::Int(90)) }), for_ms(90_000));
        assert_eq!(pause_of(&Pause { duration: None }), PauseSpan::Endless);
    }

    #[test]
    fn each_sort_of_step_has_its_words() {
        let canary: Canary = serde_json::from_value(serde_json::json!({"steps": [
            {"setWeight": 20}, {"pause": {}}, {"pause": {"duration": "90s"}}, {"pause": {"duration": "soon"}},
            {"setCanaryScale": {"replicas": 3}}, {"setCanaryScale": {"weight": 25}},
            {"setCanaryScale": {"matchTrafficWeight": true}},
            {"setHeaderRoute": {"name": "testers"}}, {"setMirrorRoute": {"name": "m", "percentage": 35}},
            {"analysis": {"templates": [{"templateName": "success"}, {"templateName": "latency"}]}},
            {"experiment": {"templates": [{"name": "baseline"}]}}, {"plugin": {"name": "acme/step"}}, {"later": {}},
            {"setWeight": -5}, {"setWeight": 400},
        ]}))
        .unwrap();
        let other = |text: &str| Step::Other(text.to_owned());
        assert_eq!(
            steps(&canary),
            [
                Step::SetWeight(Ppm::percent(20)),
                Step::Pause { duration: None },
                Step::Pause { duration: Some(SignedDuration::from_secs(90)) },
                other("pause of soon, which is no duration"),
                other("scale the candidate to 3 pods"),
                other("scale the candidate to 25 %"),
                other("scale the candidate with its traffic"),
                other("header route testers"),
                other("mirror 35 % by m"),
                other("analysis success, latency"),
                other("experiment baseline"),
                other("plugin acme/step"),
                other("a step that this program does not know"),
                Step::SetWeight(Ppm::ZERO),
                Step::SetWeight(Ppm::ALL),
            ]
        );
    }
}
