//! The questions: one a metric for all rows. Pods are put together on the server by what their names have before
//! the last part, so that an answer has one series a set of pods, however many pods or rows there are.

use super::own::Own;
use super::preset::How;
use super::settings::Settings;
use std::collections::BTreeSet;

/// The label that an answer's series have instead of the pod's: the pod's name without its last part.
const SET: &str = "pod_set";
/// The label that they have where ingress-nginx has several.
const BACKEND: &str = "backend";

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

    /// As people call it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Metric::Requests => "requests",
            Metric::Errors => "errors",
            Metric::Latency(500) => "p50",
            Metric::Latency(950) => "p95",
            Metric::Latency(_) => "p99",
        }
    }
}

/// The labels by which the series of an answer are told apart, in the order of their keys.
pub(super) fn labels(settings: &Settings) -> Vec<&str> {
    let arms = match settings.told.how {
        _ if settings.own.is_some() => settings.arm_labels(),
        How::Pod => vec![SET],
        // It has the namespace in it.
        How::NginxBackend => return vec![BACKEND],
        How::Labels(_) => settings.arm_labels(),
    };
    settings.namespace_label().into_iter().chain(arms).collect()
}

/// The labels of the series themselves from which those come.
pub(super) fn own_labels(settings: &Settings) -> Vec<&str> {
    settings.namespace_label().into_iter().chain(settings.arm_labels()).collect()
}

/// Sums of series by what tells arms apart, and by further labels.
pub(super) fn by_arm(settings: &Settings, series: &str, more: &[&str]) -> String {
    let list = |of: Vec<&str>| more.iter().copied().chain(of).collect::<Vec<_>>().join(", ");
    // Sums of a few pods are cheaper to rename than all their series.
    let sums = format!("sum by ({}) ({series})", list(own_labels(settings)));
    let outer = list(labels(settings));
    match (settings.told.how, settings.arm_labels().first()) {
        (How::Pod, Some(pod)) => {
            format!("sum by ({outer}) (label_replace({sums}, \"{SET}\", \"$1\", \"{pod}\", \"(.+)-[^-]+\"))")
        }
        (How::NginxBackend, Some(service)) => {
            let namespace = settings.namespace_label().unwrap_or("namespace");
            format!(
                "sum by ({outer}) (label_replace(label_join({sums}, \"{BACKEND}\", \"-\", \"{namespace}\", \
                 \"{service}\"), \"{BACKEND}\", \"$1\", \"canary\", \"(.+)\"))"
            )
        }
        _ => sums,
    }
}

/// The query of one metric over these namespaces; `None`: it is not asked for.
pub(super) fn query(metric: Metric, settings: &Settings, namespaces: &BTreeSet<&str>) -> Option<String> {
    let range = format!("{}s", settings.range.as_secs());
    if let Some(own) = &settings.own {
        let query = match metric {
            Metric::Requests => Some(&own.requests),
            Metric::Errors => Some(&own.errors),
            Metric::Latency(500) => own.p50.as_ref(),
            Metric::Latency(950) => own.p95.as_ref(),
            Metric::Latency(_) => own.p99.as_ref(),
        };
        return query.map(|query| Own::filled(query, &alternatives(namespaces), &range));
    }
    let (preset, scope) = (settings.preset, scope(settings, namespaces));
    let rate = |name: &str, status: &str| format!("rate({name}{{{scope}{status}}}[{range}])");
    Some(match metric {
        Metric::Requests => by_arm(settings, &rate(preset.requests, ""), &[]),
        Metric::Errors => {
            let labels = settings.status_labels();
            let failed = labels.iter().map(|label| rate(preset.requests, &format!(", {label}=~\"{}\"", preset.failed)));
            // Whoever has a status and no failure has zero of them; without a status nothing is known.
            let known =
                labels.iter().map(|label| format!("0 * {}", rate(preset.requests, &format!(", {label}!=\"\""))));
            by_arm(settings, &failed.chain(known).collect::<Vec<_>>().join(" or "), &[])
        }
        Metric::Latency(thousandths) => {
            let (buckets, _) = preset.latency?;
            let quantile = f64::from(thousandths) / 1000.0;
            format!("histogram_quantile({quantile}, {})", by_arm(settings, &rate(buckets, ""), &["le"]))
        }
    })
}

/// Microseconds of what latencies are told in.
pub(super) fn micros(settings: &Settings) -> f64 {
    match (&settings.own, settings.preset.latency) {
        (None, Some((_, micros))) => micros,
        _ => 1e6,
    }
}

