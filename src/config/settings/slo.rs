//! `[slo.NAME]`: what services promise their users; `[environments.NAME]`: what is asked for where they run.

use super::super::reader::Value as Node;
use super::super::services::or;
use super::notify::wrong_name;
use flightdeck_model::OnBurn;
use jiff::{SignedDuration, Span, SpanRelativeTo};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The shortest window of an objective, and the longest.
const WINDOW: (SignedDuration, SignedDuration) = (SignedDuration::from_hours(1), SignedDuration::from_hours(366 * 24));
const USUAL_WINDOW: SignedDuration = SignedDuration::from_hours(30 * 24);
/// The shortest window of a burn rate: several scrapes must fit.
const SHORTEST_BURN: SignedDuration = SignedDuration::from_mins(1);
/// The Site Reliability Workbook's first alert: 2 % of a budget of 30 days within an hour, and it still goes on.
const BURN_RATE: f64 = 14.4;
const BURN_WINDOWS: [SignedDuration; 2] = [SignedDuration::from_hours(1), SignedDuration::from_mins(5)];
/// A share from half to all but one request of a million.
const TARGETS: (f64, f64) = (0.5, 0.999_999);

/// What services promise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Of which services; none: all.
    pub services: Vec<String>,
    /// In which environments; none: all.
    pub environments: Vec<String>,
    /// The share of requests that do not fail.
    pub availability: Option<f64>,
    pub latency: Option<LatencySlo>,
    pub window: SignedDuration,
    pub burn_rate: f64,
    /// The long one, then the short one.
    pub burn_windows: [SignedDuration; 2],
}

/// A share of requests that are answered in time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencySlo {
    pub within: SignedDuration,
    pub target: f64,
}

/// What is asked for in one environment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentRules {
    /// What is done while an error budget there burns too fast: `notify` says it, `refuse` promotes nothing. Without: `notify`.
    #[schemars(extend("enum" = ["notify", "refuse"]))]
    #[schemars(with = "String")]
    pub on_burn: OnBurn,
}

/// Reads what is asked for in one environment.
pub(super) fn environment(value: &Node<'_>) -> Option<EnvironmentRules> {
    let table = value.table(&["on_burn"])?;
    let on_burn = or(&table, "on_burn", OnBurn::default(), |value| {
        value.word(&[("notify", OnBurn::Notify), ("refuse", OnBurn::Refuse)])
    });
    Some(EnvironmentRules { on_burn: on_burn? })
}

/// Reads one; what is wrong is noted, key by key.
pub(super) fn slo(name: &str, value: &Node<'_>) -> Option<Slo> {
    if let Some(what) = wrong_name(name) {
        value.wrong_key(&what, None);
        return None;
    }
    let keys = ["services", "environments", "availability", "latency", "window", "burn_rate", "burn_windows"];
    let table = value.table(&keys)?;
    let names = |key| or(&table, key, Vec::new(), |value| texts(&value));
    let (services, environments) = (names("services"), names("environments"));
    let availability = or(&table, "availability", None, |value| target(&value).map(Some));
    let latency: Option<Option<LatencySlo>> = or(&table, "latency", None, |value| latency(&value).map(Some));
    let window = or(&table, "window", USUAL_WINDOW, |value| span(&value, WINDOW));
    let burn_rate = or(&table, "burn_rate", BURN_RATE, |value| rate(&value));
    let burn_windows = or(&table, "burn_windows", BURN_WINDOWS, |value| windows(&value));
    if table.get("availability").is_none() && table.get("latency").is_none() {
        table.wrong("expected at least one of availability or latency, found none");
        return None;
    }
    let (window, burn_windows, burn_rate) = (window?, burn_windows?, burn_rate?);
    let targets = [availability.flatten(), latency.flatten().map(|latency| latency.target)];
    if let Some(fastest) = fastest(targets).filter(|fastest| burn_rate >= *fastest) {
        let of = table.get("burn_rate").map_or("without it", |_| "found");
        table.wrong(&format!(
            "its budget burns {fastest:.1} times as fast as allowed when every request is bad: expected a smaller \
             burn_rate, {of} {burn_rate}"
        ));
        return None;
    }
    let [long, _] = burn_windows;
    if window < long {
        let what = format!("expected a window no shorter than the first of burn_windows ({long:#}), found {window:#}");
        table.get("window").or_else(|| table.get("burn_windows"))?.wrong(&what, None);
        return None;
    }
    Some(Slo {
        services: services?,
        environments: environments?,
        availability: availability?,
        latency: latency?,
        window,
        burn_rate,
        burn_windows,
    })
}

