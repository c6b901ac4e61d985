//! AnalysisRuns of Argo Rollouts, with what they measured.

use super::super::json::{annotation, at, items, label, line, owned, text, time, uid};
use super::super::mask::Masker;
use flightdeck_model::{Analysis, AnalysisMetric, Measurement, MetricVerdict, sanitize_line};
use serde_json::Value;

/// Runs that are shown.
const MAX_RUNS: usize = 20;
/// Measurements of a metric that are shown; controllers keep ten of each metric by default.
const MAX_MEASUREMENTS: usize = 200;

/// The runs of a rollout or of its experiments, oldest first.
pub(super) fn analyses(runs: &[Value], experiments: &[Value]) -> Vec<Analysis> {
    let mut all: Vec<Analysis> = runs.iter().map(|run| analysis(run, experiments)).collect();
    all.sort_by(|a, b| (a.started, &a.name).cmp(&(b.started, &b.name)));
    all.split_off(all.len().saturating_sub(MAX_RUNS))
}

fn analysis(run: &Value, experiments: &[Value]) -> Analysis {
    let specs = items(run, "/spec/metrics");
    let results = items(run, "/status/metricResults");
    let mut metrics: Vec<AnalysisMetric> = specs
        .iter()
        .map(|spec| {
            let named = |result: &&Value| result.get("name") == spec.get("name");
            metric(spec, results.iter().find(named).unwrap_or(&Value::Null))
        })
        .collect();
    let unknown = results.iter().filter(|result| !specs.iter().any(|spec| spec.get("name") == result.get("name")));
    metrics.extend(unknown.map(|result| metric(result, result)));
    Analysis {
        name: line(run, "/metadata/name"),
        belongs: belongs(run, experiments),
        phase: word(run, "/status/phase", "Pending"),
        message: said(run, "/status/message"),
        started: time(run, "/status/startedAt").or_else(|| time(run, "/metadata/creationTimestamp")),
        metrics,
    }
}

fn belongs(run: &Value, experiments: &[Value]) -> String {
    if let Some(experiment) = experiments.iter().find(|experiment| owned(run, uid(experiment))) {
        return format!("experiment {}", line(experiment, "/metadata/name"));
    }
    let revision = annotation(run, "rollout.argoproj.io/revision").map(sanitize_line);
    let of = revision.map_or_else(String::new, |revision| format!(" of revision {revision}"));
    let what = match label(run, "rollout-type") {
        // The label counts from 0, people from 1.
        Some("Step") => label(run, "step-index")
            .and_then(|index| index.parse::<u32>().ok())
            .map_or_else(|| "a step".to_owned(), |index| format!("step {}", index.saturating_add(1))),
        Some("Background") => "background".to_owned(),
        Some("PrePromotion") => "before promotion".to_owned(),
        Some("PostPromotion") => "after promotion".to_owned(),
        Some(other) => sanitize_line(other),
        None => "the rollout".to_owned(),
    };
    format!("{what}{of}")
}

fn word(value: &Value, path: &str, otherwise: &str) -> String {
    match line(value, path) {
        word if word.is_empty() => otherwise.to_owned(),
        word => word,
    }
}

/// A sentence from outside, which may quote a request with its secrets.
fn said(value: &Value, path: &str) -> String {
    sanitize_line(&Masker::default().text(text(value, path)))
}

fn metric(spec: &Value, result: &Value) -> AnalysisMetric {
    let phase = word(result, "/phase", "Pending");
    let all = items(result, "/measurements");
    let newest = all.get(all.len().saturating_sub(MAX_MEASUREMENTS)..).unwrap_or_default();
    AnalysisMetric {
        name: line(spec, "/name"),
        verdict: match phase.as_str() {
            "Successful" => Some(MetricVerdict::Pass),
            "Failed" | "Error" => Some(MetricVerdict::Fail),
            "Inconclusive" => Some(MetricVerdict::Missing),
            _ => None,
        },
        phase,
        limit: limit(spec),
        message: said(result, "/message"),
        measurements: newest.iter().map(measurement).collect(),
    }
}

/// The condition and limits in words: `result[0] < 0.05, fails after 3`.
fn limit(spec: &Value) -> String {
    let mut words = Vec::new();
    match (text(spec, "/successCondition"), text(spec, "/failureCondition")) {
        ("", "") => {}
        (pass, "") => words.push(sanitize_line(pass)),
        ("", fail) => words.push(format!("fails if {}", sanitize_line(fail))),
        (pass, fail) => words.push(format!("{}, fails if {}", sanitize_line(pass), sanitize_line(fail))),
    }
    let number = |path: &str| match at(spec, path) {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(sanitize_line(text)),
        _ => None,
    };
    if spec.get("provider").is_some() {
        words.push(match number("/failureLimit").as_deref() {
            None | Some("0") => "fails at the first failure".to_owned(),
            Some("-1") => "no number of failures fails it".to_owned(),
            Some(limit) => format!("fails after {limit}"),
        });
        if let Some(limit) = number("/inconclusiveLimit").filter(|limit| limit != "0") {
            words.push(format!("inconclusive after {limit}"));
        }
    }
    let count = number("/count").map(|count| format!("{count} times"));
    let interval = number("/interval").map(|interval| format!("every {interval}"));
    let often: Vec<String> = count.into_iter().chain(interval).collect();
    if !often.is_empty() {
        words.push(often.join(" "));
    }
    words.join(", ")
}