/// How many arms' worth of series have requests at all, for whoever sets it up.
pub(super) fn count_query(settings: &Settings) -> String {
    if let Some(own) = &settings.own {
        return format!("count({})", Own::filled(&own.requests, ".+", &format!("{}s", settings.range.as_secs())));
    }
    let (labels, scope) = (own_labels(settings).join(", "), scope(settings, &BTreeSet::new()));
    format!("count(count by ({labels}) ({}{{{scope}}}))", settings.preset.requests)
}

/// The time of the newest sample of a metric's series; `None` where queries of one's own say nothing of series.
pub(super) fn newest_query(metric: Metric, settings: &Settings, namespaces: &BTreeSet<&str>) -> Option<String> {
    if settings.own.is_some() {
        return None;
    }
    let name = match metric {
        Metric::Requests | Metric::Errors => settings.preset.requests,
        Metric::Latency(_) => settings.preset.latency?.0,
    };
    Some(format!("max(timestamp({name}{{{}}}))", scope(settings, namespaces)))
}

/// The matchers of all queries.
pub(super) fn scope(settings: &Settings, namespaces: &BTreeSet<&str>) -> String {
    let of = settings.namespace_label().map(|label| {
        if namespaces.is_empty() {
            format!("{label}!=\"\"")
        } else {
            format!("{label}=~\"{}\"", alternatives(namespaces))
        }
    });
    let arm = settings.arm_labels().first().map(|label| format!("{label}!=\"\""));
    let preset = Some(settings.preset.matchers).filter(|own| !own.is_empty()).map(str::to_owned);
    let own = settings.selector.as_deref().map(str::trim).filter(|own| !own.is_empty());
    let own = own.map(|own| own.trim_end_matches(',').to_owned());
    of.into_iter().chain(arm).chain(preset).chain(own).collect::<Vec<_>>().join(", ")
}