/// The burn rate that no budget exceeds, of the one that burns slowest.
fn fastest(targets: [Option<f64>; 2]) -> Option<f64> {
    targets.into_iter().flatten().map(|target| 1.0 / (1.0 - target)).reduce(f64::min)
}

fn texts(value: &Node<'_>) -> Option<Vec<String>> {
    let expected = "names such as [\"checkout\"]";
    let elements = value.list(expected)?;
    elements.iter().map(|one| one.text("a name such as \"checkout\"").map(str::to_owned)).collect()
}

fn target(value: &Node<'_>) -> Option<f64> {
    let ratio = value.percentage()?;
    let (least, most) = TARGETS;
    if !(least..=most).contains(&ratio) {
        let why = if ratio > most { " (without a budget nothing could burn)" } else { "" };
        value.expected(&format!("a percentage from \"50%\" to \"99.9999%\"{why}"), None);
        return None;
    }
    // No more digits than were written.
    Some((ratio * 1e6).round() / 1e6)
}

fn latency(value: &Node<'_>) -> Option<LatencySlo> {
    let table = value.table(&["within", "target"])?;
    let within = table.need("within", "a duration such as \"300ms\"");
    let within = within.and_then(|value| value.duration(SignedDuration::from_millis(1)));
    let share = table.need("target", "a percentage such as \"99%\"").and_then(|value| target(&value));
    Some(LatencySlo { within: within?, target: share? })
}

fn rate(value: &Node<'_>) -> Option<f64> {
    let rate = value.number().filter(|rate| (1.0..=1000.0).contains(rate));
    if rate.is_none() {
        value.expected("a number from 1 to 1000, such as 14.4", None);
    }
    rate
}

fn windows(value: &Node<'_>) -> Option<[SignedDuration; 2]> {
    let expected = "two spans, the longer one first, such as [\"1h\", \"5m\"]";
    let elements = value.list(expected)?;
    let spans: Option<Vec<_>> = elements.iter().map(|one| span(one, (SHORTEST_BURN, WINDOW.1))).collect();
    match spans?.as_slice() {
        [long, short] if long > short => Some([*long, *short]),
        _ => {
            value.expected(expected, None);
            None
        }
    }
}

/// A span such as `30d`, in which a day has 24 hours.
fn span(value: &Node<'_>, (least, most): (SignedDuration, SignedDuration)) -> Option<SignedDuration> {
    let of = |text: &str| text.parse::<Span>().ok()?.to_duration(SpanRelativeTo::days_are_24_hours()).ok();
    let written = value.json();
    let read = written.as_str().and_then(of).filter(|span| (least..=most).contains(span) && span.subsec_nanos() == 0);
    if read.is_none() {
        let days = written.as_u64().filter(|days| (1..=366).contains(days)).map(|days| format!("\"{days}d\""));
        value.expected(
            &format!("a span such as \"30d\" or \"5m\", from {least:#} to {} days", most.as_hours() / 24),
            days,
        );
    }
    read
}

impl JsonSchema for Slo {
    fn schema_name() -> Cow<'static, str> {
        "Slo".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "What services promise their users.",
            "additionalProperties": false,
            "anyOf": [{"required": ["availability"]}, {"required": ["latency"]}],
            "properties": {
                "services": {
                    "type": "array", "items": {"type": "string"},
                    "description": "Which services; without any all. Each has a budget of its own.",
                },
                "environments": {
                    "type": "array", "items": {"type": "string"},
                    "description": "In which environments; without any all.",
                },
                "availability": {
                    "type": "string",
                    "description": "The share of requests that do not fail, such as `\"99.9%\"`.",
                },
                "latency": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["within", "target"],
                    "properties": {"within": {"type": "string"}, "target": {"type": "string"}},
                    "description": "The share of requests that are answered in time, such as \
                                    `{ within = \"300ms\", target = \"99%\" }`; a bucket must end at `within`.",
                },
                "window": {
                    "type": "string",
                    "description": "Over which span, `1h` to `366d`, that ends now. Without: `30d`.",
                },
                "burn_rate": {
                    "type": "number",
                    "description": "From this rate on over both of `burn_windows` a budget burns too fast; 1 spends \
                                    it in `window`. Without: 14.4.",
                },
                "burn_windows": {
                    "type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 2,
                    "description": "The spans of both burn rates, the longer one first. Without: `[\"1h\", \"5m\"]`.",
                },
            },
        })
    }
}
