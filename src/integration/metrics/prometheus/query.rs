//! The questions: one a metric for all rows. Pods are put together on the server by what their names have before
//! the last part, so that an answer has one series a set of pods, however many pods or rows there are.

use super::settings::Settings;
use std::collections::BTreeSet;

/// The label that an answer's series have instead of the pod's: the pod's name without its last part.
pub(super) const SET: &str = "pod_set";

/// Where an application's numbers are: what to ask for, by name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Preset {
    /// A counter of answered requests.
    pub requests: &'static str,
    /// The labels of it that may hold the answer's status; the first that a series has counts.
    pub status_labels: &'static [&'static str],
    /// Which statuses are failures; a whole value, as a regular expression.
    pub failed: &'static str,
    /// The buckets of a histogram of how long answers took.
    pub latency: &'static str,
    /// Microseconds of the histogram's unit.
    pub micros: f64,
}

/// Plain application metrics, as Prometheus' own client libraries call them.
pub(super) const HTTP: Preset = Preset {
    requests: "http_requests_total",
    status_labels: &["code", "status"],
    failed: "5..",
    latency: "http_request_duration_seconds_bucket",
    micros: 1e6,
};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// Answers a second.
    Requests,
    /// Of those, failed. There where the status is known, zero included, and nowhere else.
    Errors,
    /// A quantile of latency, in thousandths.
    Latency(u16),
}

impl Metric {
    pub(super) const ALL: [Metric; 5] =
        [Metric::Requests, Metric::Errors, Metric::Latency(500), Metric::Latency(950), Metric::Latency(990)];
}

/// The query of one metric over pods of these namespaces.
pub(super) fn query(metric: Metric, preset: &Preset, settings: &Settings, namespaces: &BTreeSet<&str>) -> String {
    let range = format!("{}s", settings.range.as_secs());
    let (namespace, pod) = (&settings.namespace_label, &settings.pod_label);
    let scope = scope(settings, namespaces);
    let rate = |name: &str, status: &str| format!("rate({name}{{{scope}{status}}}[{range}])");
    // Sums of a few pods are cheaper to rename than all their series.
    let by_set = |inner: &str, le: &str| {
        format!(
            "sum by ({le}{namespace}, {SET}) (label_replace(sum by ({le}{namespace}, {pod}) ({inner}), \
             \"{SET}\", \"$1\", \"{pod}\", \"(.+)-[^-]+\"))"
        )
    };
    match metric {
        Metric::Requests => by_set(&rate(preset.requests, ""), ""),
        Metric::Errors => {
            let labels = settings.status_labels();
            let failed = labels.iter().map(|label| rate(preset.requests, &format!(", {label}=~\"{}\"", preset.failed)));
            // Whoever has a status and no failure has zero of them; without a status nothing is known.
            let known =
                labels.iter().map(|label| format!("0 * {}", rate(preset.requests, &format!(", {label}!=\"\""))));
            by_set(&failed.chain(known).collect::<Vec<_>>().join(" or "), "")
        }
        Metric::Latency(thousandths) => {
            let quantile = f64::from(thousandths) / 1000.0;
            format!("histogram_quantile({quantile}, {})", by_set(&rate(preset.latency, ""), "le, "))
        }
    }
}

/// How many pods have the preset's requests at all, for whoever sets it up.
pub(super) fn pods_query(preset: &Preset, settings: &Settings) -> String {
    let (namespace, pod) = (&settings.namespace_label, &settings.pod_label);
    let scope = scope(settings, &BTreeSet::new());
    format!("count(count by ({namespace}, {pod}) ({}{{{scope}}}))", preset.requests)
}

/// The matchers of all queries.
fn scope(settings: &Settings, namespaces: &BTreeSet<&str>) -> String {
    let namespace = &settings.namespace_label;
    let of = if namespaces.is_empty() {
        "!=\"\"".to_owned()
    } else {
        let names: Vec<String> = namespaces.iter().map(|name| literal(name)).collect();
        format!("=~\"{}\"", names.join("|"))
    };
    let own = settings.selector.as_deref().map(str::trim).filter(|own| !own.is_empty());
    let own = own.map_or_else(String::new, |own| format!(", {}", own.trim_end_matches(',')));
    format!("{namespace}{of}, {}!=\"\"{own}", settings.pod_label)
}

/// A name as a regular expression within a string: nothing in it means anything but itself.
fn literal(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => out.push(c),
            '"' | '\n' => out.push_str(if c == '"' { "\\\"" } else { "\\n" }),
            // Twice: once for the string, once for the expression.
            '\\' => out.push_str("\\\\\\\\"),
            c if c.is_ascii_punctuation() => {
                out.push_str("\\\\");
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settings(more: &serde_json::Value) -> Settings {
        let mut all = json!({"url": "http://127.0.0.1:9090"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Settings::of(all.as_object().unwrap()).unwrap()
    }

    #[test]
    fn one_query_a_metric_answers_for_all_rows() {
        let plain = settings(&json!({}));
        let shop = BTreeSet::from(["pay", "shop"]);
        assert_eq!(
            query(Metric::Requests, &HTTP, &plain, &shop),
            "sum by (namespace, pod_set) (label_replace(sum by (namespace, pod) \
             (rate(http_requests_total{namespace=~\"pay|shop\", pod!=\"\"}[60s])), \
             \"pod_set\", \"$1\", \"pod\", \"(.+)-[^-]+\"))"
        );
        let errors = query(Metric::Errors, &HTTP, &plain, &shop);
        let failed = errors.find(", code=~\"5..\"").zip(errors.find(", status=~\"5..\""));
        let known = errors.find("0 * rate(http_requests_total{namespace=~\"pay|shop\", pod!=\"\", code!=\"\"}[60s])");
        assert!(failed.is_some_and(|(code, status)| code < status && known.is_some_and(|known| status < known)));
        assert_eq!(errors.matches(" or ").count(), 3, "{errors}");
        let p95 = query(Metric::Latency(950), &HTTP, &plain, &shop);
        assert!(p95.starts_with("histogram_quantile(0.95, sum by (le, namespace, pod_set) (label_replace("), "{p95}");
    }

    #[test]
    fn labels_and_matchers_are_those_of_the_settings() {
        let own = settings(&json!({
            "namespace_label": "ns", "pod_label": "pod_name", "status_label": "status_code", "range": "2m",
            "selector": "cluster=\"eu-1\","
        }));
        let errors = query(Metric::Errors, &HTTP, &own, &BTreeSet::from(["shop"]));
        let scope = "ns=~\"shop\", pod_name!=\"\", cluster=\"eu-1\"";
        assert_eq!(errors.matches(&format!("http_requests_total{{{scope}, status_code")).count(), 2, "{errors}");
        assert!(errors.contains("[120s]") && !errors.contains("code=~\"5..\", "), "{errors}");
        let pods = pods_query(&HTTP, &own);
        assert_eq!(
            pods,
            "count(count by (ns, pod_name) (http_requests_total{ns!=\"\", pod_name!=\"\", cluster=\"eu-1\"}))"
        );
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        assert_eq!(literal("shop-eu_1"), "shop-eu_1");
        assert_eq!(literal("a\"} or vector(1) #"), "a\\\"\\\\} or vector\\\\(1\\\\) \\\\#");
        assert_eq!(literal("a.b\\c|d\n"), "a\\\\.b\\\\\\\\c\\\\|d\\n");
    }
}
