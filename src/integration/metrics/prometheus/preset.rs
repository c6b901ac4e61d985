//! Where systems keep their numbers in a Prometheus: one row each, nothing but data.

use crate::metrics::naming::Naming;
use schemars::JsonSchema;
use serde::Deserialize;

/// Whose metrics they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PresetName {
    /// An application's own, as Prometheus' client libraries call them.
    #[default]
    Http,
    /// Those of Istio's sidecars.
    Istio,
    /// Those of Linkerd's proxies.
    Linkerd,
    /// Those of the ingress controller of that name.
    IngressNginx,
    /// An Envoy's, by its clusters.
    Envoy,
    /// Traefik's, by its services.
    Traefik,
    /// HAProxy's, by its backends.
    Haproxy,
    /// Those of another flightdeck server.
    Flightdeck,
}

/// By what arms are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ArmsBy {
    /// The name of a pod, which begins with that of its ReplicaSet.
    Pod,
    /// The hash of the pods' template.
    TemplateHash,
    /// The workload: rows that have one side only.
    Workload,
    /// The workload and its version.
    Version,
    /// The Service of each side.
    Service,
    /// The role and version that the built-in engine tells.
    Role,
}

/// Where numbers are: what to ask for, by name.
#[derive(Debug)]
pub(super) struct Preset {
    pub name: PresetName,
    /// A counter of answered requests.
    pub requests: &'static str,
    /// The labels of it that may hold what came of a request; the first that a series has counts.
    pub status_labels: &'static [&'static str],
    /// What of that is a failure; a whole value, as a regular expression.
    pub failed: &'static str,
    /// The buckets of a histogram of how long answers took, and microseconds of its unit.
    pub latency: Option<(&'static str, f64)>,
    /// Matchers of all queries.
    pub matchers: &'static str,
    /// Ways to tell arms apart; the first is the usual one.
    pub arms: &'static [Told],
}

/// One way to tell arms apart.
#[derive(Debug)]
pub(super) struct Told {
    pub by: ArmsBy,
    /// The label with the namespace, where there is one.
    pub namespace: Option<&'static str>,
    pub how: How,
}

/// How the labels of an answer come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Of the label with the pod's name.
    Pod,
    /// They are there.
    Labels(&'static [&'static str]),
    /// ingress-nginx counts what goes to a canary at the main Service, and names the canary beside it, as
    /// `NAMESPACE-SERVICE-PORT`.
    NginxBackend,
}

impl ArmsBy {
    pub(super) const fn naming(self) -> Naming {
        match self {
            ArmsBy::Pod => Naming::PodSet,
            ArmsBy::TemplateHash => Naming::Template,
            ArmsBy::Workload => Naming::Workload,
            ArmsBy::Version => Naming::Version,
            ArmsBy::Service => Naming::Service,
            ArmsBy::Role => Naming::Side,
        }
    }

    /// As it is written.
    pub(super) const fn word(self) -> &'static str {
        match self {
            ArmsBy::Pod => "pod",
            ArmsBy::TemplateHash => "template_hash",
            ArmsBy::Workload => "workload",
            ArmsBy::Version => "version",
            ArmsBy::Service => "service",
            ArmsBy::Role => "role",
        }
    }
}

const POD: Told = Told { by: ArmsBy::Pod, namespace: Some("namespace"), how: How::Pod };
const HASH: Told =
    Told { by: ArmsBy::TemplateHash, namespace: Some("namespace"), how: How::Labels(&["rollouts_pod_template_hash"]) };