/// Names as a regular expression within a string.
pub(super) fn alternatives(names: &BTreeSet<&str>) -> String {
    names.iter().map(|name| literal(name)).collect::<Vec<_>>().join("|")
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
            query(Metric::Requests, &plain, &shop).unwrap(),
            "sum by (namespace, pod_set) (label_replace(sum by (namespace, pod) \
             (rate(http_requests_total{namespace=~\"pay|shop\", pod!=\"\"}[60s])), \
             \"pod_set\", \"$1\", \"pod\", \"(.+)-[^-]+\"))"
        );
        let errors = query(Metric::Errors, &plain, &shop).unwrap();
        let failed = errors.find(", code=~\"5..\"").zip(errors.find(", status=~\"5..\""));
        let known = errors.find("0 * rate(http_requests_total{namespace=~\"pay|shop\", pod!=\"\", code!=\"\"}[60s])");
        assert!(failed.is_some_and(|(code, status)| code < status && known.is_some_and(|known| status < known)));
        assert_eq!(errors.matches(" or ").count(), 3, "{errors}");
        let p95 = query(Metric::Latency(950), &plain, &shop).unwrap();
        assert!(p95.starts_with("histogram_quantile(0.95, sum by (le, namespace, pod_set) (label_replace("), "{p95}");
    }

    #[test]
    fn labels_and_matchers_are_those_of_the_settings() {
        let own = settings(&json!({
            "namespace_label": "ns", "pod_label": "pod_name", "status_label": "status_code", "range": "2m",
            "selector": "cluster=\"eu-1\","
        }));
        let errors = query(Metric::Errors, &own, &BTreeSet::from(["shop"])).unwrap();
        let scope = "ns=~\"shop\", pod_name!=\"\", cluster=\"eu-1\"";
        assert_eq!(errors.matches(&format!("http_requests_total{{{scope}, status_code")).count(), 2, "{errors}");
        assert!(errors.contains("[120s]") && !errors.contains("code=~\"5..\", "), "{errors}");
        let pods = count_query(&own);
        assert_eq!(
            pods,
            "count(count by (ns, pod_name) (http_requests_total{ns!=\"\", pod_name!=\"\", cluster=\"eu-1\"}))"
        );
    }

    #[test]
    fn a_preset_says_what_is_asked_and_how_arms_are_told_apart() {
        let shop = BTreeSet::from(["shop"]);
        for (preset, requests, failed, latency) in [
            (
                json!({"preset": "istio"}),
                "sum by (namespace, pod_set) (label_replace(sum by (namespace, pod) (rate(istio_requests_total\
                 {namespace=~\"shop\", pod!=\"\", reporter=\"destination\"}[60s])), \"pod_set\", \"$1\", \"pod\", \"(.+)-[^-]+\"))",
                "response_code=~\"5..\"",
                "istio_request_duration_milliseconds_bucket",
            ),
            (
                json!({"preset": "istio", "arms_by": "version"}),
                "sum by (destination_workload_namespace, destination_workload, destination_version) \
                 (rate(istio_requests_total{destination_workload_namespace=~\"shop\", destination_workload!=\"\", \
                 reporter=\"destination\"}[60s]))",
                "response_code=~\"5..\"",
                "sum by (le, destination_workload_namespace, destination_workload, destination_version)",
            ),
            (
                json!({"preset": "linkerd", "arms_by": "template_hash", "arm_label": "pod_template_hash"}),
                "sum by (namespace, pod_template_hash) (rate(response_total{namespace=~\"shop\", \
                 pod_template_hash!=\"\", direction=\"inbound\"}[60s]))",
                "classification=~\"failure\"",
                "response_latency_ms_bucket",
            ),
            (
                json!({"preset": "ingress-nginx"}),
                "sum by (backend) (label_replace(label_join(sum by (namespace, service, canary) \
                 (rate(nginx_ingress_controller_requests{namespace=~\"shop\", service!=\"\"}[60s])), \"backend\", \
                 \"-\", \"namespace\", \"service\"), \"backend\", \"$1\", \"canary\", \"(.+)\"))",
                "status=~\"5..\"",
                "nginx_ingress_controller_request_duration_seconds_bucket",
            ),
            (
                json!({"preset": "envoy"}),
                "sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq{envoy_cluster_name!=\"\"}[60s]))",
                "envoy_response_code=~\"5..\"",
                "envoy_cluster_upstream_rq_time_bucket",
            ),
            (
                json!({"preset": "traefik"}),
                "sum by (service) (rate(traefik_service_requests_total{service!=\"\"}[60s]))",
                "code=~\"5..\"",
                "traefik_service_request_duration_seconds_bucket",
            ),
            (
                json!({"preset": "haproxy", "arm_label": "backend"}),
                "sum by (backend) (rate(haproxy_backend_http_responses_total{backend!=\"\"}[60s]))",
                "code=~\"5xx\"",
                "",
            ),
            (
                json!({"preset": "flightdeck"}),
                "sum by (environment, service, version, role) (rate(flightdeck_requests_total{environment!=\"\"}[60s]))",
                "outcome=~\"error|failure\"",
                "flightdeck_request_duration_seconds_bucket",
            ),
        ] {
            let settings = settings(&preset);
            assert_eq!(query(Metric::Requests, &settings, &shop).unwrap(), requests, "{preset}");
            let errors = query(Metric::Errors, &settings, &shop).unwrap();
            assert!(errors.contains(failed), "{preset}: {errors}");
            let p99 = query(Metric::Latency(990), &settings, &shop);
            assert!(p99.as_ref().map_or(latency.is_empty(), |p99| p99.contains(latency)), "{preset}: {p99:?}");
            assert_eq!(p99.is_none(), latency.is_empty(), "{preset}");
        }
    }

    #[test]
    fn queries_of_ones_own_are_asked_as_they_stand() {
        let own = settings(&json!({"arm_label": "rs", "queries": {
            "requests": "sum by (namespace, rs) (rate(grpc{namespace=~\"{namespaces}\"}[{range}]))",
            "errors": "e", "p99": "q"
        }}));
        let shop = BTreeSet::from(["pay", "shop"]);
        assert_eq!(
            query(Metric::Requests, &own, &shop).unwrap(),
            "sum by (namespace, rs) (rate(grpc{namespace=~\"pay|shop\"}[60s]))"
        );
        assert_eq!(query(Metric::Latency(990), &own, &shop).as_deref(), Some("q"));
        assert_eq!(query(Metric::Latency(950), &own, &shop), None);
        assert_eq!(labels(&own), ["namespace", "rs"]);
    }

    #[test]
    fn a_hostile_name_stays_a_name() {
        assert_eq!(literal("shop-eu_1"), "shop-eu_1");
        assert_eq!(literal("a\"} or vector(1) #"), "a\\\"\\\\} or vector\\\\(1\\\\) \\\\#");
        assert_eq!(literal("a.b\\c|d\n"), "a\\\\.b\\\\\\\\c\\\\|d\\n");
    }
}