fn measurement(measurement: &Value) -> Measurement {
    let value = text(measurement, "/value");
    let shown = if value.is_empty() { said(measurement, "/message") } else { said(measurement, "/value") };
    Measurement {
        at: time(measurement, "/finishedAt").or_else(|| time(measurement, "/startedAt")),
        phase: word(measurement, "/phase", "Pending"),
        value: number(value),
        text: shown,
    }
}

/// The number that a provider measured: `0.03`, `[0.03]`, `"0.03"`; the first of several.
fn number(value: &str) -> Option<f64> {
    fn of(value: &Value) -> Option<f64> {
        match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            Value::Array(values) => of(values.first()?),
            Value::Object(map) if map.len() == 1 => of(map.values().next()?),
            Value::Object(_) | Value::Null | Value::Bool(_) => None,
        }
    }
    let value = value.trim();
    let parsed = serde_json::from_str(value).ok().as_ref().and_then(of);
    // Providers write `[0.03 0.05]` and `NaN` too, which is no JSON.
    let bare = || value.trim_start_matches('[').split([' ', ',', ']']).next()?.parse().ok();
    parsed.or_else(bare).filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_as_providers_write_them() {
        for (text, expected) in [
            ("0.03", Some(0.03)),
            ("[0.03]", Some(0.03)),
            ("[0.5,0.7]", Some(0.5)),
            ("[0.5 0.7]", Some(0.5)),
            ("\"12\"", Some(12.0)),
            ("{\"rate\":3}", Some(3.0)),
            ("{\"a\":3,\"b\":4}", None),
            ("-1e3", Some(-1000.0)),
            ("NaN", None),
            ("[NaN]", None),
            ("[]", None),
            ("true", None),
            ("ok", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn limits_in_words() {
        let provider = json!({"web": {}});
        for (spec, expected) in [
            (
                json!({"provider": provider, "successCondition": "result[0] < 0.05", "failureLimit": 3}),
                "result[0] < 0.05, fails after 3",
            ),
            (
                json!({"provider": provider, "failureCondition": "result > 1", "failureLimit": "-1", "count": 5, "interval": "10s"}),
                "fails if result > 1, no number of failures fails it, 5 times every 10s",
            ),
            (
                json!({"provider": provider, "inconclusiveLimit": 2, "interval": "1m"}),
                "fails at the first failure, inconclusive after 2, every 1m",
            ),
            (json!({}), ""),
        ] {
            assert_eq!(limit(&spec), expected, "{spec}");
        }
    }

    #[test]
    fn a_run_with_its_measurements() {
        let run = json!({
            "metadata": {
                "name": "web-abc-2-1", "labels": {"rollout-type": "Step", "step-index": "1"},
                "annotations": {"rollout.argoproj.io/revision": "2"},
                "ownerReferences": [{"uid": "r", "controller": true}],
            },
            "spec": {"metrics": [
                {"name": "errors", "provider": {"web": {}}, "successCondition": "result < 0.05", "failureLimit": 1},
                {"name": "later", "provider": {"web": {}}},
            ]},
            "status": {
                "phase": "Failed", "message": "errors: GET https://a:hunter2@b\nfailed", "startedAt": "2026-11-21T10:00:00Z",
                "metricResults": [
                    {"name": "errors", "phase": "Failed", "message": "2 of 2 failed", "measurements": [
                        {"phase": "Successful", "value": "0.01", "startedAt": "2026-11-21T10:00:00Z", "finishedAt": "2026-11-21T10:00:01Z"},
                        {"phase": "Error", "message": "timeout", "startedAt": "2026-11-21T10:00:10Z"},
                    ]},
                ],
            },
        });
        let all = analyses(std::slice::from_ref(&run), &[]);
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.belongs.as_str(), one.phase.as_str()), ("step 2 of revision 2", "Failed"));
        assert_eq!(one.message, "errors: GET https://a:•••@b failed");
        let [errors, later] = one.metrics.as_slice() else { panic!("{one:?}") };
        assert_eq!((errors.verdict, later.verdict), (Some(MetricVerdict::Fail), None));
        assert_eq!(later.phase, "Pending");
        let [first, second] = errors.measurements.as_slice() else { panic!("{errors:?}") };
        assert_eq!((first.value, first.text.as_str()), (Some(0.01), "0.01"));
        assert_eq!(first.at, "2026-11-21T10:00:01Z".parse().ok());
        assert_eq!((second.value, second.text.as_str(), second.phase.as_str()), (None, "timeout", "Error"));
        let experiment = json!({"metadata": {"name": "web-abc-2-0", "uid": "r"}});
        assert_eq!(analyses(std::slice::from_ref(&run), &[experiment])[0].belongs, "experiment web-abc-2-0");
        for (labels, expected) in [
            (json!({"rollout-type": "Background"}), "background of revision 2"),
            (json!({"rollout-type": "PrePromotion"}), "before promotion of revision 2"),
            (json!({"rollout-type": "PostPromotion"}), "after promotion of revision 2"),
            (json!({}), "the rollout of revision 2"),
        ] {
            let mut run = run.clone();
            run["metadata"]["labels"] = labels;
            assert_eq!(analyses(&[run], &[])[0].belongs, expected);
        }
    }
}