const fn told(by: ArmsBy, namespace: Option<&'static str>, labels: &'static [&'static str]) -> Told {
    Told { by, namespace, how: How::Labels(labels) }
}

/// What is meant where nothing is said.
const HTTP: Preset = Preset {
    name: PresetName::Http,
    requests: "http_requests_total",
    status_labels: &["code", "status"],
    failed: "5..",
    latency: Some(("http_request_duration_seconds_bucket", 1e6)),
    matchers: "",
    arms: &[POD, HASH],
};

const PRESETS: &[Preset] = &[
    HTTP,
    Preset {
        name: PresetName::Istio,
        requests: "istio_requests_total",
        status_labels: &["response_code"],
        failed: "5..",
        latency: Some(("istio_request_duration_milliseconds_bucket", 1e3)),
        matchers: "reporter=\"destination\"",
        arms: &[
            POD,
            HASH,
            told(ArmsBy::Workload, Some("destination_workload_namespace"), &["destination_workload"]),
            told(
                ArmsBy::Version,
                Some("destination_workload_namespace"),
                &["destination_workload", "destination_version"],
            ),
        ],
    },
    Preset {
        name: PresetName::Linkerd,
        requests: "response_total",
        status_labels: &["classification"],
        failed: "failure",
        latency: Some(("response_latency_ms_bucket", 1e3)),
        matchers: "direction=\"inbound\"",
        arms: &[POD, HASH, told(ArmsBy::Workload, Some("namespace"), &["deployment"])],
    },
    Preset {
        name: PresetName::IngressNginx,
        requests: "nginx_ingress_controller_requests",
        status_labels: &["status"],
        failed: "5..",
        latency: Some(("nginx_ingress_controller_request_duration_seconds_bucket", 1e6)),
        matchers: "",
        arms: &[Told { by: ArmsBy::Service, namespace: Some("namespace"), how: How::NginxBackend }],
    },
    Preset {
        name: PresetName::Envoy,
        requests: "envoy_cluster_upstream_rq",
        status_labels: &["envoy_response_code"],
        failed: "5..",
        latency: Some(("envoy_cluster_upstream_rq_time_bucket", 1e3)),
        matchers: "",
        arms: &[told(ArmsBy::Service, None, &["envoy_cluster_name"])],
    },
    Preset {
        name: PresetName::Traefik,
        requests: "traefik_service_requests_total",
        status_labels: &["code"],
        failed: "5..",
        latency: Some(("traefik_service_request_duration_seconds_bucket", 1e6)),
        matchers: "",
        arms: &[told(ArmsBy::Service, None, &["service"])],
    },
    Preset {
        name: PresetName::Haproxy,
        requests: "haproxy_backend_http_responses_total",
        status_labels: &["code"],
        failed: "5xx",
        // It tells averages only.
        latency: None,
        matchers: "",
        arms: &[told(ArmsBy::Service, None, &["proxy"])],
    },
    Preset {
        name: PresetName::Flightdeck,
        requests: "flightdeck_requests_total",
        status_labels: &["outcome"],
        failed: "error|failure",
        latency: Some(("flightdeck_request_duration_seconds_bucket", 1e6)),
        matchers: "",
        arms: &[told(ArmsBy::Role, None, &["environment", "service", "version", "role"])],
    },
];

impl PresetName {
    pub(super) fn preset(self) -> &'static Preset {
        PRESETS.iter().find(|preset| preset.name == self).unwrap_or(&HTTP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_preset_and_each_preset_tells_arms_apart() {
        for (word, requests) in [
            ("http", "http_requests_total"),
            ("istio", "istio_requests_total"),
            ("linkerd", "response_total"),
            ("ingress-nginx", "nginx_ingress_controller_requests"),
            ("envoy", "envoy_cluster_upstream_rq"),
            ("traefik", "traefik_service_requests_total"),
            ("haproxy", "haproxy_backend_http_responses_total"),
            ("flightdeck", "flightdeck_requests_total"),
        ] {
            let name: PresetName = serde_json::from_value(word.into()).unwrap();
            let preset = name.preset();
            assert_eq!((preset.name, preset.requests), (name, requests));
            assert!(!preset.arms.is_empty() && !preset.status_labels.is_empty());
            for told in preset.arms {
                assert_eq!(serde_json::from_value::<ArmsBy>(told.by.word().into()).unwrap(), told.by);
            }
        }
        assert_eq!(PRESETS.len(), 8);
    }
}
