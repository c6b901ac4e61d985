//! `[watchdog.ENVIRONMENT]`: what is done by itself about a candidate that breaks its limits there.

use super::super::reader::Value as Node;
use super::super::services;
use flightdeck_model::{AnalysisTemplate, OnBreach};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The watchdog of one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watchdog {
    pub on_breach: OnBreach,
    #[serde(flatten)]
    pub template: AnalysisTemplate,
}

/// Reads one; what is wrong is noted, key by key.
pub(super) fn watchdog(value: &Node<'_>) -> Option<Watchdog> {
    let template = services::judged(value, &["on_breach"]);
    let words = [("notify", OnBreach::Notify), ("pause", OnBreach::Pause), ("abort", OnBreach::Abort)];
    let on_breach = match value.map()?.get("on_breach") {
        Some(written) => written.word(&words),
        None => Some(OnBreach::default()),
    };
    Some(Watchdog { on_breach: on_breach?, template: template? })
}

impl JsonSchema for Watchdog {
    fn schema_name() -> Cow<'static, str> {
        "Watchdog".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let limits = |unit: &str| {
            format!(
                "At most so much: `max`, `over_stable` ({unit}) and `ratio_to_stable`, such as 1.5; each that is \
                 written must hold."
            )
        };
        let latency = limits("`\"300ms\"`");
        json_schema!({
            "type": "object",
            "description": "What is done by itself about a candidate that breaks its limits.",
            "additionalProperties": false,
            "properties": {
                "on_breach": {
                    "enum": ["notify", "pause", "abort"],
                    "description": "What is done, once: `notify` says it, `pause` and `abort` do so. Without: `notify`.",
                },
                "error_rate": {
                    "type": "object",
                    "description": format!("Failed requests ÷ requests. {}", limits("`\"1%\"`")),
                },
                "latency_p50": {"type": "object", "description": format!("The median. {latency}")},
                "latency_p95": {"type": "object", "description": format!("The 95th percentile. {latency}")},
                "latency_p99": {"type": "object", "description": format!("The 99th percentile. {latency}")},
                "min_requests": {
                    "type": "integer",
                    "description": "Fewer requests at the candidate fail no latency. Without: 100.",
                },
                "window": {
                    "type": "string",
                    "description": "What `threshold` looks at. Without: `1m`.",
                },
                "judge": {
                    "enum": ["sequential", "threshold"],
                    "description": "By which rule: `sequential` holds however often it looks, `threshold` compares \
                                    values with their limits. Without: `sequential`.",
                },
            },
        })
    }
}
